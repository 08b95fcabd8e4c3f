"""What is a projection, and what does declaring one bring along?

A projection answers one question with tables of additive cells. Declaring a subclass registers it: the projector maintains it, its report
appears (see `report`), and the idempotence and rebuild tests run on it. `increments` is a pure function of the events, so live projecting,
catching up and rebuilding are the same code. What is a sum of other cells (a month of its days) is declared with its table: the projector
adds it up from the increments, a rebuild from the finished cells.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Column, Date, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy.types import TypeEngine

from infra.database import Statement, array_text, metadata
from projections.measures import Measure
from projections.report import REPORTS, CellReport
from schemas.envelope import Recorded

__all__ = [
    "PROJECTIONS",
    "Cells",
    "Key",
    "Measure",
    "Projection",
    "add_statement",
    "arrays_of",
    "arrays_sql",
    "bump",
    "cell_table",
    "columns_of",
    "finer_than",
    "sum_keys_sql",
]

Key = tuple[Any, ...]
Cells = dict[Key, list[int]]
KEY_TYPES: dict[str, type[TypeEngine[Any]]] = {"business_date": Date, "month": Date, "year": Date, "hour": SmallInteger}
"""What names a cell is text, unless it is one of these. A month and a year go by their first day."""
FIRST_DAYS: Final[Mapping[str, Mapping[str, int]]] = {"month": {"day": 1}, "year": {"month": 1, "day": 1}}
_FINER: Final[dict[Table, Table]] = {}
"""What each table of sums has the sums of."""


class Projection(CellReport):
    """A report of cells that it keeps itself. `also_follows` are other projections whose cells it reads.

    `event_types` are those that its cells come from (None: all); the projector and a rebuild give it no others. `plain_sales` False: of
    sales it takes what their effects tell, of whatever day, so a rebuild reads no others of them.
    """

    follows: ClassVar[tuple[str, ...]] = ()
    also_follows: ClassVar[tuple[str, ...]] = ()
    event_types: ClassVar[frozenset[str] | None] = None
    plain_sales: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        """Register the projection. Raises TypeError when its name is taken."""
        super().__init_subclass__()
        cls.follows = (cls.name, *cls.also_follows)
        REPORTS[cls.name] = PROJECTIONS[cls.name] = cls()

    @abstractmethod
    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """What these events add to which cells, without those that are sums of others. Pure: nothing but the events goes in."""

    def concerned(self, events: Iterable[Recorded]) -> Iterable[Recorded]:
        """Those of its own types."""
        types = self.event_types
        return events if types is None else (event for event in events if event.type in types)


PROJECTIONS: dict[str, Projection] = {}


def cell_table(schema: str, name: str, keys: Sequence[str], measures: Iterable[str], *, of: Table | None = None) -> Table:
    """A table of additive cells in the projection's own schema: one row a key, one whole number a measure.

    `of` is the table whose cells are added up in this one, when it has the sums of another: by fewer keys, by month or year instead of day.
    """
    table = Table(
        name,
        metadata,
        *(Column(key, KEY_TYPES.get(key, Text), nullable=False) for key in keys),
        *(Column(measure, BigInteger, nullable=False) for measure in measures),
        PrimaryKeyConstraint(*keys),
        schema=schema,
        postgresql_with={"fillfactor": "80"},
    )
    if of is not None:
        _FINER[table] = of
    return table


def finer_than(table: Table) -> Table | None:
    """The table that this one has the sums of; None when it has its own cells."""
    return _FINER.get(table)


def _sums_of(table: Table) -> list[tuple[str, str]]:
    """The keys of a table of sums, each with the key of the finer table that it is made from: itself, or the day of a month or year."""
    finer = _FINER[table]
    times = [key.name for key in finer.primary_key.columns if isinstance(key.type, Date)]
    return [(key.name, times[0] if key.name in FIRST_DAYS else key.name) for key in table.primary_key.columns]


def sum_keys_sql(table: Table) -> list[str]:
    """The keys of a table of sums, as PostgreSQL finds them in the finer table."""
    # As a timestamp: with a time zone it would take twice the time, and depend on the session's.
    return [f"date_trunc('{name}', {source}::timestamp)::date" if name in FIRST_DAYS else source for name, source in _sums_of(table)]


def bump(cells: Cells, key: Key, *amounts: int) -> None:
    """Add amounts to a cell, measure by measure."""
    found = cells.get(key)
    if found is None:
        cells[key] = list(amounts)
        return
    for place, amount in enumerate(amounts):
        found[place] += amount


def add_statement(increments: Mapping[Table, Cells], schema: str | None = None) -> Statement | None:
    """Add increments to cell tables, all in one statement; to those of the same names in another `schema` when one is given.

    Tables always in one order and keys sorted, so that competing projectors can't deadlock where their stores share a cell.
    """
    whole = _with_sums(increments)
    tables = tuple(whole)
    return Statement(_add_sql(tables, schema), arrays_of(dict(sorted(whole[table].items())) for table in tables)) if tables else None


def _with_sums(increments: Mapping[Table, Cells]) -> dict[Table, Cells]:
    """The tables that get any cells, with those of their sums."""
    whole: dict[Table, Cells] = {}
    for table, cells in increments.items():
        if cells:
            whole[table] = cells
            for coarser in _coarser(table):
                whole[coarser] = _added_up(coarser, whole[_FINER[coarser]])
    return whole


@cache
def _coarser(table: Table) -> tuple[Table, ...]:
    """The tables of sums of this one, each after the one that it is made from."""
    found = [each for projection in PROJECTIONS.values() for each in projection.tables if finer_than(each) is table]
    return tuple(each for coarser in found for each in (coarser, *_coarser(coarser)))


def _added_up(coarser: Table, cells: Cells) -> Cells:
    """Cells of the finer table as cells of this one."""
    names = [key.name for key in _FINER[coarser].primary_key.columns]
    columns = dict(zip(names, zip(*cells, strict=True), strict=True))
    keys = zip(
        *(_first_days(name, columns[source]) if name in FIRST_DAYS else columns[source] for name, source in _sums_of(coarser)), strict=True
    )
    total: Cells = {}
    for key, amounts in zip(keys, cells.values(), strict=True):
        bump(total, key, *amounts)
    return total


def _first_days(name: str, days: Sequence[date]) -> list[date]:
    first = {day: day.replace(**FIRST_DAYS[name]) for day in set(days)}
    return [first[day] for day in days]


def arrays_of(parts: Iterable[Cells]) -> dict[str, str]:
    """The cells of several tables as the parameters that `arrays_sql` reads, by the tables' places."""
    return {
        f"c{place}_{number}": array_text(column) for place, cells in enumerate(parts) for number, column in enumerate(columns_of(cells))
    }


def columns_of(cells: Mapping[Key, Sequence[int]]) -> list[tuple[Any, ...]]:
    """Cells column by column, in the order of their table's."""
    return [*zip(*cells, strict=True), *zip(*cells.values(), strict=True)]


@cache
def _add_sql(tables: tuple[Table, ...], schema: str | None) -> str:
    parts = [f"part_{place} AS ({_upsert(table, schema or table.schema, place)})" for place, table in enumerate(tables)]
    return f"WITH {', '.join(parts)} SELECT 1"


def arrays_sql(table: Table, place: int) -> str:
    """What ``unnest`` makes rows of: the columns of the table at this place."""
    return ", ".join(f"%(c{place}_{number})s::{column.type.compile()}[]" for number, column in enumerate(table.columns))


def _upsert(table: Table, schema: str | None, place: int) -> str:
    # Names come from the tables that the code declares, never from outside.
    keys = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns]
    changed = ", ".join(f"{name} = cell.{name} + excluded.{name}" for name in names if name not in keys)
    return (
        f"INSERT INTO {schema}.{table.name} AS cell ({', '.join(names)}) "  # noqa: S608
        f"SELECT * FROM unnest({arrays_sql(table, place)}) ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
    )
