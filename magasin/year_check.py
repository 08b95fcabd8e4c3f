"""Do the log, the reports and the stock of the year's shops equal what the file says?

The file's side was computed when its lines were read, line by line; the system's side is read from its tables. Stock is compared cell by
cell, one shop after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import psycopg

from magasin import year_prepare
from magasin.demo_data import opening_units
from magasin.demo_load import Progress
from magasin.year_events import ACTOR, Year

MOST_EXAMPLES: Final = 10
_LOG: Final = """
    SELECT count(*) FILTER (WHERE sale AND ours), coalesce(sum(lines) FILTER (WHERE sale AND ours), 0), count(*) FILTER (WHERE NOT ours)
    FROM (
        SELECT type = 'sale.recorded' AND outcome = 'recorded' AS sale, actor = %(actor)s AS ours,
               CASE WHEN type = 'sale.recorded' THEN jsonb_array_length(payload->'lines') END AS lines
        FROM event_log WHERE store_id = ANY(%(shops)s) AND type NOT LIKE 'case.%%'
    ) AS told
"""
_REPORT: Final = """
    SELECT coalesce(sum(sales), 0), coalesce(sum(units), 0), coalesce(sum(revenue_cents), 0)
    FROM daily_sales.store_day WHERE store_id = ANY(%(shops)s)
"""
_STOCK: Final = "SELECT sku, on_hand FROM stock_level WHERE store_id = %(shop)s"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the comparison."""

    what: str
    expected: Decimal
    found: Decimal


@dataclass(frozen=True, slots=True)
class Checked:
    """The comparison. `cells_off` counts the cells of stock that differ, `examples` names some; `others` are facts that others told."""

    rows: Sequence[Row]
    cells: int
    cells_off: int
    examples: Sequence[str]
    others: int

    @property
    def is_right(self) -> bool:
        """No difference anywhere."""
        return self.cells_off == 0 and all(row.expected == row.found for row in self.rows)


async def check(database: psycopg.AsyncConnection[Any], year: Year, progress: Progress) -> Checked:
    """Compare everything."""
    totals, shops = year.totals, year.shops()
    baskets, lines, others = await _one(database, _LOG, {"actor": ACTOR, "shops": shops})
    sales, units, cents = await _one(database, _REPORT, {"shops": shops})
    should = found = cells_off = cells = 0
    examples: list[str] = []
    for done, (shop, of_shop) in enumerate(groupby(year_prepare.pairs(year.folder), key=attrgetter("store_id")), start=1):
        wanted = {pair.sku: opening_units(shop, pair.sku, pair.units) - pair.units for pair in of_shop}
        cursor = await database.execute(_STOCK, {"shop": shop})
        there: dict[str, int] = dict(await cursor.fetchall())
        off = [sku for sku in sorted(wanted.keys() | there.keys()) if wanted.get(sku, 0) != there.get(sku, 0)]
        examples += [f"stock of {sku} in {shop}: {wanted.get(sku, 0)} by the file, {there.get(sku, 0)} in the system" for sku in off]
        del examples[MOST_EXAMPLES:]
        should, found = should + sum(wanted.values()), found + sum(there.values())
        cells, cells_off = cells + len(wanted), cells_off + len(off)
        progress("compared", done, len(shops))
    rows = [
        Row("sales in the log", Decimal(totals.baskets), Decimal(baskets)),
        Row("lines in the log", Decimal(totals.lines), Decimal(lines)),
        Row("sales in the reports", Decimal(totals.baskets), Decimal(sales)),
        Row("units in the reports", Decimal(totals.units), Decimal(units)),
        Row("revenue in the reports", Decimal(totals.cents).scaleb(-2), Decimal(cents).scaleb(-2)),
        Row("units on hand", Decimal(should), Decimal(found)),
    ]
    return Checked(rows, cells, cells_off, examples, others)


async def _one(database: psycopg.AsyncConnection[Any], statement: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    cursor = await database.execute(statement, parameters)
    row: tuple[Any, ...] | None = await cursor.fetchone()
    return row or ()
