"""How do projections follow the log, whatever arrives, in whatever order, however often?

Sequence numbers are contiguous per store: at or below the checkpoint is a duplicate, a gap is read from the log. So redelivery, competing
projectors, restarts and a projection that is new all heal by themselves, and catching up is the same function as following live.
"""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, Table

from infra import event_log
from infra.database import brief_transaction, together
from infra.faults import is_transient
from projections import checkpoint
from projections.base import PROJECTIONS, Cells, Projection, add_statement
from projections.facts import Batch
from schemas.envelope import Recorded

CHUNK_EVENTS = 2_000


@dataclass(slots=True)
class Progress:
    """What one round did: events applied, the stores that have more to come, and (projection, store, error) that stalled."""

    applied: int = 0
    unfinished: set[str] = field(default_factory=set)
    stalled: list[tuple[str, str, str]] = field(default_factory=list)


def follow(engine: Engine, arrived: Mapping[str, Sequence[Recorded]], through: Mapping[str, int] | None = None) -> Progress:
    """Bring every live projection to the last of the `arrived` events (and to `through`, a sequence number a store).

    One transaction for all of it as long as nothing fails. When something does, every projection and store gets its own, and what
    still fails stalls alone. Raises what is_transient() of infra.faults calls transient: then nothing was lost, call again.
    """
    goals = dict(through or {})
    for store_id, events in arrived.items():
        goals[store_id] = max(goals.get(store_id, 0), *(event.seq for event in events))
    total = Progress()
    while goals:
        progress = _round(engine, arrived, goals)
        total.applied += progress.applied
        total.stalled += progress.stalled
        goals = {store_id: goal for store_id, goal in goals.items() if store_id in progress.unfinished}
    return total


def _round(engine: Engine, arrived: Mapping[str, Sequence[Recorded]], goals: Mapping[str, int]) -> Progress:
    try:
        with brief_transaction(engine) as connection:
            return _advance(connection, list(PROJECTIONS.values()), arrived, goals, commit=True)
    except Exception as error:
        if is_transient(error):
            raise
        return _one_by_one(engine, arrived, goals)


def _advance(
    connection: Connection,
    projections: Sequence[Projection],
    arrived: Mapping[str, Sequence[Recorded]],
    goals: Mapping[str, int],
    *,
    commit: bool = False,
) -> Progress:
    progress = Progress()
    marks = checkpoint.lock(connection, [projection.name for projection in projections], goals)
    following = _Following(connection, arrived, goals)
    moved: dict[tuple[str, str], int] = {}
    increments: dict[Table, Cells] = {}
    # Projections that stand at the same places read the same events: what those say of sales is then read once.
    batches: dict[tuple[frozenset[str] | None, tuple[tuple[str, int], ...]], Batch] = {}
    for projection in projections:
        events: list[Recorded] = []
        places: list[tuple[str, int]] = []
        for store_id, goal in goals.items():
            mark = marks[projection.name, store_id]
            if mark.state != "live" or mark.seq >= goal:
                continue
            found = following.after(store_id, mark.seq)
            if not found:  # someone announced what the log doesn't have
                continue
            events += found
            places.append((store_id, mark.seq))
            moved[projection.name, store_id] = found[-1].seq
            if found[-1].seq < goal:
                progress.unfinished.add(store_id)
        kind = (projection.event_types, tuple(places))
        if kind not in batches:
            batches[kind] = Batch(projection.concerned(events))
        increments.update(projection.increments(batches[kind]))
        progress.applied = max(progress.applied, len(events))
    added = add_statement(increments)
    changes = ([checkpoint.move_statement(moved)] if moved else []) + ([added] if added else [])
    if changes or commit:
        together(connection, changes, commit=commit)
    return progress


class _Following:
    """The next events of a store: those that arrived when they follow without a gap, else read from the log, once for all projections."""

    def __init__(self, connection: Connection, arrived: Mapping[str, Sequence[Recorded]], goals: Mapping[str, int]) -> None:
        self._connection = connection
        self._goals = goals
        self._arrived = {store_id: {event.seq: event for event in events} for store_id, events in arrived.items()}
        self._read: dict[tuple[str, int], list[Recorded]] = {}

    def after(self, store_id: str, seq: int) -> list[Recorded]:
        through = min(self._goals[store_id], seq + CHUNK_EVENTS)
        at_hand = self._arrived.get(store_id, {})
        if all(each in at_hand for each in range(seq + 1, through + 1)):
            return [at_hand[each] for each in range(seq + 1, through + 1)]
        if (store_id, seq) not in self._read:
            self._read[store_id, seq] = event_log.read(self._connection, store_id, after=seq, through=through)
        return self._read[store_id, seq]


def _one_by_one(engine: Engine, arrived: Mapping[str, Sequence[Recorded]], goals: Mapping[str, int]) -> Progress:
    progress = Progress()
    for projection in PROJECTIONS.values():
        for store_id, goal in goals.items():
            part = {store_id: arrived[store_id]} if store_id in arrived else {}
            try:
                with engine.begin() as connection:
                    done = _advance(connection, [projection], part, {store_id: goal})
            except Exception as error:
                if is_transient(error):
                    raise
                error_at = _creep(engine, projection, store_id, goal)
                if error_at is not None:
                    progress.stalled.append((projection.name, store_id, error_at))
            else:
                progress.applied = max(progress.applied, done.applied)
                progress.unfinished |= done.unfinished
    return progress


def _creep(engine: Engine, projection: Projection, store_id: str, goal: int) -> str | None:
    """Go on event by event up to the one that fails, and stall there: an operator sees exactly which event it is.

    Answers the error; None when there is none any more (someone else went on, or the failure didn't come back).
    """
    while True:
        with engine.begin() as connection:
            mark = checkpoint.lock(connection, [projection.name], [store_id])[projection.name, store_id]
            if mark.state != "live" or mark.seq >= goal:
                return None
            try:
                with connection.begin_nested():
                    moved = _advance(connection, [projection], {}, {store_id: mark.seq + 1})
            except Exception as error:
                if is_transient(error):
                    raise
                told = f"{type(error).__name__}: {error}"
                checkpoint.stall(connection, projection.name, store_id, mark.seq + 1, f"{told}\n\n{traceback.format_exc()}")
                return told
            if moved.applied == 0:
                return None
