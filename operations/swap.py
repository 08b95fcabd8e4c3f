"""How does a build become the one that everybody sees, and how does one go back?

What is missing is added first, in steps beside the running projectors. Then, in one transaction in which no checkpoint can move: the last
few events, the exchange of the two builds, the line in the audit log. The build that was live is kept; to go back is the same the other
way round, with what was recorded since then added to it before.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text, update

from infra import pauses
from operations import job, job_orders
from operations.deed import Refused, done
from operations.job import Job, State
from operations.job_orders import Rule
from operations.rebuild import FOLLOWED_EVENTS, KIND, NEAR_EVENTS, code_of, shadow_of, wait_for_step
from projections import checkpoint, generations
from projections.generations import OutdatedBuild
from projections.shadow import Shadow

PATIENCE_SECONDS: Final = 8.0
"""How long an order makes up for what a build lacks; what is done stays done, and the order can be repeated."""
_RESUMED: Final = Rule(frozenset({"paused", "stopped", "failed", "ready"}), "running")
_SHORT_WAIT = text("SET LOCAL lock_timeout = '10s'")


def promote(engine: Engine, job_id: UUID, *, by: str, reason: str | None) -> Job:
    """Let everybody see the build from now on, and keep the one they saw. Repeated, it changes nothing.

    Raises Refused: unknown_job, wrong_status, rebuild_behind (with the events to go), rebuild_outdated.
    """
    return _exchange(engine, job_id, "promote", {"ready", "rolled_back"}, "promoted", by=by, reason=reason)


def rollback(engine: Engine, job_id: UUID, *, by: str, reason: str | None) -> Job:
    """Let everybody see the build again that was replaced, with what was recorded since; the other one is kept.

    Raises as `promote` does.
    """
    return _exchange(engine, job_id, "rollback", {"promoted"}, "rolled_back", by=by, reason=reason)


def resume(engine: Engine, job_id: UUID, *, by: str, reason: str | None) -> Job:
    """Let it go on; one that is ready makes up for what it lacks and compares again. Raises Refused: unknown_job, wrong_status."""

    def step(connection: Connection) -> Job:
        return job_orders.put(connection, job_orders.locked(connection, KIND, job_id), _RESUMED)[0]

    return done(engine, step, actor=by, action="rebuild.resume", target=str(job_id), reason=reason)


def cancel(engine: Engine, job_id: UUID, *, by: str, reason: str | None) -> Job:
    """Give the rebuild up, and remove what it made. Raises Refused: unknown_job, wrong_status."""
    found, _ = job_orders.order(engine, KIND, job_id, "cancel", by=by, reason=reason)
    shadow = shadow_of(found)
    # Not in the order's transaction: a step under way holds the build's tables until it finds out that it doesn't count.
    with engine.begin() as connection:
        wait_for_step(connection, job_id)
        building = generations.builds(connection, shadow.projection).get("building")
        if building is not None and building.job_id == job_id:
            generations.drop(connection, shadow.projection, building.number)
    return found


def _exchange(  # noqa: PLR0913 - one order either way
    engine: Engine, job_id: UUID, verb: str, sources: set[State], target: State, *, by: str, reason: str | None
) -> Job:
    details: dict[str, Any] = {}

    def step(connection: Connection) -> Job:
        found = job_orders.locked(connection, KIND, job_id)
        if found.state == target:
            return found
        incoming = _incoming(connection, found, sources, verb)
        connection.execute(_SHORT_WAIT)
        generations.hold_projectors(connection)
        _complete(connection, incoming)
        replaced = _swapped(connection, incoming)
        details.update(projection=incoming.projection.name, live=incoming.number, kept=replaced, cells=_cells(found))
        checkpoint.obey_pauses(connection)
        pauses.tell(connection, "projection")
        return _noted(connection, found, target, {"replaced": replaced})

    _bring_near(engine, job_id, sources, verb)
    return done(engine, step, actor=by, action=f"rebuild.{verb}", target=str(job_id), reason=reason, details=details)


def _incoming(connection: Connection, found: Job, sources: set[State], verb: str) -> Shadow:
    """The build that is to become the live one. Raises Refused."""
    if found.state not in sources:
        raise Refused("wrong_status", state=found.state)
    own = shadow_of(found)
    builds = generations.builds(connection, own.projection)
    number = own.number if verb == "promote" else int(found.place["replaced"])
    there = [build.number for state, build in builds.items() if state != "live"]
    if number not in there or (verb == "rollback" and builds["live"].number != own.number):
        raise Refused("rebuild_outdated", why="replaced")
    if verb == "promote" and found.place["code"] != code_of(own.projection):
        raise Refused("rebuild_outdated", why="code")
    return Shadow(own.projection, number)


def _bring_near(engine: Engine, job_id: UUID, sources: set[State], verb: str) -> None:
    """Add what the build lacks until it is little. What can't be done is left to the order itself to refuse, and to note."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with suppress(Refused):
        while time.monotonic() < deadline and not _came_near(engine, job_id, sources, verb):
            pass


def _came_near(engine: Engine, job_id: UUID, sources: set[State], verb: str) -> bool:
    with engine.begin() as connection:
        # Under the job's lock: two orders at once would add the same events twice.
        incoming = _incoming(connection, job_orders.locked(connection, KIND, job_id), sources, verb)
        places = incoming.places(connection)
        near = sum(each.missing for each in places) <= NEAR_EVENTS
        if not near:
            incoming.follow(connection, places, FOLLOWED_EVENTS)
        return near


def _complete(connection: Connection, incoming: Shadow) -> None:
    """Add the last few events. Raises Refused (rebuild_behind) when they aren't few."""
    places = incoming.places(connection)
    missing = sum(each.missing for each in places)
    if missing > 2 * NEAR_EVENTS:
        raise Refused("rebuild_behind", events=missing)
    while missing:
        incoming.follow(connection, places, missing)
        places = incoming.places(connection)
        missing = sum(each.missing for each in places)


def _swapped(connection: Connection, incoming: Shadow) -> int:
    builds = generations.builds(connection, incoming.projection)
    kept = builds.get("kept")
    if kept is not None and kept.number != incoming.number:
        generations.drop(connection, incoming.projection, kept.number)
    try:
        return generations.swap(connection, incoming.projection, incoming.number)
    except OutdatedBuild:
        raise Refused("rebuild_outdated", why="tables") from None


def _noted(connection: Connection, found: Job, target: State, place: Mapping[str, Any]) -> Job:
    changed = {"state": target, "place": {**found.place, **place}, "step": found.step + 1}
    connection.execute(update(job.job).where(job.job.c.id == found.id).values(changed))
    after = job.find(connection, found.id)
    return after or found


def _cells(found: Job) -> int | None:
    difference = found.place.get("diff")
    return None if difference is None else int(difference["cells"])
