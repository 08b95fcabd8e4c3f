"""How many units of a SKU did a store sell lately?

Two pieces of SQL for statements that ask for more besides. They take `:today` and `:sold_days`; what came back is taken off.
"""

from projections.daily_sales import sku_day

NET = "greatest(0, coalesce(sum(d.units - d.returned_units), 0))::bigint"

ALL_OF_STORES = f"""
    SELECT d.store_id, d.sku, {NET} AS units FROM {sku_day.schema}.{sku_day.name} d
    WHERE d.business_date > CAST(:today AS date) - :sold_days
      AND (CAST(:stores AS text[]) IS NULL OR d.store_id = ANY(CAST(:stores AS text[])))
    GROUP BY d.store_id, d.sku
"""  # noqa: S608 - put together from constants
"""A row for each SKU that these stores (None: all) sold: store_id, sku, units."""


def of_cell(store_id: str, sku: str) -> str:
    """The units of one cell, named by two columns of the statement around it.

    Day by day: the key of the table is (store, day, SKU), so each day is one probe, where a range of days is a scan of all their SKUs.
    """
    days = "SELECT CAST(:today AS date) - ago FROM generate_series(0, :sold_days - 1) AS ago"
    return f"""
        SELECT {NET} AS units FROM {sku_day.schema}.{sku_day.name} d
        WHERE d.store_id = {store_id} AND d.business_date = ANY(ARRAY({days})) AND d.sku = {sku}
    """  # noqa: S608 - put together from constants
