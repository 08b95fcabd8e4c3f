"""What must every report say of the demonstration? Computed from its raw files, with nothing of the project.

Only the standard library, decimals and plain loops: whoever doubts a figure can read this file from top to bottom. The files are read by
the rules of ``magasin/data/README.md``. To what they tell it adds what happens in every shop and isn't in them, chosen by the
digits of the basket's number, so that anybody chooses the same: some sales are voided, some goods come back.

``python tests/independent/figures.py 2026-03-14`` prints the takings of every shop, when the files' last day is moved to that one.
"""

import csv
import gzip
import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

FILES: Final = Path(__file__).resolve().parents[2] / "magasin" / "data"
TORONTO: Final = ZoneInfo("America/Toronto")
CENT: Final = Decimal("0.01")
DAY_ENDS: Final = {"343": timedelta(hours=3), "381": timedelta(hours=11)}
"""Shops whose business day ends after midnight."""


@dataclass(frozen=True)
class Line:
    """One product of a basket: units, and what was paid for them together."""

    sku: str
    quantity: int
    paid: Decimal


@dataclass(frozen=True)
class Basket:
    """One sale. `at` is the shop's own clock, without an offset."""

    number: str
    store: str
    at: datetime
    lines: tuple[Line, ...]

    @property
    def voided(self) -> bool:
        """One sale in twenty never happened."""
        return int(self.number) % 20 == 7

    @property
    def returned(self) -> Line | None:
        """In one sale of eleven one unit of the first product comes back two days later, and what was paid for it is given back."""
        if self.voided or int(self.number) % 11:
            return None
        first = self.lines[0]
        return Line(first.sku, 1, (first.paid / first.quantity).quantize(CENT, ROUND_HALF_UP))

    @property
    def returned_at(self) -> datetime:
        """When it comes back."""
        return on_the_clock(self.at + timedelta(days=2))

    @property
    def resellable(self) -> bool:
        """Whether what came back is on the shelf again."""
        return int(self.number) % 2 == 0


@dataclass
class Amounts:
    """What some group of sales comes to. Sales are counted by their numbers: a sale of two products is one sale."""

    sold: set[tuple[str, ...]] = field(default_factory=set)
    units: int = 0
    returned_units: int = 0
    revenue: Decimal = Decimal("0.00")
    returns: set[str] = field(default_factory=set)
    refunded: Decimal = Decimal("0.00")
    voids: set[str] = field(default_factory=set)
    voided_units: int = 0
    voided: Decimal = Decimal("0.00")

    @property
    def sales(self) -> int:
        """How many sales."""
        return len(self.sold)

    @property
    def average_basket(self) -> Decimal | None:
        """What a customer leaves, before anything is given back."""
        return ((self.revenue + self.refunded) / self.sales).quantize(CENT, ROUND_HALF_UP) if self.sold else None


@dataclass(frozen=True)
class Movement:
    """What one line did to the takings, with everything by which it may be grouped."""

    kind: str
    number: str
    store: str
    day: date
    hour: int
    sku: str
    category: str
    units: int
    money: Decimal

    def key(self, name: str) -> str:
        """Where it belongs when it is grouped by that, as the reports write it."""
        keys = {
            "day": self.day.isoformat(),
            "week": (self.day - timedelta(days=self.day.weekday())).isoformat(),
            "month": self.day.replace(day=1).isoformat(),
            "hour": str(self.hour),
            "store": self.store,
            "product": self.sku,
            "category": self.category,
        }
        return keys[name]


def on_the_clock(there: datetime) -> datetime:
    """A time that the shop's clock shows: in the hour that summer time leaves out it shows the next one."""
    return there.replace(tzinfo=TORONTO).astimezone(UTC).astimezone(TORONTO).replace(tzinfo=None)


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of one of the files."""
    path = FILES / name
    with gzip.open(path, "rt", encoding="utf-8", newline="") if name.endswith(".gz") else path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)


class Figures:
    """Everything that the files tell when their last day is `last_day`, of all shops or of some."""

    def __init__(self, last_day: date, stores: Collection[str] | None = None) -> None:
        self._last_day = last_day
        self._stores = stores

    @cached_property
    def baskets(self) -> list[Basket]:
        """Every sale, moved by whole days on the shop's clock, which was five hours behind the files' one."""
        found: dict[str, list[dict[str, str]]] = defaultdict(list)
        for row in rows("sales.csv.gz"):
            found[row["basket_id"]].append(row)
        clocks = {
            number: datetime.fromisoformat(lines[0]["transaction_timestamp"][:19]) - timedelta(hours=5) for number, lines in found.items()
        }
        moved = self._last_day - max(clocks.values()).date()
        return [
            Basket(
                number,
                lines[0]["store_id"],
                on_the_clock(clocks[number] + moved),
                tuple(Line(each["product_id"], int(each["quantity"]), Decimal(each["sales_value"]).quantize(CENT)) for each in lines),
            )
            for number, lines in found.items()
            if self._stores is None or lines[0]["store_id"] in self._stores
        ]

    @cached_property
    def categories(self) -> dict[str, str]:
        """The French name of each product's department."""
        french = {row["department"]: row["fr"] for row in rows("departments.csv")}
        return {row["product_id"]: french[row["department"]] for row in rows("products.csv.gz")}

    @cached_property
    def movements(self) -> list[Movement]:
        """What every line of every sale, void and return did."""
        found = []
        for basket in self.baskets:
            kind = "void" if basket.voided else "sale"
            found += [self._movement(kind, basket, basket.at, line) for line in basket.lines]
            if basket.returned:
                found.append(self._movement("return", basket, basket.returned_at, basket.returned))
        return found

    def _movement(self, kind: str, basket: Basket, at: datetime, line: Line) -> Movement:
        day = (at - DAY_ENDS.get(basket.store, timedelta())).date()
        return Movement(kind, basket.number, basket.store, day, at.hour, line.sku, self.categories[line.sku], line.quantity, line.paid)

    def takings(
        self, *group_by: str, only: Callable[[Movement], bool] = lambda _: True, by_product: bool = False
    ) -> dict[tuple[str, ...], Amounts]:
        """What each group comes to. By product or category a sale counts once for each of its products."""
        found: dict[tuple[str, ...], Amounts] = defaultdict(Amounts)
        by_product = by_product or bool({"product", "category"} & set(group_by))
        for each in self.movements:
            if not only(each):
                continue
            amounts = found[tuple(each.key(name) for name in group_by)]
            match each.kind:
                case "sale":
                    amounts.sold.add((each.number, each.sku) if by_product else (each.number,))
                    amounts.units += each.units
                    amounts.revenue += each.money
                case "return":
                    amounts.returns.add(each.number)
                    amounts.returned_units += each.units
                    amounts.revenue -= each.money
                    amounts.refunded += each.money
                case _:
                    amounts.voids.add(each.number)
                    amounts.voided_units += each.units
                    amounts.voided += each.money
        return dict(found)

    @cached_property
    def opening(self) -> dict[tuple[str, str], int]:
        """Units on each shelf before the first sale: a fifth more than was sold, rounded up; for one in ten a fifth less."""
        sold: dict[tuple[str, str], int] = defaultdict(int)
        for basket in self.baskets:
            for line in basket.lines:
                sold[basket.store, line.sku] += line.quantity
        return {shelf: ceil(units * (Fraction(4, 5) if digest(*shelf) % 10 == 0 else Fraction(6, 5))) for shelf, units in sold.items()}

    @cached_property
    def on_hand(self) -> dict[tuple[str, str], int]:
        """Units on each shelf at the end."""
        left = dict(self.opening)
        for basket in self.baskets:
            if not basket.voided:
                for line in basket.lines:
                    left[basket.store, line.sku] -= line.quantity
            if basket.returned and basket.resellable:
                left[basket.store, basket.returned.sku] += 1
        for shelf, units in self.stolen.items():
            left[shelf] -= units
        return left

    @cached_property
    def stolen(self) -> dict[tuple[str, str], int]:
        """From one shelf in fifty a unit or two are stolen, on the last day."""
        return {shelf: 1 + digest(*shelf) % 2 for shelf in self.opening if digest(*shelf) % 50 == 3}

    def value(self, shelf: tuple[str, str], units: int) -> Decimal:
        """What so many units of a shelf have cost; nothing, when nobody knows."""
        return (units * self.costs.get(shelf, Decimal(0))).quantize(CENT, ROUND_HALF_UP)

    @cached_property
    def costs(self) -> dict[tuple[str, str], Decimal]:
        """What one unit of the opening stock cost: between one and five dollars, unknown for one shelf in eight."""
        return {shelf: (Decimal(100 + digest(*shelf) % 400) / 100).quantize(CENT) for shelf in self.opening if digest(*shelf) % 8}

    @cached_property
    def reorder_points(self) -> dict[tuple[str, str], int]:
        """For one shelf in twelve: when no more than a few are left, it is time to order."""
        return {shelf: digest(*shelf) % 7 for shelf in self.opening if digest(*shelf) % 12 == 0}

    @cached_property
    def low(self) -> dict[tuple[str, str], int]:
        """The shelves that are empty, or at or below their reorder point, with the units that are left."""
        return {shelf: left for shelf, left in self.on_hand.items() if left <= max(0, self.reorder_points.get(shelf, 0))}

    def sold_since(self, first: date, last: date) -> dict[tuple[str, str], int]:
        """Units sold from each shelf on those business days."""
        found: dict[tuple[str, str], int] = defaultdict(int)
        for each in self.movements:
            if each.kind == "sale" and first <= each.day <= last:
                found[each.store, each.sku] += each.units
        return found


def digest(store: str, sku: str) -> int:
    """A number that belongs to a shelf for ever."""
    return int(hashlib.sha256(f"{store}:{sku}".encode()).hexdigest(), 16)


def ranked(takings: Mapping[tuple[str, ...], Amounts], measure: str) -> list[str]:
    """The groups by a measure, best first; among equals by name."""
    values = {key[0]: Decimal(getattr(amounts, measure)) for key, amounts in takings.items()}
    return sorted(values, key=lambda name: (-values[name], name))


if __name__ == "__main__":
    figures = Figures(date.fromisoformat(sys.argv[1]))
    for (shop,), total in sorted(figures.takings("store").items()):
        sys.stdout.write(f"{shop:>6} {total.sales:>6} {total.units:>7} {total.revenue:>10}\n")
