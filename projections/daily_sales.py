"""How much did each store sell on each business day, and of what?"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Index, Table

from projections.base import Cells, Projection, bump, cell_table
from projections.facts import sale_facts
from projections.measures import RETURNED, REVENUE, SALES, UNITS
from schemas.envelope import Recorded

COLUMNS = ("sales", "units", "returned_units", "revenue_cents")
store_day = cell_table("daily_sales", "store_day", ("store_id", "business_date"), COLUMNS)
sku_day = cell_table("daily_sales", "sku_day", ("store_id", "business_date", "sku"), COLUMNS)
# The whole chain's, for long periods: a year of products is 68,000 cells instead of 1,400,000.
sku_month = cell_table("daily_sales", "sku_month", ("month", "sku"), COLUMNS)
sku_year = cell_table("daily_sales", "sku_year", ("year", "sku"), COLUMNS)
# For what all stores sold on some days, and for one product on many days.
Index("ix_sku_day_business_date_sku", sku_day.c.business_date, sku_day.c.sku)


class DailySales(Projection):
    """Sales, units and revenue of each store and business day, in all and by SKU."""

    name = "daily-sales"
    title_fr, title_en = "Ventes par jour", "Daily sales"
    question = "How much did each store sell on each business day, and of what?"
    tables = (store_day, sku_year, sku_month, sku_day)
    measures = (SALES, UNITS, RETURNED, REVENUE)
    group_by = ("business_date", "store_id")

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """Cells of the day, and of the day and SKU: a SKU on several lines of a sale counts as one sale of it."""
        days: Cells = {}
        skus: Cells = {}
        for fact in sale_facts(events):
            store_id, day, sold, sign = fact.store_id, fact.business_date, fact.sold, fact.sign
            back = 1 if fact.kind == "return" else 0
            bump(days, (store_id, day), sold, sold * fact.units, back * fact.units, sign * fact.cents)
            seen = set()
            for sku, units, paid in fact.lines:
                bump(skus, (store_id, day, sku), 0 if sku in seen else sold, sold * units, back * units, sign * paid)
                seen.add(sku)
        months: Cells = {}
        years: Cells = {}
        for (_, day, sku), amounts in skus.items():
            bump(months, (day.replace(day=1), sku), *amounts)
            bump(years, (day.replace(month=1, day=1), sku), *amounts)
        return {store_day: days, sku_day: skus, sku_month: months, sku_year: years}
