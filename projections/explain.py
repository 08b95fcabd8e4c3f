"""Why does a report say this number?

Every figure of every report leads back to events. Most are sums of cells (`explain_cells`) or of what lies on the shelves
(`explain_shelves`); the others are made of such figures, and say of which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, text

from projections import explain_cells, explain_shelves, explanation
from projections.base import PROJECTIONS
from projections.consolidated import REMAINING, Consolidated
from projections.daily_sales import DailySales
from projections.explanation import Explanation, Ingredient, Listing, NotExplained
from projections.generations import of_one_build
from projections.low_stock import DAYS, LowStock
from projections.measures import (
    AMOUNT,
    ON_HAND,
    RECEIPT_UNITS,
    RECEIPTS,
    RECENT_UNITS,
    UNITS,
    Measure,
    change,
    previous,
    share,
)
from projections.query import ONE_DAY
from projections.question import NoSuchGroup, Question
from projections.report import CellReport, Report
from projections.store_performance import StorePerformance

STATUSES: Final[Mapping[tuple[str, str], str]] = {
    (RECEIPTS.name, "recorded"): "sum(sales)",
    (RECEIPTS.name, "voided"): "sum(voids)",
    (RECEIPTS.name, "returned"): "sum(returns)",
    (RECEIPT_UNITS.name, "recorded"): "sum(units)",
    (RECEIPT_UNITS.name, "voided"): "sum(voided_units)",
    (RECEIPT_UNITS.name, "returned"): "sum(returned_units)",
    (AMOUNT.name, "recorded"): "sum(revenue_cents + refunded_cents)",
    (AMOUNT.name, "voided"): "sum(voided_cents)",
    (AMOUNT.name, "returned"): "sum(refunded_cents)",
}
"""What the figures of each status are made of, in the cells of `store-performance`."""
_TODAY = text("SELECT (timezone(timezone, now()) - CAST(day_ends AS interval))::date FROM store WHERE store_id = :store_id")


@dataclass(frozen=True, slots=True)
class Asked:
    """A figure to be explained: a measure of a report, the filters that name its cell, and which of its events are shown."""

    report: Report
    measure: Measure
    question: Question
    listing: Listing

    def like(self, measure: Measure, **changed: Any) -> "Asked":  # noqa: ANN401 - members of the question
        """Another figure of the same cell, or the same of another."""
        return replace(self, measure=measure, question=replace(self.question, **changed))


def measures_of(report: Report) -> dict[str, Measure]:
    """The figures of a report that can be explained, by name."""
    found = {measure.name: measure for measure in report.measures}
    return found | {measure.name: measure for measure in REMAINING} if isinstance(report, Consolidated) else found


def formula_of(asked: Asked) -> str:
    """How the figure is made."""
    if isinstance(asked.report, Consolidated) and asked.question.option("status"):
        return STATUSES.get((asked.measure.name, asked.question.option("status") or ""), asked.measure.formula)
    return asked.measure.formula


def is_sum(measure: Measure) -> bool:
    """Whether the contributions of its events add up to the figure."""
    return explain_cells.is_sum(measure) and measure.unit not in {"percent", "days"}


def explain(connection: Connection, asked: Asked) -> Explanation:
    """The figure, explained. The connection must be at the start of a transaction: one snapshot has both sides.

    Raises TooMuchToExplain; NoSuchGroup when the report has nothing by what the question asks for; NotExplained with the filter without
    which the figure has no name.
    """

    def ask() -> Explanation:
        explanation.begin(connection)
        if not asked.report.answerable(replace(asked.question, group_by=asked.report.group_by, options=())):
            raise NoSuchGroup(asked.report.name)
        return _explained(connection, asked)

    return of_one_build(connection, ask)


def _explained(connection: Connection, asked: Asked) -> Explanation:
    report, measure = asked.report, asked.measure
    if isinstance(report, CellReport) and measure in report.added:
        return explain_cells.explain(connection, report, measure, asked.question, asked.listing)
    if measure.name in explain_shelves.WORTH:
        if asked.question.options:
            raise NoSuchGroup(asked.question.options[0][0])
        return explain_shelves.explain(connection, measure, asked.question, asked.listing)
    if measure.name in explain_shelves.SET_BY_STORES:
        return explain_shelves.explain_limit(connection, measure, asked.question, asked.listing)
    if isinstance(report, Consolidated):
        return _by_status(connection, asked)
    if isinstance(report, LowStock):
        return _recent(connection, asked) if measure is RECENT_UNITS else _days_left(connection, asked)
    return _compared(connection, asked)


def _by_status(connection: Connection, asked: Asked) -> Explanation:
    """Receipts of one status (or of all of them): the cells of store performance under other names."""
    status = asked.question.option("status")
    formulas = [formula for (name, of), formula in STATUSES.items() if name == asked.measure.name and status in {None, of}]
    if not formulas:
        raise NoSuchGroup("status")
    made = replace(asked.measure, formula=f"sum({' + '.join(each.removeprefix('sum(').removesuffix(')') for each in formulas)})")
    cells = _Made((made,))
    found = explain_cells.explain(connection, cells, made, replace(asked.question, options=()), asked.listing)
    rows = Consolidated().find(connection, replace(asked.question, group_by=("status",), options=(), limit=len(STATUSES))).rows
    figures = [Decimal(row[asked.measure.name]) for row in rows if status in {None, row["status"]}]
    found.reported = f"{sum(figures):.2f}" if asked.measure.unit == "money" else int(sum(figures))
    return found


class _Made(CellReport):
    """The cells of store performance with measures of one's own."""

    tables = StorePerformance.tables

    def __init__(self, measures: tuple[Measure, ...]) -> None:
        self.made = measures

    @property
    def added(self) -> tuple[Measure, ...]:
        """The measures that are made of sums of cells."""
        return self.made


def _recent(connection: Connection, asked: Asked) -> Explanation:
    """What was sold lately: of daily sales, up to `to` or the store's own today."""
    at = _today(connection, asked.question)
    days = replace(asked.question, since=at - timedelta(days=DAYS - 1), through=at, options=())
    return explain_cells.explain(connection, _daily_sales(), UNITS, days, asked.listing)


def _today(connection: Connection, question: Question) -> date:
    if question.through is not None:
        return question.through
    if question.stores is None or len(question.stores) != 1:
        raise NotExplained("store")
    (store_id,) = question.stores
    return connection.execute(_TODAY, {"store_id": store_id}).scalar_one_or_none() or date.today()  # noqa: DTZ011 - of a store that isn't there


def _daily_sales() -> CellReport:
    return PROJECTIONS[DailySales.name]


def _days_left(connection: Connection, asked: Asked) -> Explanation:
    """What is left divided by the pace: the events are those of the sales."""
    sold = _recent(connection, asked.like(RECENT_UNITS))
    left = explain_shelves.explain(connection, ON_HAND, replace(asked.question, through=None, options=()), asked.listing)

    def days(on_hand: int, units: int) -> float | None:
        return round(max(0, on_hand) * DAYS / units, 1) if units > 0 else None

    found = _made_of(sold, (_part(ON_HAND.name, left), _part(RECENT_UNITS.name, sold)), days)
    rows = asked.report.find(connection, replace(asked.question, group_by=LowStock.group_by, limit=1)).rows
    found.reported = rows[0][asked.measure.name] if rows else found.reported
    return found


def _compared(connection: Connection, asked: Asked) -> Explanation:
    """A figure of the period before, the change since then, or a row's share of all rows."""
    base, kind = _base(asked)
    if kind is share:
        own = _explained(connection, asked.like(base))
        whole = _explained(connection, asked.like(base, sku=None, category=None))
        return _made_of(own, (_part(base.name, own), _part(f"{base.name} of all", whole)), _percent)
    question = asked.question
    if question.since is None or question.through is None:
        raise NotExplained("from" if question.since is None else "to")
    length = question.through - question.since
    through = question.since - ONE_DAY
    before = _explained(connection, asked.like(base, since=through - length, through=through))
    if kind is previous:
        return before
    now = _explained(connection, asked.like(base))
    found = _made_of(now, (_part(base.name, now), _part(previous(base).name, before)), _growth)
    (row,) = asked.report.find(connection, replace(question, group_by=(), limit=1)).rows
    found.reported = row[asked.measure.name]
    return found


def _base(asked: Asked) -> tuple[Measure, Callable[[Measure], Measure]]:
    for base in asked.report.measures:
        for kind in (previous, change, share):
            if kind(base).name == asked.measure.name:
                return base, kind
    raise NoSuchGroup("measure")


def _part(name: str, found: Explanation) -> Ingredient:
    return Ingredient(name, found.reported, found.recomputed)


def _made_of(found: Explanation, parts: tuple[Ingredient, Ingredient], formula: Callable[[Any, Any], Any]) -> Explanation:
    """A figure made of two others, with the events of one of them."""
    one, other = parts
    found.made_of = parts
    found.reported, found.recomputed = formula(one.reported, other.reported), formula(one.recomputed, other.recomputed)
    found.contributed([None] * len(found.parts))
    return found


def _percent(part: str | int, whole: str | int) -> float | None:
    return float(round(100 * Decimal(part) / Decimal(whole), 2)) if Decimal(whole) else None


def _growth(now: str | int | None, before: str | int | None) -> float | None:
    if now is None or before is None or not Decimal(before):
        return None
    return float(round(100 * (Decimal(now) - Decimal(before)) / abs(Decimal(before)), 1))
