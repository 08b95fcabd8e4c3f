"""At which hours of its day does each store sell?"""

from sqlalchemy import Index

from projections.base import Projection, cell_table
from projections.facts import SALE_TYPES
from projections.measures import REVENUE, SALES, UNITS
from projections.tally import CENT, EARNED, FACT, SOLD, UNIT, Amount, OfTallies, Tally

AMOUNTS = (Amount("sales", FACT, SOLD), Amount("units", UNIT, SOLD), Amount("revenue_cents", CENT, EARNED))
COLUMNS = [each.name for each in AMOUNTS]
store_hour = cell_table("hourly_sales", "store_hour", ("store_id", "business_date", "hour"), COLUMNS)
# For long periods: a year of the chain has a third of the cells by the day, and a fifth by month and hour.
store_day = cell_table("hourly_sales", "store_day", ("store_id", "business_date"), COLUMNS, of=store_hour)
store_month = cell_table("hourly_sales", "store_month", ("store_id", "month", "hour"), COLUMNS, of=store_hour)
# For pages of all stores day by day: the first days alone are read.
Index("ix_store_hour_business_date_store_id", store_hour.c.business_date, store_hour.c.store_id)


class HourlySales(OfTallies, Projection):
    """Sales, units and revenue of each store, business day and hour of the shop's own clock.

    A void undoes the hour of its sale, a refund lowers the hour of its return.
    """

    name = "hourly-sales"
    title_fr, title_en = "Ventes par heure", "Hourly sales"
    question = "At which hours of its day does each store sell?"
    tables = (store_month, store_day, store_hour)
    event_types = SALE_TYPES
    tallies = (Tally(store_hour, AMOUNTS),)
    measures = (SALES, UNITS, REVENUE)
    group_by = ("business_date", "hour")
