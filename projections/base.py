"""What is a projection, and what does declaring one bring along?

A projection answers one question with tables of additive cells. Declaring a subclass registers it: the projector maintains it, its report
route and OpenAPI entry appear, and the idempotence and rebuild tests run on it. `increments` is a pure function of the events, so live
projecting, catching up and rebuilding are the same code.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic_core import to_json
from sqlalchemy import BigInteger, Column, Date, PrimaryKeyConstraint, SmallInteger, Table, Text

from infra.database import Statement, metadata
from schemas.envelope import Recorded

Key = tuple[Any, ...]
Cells = dict[Key, list[int]]
KEY_TYPES = {"store_id": Text, "business_date": Date, "sku": Text, "hour": SmallInteger}


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: its name, how it is made of the columns of a cell, its unit, and what it means in both languages."""

    name: str
    formula: str
    unit: Literal["count", "units", "money"]
    fr: str
    en: str


class Projection(ABC):
    """`name` is the report's name in the URL; `tables` go from the coarsest to the finest; `group_by` is the default grouping."""

    name: ClassVar[str]
    question: ClassVar[str]
    tables: ClassVar[tuple[Table, ...]]
    measures: ClassVar[tuple[Measure, ...]]
    group_by: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        """Register the projection. Raises TypeError when its name is taken."""
        super().__init_subclass__()
        if cls.name in PROJECTIONS:
            message = f"two projections are called {cls.name}"
            raise TypeError(message)
        PROJECTIONS[cls.name] = cls()

    @abstractmethod
    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """What these events add to which cells. Pure: no clock, no database, nothing but the events."""


PROJECTIONS: dict[str, Projection] = {}


def cell_table(schema: str, name: str, keys: Sequence[str], measures: Iterable[str]) -> Table:
    """A table of additive cells in the projection's own schema: one row a key, one whole number a measure."""
    return Table(
        name,
        metadata,
        *(Column(key, KEY_TYPES[key], nullable=False) for key in keys),
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


def add_statement(increments: Mapping[Table, Cells]) -> Statement | None:
    """Add increments to cell tables, all in one statement; keys sorted, so that competing projectors can't deadlock."""
    tables = tuple(table for table, cells in increments.items() if cells)
    if not tables:
        return None
    names, sql = _add_sql(tables)
    rows = [
        [dict(zip(columns, (*key, *amounts), strict=True)) for key, amounts in sorted(increments[table].items())]
        for table, columns in zip(tables, names, strict=True)
    ]
    return Statement(sql, {f"rows_{place}": to_json(each).decode() for place, each in enumerate(rows)})


@cache
def _add_sql(tables: tuple[Table, ...]) -> tuple[list[tuple[str, ...]], str]:
    # Plain strings: SQLAlchemy's own kind of names is slow to write.
    names = [tuple(str(column.name) for column in table.columns) for table in tables]
    parts = [_upsert(table, f"rows_{place}") for place, table in enumerate(tables)]
    earlier = ", ".join(f"part_{place} AS ({part})" for place, part in enumerate(parts[:-1]))
    return names, f"WITH {earlier} {parts[-1]}" if earlier else parts[-1]


def _upsert(table: Table, rows: str) -> str:
    # Names come from the tables that the code declares, never from outside.
    keys = [column.name for column in table.primary_key.columns]
    names = [column.name for column in table.columns]
    columns = ", ".join(f"{column.name} {column.type.compile()}" for column in table.columns)
    changed = ", ".join(f"{name} = cell.{name} + excluded.{name}" for name in names if name not in keys)
    return (
        f"INSERT INTO {table.schema}.{table.name} AS cell ({', '.join(names)}) "  # noqa: S608
        f"SELECT * FROM json_to_recordset(%({rows})s::json) AS row({columns}) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"
    )
