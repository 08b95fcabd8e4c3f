"""How is a job told to wait, to go on, or to end?

The order is in force when it is committed: a step that is under way still counts, and is the last one. Repeated, it changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, func, select, update

from operations import job
from operations.deed import Refused, done
from operations.job import Job, State

Verb = Literal["pause", "resume", "cancel"]


@dataclass(frozen=True, slots=True)
class Rule:
    """From which states an order leads to which."""

    sources: frozenset[State]
    target: State


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "pause": Rule(frozenset({"running"}), "paused"),
        "resume": Rule(frozenset({"paused", "stopped", "failed"}), "running"),
        "cancel": Rule(frozenset({"running", "paused", "stopped", "failed", "ready"}), "cancelled"),
    }
)


def order(  # noqa: PLR0913 - who orders what, and why: each by its name
    engine: Engine, kind: str, job_id: UUID, verb: Verb, *, by: str, reason: str | None
) -> tuple[Job, bool]:
    """Give the order; the job as it stands then, and whether that changed it.

    Raises Refused: unknown_job, wrong_status (with the state) when there is no way from there.
    """

    def step(connection: Connection) -> tuple[Job, bool]:
        return put(connection, locked(connection, kind, job_id), RULES[verb])

    return done(engine, step, actor=by, action=f"{kind}.{verb}", target=str(job_id), reason=reason)


def locked(connection: Connection, kind: str, job_id: UUID) -> Job:
    """The job, which nobody else can order about before this transaction ends. Raises Refused (unknown_job)."""
    connection.execute(select(job.job.c.id).where(job.job.c.id == job_id).with_for_update())
    found = job.find(connection, job_id, kind)
    if found is None:
        raise Refused("unknown_job")
    return found


def put(connection: Connection, found: Job, rule: Rule) -> tuple[Job, bool]:
    """Bring a locked job into the rule's state and wake the operator processes. Raises Refused (wrong_status)."""
    if found.state == rule.target:
        return found, False
    if found.state not in rule.sources:
        raise Refused("wrong_status", state=found.state)
    over = rule.target not in {"running", "paused"}
    changed = {
        "state": rule.target,
        "error": None if rule.target == "running" else found.error,
        "finished_at": func.clock_timestamp() if over else None,
    }
    connection.execute(update(job.job).where(job.job.c.id == found.id).values(changed))
    job.wake(connection, found.id)
    after = job.find(connection, found.id)
    return after or found, True
