"""Do stock and revenue in the system equal what the files say, computed without any of the code that sent it there?

The files are read once more and the rules of ``data/README.md`` applied anew, with decimals and with dates instead of instants.
Only the ids of the demonstration's own facts are shared with what sent them: they tell what is the demonstration's where somebody has
sold or counted something else since. Such a cell is compared by its movements or its sales, so that only the demonstration counts.
"""

import csv
import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from magasin.demo_client import Answer, Client, in_parallel
from magasin.demo_data import SHOPS, baskets, opening_deliveries
from magasin.demo_load import Progress

READER: Final = "gestionnaire"
FILE: Final = Path(__file__).parent / "data" / "sales.csv.gz"
FIVE_HOURS: Final = timedelta(hours=5)

V = TypeVar("V")


class Shelf(NamedTuple):
    """One SKU in one store."""

    store_id: str
    sku: str


class Day(NamedTuple):
    """One business date of one store."""

    store_id: str
    business_date: date


class Takings(NamedTuple):
    """What a day brought, in sales, units and dollars."""

    sales: int = 0
    units: int = 0
    revenue: Decimal = Decimal("0.00")

    def __str__(self) -> str:
        """For the list of differences."""
        return f"{self.sales} sales, {self.units} units, {self.revenue}"


K = TypeVar("K", Shelf, Day)


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that is not as the files say."""

    where: str
    expected: str
    found: str


@dataclass(slots=True)
class Books:
    """Stock and takings, cell by cell: as the files say they must be, or as the system says they are."""

    stock: dict[Shelf, int] = field(default_factory=dict)
    takings: dict[Day, Takings] = field(default_factory=dict)

    @property
    def units(self) -> int:
        """Units on all shelves together."""
        return sum(self.stock.values())

    @property
    def revenue(self) -> Decimal:
        """Dollars of all days together."""
        return sum((day.revenue for day in self.takings.values()), Decimal("0.00"))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The comparison, cell by cell. `others` is the number of facts that are not the demonstration's and were left out of `found`."""

    expected: Books
    found: Books
    others: int

    @property
    def stock_off(self) -> int:
        """Units of difference, whichever their sign."""
        return sum(abs(should - found) for _, should, found in _pairs(self.expected.stock, self.found.stock, 0))

    @property
    def revenue_off(self) -> Decimal:
        """Dollars of difference, whichever their sign."""
        pairs = _pairs(self.expected.takings, self.found.takings, Takings())
        return sum((abs(should.revenue - found.revenue) for _, should, found in pairs), Decimal("0.00"))

    @property
    def differences(self) -> list[Difference]:
        """Every cell that differs, stock first."""
        stock = _pairs(self.expected.stock, self.found.stock, 0)
        takings = _pairs(self.expected.takings, self.found.takings, Takings())
        return [
            *(
                Difference(f"stock of {sku} in store {store}", str(should), str(found))
                for (store, sku), should, found in stock
                if should != found
            ),
            *(
                Difference(f"sales of store {store} on {on}", str(should), str(found))
                for (store, on), should, found in takings
                if should != found
            ),
        ]


class _Level(Answer):
    sku: str
    on_hand: int


class _Levels(Answer):
    items: list[_Level]


class _Movement(Answer):
    event_id: UUID
    delta: int | None = None


class _Movements(Answer):
    items: list[_Movement]


class _DayRow(Answer):
    business_date: date
    store_id: str
    sales: int
    units: int
    revenue: Decimal


class _DayRows(Answer):
    items: list[_DayRow]


class _Sale(Answer):
    sale_id: UUID
    units: int
    total: Decimal


class _Sales(Answer):
    items: list[_Sale]


def expected(last_day: date) -> Books:
    """What the system must hold when the files' last day has become `last_day`."""
    rows = list(_rows())
    newest = max(row.business_date for row in rows)
    sold: dict[Shelf, int] = {}
    baskets_of: dict[Day, set[str]] = {}
    made = Books()
    for row in rows:
        shelf, day = Shelf(row.store_id, row.sku), Day(row.store_id, last_day - (newest - row.business_date))
        sold[shelf] = sold.get(shelf, 0) + row.quantity
        baskets_of.setdefault(day, set()).add(row.basket_id)
        so_far = made.takings.get(day, Takings())
        made.takings[day] = Takings(len(baskets_of[day]), so_far.units + row.quantity, so_far.revenue + row.paid)
    for shelf, units in sold.items():
        short = int(hashlib.sha256(f"{shelf.store_id}:{shelf.sku}".encode()).hexdigest(), 16) % 10 == 0
        made.stock[shelf] = ceil(units * (Fraction(4, 5) if short else Fraction(6, 5))) - units
    return made


class _Row(NamedTuple):
    basket_id: str
    store_id: str
    business_date: date
    sku: str
    quantity: int
    paid: Decimal


def _rows() -> Iterator[_Row]:
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as lines:
        table = csv.reader(lines)
        next(table)
        for basket_id, timestamp, store_id, sku, quantity, paid in table:
            on_the_shop_clock = datetime.fromisoformat(timestamp[:19]) - FIVE_HOURS
            yield _Row(basket_id, store_id, on_the_shop_clock.date(), sku, int(quantity), Decimal(paid).quantize(Decimal("0.01")))


async def check_demonstration(base_url: str, password: str, last_day: date, progress: Progress) -> CheckResult:
    """Compare every cell of stock and of daily sales. Raises DemonstrationError when the system can't be asked."""
    async with Client(base_url, password) as client:
        return await check(client, last_day, progress)


async def check(client: Client, last_day: date, progress: Progress) -> CheckResult:
    """The comparison itself."""
    reading = _Reading(client, expected(last_day), progress)
    found = Books(await reading.stock(), await reading.takings())
    return CheckResult(reading.expected, found, len(reading.others))


class _Reading:
    """What the system says, of the demonstration alone."""

    def __init__(self, client: Client, wanted: Books, progress: Progress) -> None:
        self.expected = wanted
        self.others: set[UUID] = set()
        self._client = client
        self._progress = progress
        self._sales = {basket.sale_id for basket in baskets()}
        self._own = self._sales | {delivery.delivery_id for delivery in opening_deliveries()}

    async def stock(self) -> dict[Shelf, int]:
        """On-hand units of every shelf; a shelf that differs is looked at movement by movement."""
        found: dict[Shelf, int] = {}
        for store_id in SHOPS:
            async for page in self._client.pages(READER, "/stock", _Levels, {"store": store_id}):
                found |= {Shelf(store_id, level.sku): level.on_hand for level in page.items}
                self._progress("stock", len(found), max(len(found), len(self.expected.stock)))
        doubtful = [shelf for shelf, should, is_ in _pairs(self.expected.stock, found, 0) if should != is_]

        async def look(shelf: Shelf) -> None:
            found[shelf] = 0
            async for page in self._client.pages(READER, f"/stores/{shelf.store_id}/stock/{shelf.sku}/movements", _Movements):
                found[shelf] += sum(movement.delta or 0 for movement in page.items if movement.event_id in self._own)
                self.others |= {movement.event_id for movement in page.items} - self._own

        await in_parallel(doubtful, look)
        return found

    async def takings(self) -> dict[Day, Takings]:
        """What every day brought; a day that differs is looked at sale by sale."""
        found: dict[Day, Takings] = {}
        days = sorted(day.business_date for day in self.expected.takings)
        query = {"group_by": "business_date,store_id", "from": days[0].isoformat(), "to": days[-1].isoformat()}
        async for page in self._client.pages(READER, "/reports/daily-sales", _DayRows, query):
            found |= {
                Day(row.store_id, row.business_date): Takings(row.sales, row.units, row.revenue)
                for row in page.items
                if row.store_id in SHOPS
            }
            self._progress("daily sales", len(found), max(len(found), len(self.expected.takings)))
        doubtful = [day for day, should, is_ in _pairs(self.expected.takings, found, Takings()) if should != is_]

        async def look(day: Day) -> None:
            found[day] = Takings()
            on = day.business_date.isoformat()
            async for page in self._client.pages(READER, f"/stores/{day.store_id}/sales", _Sales, {"from": on, "to": on}):
                own = [sale for sale in page.items if sale.sale_id in self._sales]
                so_far = found[day]
                found[day] = Takings(
                    so_far.sales + len(own),
                    so_far.units + sum(sale.units for sale in own),
                    so_far.revenue + sum((sale.total for sale in own), Decimal("0.00")),
                )
                self.others |= {sale.sale_id for sale in page.items} - self._sales

        await in_parallel(doubtful, look)
        return found


def _pairs(should: Mapping[K, V], found: Mapping[K, V], nothing: V) -> Iterator[tuple[K, V, V]]:
    """Every cell of either side with both values, in order; a cell that one side lacks holds `nothing` there."""
    for cell in sorted(should.keys() | found.keys()):
        yield cell, should.get(cell, nothing), found.get(cell, nothing)
