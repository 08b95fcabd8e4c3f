"""How much did each store sell on each business day, and of what?"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table

from projections.base import Cells, Measure, Projection, bump, cell_table
from projections.facts import sale_facts
from schemas.envelope import Recorded

COLUMNS = ("sales", "units", "returned_units", "revenue_cents")
store_day = cell_table("daily_sales", "store_day", ("store_id", "business_date"), COLUMNS)
sku_day = cell_table("daily_sales", "sku_day", ("store_id", "business_date", "sku"), COLUMNS)

SALES = Measure(
    "sales",
    "sum(sales)",
    "count",
    "Ventes, moins les annulées; par produit: ventes où il figure",
    "Sales less voided ones; by product: sales it is in",
)
UNITS = Measure("units", "sum(units)", "units", "Articles vendus, moins les ventes annulées", "Units sold less voided sales")
RETURNED = Measure(
    "returned_units",
    "sum(returned_units)",
    "units",
    "Articles rapportés, au jour du retour",
    "Units brought back, on the day of the return",
)
REVENUE = Measure("revenue", "sum(revenue_cents)", "money", "Ventes, moins annulations et remboursements", "Sales less voids and refunds")


class DailySales(Projection):
    """Sales, units and revenue of each store and business day, in all and by SKU."""

    name = "daily-sales"
    question = "How much did each store sell on each business day, and of what?"
    tables = (store_day, sku_day)
    measures = (SALES, UNITS, RETURNED, REVENUE)
    group_by = ("business_date", "store_id")

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """Cells of the day, and of the day and SKU: a SKU on several lines of a sale counts as one sale of it."""
        days: Cells = {}
        skus: Cells = {}
        for fact in sale_facts(events):
            day = (fact.store_id, fact.business_date)
            sold = {"sale": 1, "void": -1}.get(fact.kind, 0)
            back = 1 if fact.kind == "return" else 0
            money = sold or -1
            bump(days, day, sold, 0, 0, 0)
            for sku in {sku for sku, _, _ in fact.lines}:
                bump(skus, (*day, sku), sold, 0, 0, 0)
            for sku, units, paid in fact.lines:
                amounts = (0, sold * units, back * units, money * paid)
                bump(days, day, *amounts)
                bump(skus, (*day, sku), *amounts)
        return {store_day: days, sku_day: skus}
