"""How well does each store do: what it sells, what comes back, what it had to undo?"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Table

from projections.base import Cells, Measure, Projection, bump, cell_table
from projections.daily_sales import RETURNED, REVENUE, SALES, UNITS
from projections.facts import sale_facts
from schemas.envelope import Recorded

COLUMNS = ("sales", "units", "returns", "returned_units", "voids", "revenue_cents", "refunded_cents", "voided_cents")
store_day = cell_table("store_performance", "store_day", ("store_id", "business_date"), COLUMNS)


class StorePerformance(Projection):
    """Sales, average basket, returns and voids of each store and business day."""

    name = "store-performance"
    question = "How well does each store do: what it sells, what comes back, what it had to undo?"
    tables = (store_day,)
    measures = (
        REVENUE,
        SALES,
        Measure(
            "average_basket",
            "round(sum(revenue_cents + refunded_cents) / nullif(sum(sales), 0))",
            "money",
            "Ventes hors remboursements, divisées par le nombre de ventes",
            "Sales before refunds, divided by the number of sales",
        ),
        UNITS,
        Measure("returns", "sum(returns)", "count", "Retours enregistrés", "Returns recorded"),
        RETURNED,
        Measure("refunded", "sum(refunded_cents)", "money", "Montants remboursés", "Amounts refunded"),
        Measure("voids", "sum(voids)", "count", "Ventes annulées", "Sales voided"),
        Measure("voided", "sum(voided_cents)", "money", "Montant des ventes annulées", "Amount of voided sales"),
    )
    group_by = ("store_id",)

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """Cells of the day: a void on its sale's day, a return on its own."""
        days: Cells = {}
        for fact in sale_facts(events):
            units = sum(units for _, units, _ in fact.lines)
            paid = sum(paid for _, _, paid in fact.lines)
            bump(days, (fact.store_id, fact.business_date), *_amounts(fact.kind, units, paid))
        return {store_day: days}


def _amounts(kind: str, units: int, paid: int) -> tuple[int, ...]:
    if kind == "sale":
        return 1, units, 0, 0, 0, paid, 0, 0
    if kind == "void":
        return -1, -units, 0, 0, 1, -paid, 0, paid
    return 0, 0, int(kind == "return"), units, 0, -paid, paid, 0
