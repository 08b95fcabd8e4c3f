"""How does each consumer do: is it there, does it work, since when, in which version, and what went wrong last?

Every worker process writes one row and renews it every few seconds. A row says what its process knew then; one that isn't renewed any more
says that the process is gone, whatever state stands in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
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
    Uuid,
    delete,
    func,
    select,
    text,
)

from infra.database import metadata
from infra.faults import printable
from infra.pauses import Pause
from operations.pauses import CONSUMERS

State = Literal["running", "paused", "waiting", "stuck", "standby", "stopped"]
GONE_AFTER_SECONDS: Final = 15
SHOWN_SECONDS: Final = 3_600
"""How long a process that ended is still shown."""
KEPT_DAYS: Final = 7
MOST_INSTANCES: Final = 200
ERROR_CHARACTERS: Final = 2_000

consumer = Table(
    "consumer",
    metadata,
    Column("instance", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_error", Text),
    Column("last_error_at", DateTime(timezone=True)),
    Column("oldest_at", DateTime(timezone=True)),
    Column("consumed_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("instance"),
    CheckConstraint("state IN ('running', 'paused', 'waiting', 'stuck', 'standby', 'stopped')", name="state"),
    postgresql_with={"fillfactor": "50"},
)
# Ages are told by the database's clock, so that those of several machines can be compared.
_BEAT = text("""
    INSERT INTO consumer (instance, name, host, pid, version, state, since, last_error, last_error_at, oldest_at, consumed_at)
    VALUES (:instance, :name, :host, :pid, :version, :state, :since, :last_error, :last_error_at, :oldest_at, :consumed_at)
    ON CONFLICT (instance) DO UPDATE SET state = excluded.state, since = excluded.since, seen_at = now(),
        last_error = excluded.last_error, last_error_at = excluded.last_error_at, oldest_at = excluded.oldest_at,
        consumed_at = excluded.consumed_at
""")
_TROUBLE: Final = ("stuck", "waiting", "paused", "running", "standby")
"""Of several instances the first of these is the state of the consumer."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a worker says of itself.

    `oldest_at`: when the oldest message that it hasn't settled, or gave back, was published, to the second. `consumed_at`: when it was
    taking messages last.
    """

    instance: UUID
    name: str
    host: str
    pid: int
    version: str
    state: State
    since: datetime
    last_error: str | None
    last_error_at: datetime | None
    oldest_at: datetime | None
    consumed_at: datetime | None


def beat(connection: Connection, pulse: Pulse) -> None:
    """Write the pulse: one row, renewed."""
    error = None if pulse.last_error is None else printable(pulse.last_error, ERROR_CHARACTERS)
    connection.execute(_BEAT, {**asdict(pulse), "last_error": error})


def forget_old(connection: Connection) -> None:
    """Remove the rows of processes that ended long ago."""
    connection.execute(delete(consumer).where(consumer.c.seen_at < func.now() - timedelta(days=KEPT_DAYS)))


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a consumer as it was when it was heard last. `gone`: it fell silent without saying good-bye."""

    row: Mapping[str, Any]
    silent_seconds: float

    @property
    def gone(self) -> bool:
        """Whether it is dead, or can't reach the database."""
        return self.row["state"] != "stopped" and self.silent_seconds > GONE_AFTER_SECONDS

    @property
    def there(self) -> bool:
        """Whether the process is there."""
        return self.row["state"] != "stopped" and not self.gone

    @property
    def state(self) -> str:
        """Its state as it is to be shown."""
        return "gone" if self.gone else str(self.row["state"])

    def told(self, now: datetime) -> dict[str, Any]:
        """As an answer shows it."""
        names = ("instance", "host", "pid", "version", "since", "started_at", "seen_at", "last_error", "last_error_at")
        shown = {name: self.row[name] for name in names}
        return {**shown, "state": self.state, "oldest_seconds": age(self.row["oldest_at"], now)}


def instances(connection: Connection) -> list[Instance]:
    """The processes heard lately, the last heard first."""
    silent = func.extract("epoch", func.now() - consumer.c.seen_at).label("silent")
    rows = connection.execute(select(consumer, silent).order_by(consumer.c.seen_at.desc()).limit(MOST_INSTANCES)).mappings()
    return [Instance({name: row[name] for name in consumer.c.keys()}, max(0.0, float(row["silent"]))) for row in rows]  # noqa: SIM118 - not a dict


def told(found: Sequence[Instance], pauses: Sequence[Pause], now: datetime) -> list[dict[str, Any]]:
    """One item for each consumer: its state, its pause if it has one, and its processes.

    A consumer without a process is `gone` (or `paused`, which it will be when one is there again).
    """
    names = [*CONSUMERS, *sorted({each.row["name"] for each in found} - {*CONSUMERS})]
    return [_told(name, [each for each in found if each.row["name"] == name], _pause_of(name, pauses), now) for name in names]


def oldest(name: str, found: Sequence[Instance], now: datetime) -> tuple[float | None, bool]:
    """The age of the oldest message of a consumer's queue that isn't settled, for a queue that isn't empty; and whether it is a bound.

    Queues are first in, first out, so while somebody consumes it is the oldest in hand. When nobody does, it is what those gave back who
    consumed last: that lies in front again. Where they had nothing in hand, what waits came later: "at most". None: nobody ever consumed.
    """
    own = [each for each in found if each.row["name"] == name and each.row["consumed_at"] is not None]
    if not own:
        return None, False
    last = max(each.row["consumed_at"] for each in own)
    recent = [each for each in own if last - each.row["consumed_at"] < timedelta(seconds=GONE_AFTER_SECONDS)]
    in_hand = [each.row["oldest_at"] for each in recent if each.row["oldest_at"] is not None]
    return (age(min(in_hand), now), False) if in_hand else (age(last, now), True)


def age(at: datetime | None, now: datetime) -> float | None:
    """How long ago that was, in seconds."""
    return None if at is None else round(max(0.0, (now - at).total_seconds()), 3)


def _told(name: str, own: Sequence[Instance], pause: Pause | None, now: datetime) -> dict[str, Any]:
    there = [each for each in own if each.there]
    shown = [each for each in own if each.there or each.silent_seconds < SHOWN_SECONDS]
    state = min((each.state for each in there), key=_TROUBLE.index, default="gone")
    if pause is not None and state in {"gone", "paused"}:
        state = "paused"
    failed = max((each for each in own if each.row["last_error_at"]), key=lambda each: each.row["last_error_at"], default=None)
    of_state = [each.row["since"] for each in there if each.state == state]
    return {
        "name": name,
        "state": state,
        "since": min(of_state, default=pause.at if pause else max((each.row["seen_at"] for each in own), default=None)),
        "version": there[0].row["version"] if there else None,
        "last_error": failed.row["last_error"] if failed else None,
        "last_error_at": failed.row["last_error_at"] if failed else None,
        "oldest_seconds": max((age(each.row["oldest_at"], now) or 0.0 for each in there), default=None),
        "pause": pause.told() if pause else None,
        "instances": [each.told(now) for each in shown],
    }


def _pause_of(name: str, pauses: Sequence[Pause]) -> Pause | None:
    return next((each for each in pauses if each.target.kind == "consumer" and each.target.name == name), None)


def utc_now() -> datetime:
    """The clock of this process."""
    return datetime.now(UTC)
