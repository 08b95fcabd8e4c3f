"""Which tables make the days that a question asks for, and how do their cells become one set to add up?

Pure: what the database has to tell (its first and last day, the names of a category) comes in as arguments.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Table

from infra.database import array_text
from projections.cover import Grain, Span, cover
from projections.question import NEEDS, NoSuchGroup, Question

TIMES: Final[Mapping[Grain, str]] = {"year": "year", "month": "month", "day": "business_date"}
MOST_PROBES: Final = 1_500
"""Days looked up one by one: each costs 4 µs by the index."""
MOST_CHOSEN: Final[Mapping[Grain, int]] = {"day": 300, "month": 1_500, "year": 3_000}
"""Products looked up one by one in each day, month or year: each costs as much as reading 13 cells. More are picked from all cells."""
# As timestamps without a zone: with one, each day would be looked up in the table of zones, which takes longer than adding it up.
# The first day of all was a Monday, and a remainder costs little, where truncating to the week takes 0.2 µs a cell.
_BY_DAY: Final = {
    "week": "cell.business_date - mod(cell.business_date - DATE '0001-01-01', 7)",
    "month": "date_trunc('month', cell.business_date::timestamp)::date",
}


@dataclass(frozen=True, slots=True)
class Late:
    """Cells by the day that are in no table yet: name, type and values of each column."""

    columns: Sequence[tuple[str, str, Sequence[Any]]]

    @property
    def days(self) -> Sequence[date]:
        """The business day of each cell."""
        return next(values for name, _, values in self.columns if name == "business_date")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a report is made of: tables from the coarsest to the finest, and what isn't in them yet."""

    tables: Sequence[Table]
    late: Late | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The tables to read, and the spans of time to add or take away; without spans the days asked for are read from the day's own table.

    `late` is added to either. `known` are the first and last day that there is anything of, where there are spans.
    """

    tables: Mapping[Grain, Table]
    spans: Sequence[Span] = ()
    late: Late | None = None
    known: tuple[date, date] = (date.min, date.max)

    @property
    def finest(self) -> Table:
        """The table of days, or the one without time."""
        return self.tables["day"]


@dataclass(slots=True)
class Parameters:
    """The values that a statement is sent with, each under a name of its own."""

    values: dict[str, Any] = field(default_factory=dict)

    def add(self, value: object) -> str:
        """Where the value stands in the statement, a list as the text of an array."""
        name = f"p{len(self.values)}"
        self.values[name] = array_text(value) if isinstance(value, list) else value
        return f":{name}"


def keys_of(table: Table) -> list[str]:
    """What names a cell of the table."""
    return [column.name for column in table.primary_key.columns]


def table_for(tables: Sequence[Table], question: Question) -> Table:
    """The coarsest table by the day (or without time) that has all the question groups and filters by. Raises NoSuchGroup."""
    wanted = needed(question, tables)
    timed = bool(question.since or question.through) or bool({"business_date", "week", "month"} & set(question.group_by))
    for table in tables:
        keys = set(keys_of(table))
        if wanted <= keys and not keys & {"year", "month"} and ("business_date" in keys or not timed):
            return table
    raise NoSuchGroup(", ".join(sorted(wanted)))


def needed(question: Question, tables: Iterable[Table]) -> set[str]:
    """What a cell must be named by besides its time: a category by its SKU, unless the tables have categories themselves."""
    kept = any("category" in keys_of(table) for table in tables)
    wanted = {name if kept and name == "category" else NEEDS.get(name, name) for name in question.group_by} - {"business_date"}
    if question.category is not None:
        wanted.add("category" if kept else "sku")
    if question.sku is not None:
        wanted.add("sku")
    if question.hour is not None:
        wanted.add("hour")
    if question.stores is not None:
        wanted.add("store_id")
    return wanted


def coarser(tables: Sequence[Table], question: Question) -> dict[Grain, Table]:
    """The tables of months and years that could serve. A table by product counts a sale once for each, so it only serves where such do."""
    finest = set(keys_of(table_for(tables, question)))
    grains: list[Grain] = ["year", "month"]
    if {"business_date", "week"} & set(question.group_by):
        grains = []
    elif "month" in question.group_by:
        grains = ["month"]
    found: dict[Grain, Table] = {}
    for grain in grains:
        for table in tables:
            keys = set(keys_of(table))
            if grain in keys and needed(question, tables) <= keys and ("sku" in keys) == ("sku" in finest):
                found.setdefault(grain, table)
    return found


def with_late(stored: Stored, known: tuple[date, date] | None) -> tuple[date, date] | None:
    """The first and last day of the tables, and of what isn't in them yet."""
    if known is None or stored.late is None:
        return known
    return min(known[0], *stored.late.days), max(known[1], *stored.late.days)


def plan(stored: Stored, question: Question, known: tuple[date, date] | None) -> Plan:
    """How to read the days asked for. `known` are the first and last day that there is anything of, where coarser tables could serve."""
    chosen: dict[Grain, Table] = {"day": table_for(stored.tables, question)}
    if known is None:
        return Plan(chosen, late=stored.late)
    chosen |= coarser(stored.tables, question)
    # What is taken away leaves zeros. Of products and categories such rows are left out; a store that sold and undid it all is told of.
    take_away = bool({"sku", "category"} & set(keys_of(chosen["day"])))
    spans = cover(question.since or known[0], question.through or known[1], known, set(chosen) - {"day"}, take_away=take_away)
    return Plan(chosen, spans, stored.late, known)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read of every cell: `columns` are its dimensions, `values` its amounts, `cast` how they are added up.

    With `skus`, each named once, the cells of these products alone.
    """

    question: Question
    columns: Sequence[str]
    values: Sequence[str]
    cast: str = ""
    within: str = ""
    skus: Sequence[str] | None = None

    def sql(self, plan: Plan, parameters: Parameters) -> str:
        """The cells of a plan as one set of rows. Every name comes from the code; what was asked travels as parameters."""
        if not plan.spans and len(plan.tables) == 1:
            parts = [self._cells(plan.finest, "day", 1, self._days(parameters), parameters)]
        else:
            parts = [
                self._cells(plan.tables[grain], grain, sign, self._spans(grain, spans, parameters), parameters)
                for (grain, sign), spans in alike(plan.spans).items()
            ]
        if plan.late is not None:
            parts.append(self._late(plan.late, plan.finest, parameters))
        return " UNION ALL ".join(parts) or self._cells(plan.finest, "day", 1, ["false"], parameters)

    def _cells(self, table: Table, grain: Grain, sign: int, conditions: Sequence[str], parameters: Parameters) -> str:
        picked = [f"{_column(name, grain)} AS {name}" for name in self.columns]
        picked += [f"{'-' if sign < 0 else ''}cell.{name}{self.cast} AS {name}" for name in self.values]
        where = [*conditions, *self._filters(parameters), *_within(self.within, grain, table)]
        cells = f"{table.schema}.{table.name} cell{' WHERE ' if where else ''}{' AND '.join(where)}"
        if self.skus is not None:
            chosen = f"unnest(CAST({parameters.add(list(self.skus))} AS text[]))"
            if self._one_by_one(grain):
                # Left to choose, PostgreSQL reads a whole month for a page, and plans as long as it looks up.
                each = f"SELECT * FROM {cells} AND cell.sku = chosen.sku OFFSET 0"  # noqa: S608 - as below
                cells = f"{chosen} AS chosen(sku) CROSS JOIN LATERAL ({each}) AS cell"
            else:  # by a table of hashes: IS TRUE keeps it from being a join
                cells += f" AND (cell.sku IN (SELECT {chosen})) IS TRUE"
        return f"SELECT {', '.join(picked)} FROM {cells}"  # noqa: S608 - every name comes from the code

    def _late(self, late: Late, finest: Table, parameters: Parameters) -> str:
        picked = [f"{_column(name, 'day')} AS {name}" for name in self.columns]
        picked += [f"cell.{name}{self.cast} AS {name}" for name in self.values]
        where = [*self._days(parameters), *self._filters(parameters), *_within(self.within, "day", finest)]
        if self.skus is not None:
            where.append(f"cell.sku = ANY(CAST({parameters.add(list(self.skus))} AS text[]))")
        arrays = ", ".join(f"CAST({parameters.add(list(values))} AS {kind}[])" for _, kind, values in late.columns)
        cells = f"unnest({arrays}) AS cell({', '.join(name for name, _, _ in late.columns)})"
        return f"SELECT {', '.join(picked)} FROM {cells}{' WHERE ' if where else ''}{' AND '.join(where)}"  # noqa: S608 - as above

    def _one_by_one(self, grain: Grain) -> bool:
        return self.skus is not None and len(self.skus) <= MOST_CHOSEN[grain]

    def _days(self, parameters: Parameters) -> list[str]:
        asked = self.question
        found = [] if asked.since is None else [f"cell.business_date >= {parameters.add(asked.since)}"]
        return found if asked.through is None else [*found, f"cell.business_date <= {parameters.add(asked.through)}"]

    def _filters(self, parameters: Parameters) -> list[str]:
        asked = self.question
        found = []
        if asked.stores is not None:
            found.append(f"cell.store_id = ANY(CAST({parameters.add(sorted(asked.stores))} AS text[]))")
        if asked.sku is not None:
            found.append(f"cell.sku = {parameters.add(asked.sku)}")
        if asked.hour is not None:
            found.append(f"cell.hour = {parameters.add(asked.hour)}")
        return found

    def _spans(self, grain: Grain, spans: Sequence[Span], parameters: Parameters) -> list[str]:
        """The condition that a cell lies in one of the spans. Few products are looked up day by day, by the index that begins so."""
        named = self.question.sku is not None or self._one_by_one(grain)
        days = [each for span in spans for each in _days_of(span)] if named and grain == "day" else []
        if grain == "day" and not 0 < len(days) <= MOST_PROBES:
            ranges = [f"cell.business_date BETWEEN {parameters.add(span.first)} AND {parameters.add(span.last)}" for span in spans]
            return [f"({' OR '.join(ranges)})"]
        found = days or [span.first for span in spans]
        if len(found) == 1:  # in the order of the index, so that a page needs no sorting
            return [f"cell.{TIMES[grain]} = {parameters.add(found[0])}"]
        return [f"cell.{TIMES[grain]} = ANY(CAST({parameters.add(found)} AS date[]))"]


def alike(spans: Iterable[Span]) -> dict[tuple[Grain, int], list[Span]]:
    """The spans of each grain that are added, and those that are taken away."""
    found: dict[tuple[Grain, int], list[Span]] = {}
    for span in spans:
        found.setdefault((span.grain, span.sign), []).append(span)
    return found


def _days_of(span: Span) -> Collection[date]:
    return [span.first + timedelta(days=n) for n in range((span.last - span.first).days + 1)]


def _column(name: str, grain: Grain) -> str:
    return _BY_DAY.get(name, f"cell.{name}") if grain == "day" else f"cell.{name}"


def _within(dimension: str, grain: Grain, table: Table) -> list[str]:
    """The condition that a cell belongs to the value of the first dimension that is being read."""
    if not dimension:
        return []
    if grain != "day" or dimension in keys_of(table):
        return [f"cell.{dimension} = step.{dimension}"]
    length = {"week": "7 days", "month": "1 month"}[dimension]
    return [f"cell.business_date >= step.{dimension} AND cell.business_date < step.{dimension} + interval '{length}'"]
