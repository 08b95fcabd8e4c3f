"""Which dead letters does an operator mean, now and an hour later?

A query chooses, and what it chose is frozen: letters that come afterwards are not among them, whatever their kind. Number and digest tell
two people, or a page and a command line, that they speak of the same letters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_jsonable_python
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Index,
    Integer,
    PrimaryKeyConstraint,
    RowMapping,
    Table,
    Text,
    Uuid,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from infra.database import metadata
from infra.dead_letters import dead_letter
from operations.deed import Refused, done
from operations.letter_query import Query

MOST_SELECTED: Final = 100_000

selection = Table(
    "selection",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("created_by", Text, nullable=False),
    Column("query", JSONB, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)
Index("ix_selection_created_at", selection.c.created_at)

selection_item = Table(
    "selection_item",
    metadata,
    Column("selection_id", Uuid, nullable=False),
    Column("place", Integer, nullable=False),
    Column("letter_id", Uuid, nullable=False),
    PrimaryKeyConstraint("selection_id", "place"),
)
_ITEMS = text("""
    INSERT INTO selection_item (selection_id, place, letter_id)
    SELECT :selection_id, found.place, found.id FROM unnest(CAST(:letters AS uuid[])) WITH ORDINALITY AS found(id, place)
""")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen. `digest` is that of the letters' ids in order."""

    id: UUID
    created_at: datetime
    created_by: str
    query: Mapping[str, Any]
    count: int
    digest: str

    def told(self) -> dict[str, Any]:
        """As an answer shows it."""
        return {"selection_id": self.id, **{name: value for name, value in asdict(self).items() if name != "id"}}


def freeze(engine: Engine, query: Query, *, by: str) -> Selection:
    """Choose the letters that the query finds now; those that wait, unless it says otherwise. Raises Refused (selection_too_large)."""
    asked = query if query.status is not None else replace(query, status="waiting")
    chosen = UUID(int=uuid7().int)

    def step(connection: Connection) -> Selection:
        column = dead_letter.c
        # The oldest first: in that order they are sent back, and a sale goes before its return.
        found = select(column.id).where(*asked.conditions()).order_by(column.failed_at, column.id).limit(MOST_SELECTED + 1)
        ids = list(connection.scalars(found))
        if len(ids) > MOST_SELECTED:
            raise Refused("selection_too_large", most=MOST_SELECTED)
        values = {"id": chosen, "created_by": by, "query": to_jsonable_python(asked.told()), "count": len(ids), "digest": digest(ids)}
        row = connection.execute(insert(selection).values(values).returning(selection)).mappings().one()
        if ids:
            connection.execute(_ITEMS, {"selection_id": chosen, "letters": ids})
        return _selection(row)

    return done(engine, step, actor=by, action="selection.freeze", target=str(chosen), details=to_jsonable_python(asked.told()))


def digest(ids: Sequence[UUID]) -> str:
    """128 bits that differ when the letters, or their order, do."""
    return blake2b(b"".join(each.bytes for each in ids), digest_size=16).hexdigest()


def require(connection: Connection, selection_id: UUID) -> Selection:
    """The selection. Raises Refused (unknown_selection)."""
    row = connection.execute(select(selection).where(selection.c.id == selection_id)).mappings().first()
    if row is None:
        raise Refused("unknown_selection")
    return _selection(row)


def page(connection: Connection, *, before: datetime | None, limit: int) -> list[dict[str, Any]]:
    """At most `limit` selections, the newest first."""
    found = select(selection).order_by(selection.c.created_at.desc()).limit(limit)
    rows = connection.execute(found if before is None else found.where(selection.c.created_at < before))
    return [_selection(row).told() for row in rows.mappings()]


def statuses(connection: Connection, selection_id: UUID) -> dict[str, int]:
    """How its letters stand now, by status."""
    item = selection_item.c
    counted = select(dead_letter.c.status, func.count().label("letters")).join(selection_item, item.letter_id == dead_letter.c.id)
    rows = connection.execute(counted.where(item.selection_id == selection_id).group_by(dead_letter.c.status))
    return {row.status: row.letters for row in rows}


def _selection(row: RowMapping) -> Selection:
    return Selection(**row)
