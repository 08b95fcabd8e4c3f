"""Who and what was told to wait, by whom, why and until when?

One row a pause that holds now; the past is in the audit log. Workers read it at their start and every few seconds, and are told at once by
a notification that is part of the transaction: nobody has to be asked, and nobody can miss it for long.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import CheckConstraint, Column, Connection, DateTime, PrimaryKeyConstraint, Row, Table, Text, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from infra.database import metadata

Kind = Literal["consumer", "projection"]
CHANNEL: Final = "magasin_pauses"
EVERY_STORE: Final = ""
"""What stands for the store where a whole consumer or projection is meant: a key takes no null."""

pause = Table(
    "pause",
    metadata,
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("store_id", Text, nullable=False, server_default=text("''")),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("until", DateTime(timezone=True)),
    PrimaryKeyConstraint("kind", "name", "store_id"),
    CheckConstraint("kind IN ('consumer', 'projection')", name="kind"),
    CheckConstraint("kind = 'projection' OR store_id = ''", name="store_id"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """What waits: a consumer, a projection, or one store of a projection."""

    kind: Kind
    name: str
    store_id: str | None = None

    def __str__(self) -> str:
        """As the audit log names it: ``daily-sales/centre-ville``."""
        return self.name if self.store_id is None else f"{self.name}/{self.store_id}"


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that holds. `until` None: until someone ends it."""

    target: Target
    reason: str
    by: str
    at: datetime
    until: datetime | None

    def told(self) -> dict[str, Any]:
        """As an answer shows it."""
        return {"store_id": self.target.store_id, "reason": self.reason, "by": self.by, "at": self.at, "until": self.until}


def put(connection: Connection, target: Target, *, reason: str, by: str, until: datetime | None) -> tuple[Pause, bool]:
    """Let the target wait from now on; answers the pause, and whether it is new. One that holds gets the new reason, name and end."""
    given = {"reason": reason, "actor": by, "until": until}
    key = _key(target)
    found = connection.execute(
        insert(pause)
        .values(**key, **given)
        .on_conflict_do_update(index_elements=list(key), set_=given)
        .returning(pause, text("(xmax = 0) AS added"))
    ).one()
    return _pause(found), bool(found.added)


def lift(connection: Connection, target: Target) -> bool:
    """End the target's pause; False when there was none."""
    key = _key(target)
    return bool(connection.execute(delete(pause).where(*(pause.c[name] == value for name, value in key.items()))).rowcount)


def lift_expired(connection: Connection) -> list[Pause]:
    """End the pauses whose time has come: those that this transaction ended."""
    return [_pause(row) for row in connection.execute(delete(pause).where(pause.c.until <= func.clock_timestamp()).returning(pause))]


def holding(connection: Connection) -> list[Pause]:
    """The pauses that hold now, by kind, name and store."""
    still = pause.c.until.is_(None) | (pause.c.until > func.clock_timestamp())
    rows = connection.execute(select(pause).where(still).order_by(pause.c.kind, pause.c.name, pause.c.store_id))
    return [_pause(row) for row in rows]


def seconds_to_next_end(connection: Connection) -> float | None:
    """How long until the next pause ends by itself; negative when that is overdue, None when none will."""
    found = connection.scalar(select(func.extract("epoch", func.min(pause.c.until) - func.clock_timestamp())))
    return None if found is None else float(found)


def tell(connection: Connection, kind: Kind) -> None:
    """Tell the workers, once this transaction is committed, that something changed for them."""
    connection.execute(select(func.pg_notify(CHANNEL, kind)))


def _key(target: Target) -> dict[str, str]:
    return {"kind": target.kind, "name": target.name, "store_id": target.store_id or EVERY_STORE}


def _pause(row: Row[Any]) -> Pause:
    return Pause(Target(row.kind, row.name, row.store_id or None), row.reason, row.actor, row.at, row.until)
