"""Which sales does the benchmark post?

The same seed gives the same sales, so the process that posts them and the one that checks the stock afterwards need exchange no more
than a number.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

OPENING_UNITS = 1_000_000
"""Delivered of every SKU to every store before the first sale: no run sells a SKU out, so no run opens cases."""

STORES = tuple(f"banc-{number:02d}" for number in range(1, 13))
SKUS = tuple(f"B{number:05d}" for number in range(4_000))
MOST_UNITS = 3


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the sales fall: on so many of the first stores, and on so many of the first SKUs."""

    name: str
    stores: int
    skus: int


HOT = Profile("hot", stores=1, skus=10)
SPREAD = Profile("spread", stores=len(STORES), skus=len(SKUS))
PROFILES = {profile.name: profile for profile in (HOT, SPREAD)}


@dataclass(frozen=True, slots=True)
class Line:
    """So many units of one SKU at a price in cents."""

    sku: str
    units: int
    cents: int


@dataclass(frozen=True, slots=True)
class Sale:
    """One sale of one store."""

    store_id: str
    lines: tuple[Line, ...]


@dataclass(slots=True)
class Sold:
    """What a system must hold after the sales that it accepted."""

    sales: int = 0
    units: Counter[tuple[str, str]] = field(default_factory=Counter)
    cents: int = 0

    def add(self, sales: Iterable[Sale]) -> None:
        """Count these sales too."""
        for sale in sales:
            self.sales += 1
            for line in sale.lines:
                self.units[sale.store_id, line.sku] += line.units
                self.cents += line.units * line.cents


def price_cents(sku: str) -> int:
    """The one price of a SKU."""
    return 99 + int(sku[1:]) * 7 % 2_000


def sales(profile: Profile, seed: int, *, lines: int, together: int = 1) -> Iterator[Sale]:
    """Sales without end, each with `lines` different SKUs; `together` consecutive ones are of one store, as a batch must be."""
    chance = random.Random(seed)  # noqa: S311 - the same sales again are what is wanted
    stores, skus = STORES[: profile.stores], SKUS[: profile.skus]
    store_id = stores[0]
    for number in count():
        if number % together == 0:
            store_id = chance.choice(stores)
        chosen = chance.sample(skus, lines)
        yield Sale(store_id, tuple(Line(sku, chance.randint(1, MOST_UNITS), price_cents(sku)) for sku in chosen))
