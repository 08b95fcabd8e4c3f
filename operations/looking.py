"""How is one store looked at as it is at one moment, while its tills go on selling?

What the log holds never changes, so it is read chunk by chunk in transactions of a moment. Only the last stretch, the places of the
projections and what they keep are read in one snapshot. Its length depends on what the store keeps, never on the length of its log.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, Protocol

from sqlalchemy import Connection, CursorResult, Engine, Select, Table, func, select

from infra import event_log
from infra.event_log import store_head
from operations.sketch import Amounts, Key
from projections import PROJECTIONS, Projection, explanation
from projections.base import finer_than
from projections.checkpoint import LIVE, checkpoint
from projections.facts import Batch
from schemas.envelope import Recorded
from stock.costing import added
from stock.costs import stock_cost
from stock.refold import Entry, entries
from stock.rules import Level
from stock.tables import stock_level, stock_movement

CHUNK_EVENTS: Final = 1_000
COSTS: Final = stock_cost.name
Pace = Callable[[], None]
"""Called between chunks, outside of any transaction: it may wait, or raise to end the work."""


class Moved(Exception):
    """A projection stands before a place at which it was seen: it has been exchanged meanwhile."""


class Interrupted(Exception):
    """The work was told to end."""


class Gap(Exception):
    """The log lacks an event that it should have: `args[0]` is its place."""


class Tally(Protocol):
    """What takes both sides (see `sketch`)."""

    def takes(self, table: str) -> bool:
        """Whether it wants to see that table at all."""

    def expect(self, table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        """What should be there."""

    def find(self, table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        """What is there."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a store is: the end of its log, each projection's place in it, and when that was so."""

    head: int
    marks: Mapping[str, int]
    at: datetime


def place_of(connection: Connection, store_id: str) -> Place:
    """The place of a store now."""
    head = connection.execute(select(store_head.c.seq, func.now().label("at")).where(store_head.c.store_id == store_id)).one()
    rows = connection.execute(
        select(checkpoint.c.projection, checkpoint.c.seq).where(checkpoint.c.store_id == store_id, checkpoint.c.generation == LIVE)
    )
    marks = {row.projection: row.seq for row in rows}
    return Place(head.seq, {name: marks.get(name, 0) for name in PROJECTIONS}, head.at)


def by_store(projection: Projection) -> list[Table]:
    """The tables of a projection whose cells belong to one store each, and come from its log instead of other cells."""
    return [table for table in projection.tables if "store_id" in table.columns and finer_than(table) is None]


class Ledger(Protocol):
    """What takes the ledger's two sides; `sku` by `sku` on the side of what is there."""

    def expect(self, written: Sequence[Entry]) -> None:
        """Rows that should be there."""

    def find(self, sku: str, there: Iterator[Entry], level: Level | None) -> None:
        """The rows of one SKU that are there, in the order of their key, and its level."""


@dataclass(slots=True)
class Look:
    """One reading of a store, into `tally` what projections keep, into `ledger` what the stock writer keeps."""

    store_id: str
    tally: Tally
    ledger: Ledger
    events: int = 0
    _marks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROJECTIONS, 0))
    _head: int = 0

    def take(self, engine: Engine, pace: Pace) -> Place:
        """Read everything. Raises Moved, Gap, and what is raised by an event that no longer can be read."""
        with engine.connect() as connection:
            goal = place_of(connection, self.store_id)
        while (seq := self._next(goal)) < goal.head:
            pace()
            with engine.connect() as connection:
                self._chunk(connection, seq, goal)
        pace()
        with engine.connect() as connection:
            explanation.begin(connection)
            now = place_of(connection, self.store_id)
            if any(now.marks[name] < seq for name, seq in self._marks.items()):
                raise Moved
            while (seq := self._next(now)) < now.head:
                self._chunk(connection, seq, now)
            self._cells(connection)
            self._stock(connection)
            self._costs(connection)
        return now

    def _next(self, goal: Place) -> int:
        """From where on there is something to read for that goal; its head when there is nothing."""
        lag = [seq for name, seq in self._marks.items() if seq < goal.marks[name]]
        return min(goal.head, self._head, *lag)

    def _chunk(self, connection: Connection, after: int, goal: Place) -> None:
        through = min(after + CHUNK_EVENTS, goal.head)
        events = event_log.read(connection, self.store_id, after=after, through=through)
        for seq, event in enumerate(events, start=after + 1):
            if event.seq != seq:
                raise Gap(seq)
        if len(events) < through - after:
            raise Gap(after + len(events) + 1)
        self._fold(connection, events, goal)

    def _fold(self, connection: Connection, events: Sequence[Recorded], goal: Place) -> None:
        """Each part of these events that somebody has applied and that wasn't read for it yet."""
        last = events[-1].seq
        fresh = [event for event in events if event.seq > self._head]
        self.ledger.expect(list(entries(connection, fresh)))
        self.tally.expect(COSTS, (((self.store_id, sku), cost) for event in fresh for sku, cost in added(event).items()))
        self.events += len(fresh)
        self._head = max(self._head, last)
        batches: dict[tuple[int, int], Batch] = {}
        for name, projection in PROJECTIONS.items():
            span = (self._marks[name], goal.marks[name])
            if span not in batches:
                batches[span] = Batch(event for event in events if span[0] < event.seq <= span[1])
            if batches[span]:
                self._expect(projection, batches[span])
                self._marks[name] = min(last, goal.marks[name])

    def _expect(self, projection: Projection, events: Batch) -> None:
        added = projection.increments(events)
        for table in by_store(projection):
            if table in added:
                self.tally.expect(table.fullname, added[table].items())

    def _cells(self, connection: Connection) -> None:
        for projection in PROJECTIONS.values():
            for table in by_store(projection):
                if self.tally.takes(table.fullname):
                    with connection.execute(_stored(table, self.store_id)) as rows:
                        width = len(table.primary_key.columns)
                        self.tally.find(table.fullname, ((row[:width], row[width:]) for row in _each(rows)))

    def _stock(self, connection: Connection) -> None:
        levels = {
            row.sku: Level(row.on_hand, row.counted_at, row.count_id)
            for row in connection.execute(select(stock_level).where(stock_level.c.store_id == self.store_id))
        }
        moved = stock_movement.c
        asked = (
            select(*(moved[name] for name in Entry._fields))
            .where(moved.store_id == self.store_id)
            .order_by(moved.sku, moved.effective_at, moved.event_id, moved.line)
            .execution_options(**explanation.streamed())
        )
        with connection.execute(asked) as rows:
            for sku, there in groupby(map(Entry._make, _each(rows)), key=itemgetter(0)):
                self.ledger.find(sku, there, levels.pop(sku, None))
        for sku, level in levels.items():
            self.ledger.find(sku, iter(()), level)

    def _costs(self, connection: Connection) -> None:
        if self.tally.takes(COSTS):
            with connection.execute(_stored(stock_cost, self.store_id)) as rows:
                self.tally.find(COSTS, ((row[:2], row[2:]) for row in _each(rows)))


def _each(rows: CursorResult[Any]) -> Iterator[Any]:
    """The rows one by one, fetched many at a time: asked for one by one they take twice as long."""
    return chain.from_iterable(rows.partitions())


def _stored(table: Table, store_id: str) -> Select[Any]:
    """The cells of a store as they are kept, names before amounts, a few at a time."""
    keys = list(table.primary_key.columns)
    amounts = [column for column in table.columns if not column.primary_key]
    return select(*keys, *amounts).where(table.c.store_id == store_id).execution_options(**explanation.streamed())
