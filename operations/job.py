"""What is being mended right now, how far is it, and where does it go on after a crash?

A job is one row. Its kind moves it on in steps; each step is one bounded transaction that also saves how far the job has come, so that
killing any process at any moment costs one step at most. The number of a step is its fence: of two processes that believe the same job to
be theirs, one saves its step, and the other one's transaction is rolled back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Double,
    Index,
    Row,
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

from infra import audit
from infra.database import metadata
from infra.faults import printable
from operations.deed import SYSTEM

State = Literal["running", "paused", "cancelled", "done", "failed", "stopped", "ready", "promoted", "rolled_back"]
CHANNEL: Final = "magasin_jobs"
ERROR_CHARACTERS: Final = 2_000
MOST_LISTED: Final = 500
IDLE_SECONDS: Final = 5.0
"""A job that hasn't moved for so long has no rate."""
MEMORY_SECONDS: Final = 10.0
"""The rate is that of about the last ten seconds."""

job = Table(
    "job",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'running'")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("created_by", Text, nullable=False),
    Column("reason", Text),
    # What was ordered; never changes.
    Column("parameters", JSONB, nullable=False),
    # Where the kind goes on, and what it has found so far.
    Column("place", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("total", BigInteger),
    Column("done", BigInteger, nullable=False, server_default=text("0")),
    Column("succeeded", BigInteger, nullable=False, server_default=text("0")),
    Column("failed", BigInteger, nullable=False, server_default=text("0")),
    Column("rate", Double, nullable=False, server_default=text("0")),
    Column("error", Text),
    Column("dry_run", Boolean, nullable=False, server_default=text("false")),
    Column("max_per_second", Double),
    Column("step", BigInteger, nullable=False, server_default=text("0")),
    Column("started_at", DateTime(timezone=True)),
    Column("heartbeat_at", DateTime(timezone=True)),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint(
        "state IN ('running', 'paused', 'cancelled', 'done', 'failed', 'stopped', 'ready', 'promoted', 'rolled_back')", name="state"
    ),
    postgresql_with={"fillfactor": "50"},
)
Index("ix_job_running", job.c.created_at, postgresql_where=job.c.state == "running")
Index("ix_job_kind", job.c.kind, job.c.created_at)

# A state that somebody ordered meanwhile stays: the step that was under way counts, and is the last.
_SAVE = text("""
    UPDATE job SET
        step = step + 1, done = :done, succeeded = :succeeded, failed = :failed, total = :total,
        place = CAST(:place AS jsonb), heartbeat_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp()),
        rate = CASE WHEN heartbeat_at IS NULL THEN 0
            ELSE rate + ((:done - done) / since.seconds - rate)
                * greatest(1 - exp(-since.seconds / :memory), since.seconds / greatest(since.seconds, since.beginning)) END,
        state = CASE WHEN state = 'running' THEN :state ELSE state END,
        error = CASE WHEN state = 'running' THEN :error ELSE error END,
        finished_at = CASE WHEN state = 'running' AND :state NOT IN ('running', 'paused') THEN clock_timestamp() ELSE finished_at END
    FROM (
        SELECT greatest(extract(epoch FROM clock_timestamp() - heartbeat_at), 0.001) AS seconds,
            extract(epoch FROM clock_timestamp() - started_at) AS beginning
        FROM job WHERE id = :id
    ) AS since
    WHERE id = :id AND step = :step
    RETURNING job.*
""")
_MARK = text("UPDATE job SET started_at = coalesce(started_at, clock_timestamp()), heartbeat_at = clock_timestamp() WHERE id = :id")


class Overtaken(Exception):
    """Another process has moved the job on since it was read: this step must not count."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its row says. `total` is None while nobody knows it; `place` is the kind's own."""

    id: UUID
    kind: str
    state: State
    created_at: datetime
    created_by: str
    reason: str | None
    parameters: Mapping[str, Any]
    place: Mapping[str, Any]
    total: int | None
    done: int
    succeeded: int
    failed: int
    rate: float
    error: str | None
    dry_run: bool
    max_per_second: float | None
    step: int
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None

    @property
    def moves(self) -> bool:
        """Whether an operator process works on it, or will."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Order:
    """A job that somebody asks for. `total` units, if that is known already."""

    kind: str
    by: str
    parameters: Mapping[str, Any]
    reason: str | None = None
    total: int | None = None
    dry_run: bool = False
    max_per_second: float | None = None
    id: UUID = field(default_factory=lambda: UUID(int=uuid7().int))


@dataclass(frozen=True, slots=True)
class Stride:
    """How far one step came: units to be added, and what changes besides.

    `place` and `total` None: as before. `wait_seconds`: the next step has nothing to do earlier. `paced`: units that count for the rate
    that was asked for, when these aren't those that are done.
    """

    done: int = 0
    succeeded: int = 0
    failed: int = 0
    place: Mapping[str, Any] | None = None
    total: int | None = None
    state: State = "running"
    error: str | None = None
    wait_seconds: float = 0.0
    paced: int | None = None

    @property
    def cost(self) -> int:
        """Units that count for the rate."""
        return self.done if self.paced is None else self.paced


class JobKind(Protocol):
    """How jobs of one kind are moved on. Registered in ``workers.job_kinds``."""

    name: str
    stride: int
    """The most units of one step, so that it takes well under a second."""

    async def step(self, found: Job, most: int) -> Stride:
        """Move on by at most `most` units, and save the stride with `save` in the transaction that did the work; answer it.

        Raises Overtaken, and whatever the database or the broker raises while away; the same step then comes again.
        """


def begin(connection: Connection, order: Order) -> Job:
    """Put the job there and wake the operator processes, both when the caller's transaction is committed."""
    row = connection.execute(
        insert(job)
        .values(
            id=order.id,
            kind=order.kind,
            created_by=order.by,
            reason=order.reason,
            parameters=dict(order.parameters),
            total=order.total,
            dry_run=order.dry_run,
            max_per_second=order.max_per_second,
        )
        .returning(job)
    ).one()
    wake(connection, order.id)
    return _job(row)


def wake(connection: Connection, job_id: UUID) -> None:
    """Tell the operator processes, once this transaction is committed, to look at the job."""
    connection.execute(select(func.pg_notify(CHANNEL, str(job_id))))


def save(connection: Connection, found: Job, stride: Stride) -> Job:
    """Save a step in the transaction that did it. Raises Overtaken; then nothing of the transaction may be committed."""
    row = connection.execute(
        _SAVE,
        {
            "id": found.id,
            "step": found.step,
            "done": found.done + stride.done,
            "succeeded": found.succeeded + stride.succeeded,
            "failed": found.failed + stride.failed,
            "total": found.total if stride.total is None else stride.total,
            "place": to_json(found.place if stride.place is None else stride.place).decode(),
            "state": stride.state,
            "error": None if stride.error is None else printable(stride.error, ERROR_CHARACTERS),
            "memory": MEMORY_SECONDS,
        },
    ).first()
    if row is None:
        raise Overtaken(f"{found.kind} {found.id} after step {found.step}")
    after = _job(row)
    if after.state == stride.state != "running":
        _note_end(connection, after)
    return after


def _note_end(connection: Connection, ended: Job) -> None:
    """What came of what somebody began stands in the audit log too."""
    figures = {"done": ended.done, "succeeded": ended.succeeded, "failed": ended.failed, "total": ended.total, "dry_run": ended.dry_run}
    audit.note(
        connection,
        actor=SYSTEM,
        action=f"{ended.kind}.{ended.state}",
        target=str(ended.id),
        outcome="failed" if ended.state in {"failed", "stopped"} else "done",
        reason=ended.error,
        details={**figures, "begun_by": ended.created_by},
    )


def mark(connection: Connection, found: Job) -> None:
    """Say that work on the job begins, or goes on: time before now is no part of its rate."""
    connection.execute(_MARK, {"id": found.id})


def find(connection: Connection, job_id: UUID, kind: str | None = None) -> Job | None:
    """The job, if there is one (of that kind)."""
    row = connection.execute(select(job).where(job.c.id == job_id)).first()
    return None if row is None or (kind is not None and row.kind != kind) else _job(row)


def running(connection: Connection, kinds: Sequence[str]) -> list[UUID]:
    """The jobs of these kinds that want to be moved on, the oldest first."""
    wanted = select(job.c.id).where(job.c.state == "running", job.c.kind.in_(kinds))
    return list(connection.scalars(wanted.order_by(job.c.created_at).limit(MOST_LISTED)))


def page(
    connection: Connection, *, kind: str | None = None, state: str | None = None, before: datetime | None = None, limit: int = 50
) -> list[Job]:
    """At most `limit` jobs, the newest first, those begun before an instant."""
    query = select(job).order_by(job.c.created_at.desc()).limit(limit)
    for column, value in ((job.c.kind, kind), (job.c.state, state)):
        if value is not None:
            query = query.where(column == value)
    return [_job(row) for row in connection.execute(query if before is None else query.where(job.c.created_at < before))]


def told(found: Job, now: datetime) -> dict[str, Any]:
    """As an answer shows it. `rate` in units a second, about now; `eta_seconds` is None while it doesn't move or nobody knows the total."""
    moving = found.moves and found.heartbeat_at is not None and (now - found.heartbeat_at).total_seconds() < IDLE_SECONDS
    rate = round(max(0.0, found.rate), 2) if moving else 0.0
    left = None if found.total is None else max(0, found.total - found.done)
    eta = 0.0 if left == 0 else round(left / rate, 1) if left and rate else None
    names = ("id", "kind", "state", "total", "done", "succeeded", "failed", "dry_run", "max_per_second", "error", "reason")
    times = ("created_at", "created_by", "started_at", "heartbeat_at", "finished_at")
    shown = {name: getattr(found, name) for name in (*names, *times)}
    return {**shown, "rate": rate, "eta_seconds": eta, "parameters": dict(found.parameters)}


def _job(row: Row[Any]) -> Job:
    return Job(**{name: row._mapping[name] for name in job.c.keys()})  # noqa: SIM118, SLF001 - not a dict; a row's mapping is public
