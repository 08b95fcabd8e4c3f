"""Which build of a projection does everybody see, which one is being made beside it, and which one is kept for a way back?

A projection's tables lie in a schema of their own; the live ones are those that the code names. Another build has the same tables in a
schema with its number. To swap two builds means to rename two schemas and to exchange their checkpoints, in one transaction: no cell is
written, no table locked, and every statement that comes after it finds the other tables under the same names, also prepared ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    inspect,
    text,
)

from infra.database import metadata
from projections.base import PROJECTIONS, Projection
from projections.checkpoint import LIVE

FIRST: Final = 1
"""The number of the build that the migrations made the tables for."""
State = Literal["building", "live", "kept"]
T = TypeVar("T")

generation = Table(
    "generation",
    metadata,
    Column("projection", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("job_id", Uuid),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Since when it has been what it is; of the live one this is a part of every reader's position (see `epoch`).
    Column("since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("projection", "number"),
    CheckConstraint("state IN ('building', 'live', 'kept')", name="state"),
    # One of each; checked at the end of a statement, so that two can change places in one.
    UniqueConstraint("projection", "state", deferrable=True, initially="IMMEDIATE"),
)

_LIVE_ROW = text("""
    INSERT INTO generation (projection, number, state)
    SELECT :projection, :first, 'live' WHERE NOT EXISTS (SELECT FROM generation WHERE projection = :projection AND state = 'live')
""")
_NEW = text("""
    INSERT INTO generation (projection, number, state, job_id)
    SELECT :projection, max(number) + 1, 'building', :job_id FROM generation WHERE projection = :projection
    RETURNING number
""")
_NUMBERS = text("SELECT projection, number FROM generation WHERE state = 'live'")
_BUILDS = text("SELECT * FROM generation WHERE projection = :projection ORDER BY number FOR UPDATE")
_FORGET = (
    text("DELETE FROM checkpoint WHERE projection = :projection AND generation = :number"),
    text("DELETE FROM generation WHERE projection = :projection AND number = :number"),
)
_PLACES = text("""
    UPDATE generation SET state = CASE number WHEN :number THEN 'live' ELSE 'kept' END, since = clock_timestamp()
    WHERE projection = :projection AND number IN (:number, :was)
""")
_CHECKPOINTS = text("UPDATE checkpoint SET generation = :becomes WHERE projection = :projection AND generation = :was")
_HOLD = text("LOCK TABLE checkpoint IN EXCLUSIVE MODE")
_RESOLVED = text("""
    SELECT coalesce(bool_and(oid = to_regnamespace(quote_ident(nspname))), true)
    FROM pg_namespace WHERE nspname = ANY(CAST(:schemas AS text[]))
""")


class OutdatedBuild(Exception):
    """The tables of a build aren't those that the code declares any more."""


@dataclass(frozen=True, slots=True)
class Build:
    """One build of a projection's tables."""

    projection: str
    number: int
    state: State
    job_id: UUID | None


def schema_of(projection: Projection, number: int = LIVE) -> str:
    """The schema of a build; of the live one unless a number is given."""
    (schema,) = {str(table.schema) for table in projection.tables}
    return schema if number == LIVE else f"{schema}_g{number}"


def numbers(connection: Connection) -> dict[str, int]:
    """The numbers of the live builds, of those projections that were ever built again; the others have their first."""
    return {row.projection: row.number for row in connection.execute(_NUMBERS)}


def builds(connection: Connection, projection: Projection) -> dict[State, Build]:
    """The builds that there are, locked: at most one of each state."""
    rows = connection.execute(_BUILDS, {"projection": projection.name})
    return {row.state: Build(row.projection, row.number, row.state, row.job_id) for row in rows}


def begin(connection: Connection, projection: Projection, job_id: UUID) -> int:
    """Open a new build without tables: its number. The database refuses a second one beside it (IntegrityError)."""
    connection.execute(_LIVE_ROW, {"projection": projection.name, "first": FIRST})
    return int(connection.execute(_NEW, {"projection": projection.name, "job_id": job_id}).scalar_one())


def drop(connection: Connection, projection: Projection, number: int) -> None:
    """Remove a build that isn't live, with everything that was in it."""
    connection.execute(text(f"DROP SCHEMA IF EXISTS {schema_of(projection, number)} CASCADE"))
    for statement in _FORGET:
        connection.execute(statement, {"projection": projection.name, "number": number})


def hold_projectors(connection: Connection) -> None:
    """Let nobody move or open a checkpoint until the end of this transaction. Reading goes on."""
    connection.execute(_HOLD)


def swap(connection: Connection, projection: Projection, number: int) -> int:
    """Make that build the live one, and keep the one that was; its number. The caller holds the projectors.

    Raises OutdatedBuild.
    """
    if not is_current(connection, projection, number):
        raise OutdatedBuild(f"{projection.name} {number}")
    was = builds(connection, projection)["live"].number
    live = schema_of(projection)
    connection.execute(text(f"ALTER SCHEMA {live} RENAME TO {schema_of(projection, was)}"))
    connection.execute(text(f"ALTER SCHEMA {schema_of(projection, number)} RENAME TO {live}"))
    for before, after in ((LIVE, was), (number, LIVE)):
        connection.execute(_CHECKPOINTS, {"projection": projection.name, "was": before, "becomes": after})
    connection.execute(_PLACES, {"projection": projection.name, "number": number, "was": was})
    return was


def is_current(connection: Connection, projection: Projection, number: int) -> bool:
    """Whether a build has exactly the tables and columns that the code declares."""
    schema, found = schema_of(projection, number), inspect(connection)
    names = found.get_table_names(schema)
    there = {name: [(each["name"], str(each["type"])) for each in found.get_columns(name, schema)] for name in names}
    return there == {table.name: [(each.name, str(each.type)) for each in table.columns] for table in projection.tables}


def of_one_build(connection: Connection, ask: Callable[[], T]) -> T:
    """The answer of `ask`, which begins a snapshot and reads projections in it; asked again when two builds were exchanged meanwhile.

    Names are looked up as they are now, rows as they were when the snapshot was taken: a swap in between would make an answer of the new
    tables with the old positions. So in the end the names that the snapshot knows are compared with those of now.
    """
    schemas = {"schemas": sorted({schema_of(projection) for projection in PROJECTIONS.values()})}
    while True:
        found = ask()
        if connection.execute(_RESOLVED, schemas).scalar_one():
            return found
        connection.rollback()
