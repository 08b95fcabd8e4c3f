"""What does a part of the log add up to, in a memory that grows neither with the log nor with its events?

Store after store, by the projection's own `increments` and nothing else. Events are read a few megabytes at a time, the next ones while
these are at work, and what they add is handed on as soon as it is much.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Table

from infra import event_log
from infra.event_log import Stretch
from infra.faults import printable
from projections.base import Cells, Projection
from projections.checkpoint import ERROR_CHARACTERS
from projections.facts import Batch
from schemas.envelope import Recorded

MOST_CELLS: Final = 50_000
"""Cells that are kept before they are handed on: about 15 MB."""
MOST_WAITING: Final = 2_000
"""Events of a store that wait for its next ones: more than stores mostly have in a slice, and a few megabytes."""

Put = Callable[[Mapping[Table, Cells]], None]
"""Takes what was added; it may use the connection that the log is read from."""


@dataclass(slots=True)
class Folded:
    """How far each store is, where one stopped at an event with which error, and whose cells were handed on in several parts."""

    reached: dict[str, int] = field(default_factory=dict)
    stalled: dict[str, tuple[int, str]] = field(default_factory=dict)
    in_parts: set[str] = field(default_factory=set)
    events: int = 0


def fold(connection: Connection, projection: Projection, wanted: Sequence[Stretch], put: Put, *, plain_sales: bool = True) -> Folded:
    """Hand on what these stretches add, at most one of each store. `plain_sales` False: those are somebody else's work."""
    work = _Fold(projection, put)
    # Events of other types aren't read, so that the places come from what was asked for: the log has no gaps.
    events = event_log.stretches(connection, wanted, projection.event_types, plain_sales=plain_sales and projection.plain_sales)
    with ThreadPoolExecutor(1, thread_name_prefix="log") as reader:
        coming = reader.submit(next, events, None)
        while (batch := coming.result()) is not None:
            if work.size > MOST_CELLS:  # now, while nobody reads
                work.hand_on()
            coming = reader.submit(next, events, None)
            work.take_stores(batch)
    work.end()
    folded = work.folded
    folded.reached = {each.store_id: each.through for each in wanted} | {store_id: seq - 1 for store_id, (seq, _) in folded.stalled.items()}
    folded.events = sum(folded.reached[each.store_id] - each.after for each in wanted)
    return folded


class _Fold:
    """What was added and not yet handed on, and of which stores."""

    def __init__(self, projection: Projection, put: Put) -> None:
        self.folded = Folded()
        self._projection = projection
        self._put = put
        self._cells: dict[Table, Cells] = {}
        self._waiting: list[Recorded] = []
        self._stores: set[str] = set()
        self._stores_before: set[str] = set()

    @property
    def size(self) -> int:
        """Cells in memory."""
        return sum(map(len, self._cells.values()))

    def take_stores(self, events: Sequence[Recorded]) -> None:
        """Add what these events say. Those of the last store wait for the others of it, so that its cells are handed on at once."""
        events = [*self._waiting, *events]
        whole = len(events)
        while whole and events[whole - 1].store_id == events[-1].store_id:
            whole -= 1
        if len(events) - whole > MOST_WAITING:
            whole = len(events)
        self._waiting = events[whole:]
        self._take(events[:whole])

    def end(self) -> None:
        """Nothing comes any more."""
        self._take(self._waiting)
        self.hand_on()

    def _take(self, events: Sequence[Recorded]) -> None:
        """Add what these events say. Where one of them can't be applied, its store stops there, as it would in the live projection."""
        stalled = self.folded.stalled
        if stalled:
            events = [event for event in events if event.store_id not in stalled]
        if not events:
            return
        try:
            added = self._projection.increments(Batch(events))
        except Exception as error:  # noqa: BLE001 - whatever a projection's code raises
            if len(events) > 1:
                for event in events:
                    self._take([event])
                return
            (event,) = events
            told = f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}"
            stalled[event.store_id] = (event.seq, printable(told, ERROR_CHARACTERS))
            return
        for table, cells in added.items():
            add_cells(self._cells.setdefault(table, {}), cells)
        self._stores |= {event.store_id for event in events}

    def hand_on(self) -> None:
        """Hand on what there is."""
        self._put({table: cells for table, cells in self._cells.items() if cells})
        self.folded.in_parts |= self._stores & self._stores_before
        self._stores_before |= self._stores
        self._cells, self._stores = {}, set()


def add_cells(total: Cells, added: Cells) -> None:
    """Add cells to others, which may take their amounts over as they are."""
    if not total:
        total.update(added)
        return
    for key, amounts in added.items():
        found = total.get(key)
        if found is None:
            total[key] = amounts
        else:
            for place, amount in enumerate(amounts):
                found[place] += amount
