"""How much did each store sell on each business day, and of what?"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, Index, Table

from projections import aisle
from projections.base import Cells, Key, Projection, bump, cell_table
from projections.facts import SALE_TYPES, SaleFact, sale_facts
from projections.measures import RETURNED, REVENUE, SALES, UNITS
from projections.question import Question
from projections.report import CellReport
from projections.source import Stored
from schemas.envelope import Recorded

COLUMNS = aisle.AMOUNTS
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


class DailySales(OfCategories, Projection):
    """Sales, units and revenue of each store and business day, in all and by SKU."""

    name = "daily-sales"
    title_fr, title_en = "Ventes par jour", "Daily sales"
    question = "How much did each store sell on each business day, and of what?"
    tables = (store_day, sku_year, sku_month, sku_day)
    event_types = SALE_TYPES
    measures = (SALES, UNITS, RETURNED, REVENUE)
    group_by = ("business_date", "store_id")

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """Cells of the day, and of the day and SKU: a SKU on several lines of a sale counts as one sale of it."""
        days: Cells = {}
        # By store and day first: a line then costs one look-up by its SKU alone, and most of a rebuild's time goes into lines.
        shelves: dict[Key, dict[str, list[int]]] = {}
        for fact in sale_facts(events):
            place, sold, sign = (fact.store_id, fact.business_date), fact.sold, fact.sign
            back = 1 if fact.kind == "return" else 0
            bump(days, place, sold, sold * fact.units, back * fact.units, sign * fact.cents)
            _put(shelves.setdefault(place, {}), fact)
        skus: Cells = {}
        # In the order of the key, so that the index of a year of them is made of rows that are sorted already.
        for store_id, day in sorted(shelves):
            shelf = shelves[store_id, day]
            for sku in sorted(shelf):
                skus[store_id, day, sku] = shelf[sku]
        return {store_day: days, sku_day: skus}


def _put(shelf: dict[str, list[int]], fact: SaleFact) -> None:
    """Add the lines of a sale, of its void, return or refund, to a store's day."""
    sold, sign, back = fact.sold, fact.sign, 1 if fact.kind == "return" else 0
    seen: set[str] = set()
    for sku, units, paid in fact.lines:
        cell = shelf.get(sku)
        if cell is None:
            shelf[sku] = [sold, sold * units, back * units, sign * paid]
        else:
            cell[0] += 0 if sku in seen else sold
            cell[1] += sold * units
            cell[2] += back * units
            cell[3] += sign * paid
        seen.add(sku)
