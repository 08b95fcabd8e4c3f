"""What is a projection, and what does declaring one bring along?

A projection answers one question with tables of additive cells. Declaring a subclass registers it: the projector maintains it, its report
appears (see `report`), and the idempotence and rebuild tests run on it. `increments` is a pure function of the events, so live projecting,
catching up and rebuilding are the same code.
"""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Date, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy.types import TypeEngine

from infra.database import Statement, metadata
from projections.measures import Measure
from projections.report import REPORTS, CellReport
from schemas.envelope import Recorded

__all__ = ["PROJECTIONS", "Cells", "Key", "Measure", "Projection", "add_statement", "bump", "cell_table", "columns_of"]

Key = tuple[Any, ...]
Cells = dict[Key, list[int]]
KEY_TYPES: dict[str, type[TypeEngine[Any]]] = {"business_date": Date, "month": Date, "year": Date, "hour": SmallInteger}
"""What names a cell is text, unless it is one of these. A month and a year go by their first day."""


class Projection(CellReport):
    """A report of cells that it keeps itself. `also_follows` are other projections whose cells it reads."""

    follows: ClassVar[tuple[str, ...]] = ()
    also_follows: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Register the projection. Raises TypeError when its name is taken."""
        super().__init_subclass__()
        cls.follows = (cls.name, *cls.also_follows)
        REPORTS[cls.name] = PROJECTIONS[cls.name] = cls()

    @abstractmethod
    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """What these events add to which cells. Pure: no clock, no database, nothing but the events."""


PROJECTIONS: dict[str, Projection] = {}


def cell_table(schema: str, name: str, keys: Sequence[str], measures: Iterable[str]) -> Table:
    """A table of additive cells in the projection's own schema: one row a key, one whole number a measure."""
    return Table(
        name,
        metadata,
        *(Column(key, KEY_TYPES.get(key, Text), nullable=False) for key in keys),
        *(Column(measure, BigInteger, nullable=False) for measure in measures),
        PrimaryKeyConstraint(*keys),
        schema=schema,
        postgresql_with={"fillfactor": "80"},
    )


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
    tables = tuple(table for table, cells in increments.items() if cells)
    return Statement(_add_sql(tables, schema), _sent(sorted(increments[table].items()) for table in tables)) if tables else None


def _sent(parts: Iterable[Collection[tuple[Key, Sequence[int]]]]) -> dict[str, str]:
    return {f"c{place}_{number}": _array(column) for place, cells in enumerate(parts) for number, column in enumerate(columns_of(cells))}


def columns_of(cells: Iterable[tuple[Key, Sequence[int]]]) -> list[list[Any]]:
    """Cells column by column, in the order of their table's."""
    keys, amounts = zip(*cells, strict=True)
    return [[each[number] for each in side] for side in (keys, amounts) for number in range(len(side[0]))]


def _array(values: Sequence[Any]) -> str:
    """One column as PostgreSQL writes arrays. Joining the text costs a tenth of what the driver takes element by element."""
    if not isinstance(values[0], str):
        # Dates and amounts come again and again: each is written once.
        written = {value: str(value) for value in set(values)}
        return f"{{{','.join([written[value] for value in values])}}}"
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join(value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return f'{{"{joined}"}}'


@cache
def _add_sql(tables: tuple[Table, ...], schema: str | None) -> str:
    parts = [f"part_{place} AS ({_upsert(table, schema or table.schema, place)})" for place, table in enumerate(tables)]
    return f"WITH {', '.join(parts)} SELECT 1"


def _arrays(table: Table, place: int) -> str:
    return ", ".join(f"%(c{place}_{number})s::{column.type.compile()}[]" for number, column in enumerate(table.columns))


def _upsert(table: Table, schema: str | None, place: int) -> str:
    # Names come from the tables that the code declares, never from outside.
    keys = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns]
    changed = ", ".join(f"{name} = cell.{name} + excluded.{name}" for name in names if name not in keys)
    return (
        f"INSERT INTO {schema}.{table.name} AS cell ({', '.join(names)}) "  # noqa: S608
        f"SELECT * FROM unnest({_arrays(table, place)}) ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
    )
