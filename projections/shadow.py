"""How is a projection built again from the log, beside the live one, fast and in a memory that doesn't grow with the log?

By the projection's own `increments` and nothing else. First the log is folded slice by slice, a slice being the next stretch of every
store, so that what happened in the same weeks is added up together; what a slice adds is put down in tables without keys. Then each table
is made of the sums. What was recorded meanwhile is added cell by cell, as the projector does it.
"""

import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Column, Connection, MetaData, Table, text
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from infra import event_log
from infra.database import copy_in, together
from infra.event_log import Stretch
from infra.faults import printable
from projections.base import Cells, Projection, add_statement, columns_of
from projections.checkpoint import ERROR_CHARACTERS, LIVE
from projections.facts import Batch
from projections.generations import schema_of
from schemas.envelope import Recorded

BATCH_EVENTS: Final = 5_000
"""Events that are in memory at once."""
MOST_CELLS: Final = 400_000
"""Cells that are in memory at once: about 120 MB; a slice ends there."""
MOST_TWICE: Final = 0.02
PART: Final = "part_"

_PLACES = text("""
    SELECT h.store_id, coalesce(own.seq, 0) AS seq, coalesce(own.state, 'live') AS state, coalesce(live.seq, 0) AS live_seq,
           coalesce(live.state, 'live') AS live_state, h.seq AS head
    FROM store_head h
    LEFT JOIN checkpoint live ON live.projection = :projection AND live.generation = :live AND live.store_id = h.store_id
    LEFT JOIN checkpoint own ON own.projection = :projection AND own.generation = :number AND own.store_id = h.store_id
    ORDER BY h.store_id
""")
_MOVE = text("""
    INSERT INTO checkpoint (projection, generation, store_id, seq, state, error, failed_seq, moved_at)
    SELECT :projection, :number, row.*, now() FROM unnest(
        CAST(:stores AS text[]), CAST(:seqs AS bigint[]), CAST(:states AS text[]), CAST(:errors AS text[]), CAST(:failed AS bigint[])
    ) AS row(store_id, seq, state, error, failed_seq)
    ON CONFLICT (projection, generation, store_id)
        DO UPDATE SET seq = excluded.seq, state = excluded.state, error = excluded.error, failed_seq = excluded.failed_seq, moved_at = now()
""")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a build and the live one stand in a store's log, and where the build should."""

    store_id: str
    seq: int
    state: str
    live_seq: int
    live_state: str
    head: int

    @property
    def goal(self) -> int:
        """As far as the live one is, so that the two can be compared; where that stopped at an event, the end of the log."""
        if self.state == "stalled":
            return self.seq
        return max(self.seq, self.head if self.live_state == "stalled" else min(self.live_seq, self.head))

    @property
    def missing(self) -> int:
        """Events to go."""
        return self.goal - self.seq


@dataclass(slots=True)
class Folded:
    """What a stretch of the log comes to: the cells, how far each store is, and where one stopped at an event with which error."""

    cells: dict[Table, Cells] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    stalled: dict[str, tuple[int, str]] = field(default_factory=dict)
    events: int = 0

    @property
    def size(self) -> int:
        """Cells in memory."""
        return sum(map(len, self.cells.values()))


@dataclass(frozen=True, slots=True)
class Shadow:
    """One build of a projection that isn't the live one."""

    projection: Projection
    number: int

    @property
    def schema(self) -> str:
        """Where its tables are."""
        return schema_of(self.projection, self.number)

    def make(self, connection: Connection) -> None:
        """Make the tables that slices are put down in."""
        connection.execute(text(f"CREATE SCHEMA {self.schema}"))
        for table in self.projection.tables:
            connection.execute(CreateTable(_bare(table, self.schema, PART)))

    def places(self, connection: Connection) -> list[Place]:
        """Where it stands in every store's log."""
        asked = {"projection": self.projection.name, "live": LIVE, "number": self.number}
        return [Place(**row) for row in connection.execute(_PLACES, asked).mappings()]

    def fold(self, connection: Connection, places: Sequence[Place], most: int) -> int:
        """Fold the next slice, of at most about `most` events, into the tables of parts; how many events it had."""
        folded = self._folded(connection, places, most)
        for table, cells in folded.cells.items():
            if cells:
                copy_in(connection, f"{self.schema}.{PART}{table.name}", columns_of(cells.items()))
        self._move(connection, folded)
        return folded.events

    def follow(self, connection: Connection, places: Sequence[Place], most: int) -> int:
        """Add the next events to the finished tables, as the projector does; how many there were."""
        folded = self._folded(connection, places, most)
        statement = add_statement(folded.cells, self.schema)
        if statement is not None:
            together(connection, [statement])
        self._move(connection, folded)
        return folded.events

    def finish(self, connection: Connection, table: Table) -> None:
        """Make a table of its parts: each cell once, with the sum of what slices added."""
        full = table.to_metadata(MetaData(naming_convention=table.metadata.naming_convention), schema=self.schema)
        self._add_up(connection, table)
        connection.execute(AddConstraint(full.primary_key))
        for index in sorted(full.indexes, key=lambda each: str(each.name)):
            connection.execute(CreateIndex(index))
        connection.execute(text(f"ANALYZE {self.schema}.{table.name}"))

    def _add_up(self, connection: Connection, table: Table) -> None:
        """Leave each cell once. Where few are there twice (those of one store and day) the others stay as they are."""
        part, whole, twice = (f"{self.schema}.{name}" for name in (f"{PART}{table.name}", table.name, "twice"))
        names = [column.name for column in table.primary_key.columns]
        keys, same = ", ".join(names), " AND ".join(f"twice.{name} = part.{name}" for name in names)
        sums = ", ".join(column.name if column.primary_key else f"sum({column.name})::bigint AS {column.name}" for column in table.columns)
        grouped = f"SELECT {sums} FROM {part} GROUP BY {keys}"  # noqa: S608 - names of ours, here and below
        connection.execute(text(f"CREATE UNLOGGED TABLE {twice} AS {grouped} HAVING count(*) > 1"))
        found = connection.execute(text(f"SELECT (SELECT count(*) FROM {part}) AS part, (SELECT count(*) FROM {twice}) AS twice")).one()  # noqa: S608
        if found.twice > found.part * MOST_TWICE:
            connection.execute(CreateTable(_bare(table, self.schema)))
            connection.execute(text(f"INSERT INTO {whole} {grouped}"))
            connection.execute(text(f"DROP TABLE {part}"))
        else:
            connection.execute(text(f"DELETE FROM {part} AS part USING {twice} AS twice WHERE {same}"))  # noqa: S608
            connection.execute(text(f"INSERT INTO {part} SELECT * FROM {twice}"))  # noqa: S608
            connection.execute(text(f"ALTER TABLE {part} RENAME TO {table.name}"))
        connection.execute(text(f"DROP TABLE {twice}"))

    def _folded(self, connection: Connection, places: Iterable[Place], most: int) -> Folded:
        folded = Folded()
        for events in _ahead(event_log.stretches(connection, slice_of(places, most), BATCH_EVENTS)):
            self._take(folded, [event for event in events if event.store_id not in folded.stalled])
            if folded.size > MOST_CELLS:
                break
        return folded

    def _take(self, folded: Folded, events: Sequence[Recorded]) -> None:
        """Add what these events say. Where one of them can't be applied, its store stops there, as it would in the live projection."""
        try:
            added = self.projection.increments(Batch(events))
        except Exception as error:  # noqa: BLE001 - whatever a projection's code raises
            if len(events) == 1:
                (event,) = events
                told = f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}"
                folded.stalled[event.store_id] = (event.seq, printable(told, ERROR_CHARACTERS))
                folded.reached.setdefault(event.store_id, event.seq - 1)
                return
            for event in events:
                if event.store_id not in folded.stalled:
                    self._take(folded, [event])
            return
        for table, cells in added.items():
            _add(folded.cells.setdefault(table, {}), cells)
        folded.reached |= {event.store_id: event.seq for event in events}
        folded.events += len(events)

    def _move(self, connection: Connection, folded: Folded) -> None:
        stores = sorted(folded.reached)
        stopped = [folded.stalled.get(store_id) for store_id in stores]
        connection.execute(
            _MOVE,
            {
                "projection": self.projection.name,
                "number": self.number,
                "stores": stores,
                "seqs": [folded.reached[store_id] for store_id in stores],
                "states": ["stalled" if each else "live" for each in stopped],
                "errors": [each[1] if each else None for each in stopped],
                "failed": [each[0] if each else None for each in stopped],
            },
        )


def slice_of(places: Iterable[Place], most: int) -> list[Stretch]:
    """The next stretch of every store that has one, each in proportion to what it lacks: about `most` events together."""
    lacking = sorted((each for each in places if each.missing > 0), key=lambda each: -each.missing)[:most]
    share = min(1.0, most / max(1, sum(each.missing for each in lacking)))
    return [Stretch(each.store_id, each.seq, each.seq + max(1, int(each.missing * share))) for each in lacking]


def _ahead(batches: Iterator[list[Recorded]]) -> Iterator[list[Recorded]]:
    """The same, the next one being read while one is at work: the server does its part on another processor."""
    with ThreadPoolExecutor(1, thread_name_prefix="log") as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _bare(table: Table, schema: str, prefix: str = "") -> Table:
    """The table without keys and indexes: those are made when its rows are there."""
    columns = (Column(column.name, column.type, nullable=False) for column in table.columns)
    return Table(f"{prefix}{table.name}", MetaData(), *columns, schema=schema, **table.dialect_kwargs)


def _add(total: Cells, added: Cells) -> None:
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
