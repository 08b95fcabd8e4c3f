"""Which lines of the year's file are sane, and what do they come to?

What the import reads is written once, smaller than the file and in its own order: ``lines.csv`` by time, ``pairs.csv`` by store and SKU,
``products.csv`` by SKU, and the totals, against which the import is compared.
"""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from statistics import median_low
from typing import Final, NamedTuple, Self

from magasin import demo_data

STORE_PREFIX: Final = "an-"
"""The year's shops are not the demonstration's, which have the same numbers: the figures of both stay apart."""
MOST_UNITS: Final = 100
"""More of one product in a basket is fuel, by the hundredth of a gallon."""
NO_GOODS: Final = frozenset({"FUEL", "MISCELLANEOUS", "COUPON"})
TOTALS: Final = "totals.json"


@dataclass(frozen=True, slots=True)
class Totals:
    """What the sane lines come to, and the first and last day on the shops' clock."""

    lines: int
    baskets: int
    stores: int
    products: int
    pairs: int
    units: int
    cents: int
    first_day: date
    last_day: date

    def write(self, folder: Path) -> None:
        """Keep the totals; their file says that everything else is there."""
        (folder / TOTALS).write_text(json.dumps(asdict(self), default=str), encoding="ascii")

    @classmethod
    def of(cls, folder: Path) -> Self | None:
        """The totals of what lies in `folder`; None when nothing whole does."""
        try:
            kept = json.loads((folder / TOTALS).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None
        days = {name: date.fromisoformat(kept[name]) for name in ("first_day", "last_day")}
        return cls(**{**kept, **days})


class Line(NamedTuple):
    """One line of a basket; `local` is the shops' own clock."""

    basket_id: str
    local: datetime
    store_id: str
    sku: str
    quantity: int
    cents: int


class Pair(NamedTuple):
    """The units of one product that one store sold in the year."""

    store_id: str
    sku: str
    units: int


class Product(NamedTuple):
    """One product that was sold."""

    sku: str
    name_fr: str
    name_en: str
    category_fr: str
    category_en: str
    price_cents: int


def prepare(source: Path, target: Path) -> Totals:
    """Write what the import reads, from the tables in `source`."""
    with (source / "products.csv").open(encoding="utf-8", newline="") as table:
        goods = {row["product_id"]: row for row in csv.DictReader(table) if row["department"] not in NO_GOODS}
    sold: Counter[tuple[str, str]] = Counter()
    prices: defaultdict[str, list[int]] = defaultdict(list)
    baskets: set[str] = set()
    days: set[date] = set()
    count = cents = 0
    with (target / "lines.csv").open("w", encoding="ascii", newline="") as out:
        writer = csv.writer(out)
        for line in _sane(source / "transactions.csv", goods):
            writer.writerow((line.basket_id, line.local.isoformat(), line.store_id, line.sku, line.quantity, line.cents))
            sold[line.store_id, line.sku] += line.quantity
            prices[line.sku].append(demo_data.Line(line.sku, line.quantity, line.cents).unit_cents)
            baskets.add(line.basket_id)
            days.add(line.local.date())
            count, cents = count + 1, cents + line.cents
    _write(target / "pairs.csv", ((*pair, units) for pair, units in sorted(sold.items())))
    _write(target / "products.csv", (_product(goods[sku], median_low(paid)) for sku, paid in sorted(prices.items())))
    stores = len({store_id for store_id, _ in sold})
    totals = Totals(count, len(baskets), stores, len(prices), len(sold), sold.total(), cents, min(days), max(days))
    totals.write(target)
    return totals


def lines(folder: Path) -> Iterator[Line]:
    """The lines in the order of time, a basket's together."""
    for basket_id, local, store_id, sku, quantity, cents in _rows(folder / "lines.csv"):
        yield Line(basket_id, datetime.fromisoformat(local), store_id, sku, int(quantity), int(cents))


def pairs(folder: Path) -> Iterator[Pair]:
    """What was sold, by store and SKU."""
    for store_id, sku, units in _rows(folder / "pairs.csv"):
        yield Pair(store_id, sku, int(units))


def products(folder: Path) -> Iterator[Product]:
    """What was sold, by SKU, with names."""
    for *words, price in _rows(folder / "products.csv"):
        yield Product(words[0], words[1], words[2], words[3], words[4], int(price))


def _sane(path: Path, goods: Mapping[str, Mapping[str, str]]) -> Iterator[Line]:
    """Units that left against money: no fuel, no coupons, nothing that the products' table doesn't know."""
    rows = _rows(path)
    next(rows)
    for timestamp, basket_id, store_id, sku, quantity, dollars in rows:
        units, paid = int(quantity), float(dollars)
        if sku in goods and 0 < units <= MOST_UNITS and paid > 0:
            local = datetime.fromisoformat(timestamp[:19]) + demo_data.FILE_CLOCK
            yield Line(basket_id, local, f"{STORE_PREFIX}{store_id}", sku, units, round(paid * 100))


def _product(row: Mapping[str, str], price_cents: int) -> tuple[str, str, str, str, str, int]:
    return row["product_id"], *demo_data.names_of(row), *demo_data.departments()[row["department"]], price_cents


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as table:
        yield from csv.reader(table)


def _write(path: Path, rows: Iterator[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
