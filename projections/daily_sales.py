"""How much did each store sell on each business day, and of what?"""

from collections.abc import Iterator

from sqlalchemy import Connection, Index

from projections import aisle
from projections.base import Projection, cell_table
from projections.facts import SALE_TYPES
from projections.measures import RETURNED, REVENUE, SALES, UNITS
from projections.question import Question
from projections.report import CellReport
from projections.source import Stored
from projections.tally import CENT, EARNED, FACT, SOLD, UNIT, Amount, OfTallies, Tally

COLUMNS = aisle.AMOUNTS
AMOUNTS = (
    Amount("sales", FACT, SOLD),
    Amount("units", UNIT, SOLD),
    Amount("returned_units", UNIT, {"return": 1}),
    Amount("revenue_cents", CENT, EARNED),
)
store_day = cell_table("daily_sales", "store_day", ("store_id", "business_date"), COLUMNS)
sku_day = cell_table("daily_sales", "sku_day", ("store_id", "business_date", "sku"), COLUMNS)
# The whole chain's, for long periods: a year of products is 68,000 cells instead of 1,400,000.
sku_month = cell_table("daily_sales", "sku_month", ("month", "sku"), COLUMNS, of=sku_day)
sku_year = cell_table("daily_sales", "sku_year", ("year", "sku"), COLUMNS, of=sku_month)
# For what all stores sold on some days, and for one product on many days.
Index("ix_sku_day_business_date_sku", sku_day.c.business_date, sku_day.c.sku)
# For what each store sold day by day, of which a page needs the first days alone.
Index("ix_store_day_business_date_store_id", store_day.c.business_date, store_day.c.store_id)


class OfCategories(CellReport):
    """A report of these cells, those by category included."""

    def stored(self, connection: Connection, question: Question) -> Stored:
        """Categories have cells of their own."""
        return (aisle.stored(connection) if aisle.serves(question) else None) or super().stored(connection, question)

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Bring those up to date."""
        return aisle.write(connection) if aisle.serves(question) else iter(())


class DailySales(OfCategories, OfTallies, Projection):
    """Sales, units and revenue of each store and business day, in all and by SKU: on several lines of a sale it is one sale of it."""

    name = "daily-sales"
    title_fr, title_en = "Ventes par jour", "Daily sales"
    question = "How much did each store sell on each business day, and of what?"
    tables = (store_day, sku_year, sku_month, sku_day)
    event_types = SALE_TYPES
    tallies = (Tally(store_day, AMOUNTS), Tally(sku_day, AMOUNTS))
    measures = (SALES, UNITS, RETURNED, REVENUE)
    group_by = ("business_date", "store_id")
