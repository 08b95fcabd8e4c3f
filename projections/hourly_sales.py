"""At which hours of its day does each store sell?"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Index, Table

from projections.base import Cells, Projection, bump, cell_table
from projections.facts import SALE_TYPES, sale_facts
from projections.measures import REVENUE, SALES, UNITS
from schemas.envelope import Recorded

store_hour = cell_table("hourly_sales", "store_hour", ("store_id", "business_date", "hour"), ("sales", "units", "revenue_cents"))
# For pages of all stores day by day: the first days alone are read.
Index("ix_store_hour_business_date_store_id", store_hour.c.business_date, store_hour.c.store_id)


class HourlySales(Projection):
    """Sales, units and revenue of each store, business day and hour of the shop's own clock."""

    name = "hourly-sales"
    title_fr, title_en = "Ventes par heure", "Hourly sales"
    question = "At which hours of its day does each store sell?"
    tables = (store_hour,)
    event_types = SALE_TYPES
    measures = (SALES, UNITS, REVENUE)
    group_by = ("business_date", "hour")

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """Cells of the hour; a void undoes the hour of its sale, a refund lowers the hour of its return."""
        hours: Cells = {}
        for fact in sale_facts(events):
            key = (fact.store_id, fact.business_date, fact.local_at.hour)
            bump(hours, key, fact.sold, fact.sold * fact.units, fact.sign * fact.cents)
        return {store_hour: hours}
