"""Is everything that was posted in the stock and in the report, once?"""

from collections import Counter

import psycopg

from bench.sales import OPENING_UNITS, Sold
from bench.system import Target

SOLD = "SELECT store_id, sku, %s - on_hand FROM stock_level WHERE on_hand <> %s"
LOGGED = "SELECT count(*) FROM event_log WHERE type = 'sale.recorded' AND outcome = 'recorded'"
OTHERS = "SELECT count(*) FROM event_log WHERE type = 'case.opened' OR outcome <> 'recorded'"
REPORTED = "SELECT coalesce(sum(sales), 0), coalesce(sum(units), 0), coalesce(sum(revenue_cents), 0) FROM daily_sales.store_day"


class WrongFiguresError(RuntimeError):
    """A system doesn't hold what was posted to it: its speed means nothing."""


def check(target: Target, sold: Sold) -> None:
    """Compare every level, the log and the report with what was posted. Raises WrongFiguresError."""
    if target.database_url is None:
        return
    with psycopg.connect(target.database_url) as connection:
        units = Counter({(store_id, sku): missing for store_id, sku, missing in connection.execute(SOLD, [OPENING_UNITS, OPENING_UNITS])})
        _require(target, "cells of stock that differ from what was posted", len((units - sold.units) + (sold.units - units)), 0)
        _require(target, "sales in the log", _one(connection, LOGGED), (sold.sales,))
        _require(target, "cases and refusals", _one(connection, OTHERS), (0,))
        posted = (sold.sales, sold.units.total(), sold.cents)
        _require(target, "sales, units and cents in the report", tuple(map(int, _one(connection, REPORTED))), posted)


def _one(connection: psycopg.Connection, query: str) -> tuple[int, ...]:
    row = connection.execute(query.encode()).fetchone()
    return tuple(row or ())


def _require(target: Target, what: str, found: object, expected: object) -> None:
    if found != expected:
        message = f"{target.name}: {what}: {found}, but {expected} expected"
        raise WrongFiguresError(message)
