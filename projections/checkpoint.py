"""How far has each projection come in each store's log?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic_core import to_json
from sqlalchemy import BigInteger, CheckConstraint, Column, Connection, DateTime, Integer, PrimaryKeyConstraint, Table, Text, text

from infra.database import Statement, metadata, together
from infra.faults import printable

LIVE = 0
ERROR_CHARACTERS = 8_000

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("projection", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("failed_seq", BigInteger),
    Column("moved_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("projection", "generation", "store_id"),
    CheckConstraint("state IN ('live', 'stalled', 'paused')", name="state"),
    postgresql_with={"fillfactor": "50"},
)

_OPEN = text("""
    INSERT INTO checkpoint (projection, generation, store_id, seq, state, moved_at)
    SELECT projection, :generation, store_id, 0, CASE WHEN EXISTS (
        SELECT FROM pause p WHERE p.kind = 'projection' AND p.name = projection AND p.store_id IN ('', row.store_id)
    ) THEN 'paused' ELSE 'live' END, now()
    FROM unnest(CAST(:projections AS text[])) AS projection, unnest(CAST(:stores AS text[])) AS row(store_id)
    ORDER BY projection, store_id
    ON CONFLICT DO NOTHING
""")
_LOCK = """
    SELECT projection, store_id, seq, state FROM checkpoint
    WHERE generation = %(generation)s AND projection = ANY(%(projections)s::text[]) AND store_id = ANY(%(stores)s::text[])
    ORDER BY projection, store_id
    FOR UPDATE
"""
_MOVE = """
    UPDATE checkpoint SET seq = row.seq, moved_at = now()
    FROM json_to_recordset(%(marks)s::json) AS row(projection text, store_id text, seq bigint)
    WHERE checkpoint.generation = %(generation)s AND checkpoint.projection = row.projection AND checkpoint.store_id = row.store_id
"""
_STALL = text("""
    UPDATE checkpoint SET state = 'stalled', error = :error, failed_seq = :seq, moved_at = now()
    WHERE projection = :projection AND generation = :generation AND store_id = :store_id AND seq = :seq - 1 AND state = 'live'
""")
_GO_ON = text("""
    UPDATE checkpoint SET state = 'live', error = NULL, failed_seq = NULL, moved_at = now()
    WHERE projection = :projection AND generation = :generation AND state = 'stalled'
      AND (CAST(:store_id AS text) IS NULL OR store_id = :store_id)
    RETURNING store_id
""")
_OBEY = text("""
    WITH due AS MATERIALIZED (
        SELECT c.projection, c.store_id FROM checkpoint c
        WHERE c.generation = :generation AND c.state IN ('live', 'paused') AND (c.state = 'paused') <> EXISTS (
            SELECT FROM pause p WHERE p.kind = 'projection' AND p.name = c.projection AND p.store_id IN ('', c.store_id)
        )
        ORDER BY c.projection, c.store_id
        FOR UPDATE OF c
    )
    UPDATE checkpoint SET state = CASE checkpoint.state WHEN 'live' THEN 'paused' ELSE 'live' END
    FROM due
    WHERE checkpoint.generation = :generation AND checkpoint.projection = due.projection AND checkpoint.store_id = due.store_id
""")


@dataclass(frozen=True, slots=True)
class Mark:
    """The position of one projection in one store. A stalled or paused one stays where it is."""

    seq: int
    state: str


def lock(connection: Connection, projections: Iterable[str], stores: Iterable[str]) -> dict[tuple[str, str], Mark]:
    """Lock the live checkpoints of these projections and stores, in one order; new ones start at 0."""
    wanted = {"generation": LIVE, "projections": sorted(projections), "stores": sorted(stores)}
    found = _locked(connection, wanted)
    if len(found) < len(wanted["projections"]) * len(wanted["stores"]):  # type: ignore[arg-type]
        connection.execute(_OPEN, wanted)
        found = _locked(connection, wanted)
    return found


def open_all(connection: Connection, projections: Iterable[str], stores: Iterable[str]) -> None:
    """Make the live checkpoints that aren't there yet, at 0; paused where a pause says so."""
    connection.execute(_OPEN, {"generation": LIVE, "projections": sorted(projections), "stores": sorted(stores)})


def obey_pauses(connection: Connection) -> bool:
    """Let the live checkpoints wait or go on as the pauses say; whether any had to change. One that stalled stays stalled."""
    return bool(connection.execute(_OBEY, {"generation": LIVE}).rowcount)


def move_statement(marks: Mapping[tuple[str, str], int]) -> Statement:
    """Set the positions of locked checkpoints."""
    rows = [{"projection": projection, "store_id": store_id, "seq": seq} for (projection, store_id), seq in marks.items()]
    return Statement(_MOVE, {"generation": LIVE, "marks": to_json(rows).decode()})


def stall(connection: Connection, projection: str, store_id: str, seq: int, error: str) -> None:
    """Stop a projection for one store at the event `seq` that it can't apply, and keep the error for whoever mends it.

    The caller holds the checkpoint's lock.
    """
    kept = printable(error, ERROR_CHARACTERS)
    connection.execute(_STALL, {"projection": projection, "generation": LIVE, "store_id": store_id, "seq": seq, "error": kept})


def go_on(connection: Connection, projection: str, store_id: str | None) -> list[str]:
    """Let a projection try again in the store (None: in all) where it stopped at an event: those stores. What still fails stops again."""
    asked = {"projection": projection, "generation": LIVE, "store_id": store_id}
    return sorted(connection.scalars(_GO_ON, asked))


def behind(connection: Connection, projections: Iterable[str]) -> dict[str, int]:
    """The stores for which some of these live projections haven't reached the end of the log, each with that end."""
    rows = connection.execute(
        text("""
            SELECT h.store_id, h.seq
            FROM store_head h CROSS JOIN unnest(CAST(:projections AS text[])) AS name(projection)
            LEFT JOIN checkpoint c ON c.store_id = h.store_id AND c.projection = name.projection AND c.generation = :generation
            WHERE h.seq > coalesce(c.seq, 0) AND coalesce(c.state, 'live') = 'live'
            GROUP BY h.store_id, h.seq
        """),
        {"projections": list(projections), "generation": LIVE},
    )
    return {row.store_id: row.seq for row in rows}


def _locked(connection: Connection, wanted: Mapping[str, object]) -> dict[tuple[str, str], Mark]:
    (rows,) = together(connection, [Statement(_LOCK, wanted)])
    return {(projection, store_id): Mark(seq, state) for projection, store_id, seq, state in rows}
