"""How is a projection built again from the log, beside the live one, fast and in a memory that doesn't grow with the log?

By the projection's own `increments` and nothing else (see `fold`). First the log is folded slice by slice, a slice being the logs of the
next stores; what they add is put down in tables without keys. Then each table is made of these parts; nearly every cell of a store is there
once, since a store is folded at once. What is a sum of other cells is added up of the finished ones. What was recorded meanwhile is added
cell by cell, as the projector does it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from sqlalchemy import Column, Connection, MetaData, Table, text
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable

from infra.database import copy_in, together
from infra.event_log import Stretch
from projections.base import Cells, Projection, add_statement, columns_of, finer_than, sum_keys_sql
from projections.checkpoint import LIVE
from projections.fold import Folded, Put, fold
from projections.generations import schema_of
from projections.plain_sales import UNREADABLE, Others, add_up
from projections.tally import tallies_of

MOST_TWICE: Final = 0.02
PART: Final = "part_"
AGAIN: Final = "folded_again"
"""The stores that were put down in more than one part: only of these can a cell be there twice."""
STORE: Final = "store_id"

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
        connection.execute(text(f"CREATE TABLE {self.schema}.{AGAIN} ({STORE} text NOT NULL)"))
        for table in self.projection.tables:
            if finer_than(table) is None:
                connection.execute(CreateTable(_bare(table, self.schema, PART)))

    def places(self, connection: Connection) -> list[Place]:
        """Where it stands in every store's log."""
        asked = {"projection": self.projection.name, "live": LIVE, "number": self.number}
        return [Place(**row) for row in connection.execute(_PLACES, asked).mappings()]

    def fold(self, connection: Connection, wanted: Sequence[Stretch]) -> int:
        """Fold the next stretches of some stores into the tables of parts; how many events they had."""
        folded = self._fold_in_place(connection, wanted) or fold(connection, self.projection, wanted, self._put_down(connection))
        again = folded.in_parts | {each.store_id for each in wanted if each.after > 0}
        if again:
            copy_in(connection, f"{self.schema}.{AGAIN}", [sorted(again)])
        self._move(connection, folded)
        return folded.events

    def _fold_in_place(self, connection: Connection, wanted: Sequence[Stretch]) -> Folded | None:
        """Fold a slice whose plain sales PostgreSQL adds up; None, and nothing done, where it can't: then `increments` sees every event."""
        tallies = tallies_of(self.projection)
        if not tallies:
            return None
        others = Others(self._put_down(connection))
        try:
            with connection.begin_nested():
                folded = fold(connection, self.projection, wanted, others.keep, plain_sales=False)
                reached = (Stretch(each.store_id, each.after, folded.reached[each.store_id]) for each in wanted)
                add_up(connection, reached, tallies, f"{self.schema}.{PART}", others.cells)
        except UNREADABLE:
            return None
        folded.in_parts |= others.put_down
        return folded

    def _put_down(self, connection: Connection) -> Put:
        """What adds cells to the tables of parts."""

        def put(cells: Mapping[Table, Cells]) -> None:
            for table, added in cells.items():
                copy_in(connection, f"{self.schema}.{PART}{table.name}", columns_of(added))

        return put

    def follow(self, connection: Connection, places: Sequence[Place], most: int) -> int:
        """Add the next events to the finished tables, as the projector does; how many there were."""

        def put(cells: Mapping[Table, Cells]) -> None:
            statement = add_statement(cells, self.schema)
            if statement is not None:
                together(connection, [statement])

        folded = fold(connection, self.projection, slice_of(places, most), put)
        self._move(connection, folded)
        return folded.events

    def finish(self, connection: Connection, table: Table) -> None:
        """Make a table of its parts, each cell once, or of the cells that it has the sums of. Finer tables come first (`in_order`)."""
        full = table.to_metadata(MetaData(naming_convention=table.metadata.naming_convention), schema=self.schema)
        if finer_than(table) is None:
            self._merge(connection, table)
        else:
            self._add_up(connection, table)
        connection.execute(AddConstraint(full.primary_key))
        for index in sorted(full.indexes, key=lambda each: str(each.name)):
            connection.execute(CreateIndex(index))
        connection.execute(text(f"ANALYZE {self.schema}.{table.name}"))

    def tidy(self, connection: Connection) -> None:
        """Leave nothing but the projection's tables, once all are made."""
        connection.execute(text(f"DROP TABLE {self.schema}.{AGAIN}"))

    def _merge(self, connection: Connection, table: Table) -> None:
        """Leave each cell once. Where few are there twice (those of one store and day) the others stay as they are."""
        part, whole, twice = (f"{self.schema}.{name}" for name in (f"{PART}{table.name}", table.name, "twice"))
        names = [column.name for column in table.primary_key.columns]
        keys, same = ", ".join(names), " AND ".join(f"twice.{name} = part.{name}" for name in names)
        sums = ", ".join(column.name if column.primary_key else f"sum({column.name})::bigint AS {column.name}" for column in table.columns)
        where = f" WHERE {STORE} IN (SELECT {STORE} FROM {self.schema}.{AGAIN})" if STORE in names else ""  # noqa: S608 - names of ours, as below
        connection.execute(text(f"CREATE UNLOGGED TABLE {twice} AS SELECT {sums} FROM {part}{where} GROUP BY {keys} HAVING count(*) > 1"))  # noqa: S608
        found = connection.execute(text(f"SELECT (SELECT count(*) FROM {part}) AS part, (SELECT count(*) FROM {twice}) AS twice")).one()  # noqa: S608
        if found.twice > found.part * MOST_TWICE:
            connection.execute(CreateTable(_bare(table, self.schema)))
            connection.execute(text(f"INSERT INTO {whole} SELECT {sums} FROM {part} GROUP BY {keys}"))  # noqa: S608
            connection.execute(text(f"DROP TABLE {part}"))
        else:
            if found.twice:
                connection.execute(text(f"DELETE FROM {part} AS part USING {twice} AS twice WHERE {same}"))  # noqa: S608
                connection.execute(text(f"INSERT INTO {part} SELECT * FROM {twice}"))  # noqa: S608
            connection.execute(text(f"ALTER TABLE {part} RENAME TO {table.name}"))
        connection.execute(text(f"DROP TABLE {twice}"))

    def _add_up(self, connection: Connection, table: Table) -> None:
        """Make a table of the sums of a finer one that is finished."""
        connection.execute(CreateTable(_bare(table, self.schema)))
        keys = sum_keys_sql(table)
        sums = [f"sum({column.name})::bigint" for column in table.columns if not column.primary_key]
        groups = ", ".join(str(place + 1) for place in range(len(keys)))
        finer = finer_than(table)
        source = f"{self.schema}.{finer.name if finer is not None else table.name}"
        connection.execute(
            text(f"INSERT INTO {self.schema}.{table.name} SELECT {', '.join([*keys, *sums])} FROM {source} GROUP BY {groups}")  # noqa: S608 - the same
        )

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
    """What the next stores lack, of as many stores as have at most `most` events together; of a single one that has more, its next ones."""
    found: list[Stretch] = []
    left = most
    for each in places:
        if each.missing > left and found:
            break
        if each.missing > 0:
            found.append(Stretch(each.store_id, each.seq, each.seq + min(each.missing, left)))
            left -= each.missing
    return found


def halves(wanted: Sequence[Stretch]) -> tuple[Sequence[Stretch], Sequence[Stretch]]:
    """A slice in two, by whole stores: the first half has at most half of the events, none when a single store has most of them."""
    passed = list(accumulate(each.through - each.after for each in wanted))
    middle = sum(2 * events <= passed[-1] for events in passed)
    return wanted[:middle], wanted[middle:]


def in_order(tables: Iterable[Table]) -> list[Table]:
    """Each table after the one that it has the sums of."""

    def depth(table: Table) -> int:
        finer = finer_than(table)
        return 0 if finer is None else 1 + depth(finer)

    return sorted(tables, key=depth)


def _bare(table: Table, schema: str, prefix: str = "") -> Table:
    """The table without keys and indexes: those are made when its rows are there."""
    columns = (Column(column.name, column.type, nullable=False) for column in table.columns)
    return Table(f"{prefix}{table.name}", MetaData(), *columns, schema=schema, **table.dialect_kwargs)
