"""What went missing or turned up, why, and what was it worth?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Table

from projections.base import Cells, Projection, bump, cell_table
from projections.facts import SALE_TYPES, recorded
from projections.measures import FOUND_UNITS, FOUND_VALUE, LOST_UNITS, LOST_VALUE, NET_LOST_UNITS
from projections.shelf import COSTS, costs_beside
from schemas.envelope import Recorded

reason_day = cell_table("shrinkage", "reason_day", ("store_id", "business_date", "sku", "reason"), ("lost_units", "found_units"))


DAMAGED_ON_THE_WAY, MISSING_ON_ARRIVAL = "transit_damaged", "transit_missing"
"""Beside the reasons of adjustments: what left a store and came into no stock."""
OF_COUNTS = frozenset({"stock_count", "explained_later"})
"""And what counts missed or found when they were recorded, and what of it later events have explained; not what a store began with."""


class Shrinkage(Projection):
    """Units that adjustments took off or added to stock, that a restock lost on its way, that counts missed or found; with what they cost.

    How far a count is off depends on what was known when it was recorded, and that is what it says. An event that comes late then says
    which part of it is explained, on the count's day: the sum of both is what is known today.
    """

    name = "shrinkage"
    title_fr, title_en = "Démarque", "Shrinkage"
    question = "What went missing or turned up, why, and what was it worth?"
    tables = (reason_day,)
    event_types = frozenset({"stock.adjusted", "stock.counted", "restock.received", "restock.shipped", "delivery.received"}) | SALE_TYPES
    plain_sales = False
    measures = (LOST_UNITS, FOUND_UNITS, NET_LOST_UNITS, LOST_VALUE, FOUND_VALUE)
    group_by = ("reason",)
    also_follows = (COSTS,)
    joined = costs_beside("cell")

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """An adjustment counts on its own day, what a restock lost on the day of the receipt, at the store that received.

        Goods that come after a restock was closed make less of it missing.
        """
        cells: Cells = {}
        for event in recorded(events, "stock.adjusted"):
            for line in event.data["lines"]:
                delta = line["delta"]
                key = (event.store_id, event.business_date, line["sku"], event.data["reason"])
                bump(cells, key, max(0, -delta), max(0, delta))
        for event in recorded(events, "restock.received"):
            for sku, reason, units in _lost_on_the_way(event):
                bump(cells, (event.store_id, event.business_date, sku, reason), units, 0)
        for event in events:
            if event.effect is not None and "variances" in event.effect:
                _add_variances(cells, event.store_id, event.effect["variances"])
        return {reason_day: cells}


def _add_variances(cells: Cells, store_id: str, told: Mapping[str, Mapping[str, Any]]) -> None:
    """On the day of the count that they are of: fewer units than expected are lost, more are found."""
    for sku, each in told.items():
        if each["reason"] in OF_COUNTS and each["units"]:
            key = (store_id, date.fromisoformat(each["day"]), sku, each["reason"])
            bump(cells, key, max(0, -each["units"]), max(0, each["units"]))


def _lost_on_the_way(event: Recorded) -> Iterator[tuple[str, str, int]]:
    """SKU, reason and units (below zero: fewer than was thought) of one receipt."""
    for line in event.data["lines"]:
        if line.get("damaged"):
            yield line["sku"], DAMAGED_ON_THE_WAY, line["damaged"]
    for sku, units in (event.effect or {}).get("missing", {}).items():
        yield sku, MISSING_ON_ARRIVAL, units
