"""How far has each reader outside the house come in each store's log?

A reader is the feed or one webhook. Like a projection it follows the contiguous numbers of a store, so nothing can be skipped silently;
unlike one it has no figures that anybody reports, and it may lag behind without harm to anyone.
"""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, DateTime, PrimaryKeyConstraint, Table, Text, func, text

from infra.database import json_rows, metadata

FEED: Final = "feed"

outward_position = Table(
    "outward_position",
    metadata,
    Column("reader", Text, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("moved_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("reader", "store_id"),
    postgresql_with={"fillfactor": "50"},
)

_BEHIND = text("""
    SELECT h.store_id, h.seq, coalesce(p.seq, 0) AS done
    FROM store_head h LEFT JOIN outward_position p ON p.store_id = h.store_id AND p.reader = :reader
    WHERE h.seq > coalesce(p.seq, 0) AND (CAST(:stores AS text[]) IS NULL OR h.store_id = ANY(CAST(:stores AS text[])))
    ORDER BY h.store_id
""")
_POSITIONS = text("SELECT store_id, seq FROM outward_position WHERE reader = :reader")
_MOVE = text("""
    INSERT INTO outward_position (reader, store_id, seq)
    SELECT reader, store_id, seq FROM json_to_recordset(CAST(:rows AS json)) AS row(reader text, store_id text, seq bigint)
    ORDER BY reader, store_id
    ON CONFLICT (reader, store_id) DO UPDATE SET seq = excluded.seq, moved_at = now() WHERE outward_position.seq < excluded.seq
""")
_BEGIN_NOW = text("""
    INSERT INTO outward_position (reader, store_id, seq)
    SELECT :reader, h.store_id, h.seq FROM store_head h
    WHERE CAST(:stores AS text[]) IS NULL OR h.store_id = ANY(CAST(:stores AS text[]))
    ORDER BY h.store_id
    ON CONFLICT DO NOTHING
""")
_BEGIN_AT_ZERO = text("""
    INSERT INTO outward_position (reader, store_id, seq)
    SELECT :reader, store_id, 0 FROM unnest(CAST(:stores AS text[])) AS store_id
    ON CONFLICT DO NOTHING
""")
_FORGET = text("DELETE FROM outward_position WHERE reader = :reader")


def positions(connection: Connection, reader: str) -> dict[str, int]:
    """The last number that the reader is done with, by store. A store that is missing has not been begun: 0."""
    return {row.store_id: row.seq for row in connection.execute(_POSITIONS, {"reader": reader})}


def behind(connection: Connection, reader: str, stores: Collection[str] | None = None) -> dict[str, tuple[int, int]]:
    """The stores (of these; None: all) whose log goes on after the reader's place: that place and the log's end."""
    asked = {"reader": reader, "stores": None if stores is None else sorted(stores)}
    return {row.store_id: (row.done, row.seq) for row in connection.execute(_BEHIND, asked)}


def move(connection: Connection, places: Mapping[tuple[str, str], int]) -> None:
    """Set the places of (reader, store); never back, so that a process that was replaced can't undo what its successor did."""
    if places:
        rows = [{"reader": reader, "store_id": store_id, "seq": seq} for (reader, store_id), seq in places.items()]
        connection.execute(_MOVE, json_rows(rows))


def begin_now(connection: Connection, reader: str, stores: Collection[str] | None = None) -> None:
    """Let a reader begin at the present end of each log (of these stores; None: all) that it has no place in yet."""
    connection.execute(_BEGIN_NOW, {"reader": reader, "stores": None if stores is None else sorted(stores)})


def begin_at_zero(connection: Connection, reader: str, stores: Collection[str]) -> None:
    """Let a reader begin at the first event of these stores where it has no place in them: for those it followed before they opened."""
    connection.execute(_BEGIN_AT_ZERO, {"reader": reader, "stores": sorted(stores)})


def forget(connection: Connection, reader: str) -> None:
    """Drop a reader's places: it won't go on where it was."""
    connection.execute(_FORGET, {"reader": reader})
