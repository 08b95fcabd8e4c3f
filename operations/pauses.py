"""How are a consumer, a projection or one store of it told to wait, and to go on?

A paused consumer gives back its messages and takes no others: they wait in the queue. A paused projection stays at its checkpoint, which
everybody who reads figures is told; the other projections and stores go on, and when it goes on it reads the log from where it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from infra import audit, pauses
from infra.pauses import Kind, Pause, Target
from infra.topology import QUEUES
from operations.deed import SYSTEM, Refused, done
from projections import PROJECTIONS, checkpoint

CONSUMERS = tuple(queue.name for queue in QUEUES)
EXPIRED = "expired"
MOST_NAMED = 100
"""Stores in one line of the audit log."""
_KNOWN_STORE = text("SELECT EXISTS (SELECT FROM store_head WHERE store_id = :store_id)")
_STORES = text("SELECT store_id FROM store_head ORDER BY store_id")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What holds after an order. `changed` is False when it held before: then the order was repeated, and that does no harm."""

    target: Target
    state: str
    changed: bool
    pauses: Sequence[Pause]

    def told(self) -> dict[str, Any]:
        """As an answer shows it."""
        shown = {"name": self.target.name, "state": self.state, "changed": self.changed, "pauses": [each.told() for each in self.pauses]}
        return shown if self.target.kind == "consumer" else {**shown, "store_id": self.target.store_id}


def pause(engine: Engine, target: Target, *, by: str, reason: str, until: datetime | None = None) -> Outcome:
    """Let the target wait, until then or until someone ends it. Repeated, it takes the new reason and end.

    Raises Refused (unknown_consumer, unknown_projection, unknown_store). Workers obey within a blink, at the latest within seconds.
    """

    def step(connection: Connection) -> Outcome:
        _require(connection, target)
        _expire(connection)
        _, added = pauses.put(connection, target, reason=reason, by=by, until=until)
        if target.kind == "projection":
            stores = [target.store_id] if target.store_id else list(connection.scalars(_STORES))
            checkpoint.open_all(connection, [target.name], stores)
            checkpoint.obey_pauses(connection)
        pauses.tell(connection, target.kind)
        return _outcome(connection, target, changed=added)

    details = {"until": None if until is None else until.astimezone(UTC).isoformat()}
    return done(engine, step, actor=by, action=f"{target.kind}.pause", target=str(target), reason=reason, details=details)


def resume(engine: Engine, target: Target, *, by: str, reason: str) -> Outcome:
    """End the target's own pause, and let a projection try again where it stopped at an event it couldn't apply.

    A store that waits because its whole projection does goes on waiting, and the answer says so. Raises Refused like `pause`. Nothing is
    lost meanwhile: messages wait in the queue, events in the log.
    """
    details: dict[str, Any] = {}

    def step(connection: Connection) -> Outcome:
        _require(connection, target)
        _expire(connection)
        lifted = pauses.lift(connection, target)
        stalled = checkpoint.go_on(connection, target.name, target.store_id) if target.kind == "projection" else []
        if stalled:
            details.update(stalled=len(stalled), stores=stalled[:MOST_NAMED])
        _go_on(connection, [target.kind])
        return _outcome(connection, target, changed=lifted or bool(stalled))

    return done(engine, step, actor=by, action=f"{target.kind}.resume", target=str(target), reason=reason, details=details)


def expire(engine: Engine) -> bool:
    """End the pauses whose time has come, each with a line in the audit log. Whether there were any."""
    with engine.begin() as connection:
        return _expire(connection)


def keep_to_pauses(engine: Engine) -> None:
    """Make the checkpoints agree with the pauses: a store that was opened while its projection began to wait would go on otherwise."""
    with engine.begin() as connection:
        if checkpoint.obey_pauses(connection):
            pauses.tell(connection, "projection")


def _expire(connection: Connection) -> bool:
    ended = pauses.lift_expired(connection)
    for each in ended:
        audit.note(
            connection,
            actor=SYSTEM,
            action=f"{each.target.kind}.resume",
            target=str(each.target),
            reason=EXPIRED,
            details={"paused_by": each.by, "paused_for": each.reason, "paused_at": each.at.isoformat()},
        )
    _go_on(connection, sorted({each.target.kind for each in ended}))
    return bool(ended)


def _go_on(connection: Connection, kinds: Sequence[Kind]) -> None:
    if "projection" in kinds:
        checkpoint.obey_pauses(connection)
    for kind in kinds:
        pauses.tell(connection, kind)


def _require(connection: Connection, target: Target) -> None:
    if target.kind == "consumer" and target.name not in CONSUMERS:
        raise Refused("unknown_consumer")
    if target.kind == "projection" and target.name not in PROJECTIONS:
        raise Refused("unknown_projection")
    if target.store_id is not None and not connection.scalar(_KNOWN_STORE, {"store_id": target.store_id}):
        raise Refused("unknown_store")


def _outcome(connection: Connection, target: Target, *, changed: bool) -> Outcome:
    concerning = [each for each in pauses.holding(connection) if (each.target.kind, each.target.name) == (target.kind, target.name)]
    if target.store_id is not None:
        concerning = [each for each in concerning if each.target.store_id in {None, target.store_id}]
    waits = any(each.target.store_id in {None, target.store_id} for each in concerning)
    working = "running" if target.kind == "consumer" else "live"
    return Outcome(target, "paused" if waits else working, changed, concerning)
