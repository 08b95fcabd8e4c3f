"""How does the whole chain stand: what was sold, undone and brought back in each store, what sells best, what is left, what runs out?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from projections import aisle, shelf
from projections.low_stock import LowStock, listed
from projections.measures import AMOUNT, LOW, NEGATIVE, ON_HAND, RECEIPT_UNITS, RECEIPTS, SKUS, STOCK_OUTS, UNKNOWN_COST, VALUE
from projections.query import plan_of, rows_of
from projections.question import Question
from projections.report import Found, Report, one_more, page
from projections.snapshot import beside
from projections.source import Parameters, Reading
from projections.statement import Frame
from projections.store_performance import COLUMNS, StorePerformance
from projections.top_products import TopProducts, best

FIRST: Final = 10
"""How many rows the sections show; their own reports show all."""
REMAINING: Final = (ON_HAND, SKUS, VALUE, UNKNOWN_COST, STOCK_OUTS, NEGATIVE, LOW)
# First a store's days become one row, then that row becomes one for each status.
_STATUSES: Final = """
    SELECT total.store_id, state.* FROM (SELECT store_id, {sums} FROM ({cells}) AS cell GROUP BY store_id) AS total
    CROSS JOIN LATERAL (VALUES
        ('recorded', total.sales, total.units, total.revenue_cents + total.refunded_cents),
        ('voided', total.voids, total.voided_units, total.voided_cents),
        ('returned', total.returns, total.returned_units, total.refunded_cents)
    ) AS state(status, receipts, receipt_units, amount_cents)
    WHERE state.receipts <> 0 OR state.amount_cents <> 0
"""


class Consolidated(Report):
    """Sales by store and status, with the best products, what remains in stock, and what runs low."""

    name = "consolidated"
    title_fr, title_en = "Rapport consolidé", "Consolidated report"
    question = "How does the whole chain stand: what was sold, undone and brought back in each store, what sells best, what is left?"
    measures = (RECEIPTS, RECEIPT_UNITS, AMOUNT)
    group_by = ("store_id", "status")
    follows = (StorePerformance.name, *TopProducts.follows, shelf.COSTS)
    reads_stock = True
    by_the_clock = True
    sections = (
        ("top_products", f"The first {FIRST} rows of `top-products` for the same days and stores"),
        ("remaining_stock", "What is on hand now in these stores: " + ", ".join(f"`{measure.name}`" for measure in REMAINING)),
        ("low_stock", f"The first {FIRST} rows of `low-stock` for the same stores"),
    )

    def dimensions(self) -> list[str]:
        """`status` is recorded (a sale that stands), voided or returned."""
        return ["store", "store_id", "status"]

    def answerable(self, question: Question) -> bool:
        """A sale is of many products: for those there are the other reports."""
        return question.sku is None and question.category is None and question.hour is None

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Count the shelves that something has happened to, and what was sold of the best products' share."""
        yield from shelf.count(connection, question.stores)
        connection.rollback()
        yield from aisle.write(connection)

    def find(self, connection: Connection, question: Question) -> Found:
        """A page of stores and statuses; the sections come with every page."""
        with beside(connection, lambda other: best(other, question, FIRST)) as top_products:
            found = self._stores(connection, question)
            remaining, low = _shelves(connection, question)
            return replace(found, sections={"top_products": top_products(), "remaining_stock": remaining, "low_stock": low})

    def _stores(self, connection: Connection, question: Question) -> Found:
        parameters = Parameters()
        by_store = replace(question, group_by=("store_id",))
        cells = Reading(by_store, ("store_id",), COLUMNS).sql(plan_of(connection, StorePerformance(), by_store), parameters)
        # Doubles, as in every report: they take half the time, and are exact up to 2 to the 53rd power.
        sums = ", ".join(f"sum({name}::float8)::bigint AS {name}" for name in COLUMNS)
        frame = Frame(self.measures, one_more(question), _STATUSES.format(sums=sums, cells=cells))
        return page(rows_of(connection, frame, parameters), question)


def _shelves(connection: Connection, question: Question) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    """What remains, and what runs low."""
    now = Question((), stores=question.stores)
    moved = shelf.changed(connection, question.stores)
    (remaining,) = shelf.figures(connection, REMAINING, now, moved)
    low = listed(connection, replace(now, group_by=LowStock.group_by, through=question.through, limit=FIRST), moved)
    return remaining, low.rows
