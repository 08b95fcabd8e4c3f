"""How is a projection built again from the log while everything goes on, and looked at before anybody sees it?

A job in four phases. Fold the log into a build of its own, slice by slice; make each table of what was folded; follow what was recorded
meanwhile; compare with the live build, both at the same place of every store's log. Then it is `ready`, and waits for somebody to promote
it (see `swap`). Every phase moves on in transactions that carry the job's place along, and the build's own checkpoints say what is in it.
While nobody sells, half of each slice is folded in a second session; its cells and its stores' checkpoints are a transaction of their own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from sys import modules
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, QueuePool, text

from infra.event_log import Stretch
from operations import job
from operations.deed import Refused, done
from operations.diff import diff
from operations.job import Job, Order, Overtaken, Stride
from projections import PROJECTIONS, generations
from projections.base import Projection
from projections.shadow import Place, Shadow, halves, in_order, slice_of

KIND: Final = "rebuild"
STRIDE_EVENTS: Final = 20_000
FOLLOWED_EVENTS: Final = 5_000
NEAR_EVENTS: Final = 200
"""So few events are added in the step that compares, and while projectors wait."""
MOST_APART: Final = 100
"""Stores that the two builds can't be compared in, told one by one: there the live one stopped at an event."""
SHARED: Final = tuple(f"projections.{each}" for each in ("base", "facts", "fold", "plain_sales", "shadow", "tally"))
"""Code that every projection's cells are made by, beside its own module."""
_LONG: Final = tuple(
    text(f"SET LOCAL {each}")
    for each in (
        # What comes in while tables are made, or while two builds are compared, takes seconds of one statement.
        "statement_timeout = 0",
        # When this process is killed its statement ends, too, and the next one needn't wait for it.
        "client_connection_check_interval = '1s'",
        # A year of a chain's products is sorted and added up in memory; twice as fast as with what a session has by default.
        "maintenance_work_mem = '128MB'",
        "work_mem = '64MB'",
        # A processor stays free for the shops, and nobody waits for code to be compiled that runs once.
        "max_parallel_maintenance_workers = 1",
        "max_parallel_workers_per_gather = 0",
        "jit = off",
    )
)
"""How the long statements are run."""
# Two builds have the same key, in whose order a build's rows even lie: going through both at once needs no memory, and a third less time.
_SIDE_BY_SIDE = text("SET LOCAL enable_hashjoin = off")
_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
# The second session of a process that was killed may still be at work on stores whose places are about to be read.
_NOBODY_BESIDE = text("SELECT pg_advisory_lock(hashtextextended(:key, 0)), pg_advisory_unlock(hashtextextended(:key, 0))")
_END_WITH_US = text("SET LOCAL client_connection_check_interval = '1s'")
SPARE: Final = 2
"""So many connections of the pool have to be free for a second session: one stays for others."""
_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def start(engine: Engine, name: str, *, by: str, reason: str | None, max_per_second: float | None = None) -> Job:
    """Begin to build a projection again. Raises Refused: unknown_projection, rebuild_running (with the job that is at it)."""

    def step(connection: Connection) -> Job:
        projection = PROJECTIONS.get(name)
        if projection is None:
            raise Refused("unknown_projection")
        connection.execute(_TURN, {"key": f"rebuild of {name}"})
        _make_room(connection, projection)
        found = job.begin(connection, Order(KIND, by, {"projection": name}, reason=reason, max_per_second=max_per_second))
        place = _begun(connection, projection, found.id)
        shadow = Shadow(projection, place["generation"])
        return job.save(connection, found, Stride(place=place, total=sum(each.missing for each in shadow.places(connection))))

    return done(engine, step, actor=by, action="rebuild.start", target=name, reason=reason, details={"max_per_second": max_per_second})


class Rebuild:
    """Moves rebuilds on."""

    name = KIND
    stride = STRIDE_EVENTS

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def step(self, found: Job, most: int) -> Stride:
        """Move on by at most about `most` events, or by one table, or compare."""
        return await asyncio.to_thread(self.move, found, most)

    def move(self, found: Job, most: int) -> Stride:
        """The same, in this thread."""
        with self._engine.begin() as connection:
            at = _At(found, shadow_of(found), self._engine)
            if at.phase == "follow":
                connection.execute(_ONE_MOMENT)
            _alone(connection, found)
            stride = _start_over(connection, at) if at.code != code_of(at.shadow.projection) else _PHASES[at.phase](connection, at, most)
            job.save(connection, found, stride)
            return stride


@dataclass(frozen=True, slots=True)
class _At:
    """Where a rebuild is."""

    job: Job
    shadow: Shadow
    engine: Engine

    @property
    def phase(self) -> str:
        return str(self.job.place["phase"])

    @property
    def code(self) -> str:
        return str(self.job.place["code"])

    def moved(self, events: int, places: Sequence[Place], **changed: Any) -> Stride:  # noqa: ANN401 - members of the place
        """`places` are as they were before these events."""
        left = sum(each.missing for each in places) - events
        return Stride(done=events, succeeded=events, total=self.job.done + events + max(0, left), place={**self.job.place, **changed})


def shadow_of(found: Job) -> Shadow:
    """The build that a rebuild makes. Raises Refused (unknown_projection) when the code has lost the projection since."""
    projection = PROJECTIONS.get(found.parameters["projection"])
    if projection is None:
        raise Refused("unknown_projection")
    return Shadow(projection, int(found.place["generation"]))


def code_of(projection: Projection) -> str:
    """What a projection's cells are made by: a build that was begun by other code is worth nothing, and is begun anew."""
    digest = blake2b(digest_size=16)
    for name in (type(projection).__module__, *SHARED):
        digest.update(Path(modules[name].__file__ or "").read_bytes())
    return digest.hexdigest()


def told(found: Job, now: datetime, live: Mapping[str, int]) -> dict[str, Any]:
    """As an answer shows it: a job with its `projection`, `generation`, `phase` and `diff` (None until it is known).

    `live` are the numbers of the live builds.
    """
    name, number = found.parameters["projection"], found.place.get("generation")
    current = live.get(name, generations.FIRST)
    shown = {key: value for key, value in job.told(found, now).items() if key not in {"parameters", "dry_run"}}
    return {
        **shown,
        "projection": name,
        "generation": number,
        "live_generation": current,
        "phase": found.place.get("phase"),
        "diff": found.place.get("diff"),
        "apart": found.place.get("apart", []),
        "compared_at": found.place.get("compared_at"),
        "replaced": found.place.get("replaced"),
        "started_over": found.place.get("started_over", 0),
    }


def _make_room(connection: Connection, projection: Projection) -> None:
    """Drop a build that was given up. Raises Refused (rebuild_running) when one is being made, or waits to be looked at."""
    building = generations.builds(connection, projection).get("building")
    if building is None:
        return
    other = None if building.job_id is None else job.find(connection, building.job_id)
    if other is not None:
        if other.state != "cancelled":
            raise Refused("rebuild_running", rebuild=str(other.id), state=other.state)
        wait_for_step(connection, other.id)
    generations.drop(connection, projection, building.number)


def _begun(connection: Connection, projection: Projection, job_id: UUID) -> dict[str, Any]:
    number = generations.begin(connection, projection, job_id)
    Shadow(projection, number).make(connection)
    return {
        "generation": number,
        "phase": "fold",
        "code": code_of(projection),
        "left": [table.name for table in in_order(projection.tables)],
    }


def _alone(connection: Connection, found: Job) -> None:
    """Wait for whoever else is at this step. Raises Overtaken when it was done, or the job given up, meanwhile."""
    wait_for_step(connection, found.id)
    now = job.find(connection, found.id)
    if now is None or now.step != found.step or now.state not in {"running", "paused"}:
        raise Overtaken(f"rebuild {found.id} after step {found.step}")


def wait_for_step(connection: Connection, job_id: UUID) -> None:
    """Wait until nobody is at a step of this rebuild; nobody begins one before this transaction ends."""
    connection.execute(_TURN, {"key": f"step of {job_id}"})


def _start_over(connection: Connection, at: _At) -> Stride:
    """The code has changed since the build was begun: half of it would be of one code, half of the other."""
    projection = at.shadow.projection
    generations.drop(connection, projection, at.shadow.number)
    place = _begun(connection, projection, at.job.id)
    total = sum(each.missing for each in Shadow(projection, place["generation"]).places(connection))
    return Stride(
        done=-at.job.done,
        succeeded=-at.job.succeeded,
        total=total,
        place={**place, "started_over": at.job.place.get("started_over", 0) + 1},
        paced=0,
    )


def _fold(connection: Connection, at: _At, most: int) -> Stride:
    """Fold a slice. The last few events of a shop that sells all the time are left to those who follow."""
    connection.execute(_NOBODY_BESIDE, {"key": _beside(at)})
    places = at.shadow.places(connection)
    heads = sum(each.head for each in places)
    second, first = halves(slice_of(places, most))
    # Both processors are the rebuild's while no log grows; as soon as one does, one of them is the shops'.
    if second and heads == at.job.place.get("heads") and at.job.max_per_second is None and _has_room(at.engine):
        with ThreadPoolExecutor(1, thread_name_prefix="rebuild") as helper:
            folding = helper.submit(_fold_beside, at, second)
            events = at.shadow.fold(connection, first)
            events += folding.result()
    else:
        events = at.shadow.fold(connection, [*second, *first])
    lacking = [each for each in at.shadow.places(connection) if each.missing]
    few = sum(each.missing for each in lacking) <= NEAR_EVENTS and all(each.seq for each in lacking)
    return at.moved(events, places, heads=heads, **({"phase": "finish"} if few else {}))


def _fold_beside(at: _At, wanted: Sequence[Stretch]) -> int:
    """Fold these stores in a session of its own; how many events. What is committed counts, whatever becomes of the step."""
    with at.engine.begin() as connection:
        connection.execute(_END_WITH_US)
        connection.execute(_TURN, {"key": _beside(at)})
        return at.shadow.fold(connection, wanted)


def _beside(at: _At) -> str:
    return f"beside {at.job.id}"


def _has_room(engine: Engine) -> bool:
    pool = engine.pool
    return isinstance(pool, QueuePool) and pool.size() - pool.checkedout() >= SPARE


def _finish(connection: Connection, at: _At, _: int) -> Stride:
    """Make the next table; after the last one, follow."""
    left = list(at.job.place["left"])
    if left:
        _take_time(connection)
        (table,) = (each for each in at.shadow.projection.tables if each.name == left[0])
        at.shadow.finish(connection, table)
    if not left[1:]:
        at.shadow.tidy(connection)
    return Stride(place={**at.job.place, "left": left[1:], **({} if left[1:] else {"phase": "follow"})})


def _follow(connection: Connection, at: _At, most: int) -> Stride:
    """Add what was recorded meanwhile; when that is little, compare in the same moment.

    Everything is read as it was when this transaction began, the live build and its checkpoints too; so nobody has to wait for it.
    """
    places = at.shadow.places(connection)
    missing = sum(each.missing for each in places)
    events = at.shadow.follow(connection, places, min(most, FOLLOWED_EVENTS))
    if missing > NEAR_EVENTS or events < missing:
        return at.moved(events, places)
    _take_time(connection)
    connection.execute(_SIDE_BY_SIDE)
    found = diff(connection, at.shadow.projection, at.shadow.number)
    apart = [each for each in at.shadow.places(connection) if each.live_seq != each.seq]
    compared = {
        "diff": found,
        "apart": [{"store_id": each.store_id, "live": each.live_seq, "rebuilt": each.seq} for each in apart[:MOST_APART]],
        "compared_at": connection.execute(text("SELECT now()")).scalar_one(),
    }
    return replace(at.moved(events, places, **compared), state="ready")


def _take_time(connection: Connection) -> None:
    for each in _LONG:
        connection.execute(each)


_PHASES: Final = {"fold": _fold, "finish": _finish, "follow": _follow}
