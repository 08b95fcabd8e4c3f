"""What is the SQL of a report: its figures grouped, in order, one page of it?

Every name in it comes from the tables and measures that the code declares; what was asked travels as parameters. Rows are in the order of
their dimensions, so that a page goes on after the last row of the one before; a report with very many rows is made one day, month or
store after the other, until the page is full.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil, sqrt
from typing import Final, Protocol

from sqlalchemy import Connection, Table

from projections.cover import Span
from projections.measures import Measure
from projections.question import Question
from projections.source import TIMES, Parameters, Plan, Reading, Stored, alike, keys_of

PLAIN_SUM: Final = re.compile(r"sum\(\w+\)")
STEPS: Final = {"business_date": "1 day", "week": "7 days", "month": "1 month"}
TYPES: Final = {"business_date": "date", "week": "date", "month": "date", "hour": "smallint"}
SAMPLED: Final = 5
"""Per cent of the pages of cells from which the best are guessed."""
DEEPER: Final = 1.4
"""So many times as deep is looked into the sample: a guess that is too high costs a second look, one that is too low some products more."""
LEAST_BEFORE: Final = 2
"""So many come before the guess in the sample at least: chance has little say in it then."""
UNNAMED: Final = ""
"""The category of what the catalogue doesn't have: a place in the order, which NULL has not."""


class Cellular(Protocol):
    """What has tables of cells, measures over them, and maybe something to lay beside each cell (`joined`, SQL)."""

    @property
    def tables(self) -> Sequence[Table]:
        """From the coarsest to the finest."""

    @property
    def added(self) -> Sequence[Measure]:
        """What each row says that sums of cells make."""

    @property
    def joined(self) -> str:
        """A JOIN with what lies beside `cell`; empty when nothing does."""

    def stored(self, connection: Connection, question: Question) -> Stored:
        """What a question is answered from, where that isn't just the tables."""


def expression(measure: Measure) -> str:
    """A measure's formula as SQL; what nothing was added to is 0."""
    return f"coalesce({measure.formula}, 0)" if measure.formula.startswith("sum(") else measure.formula


@dataclass(frozen=True, slots=True)
class Statement:
    """The statement for a question, its plan, and the categories that it names.

    `only` is the one figure that is wanted. `skus` are the products of which it is known already that the page is theirs; none of it comes
    after `until`.
    """

    report: Cellular
    question: Question
    plan: Plan
    categories: Sequence[str] | None
    skus: Sequence[str] | None = None
    until: str | None = None
    only: str | None = None

    @property
    def measures(self) -> Sequence[Measure]:
        """The figures of its rows."""
        return [each for each in self.report.added if self.only in {None, each.name}]

    def lists_products(self) -> bool:
        """Whether its rows are the products of the whole chain, read from cells of months or years."""
        asked = self.question
        return list(asked.group_by) == ["sku"] and asked.sku is None and not self.report.joined and self._coarsest() is not None

    def ahead(self, question: Question, products: int, parameters: Parameters) -> str:
        """Where the page may end: the product that comes so many after its beginning."""
        span = self._coarsest()
        if span is None:
            return "SELECT NULL"
        table = self.plan.tables[span.grain]
        start = "" if question.after is None else f" AND sku > {parameters.add(question.after[0])}"
        return (
            f"SELECT sku FROM {table.schema}.{table.name} "  # noqa: S608 - see the module
            f"WHERE {TIMES[span.grain]} = {parameters.add(span.first)}{start} ORDER BY sku LIMIT 1 OFFSET {parameters.add(products)}"
        )

    @property
    def adds_only(self) -> bool:
        """Whether no stretch of time is taken away from another."""
        return all(each.sign > 0 for each in self.plan.spans)

    @property
    def days(self) -> int:
        """How many days its stretches of time have."""
        return sum(each.sign * each.days(self.plan.known) for each in self.plan.spans)

    def at_place(self, place: int, parameters: Parameters, *, sample: bool) -> str:
        """What the product at this place (from 1) comes to in the longest stretch of time; by a sample about so, or lower."""
        span = self._coarsest()
        if span is None:
            return "SELECT NULL"
        table = self.plan.tables[span.grain]
        some = f" TABLESAMPLE SYSTEM ({SAMPLED}) REPEATABLE (0)" if sample else ""
        before = max(LEAST_BEFORE, int(place * SAMPLED / 100 * DEEPER)) if sample else place - 1
        # Only the best of all are asked for their category, one by one, as the OFFSETs have it.
        best = (
            f"SELECT sku, {self._amount()} AS amount FROM {table.schema}.{table.name}{some} "  # noqa: S608 - see the module
            f"WHERE {TIMES[span.grain]} = {parameters.add(span.first)} ORDER BY 2 DESC OFFSET 0"
        )
        among = ""
        if self.categories is not None:
            called = f"product.sku = best.sku AND category_fr = ANY(CAST({parameters.add(list(self.categories))} AS text[]))"
            among = f" WHERE EXISTS (SELECT FROM product WHERE {called} OFFSET 0)"
        return f"SELECT amount FROM ({best}) AS best{among} LIMIT 1 OFFSET {parameters.add(before)}"  # noqa: S608 - see the module

    def times_as_long(self) -> float:
        """How many times as long as the longest stretch all of them are."""
        span = self._coarsest()
        return 1.0 if span is None else self.days / span.days(self.plan.known)

    def possible(self, place: int, least: int, parameters: Parameters, line: int | None = None) -> str:
        """The products that may come to `least` in all and be among the first so many, each with the `line` that those come to.

        Where the line isn't given it is drawn here. Whoever comes to `least` in all comes to one of its shares in a stretch of time. A
        year's share is larger than a week's, but not as much as it is longer: in few days more depends on chance. A product has at least
        what it has in the stretches where it comes to the share, less what was given back elsewhere, and at most that and the shares of all
        others: who can't come to the line so isn't asked for. Where some stretch is taken away from another no line is drawn.
        """
        groups = alike(self.plan.spans)
        # Days are one stretch, each year and month is one of its own, as long as the shortest of them.
        lengths = {key: [max(1, span.days(self.plan.known)) for span in spans] for key, spans in groups.items()}
        roots = {key: sqrt(sum(each) if key[0] == "day" else min(each)) for key, each in lengths.items()}
        times = {key: 1 if key[0] == "day" else len(spans) for key, spans in groups.items()}
        whole = sum(root * times[key] for key, root in roots.items())
        among, parts, shares = self._among(parameters), [], 0
        for (grain, sign), spans in groups.items():
            table, amount = self.plan.tables[grain], f"{'' if sign > 0 else '-'}{self._amount()}"
            share = ceil(least * roots[grain, sign] / whole)
            shares += share * times[grain, sign]
            enough = parameters.add(share)
            amount = f"sum(({amount})::float8)" if grain == "day" else amount
            wanted = f"({amount} >= {enough}{f' OR {amount} < 0' if sign > 0 else ''})"
            if grain == "day":
                days = [f"business_date BETWEEN {parameters.add(span.first)} AND {parameters.add(span.last)}" for span in spans]
                where = f"({' OR '.join(days)}){among} GROUP BY sku HAVING {wanted}"
            else:
                begins = parameters.add([span.first for span in spans])
                where = f"{TIMES[grain]} = ANY(CAST({begins} AS date[])) AND {wanted}{among}"
            found = f"SELECT sku, {amount} AS amount, {enough} AS share"
            parts.append(f"{found} FROM {table.schema}.{table.name} WHERE {where}")
        if line is not None:
            drawn = f"CAST({parameters.add(line)} AS float8)"
        elif self.adds_only:
            drawn = f"(SELECT least FROM known ORDER BY least DESC LIMIT 1 OFFSET {parameters.add(place - 1)})"  # noqa: S608 - a parameter's name
        else:
            drawn = "CAST(NULL AS float8)"
        return f"""
            WITH known AS MATERIALIZED (
                SELECT sku, sum(amount::float8) AS least, sum((amount - share)::float8) + {parameters.add(shares)} AS most
                FROM ({" UNION ALL ".join(parts)}) AS part GROUP BY sku HAVING max(amount - share) >= 0
            )
            SELECT sku, line FROM (SELECT {drawn} AS line OFFSET 0) AS drawn JOIN known ON line IS NULL OR most >= line
        """  # noqa: S608 - every name comes from the code, what was asked travels as parameters

    def _among(self, parameters: Parameters) -> str:
        """The condition that a product is of the categories asked for."""
        if self.categories is None:
            return ""
        names = parameters.add(list(self.categories))
        return f" AND sku IN (SELECT sku FROM product WHERE category_fr = ANY(CAST({names} AS text[])))"  # noqa: S608 - see the module

    def _amount(self) -> str:
        """The amount that is sorted by."""
        (measure,) = (each for each in self.report.added if each.name == self.question.sort)
        return measure.formula[4:-1]

    def _coarsest(self) -> Span | None:
        """The longest stretch of time that is read at once."""
        whole = [span for span in self.plan.spans if span.grain != "day" and span.sign > 0]
        return max(whole, key=lambda span: span.days(self.plan.known), default=None)

    def sql(self, parameters: Parameters) -> str:
        """The statement with its parameters named."""
        asked = self.question.group_by
        if self._stepwise():
            body, names = self._by_steps(parameters), [f"step.{asked[0]}", *(f"report.{name}" for name in asked[1:])]
        else:
            body, names = f"SELECT * FROM ({self._grouped(parameters, asked)}) AS report", list(asked)  # noqa: S608 - see the module
        if self.until is not None:
            body = f"SELECT * FROM ({body} WHERE sku <= {parameters.add(self.until)}) AS report"  # noqa: S608 - see the module
        return f"{body}{tail(self.question, names, parameters)}"

    def _stepwise(self) -> bool:
        """Whether there are so many rows that reading all of them for one page would be a waste: products by store or by time."""
        asked = self.question
        # Categories by month come from cells of months: all of them are fewer than the products looked up month by month.
        many = "sku" in asked.group_by or ("category" in asked.group_by and not self._kept() and "month" not in self.plan.tables)
        if len(asked.group_by) < 2 or asked.sku is not None or asked.limit is None or asked.sort is not None:  # noqa: PLR2004
            return False
        if asked.group_by[0] == "store_id":
            return many and (asked.stores is None or len(asked.stores) > 1)
        many = many or (asked.stores is None and bool({"store_id", "hour"} & set(asked.group_by)))
        return many and self._days() is not None

    def _kept(self) -> bool:
        """Whether the cells have categories themselves."""
        return "category" in keys_of(self.plan.finest)

    def _days(self) -> tuple[date, date] | None:
        """The days to step through, as far as they are known."""
        spans = self.plan.spans
        if self.question.group_by[0] not in STEPS or not spans:
            return None
        return min(span.first for span in spans), max(span.last for span in spans)

    def _by_steps(self, parameters: Parameters) -> str:
        first, others = self.question.group_by[0], self.question.group_by[1:]
        steps = self._steps(first, parameters)
        grouped = self._grouped(parameters, others, within=first)
        figures = [*others, *(measure.name for measure in self.measures)]
        names = ", ".join([f"step.{first}", *(f"report.{name}" for name in figures)])
        return f"SELECT {names} FROM ({steps}) AS step CROSS JOIN LATERAL ({grouped}) AS report"  # noqa: S608 - see the module

    def _steps(self, first: str, parameters: Parameters) -> str:
        asked, days = self.question, self._days()
        if days is None:
            chosen = "" if asked.stores is None else f" WHERE store_id = ANY(CAST({parameters.add(sorted(asked.stores))} AS text[]))"
            every = f"SELECT store_id FROM store_head{chosen}"  # noqa: S608 - see the module
        else:
            begins = {"business_date": days[0], "week": days[0] - timedelta(days=days[0].weekday()), "month": days[0].replace(day=1)}[first]
            ends = f"CAST({parameters.add(begins)} AS timestamp), CAST({parameters.add(days[1])} AS timestamp)"
            every = f"SELECT day::date AS {first} FROM generate_series({ends}, interval '{STEPS[first]}') AS day"  # noqa: S608 - see the module
        start = "" if asked.after is None else f" WHERE {first} >= {_typed(first, asked.after[0], parameters)}"
        return f"SELECT * FROM ({every}) AS every{start} ORDER BY 1"  # noqa: S608 - see the module

    def _grouped(self, parameters: Parameters, group_by: Sequence[str], within: str = "") -> str:
        """The rows themselves, without order and page."""
        by_category = "category" in group_by or self.categories is not None
        reading = Reading(self.question, self._columns(group_by, by_category=by_category), self._values(), self._cast(), within, self.skus)
        named = "cell.category" if self._kept() else _category()
        picked = [f"{named if name == 'category' else f'cell.{name}'} AS {name}" for name in group_by]
        figures = [f"{expression(measure)} AS {measure.name}" for measure in self.measures]
        joined = " LEFT JOIN product ON product.sku = cell.sku" if by_category and not self._kept() else ""
        where = ""
        if self.categories is not None:
            name = "cell.category" if self._kept() else "product.category_fr"
            where = f" WHERE {name} = ANY(CAST({parameters.add(list(self.categories))} AS text[]))"
        groups = ", ".join(str(place + 1) for place in range(len(group_by)))
        grouped = f" GROUP BY {groups}{self._something()}" if groups else ""
        if self._are_rows(group_by):
            figures = [f"cell.{measure.formula[4:-1]} AS {measure.name}" for measure in self.measures]
            grouped = self._something().replace(" HAVING ", " WHERE ").replace("sum(", "(")
        return (
            f"SELECT {', '.join([*picked, *figures])} "  # noqa: S608 - see the module
            f"FROM ({reading.sql(self.plan, parameters)}) AS cell{joined}{self.report.joined}{where}{grouped}"
        )

    def _are_rows(self, group_by: Sequence[str]) -> bool:
        """Whether each cell that is read is a row of the report already: nothing to add up, a fifth of the time."""
        spans = self.plan.spans
        plain = all(PLAIN_SUM.fullmatch(measure.formula) for measure in self.measures)
        more = self.plan.late is not None or self.categories is not None or bool(self.report.joined)
        if len(spans) > 1 or more or not plain or (spans and spans[0].sign < 0):
            return False
        grain = spans[0].grain if spans else "day"
        fixed = set() if grain == "day" else {grain}
        return set(keys_of(self.plan.tables[grain])) == set(group_by) | fixed

    def _columns(self, group_by: Sequence[str], *, by_category: bool) -> list[str]:
        """What is read of a cell's name."""
        category = "category" if self._kept() else "sku"
        beside = keys_of(self.plan.finest) if self.report.joined else [category] if by_category else []
        return list(dict.fromkeys([*(name for name in group_by if name != "category"), *beside]))

    def _values(self) -> list[str]:
        """The amounts that the figures are made of."""
        named = {name for measure in self.measures for name in re.findall(r"\w+", measure.formula)}
        return [column.name for column in self.plan.finest.columns if not column.primary_key and column.name in named]

    def _cast(self) -> str:
        """Sums of doubles take half the time of numeric ones, and are exact up to 2 to the 53rd power."""
        return "::float8" if all(PLAIN_SUM.fullmatch(measure.formula) for measure in self.measures) else ""

    def _something(self) -> str:
        """Without the rows that have nothing but zeros: what a year has and the days asked for have not would leave such."""
        keys = [set(keys_of(table)) for table in self.report.tables]
        if not {"sku", "category"} & set(keys_of(self.plan.finest)) or not any(each & {"month", "year"} for each in keys):
            return ""
        return f" HAVING {' OR '.join(f'sum(cell.{name}) <> 0' for name in self._values())}"


@dataclass(frozen=True, slots=True)
class Frame:
    """The statement for figures of one set of cells that is there already (`source`, SQL), grouped as the question wants it."""

    measures: Sequence[Measure]
    question: Question
    source: str

    def sql(self, parameters: Parameters) -> str:
        """The statement; it adds to the parameters that the source has."""
        names = list(self.question.group_by)
        picked = ", ".join([*names, *(f"{expression(measure)} AS {measure.name}" for measure in self.measures)])
        groups = f" GROUP BY {', '.join(names)}" if names else ""
        grouped = f"SELECT {picked} FROM ({self.source}) AS cell{groups}"  # noqa: S608 - see the module
        return f"SELECT * FROM ({grouped}) AS report{tail(self.question, names, parameters)}"  # noqa: S608 - see the module


def tail(question: Question, names: Sequence[str], parameters: Parameters) -> str:
    """Where the page begins, in which order, and where it ends. `names` are the dimensions as the statement calls them."""
    where = ""
    if question.after is not None and question.sort is None and names:
        place = [_typed(name, value, parameters) for name, value in zip(question.group_by, question.after, strict=True)]
        where = f" WHERE ({', '.join(names)}) > ({', '.join(place)})"
    places = [str(place + 1) for place in range(len(names))]
    order = ", ".join(places if question.sort is None else [f"{question.sort} DESC", *places])
    limit = "" if question.limit is None else f" LIMIT {parameters.add(question.limit)}"
    offset = f" OFFSET {parameters.add(question.offset)}" if question.offset else ""
    return f"{where}{f' ORDER BY {order}' if order else ''}{limit}{offset}"


def _category() -> str:
    return f"coalesce(product.category_fr, '{UNNAMED}')"


def _typed(name: str, value: object, parameters: Parameters) -> str:
    return f"CAST({parameters.add(UNNAMED if value is None else value)} AS {TYPES.get(name, 'text')})"
