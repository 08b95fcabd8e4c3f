"""Does every report say what a straightforward reading of the same facts says, whatever it is filtered and grouped by?

The facts of a small chain are drawn at random and recorded in a random order, so that many come late, and voids and returns before their
sales. What the reports should say is worked out here, from what was told and by nothing of the code that makes the reports.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest
from sqlalchemy import Engine

from events.base import Event
from events.catalogue import Bilingual, ProductDefined, ProductStocked, StoreDefined
from events.fields import Sku, StoreId
from events.stock import AdjustmentLine, AdjustmentReason, StockAdjusted
from projections import REPORTS
from schemas.envelope import CATALOGUE_STREAM, Accepted
from tests.headquarters import Json, headquarters, read
from tests.pipeline import NOBODY
from tests.services import Services
from tests.telling import NOON, delivered, keep, own_engine, returned, sale, told, void
from workers.projector import Projector

ZONE = ZoneInfo("America/Toronto")
CENTRE, SHOPS = "centre", ("north", "south")
DAY_ENDS = {"centre": 0, "north": 0, "south": 4}
CATEGORIES = {"apple": "Fruits", "pear": "Fruits", "soap": "Entretien", "cup": "Maison"}
SKUS = (*CATEGORIES, "stranger")
REASONS: tuple[AdjustmentReason, ...] = ("theft", "damaged", "found")
FIRST = NOON - timedelta(days=70)
DAYS = 75


class Sold(NamedTuple):
    """A line, or what became of it: `kind` is sale, void or return; each counts where it says."""

    kind: str
    receipt: UUID
    store: str
    day: date
    hour: int
    sku: str
    units: int
    cents: int


class Cost(NamedTuple):
    """So many units that cost so many cents together."""

    units: int
    cents: int


@dataclass
class Chain:
    """What was told, twice: as facts to record, and as plain lines to add up."""

    facts: list[Accepted] = field(default_factory=list)
    lines: list[Sold] = field(default_factory=list)
    adjusted: list[tuple[str, date, str, str, int]] = field(default_factory=list)
    costs: dict[tuple[str, str], Cost] = field(default_factory=dict)
    moved: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    reorder: dict[tuple[str, str], int] = field(default_factory=dict)

    def tell(self, event: Event, store: str, at: datetime, event_id: UUID | None = None) -> UUID:
        fact = told(event, store_id=store, at=at, event_id=event_id)
        self.facts.append(fact)
        return fact.event_id


def clock(store: str, at: datetime) -> tuple[date, int]:
    """The business day and the hour of a shop's own clock."""
    local = at.astimezone(ZONE)
    return (local - timedelta(hours=DAY_ENDS[store])).date(), local.hour


def a_sale(chain: Chain, rng: random.Random) -> None:
    store, at = rng.choice(SHOPS), FIRST + timedelta(minutes=rng.randrange(DAYS * 1_440))
    receipt, (day, hour) = uuid4(), clock(store, at)
    lines = [(rng.choice(SKUS), rng.randint(1, 4), rng.randint(50, 900)) for _ in range(rng.randint(1, 4))]
    chain.tell(sale(*[(sku, units, f"{price / 100:.2f}") for sku, units, price in lines]), store, at, receipt)
    told_lines = [Sold("sale", receipt, store, day, hour, sku, units, units * price) for sku, units, price in lines]
    chain.lines += told_lines
    for line in told_lines:
        chain.moved[store, line.sku] -= line.units
    fate = rng.random()
    if fate < 0.15:
        chain.tell(void(receipt), store, at + timedelta(hours=30))
        chain.lines += [line._replace(kind="void") for line in told_lines]
        for line in told_lines:
            chain.moved[store, line.sku] += line.units
    elif fate < 0.4:
        a_return(chain, rng, told_lines, at + timedelta(hours=rng.randint(1, 60)))


def a_return(chain: Chain, rng: random.Random, sold: Sequence[Sold], at: datetime) -> None:
    """Some of one SKU of a sale comes back, for its share of what was paid or for another price."""
    store, sku = sold[0].store, rng.choice(sold).sku
    bought = sum(line.units for line in sold if line.sku == sku)
    paid = sum(line.cents for line in sold if line.sku == sku)
    units, given = rng.randint(1, bought), rng.choice([None, rng.randint(10, 500)])
    condition = rng.choice(["resellable", "damaged"])
    refund = None if given is None else f"{given / 100:.2f}"
    receipt = chain.tell(returned(sold[0].receipt, (sku, units), condition=condition, refund=refund), store, at)
    share = int((Decimal(paid) * units / bought).quantize(Decimal(1), ROUND_HALF_UP))
    chain.lines.append(Sold("return", receipt, store, *clock(store, at), sku, units, share if given is None else given))
    if condition == "resellable":
        chain.moved[store, sku] += units


def a_change(chain: Chain, rng: random.Random) -> None:
    store, sku, at = rng.choice((*SHOPS, CENTRE)), rng.choice(SKUS), FIRST + timedelta(minutes=rng.randrange(DAYS * 1_440))
    if rng.random() < 0.5:
        reason, delta = rng.choice(REASONS), rng.choice([-3, -2, -1, 1, 2])
        chain.tell(StockAdjusted(reason=reason, lines=(AdjustmentLine(sku=Sku(sku), delta=delta),)), store, at)
        chain.adjusted.append((store, clock(store, at)[0], sku, reason, delta))
        chain.moved[store, sku] += delta
    else:
        units, cost = rng.randint(1, 200), rng.choice([None, rng.randint(20, 400)])
        chain.tell(delivered((sku, units) if cost is None else (sku, units, f"{cost / 100:.2f}")), store, at)
        chain.moved[store, sku] += units


def opening(chain: Chain) -> list[Accepted]:
    """Stores, products and reorder points: what is there before anything happens."""
    facts = []
    for store in (CENTRE, *SHOPS):
        centre = None if store == CENTRE else StoreId(CENTRE)
        shop = StoreDefined(name=store, timezone="America/Toronto", centre=centre, day_ends=f"{DAY_ENDS[store]:02d}:00")
        facts.append(told(shop, store_id=store, at=FIRST))
    for sku, category in CATEGORIES.items():
        described = ProductDefined(
            sku=Sku(sku),
            name=Bilingual(fr=f"{sku} fr", en=f"{sku} en"),
            category=Bilingual(fr=category, en=f"{category} EN"),
            price=Decimal(1),
        )
        facts.append(told(described, store_id=CATALOGUE_STREAM, at=FIRST))
    for place, (store, sku) in enumerate((store, sku) for store in SHOPS for sku in CATEGORIES):
        chain.reorder[store, sku] = place * 60
        facts.append(told(ProductStocked(sku=Sku(sku), reorder_point=place * 60, target_level=99), store_id=store, at=FIRST))
    return facts


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture(scope="module")
def chain(engine: Engine) -> Chain:
    rng, chain = random.Random(20_261_122), Chain()  # noqa: S311 - an example, not a secret
    keep(engine, *opening(chain))
    for _ in range(150):
        a_sale(chain, rng)
    for _ in range(70):
        a_change(chain, rng)
    rng.shuffle(chain.facts)
    for start in range(0, len(chain.facts), 40):
        keep(engine, *chain.facts[start : start + 40])
        if start % 80 == 0:
            Projector(engine, NOBODY).catch_up()
    Projector(engine, NOBODY).catch_up()
    chain.costs = moving_averages(chain.facts)
    return chain


def moving_averages(facts: Iterable[Accepted]) -> dict[tuple[str, str], Cost]:
    """What the units of each shelf cost after its last delivery, when the facts are recorded in this order."""
    held, known = defaultdict[tuple[str, str], int](int), dict[tuple[str, str], Cost]()
    sold, undone = dict[str, Sequence[Any]](), set[str]()
    for fact in facts:
        lines = fact.data.get("lines", ())
        match fact.type:
            case "sale.recorded":
                sold[str(fact.event_id)] = lines
                moved = [] if str(fact.event_id) in undone else [(line["sku"], -line["quantity"]) for line in lines]
            case "sale.voided":
                undone.add(fact.data["sale_id"])
                moved = [(line["sku"], line["quantity"]) for line in sold.get(fact.data["sale_id"], ())]
            case "sale.returned":
                moved = [(line["sku"], line["quantity"]) for line in lines if line["condition"] == "resellable"]
            case "stock.adjusted":
                moved = [(line["sku"], line["delta"]) for line in lines]
            case _:
                (line,) = lines
                moved, shelf = [(line["sku"], line["quantity"])], (fact.store_id, line["sku"])
                if "unit_cost" in line:
                    known[shelf] = averaged(known.get(shelf), held[shelf], line["quantity"], int(Decimal(line["unit_cost"]) * 100))
        for sku, units in moved:
            held[fact.store_id, sku] += units
    return known


def averaged(before: Cost | None, held: int, units: int, cents: int) -> Cost:
    if before is None:
        return Cost(units, units * cents)
    left = max(0, held)
    return Cost(left + units, whole_cents(Decimal(left * before.cents) / before.units) + units * cents)


# What a row is named by, from a line; and the order of the dimensions in every answer.
DIMENSIONS: dict[str, Callable[[Sold], Any]] = {
    "business_date": lambda line: line.day.isoformat(),
    "week": lambda line: (line.day - timedelta(days=line.day.weekday())).isoformat(),
    "month": lambda line: line.day.replace(day=1).isoformat(),
    "hour": lambda line: line.hour,
    "store_id": lambda line: line.store,
    "category": lambda line: CATEGORIES.get(line.sku),
    "sku": lambda line: line.sku,
}


def money(cents: int) -> str:
    return str(Decimal(cents).scaleb(-2).quantize(Decimal("0.01")))


def asked_for(line: Sold, asked: Mapping[str, str]) -> bool:
    return (
        line.day.isoformat() >= asked.get("from", "0")
        and line.day.isoformat() <= asked.get("to", "9")
        and line.store == asked.get("store", line.store)
        and line.sku == asked.get("sku", line.sku)
        and ("category" not in asked or (CATEGORIES.get(line.sku) or "").casefold() == asked["category"].casefold().removesuffix(" en"))
    )


def sales_by(chain: Chain, names: Sequence[str], asked: Mapping[str, str]) -> list[Json]:
    """Rows of daily-sales or hourly-sales; by product or category, a sale counts once for each product of it."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    by_product = bool({"sku", "category"} & {*names, *asked})
    for line in chain.lines:
        if asked_for(line, asked):
            row = found.setdefault(
                tuple(DIMENSIONS[name](line) for name in names), {"sold": defaultdict(int), "units": 0, "back": 0, "cents": 0}
            )
            sign = {"sale": 1, "void": -1, "return": 0}[line.kind]
            row["sold"][line.receipt, line.kind, line.sku if by_product else None] = sign
            row["units"] += sign * line.units
            row["back"] += line.units if line.kind == "return" else 0
            row["cents"] += line.cents if line.kind == "sale" else -line.cents
    rows = [
        {
            **dict(zip(names, key, strict=True)),
            "sales": sum(row["sold"].values()),
            "units": row["units"],
            "returned_units": row["back"],
            "revenue": money(row["cents"]),
        }
        for key, row in found.items()
    ]
    kept = [row for row in rows if not by_product or any((row["sales"], row["units"], row["returned_units"], row["revenue"] != "0.00"))]
    return sorted(kept, key=lambda row: tuple(str(row[name] or "") if name != "hour" else f"{row[name]:02d}" for name in names))


async def every_row(client: httpx2.AsyncClient, report: str, page: int, **asked: str) -> list[Json]:
    """All rows of a report, page by page."""
    rows: list[Json] = []
    path, query = f"reports/{report}", {**asked, "limit": str(page)}
    while path:
        answer = await client.get(path, params=query or None)
        assert answer.status_code == 200, answer.text
        rows += answer.json()["items"]
        path, query = answer.links.get("next", {}).get("url", "").removeprefix("/api/v2/"), {}
    return rows


GROUPINGS: tuple[tuple[str, ...], ...] = (
    ("business_date", "store_id"),
    ("week",),
    ("week", "store_id"),
    ("month",),
    ("store_id",),
    ("sku",),
    ("category",),
    ("month", "category"),
    ("month", "sku"),
    ("week", "sku"),
    ("business_date", "sku"),
    ("store_id", "sku"),
    ("store_id", "category"),
    ("month", "store_id", "sku"),
    ("category", "sku"),
)
PERIODS: tuple[dict[str, str], ...] = (
    {},
    {"from": "2026-02-01"},
    {"from": "2026-01-09", "to": "2026-03-08"},
    {"from": "2026-02-01", "to": "2026-02-28"},
    {"from": "2026-02-25", "to": "2026-03-03"},
    {"to": "2026-03-12"},
    {"from": "2025-01-01", "to": "2027-12-31"},
)
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"store": "south"},
    {"sku": "apple"},
    {"category": "fruits"},
    {"category": "ENTRETIEN EN", "store": "north"},
)


@pytest.mark.parametrize("names", GROUPINGS, ids=",".join)
async def test_daily_sales_are_those_that_were_told(engine: Engine, chain: Chain, tmp_path: Path, names: tuple[str, ...]) -> None:
    async with headquarters(engine, tmp_path) as client:
        for place, period in enumerate(PERIODS):
            for asked in ({**period, **FILTERS[(place + shift) % len(FILTERS)]} for shift in (0, 2)):
                rows = await every_row(client, "daily-sales", 9 if place % 2 else 500, group_by=",".join(reversed(names)), **asked)
                assert rows == sales_by(chain, names, asked), asked


@pytest.mark.parametrize("names", [("business_date", "hour"), ("hour",), ("hour", "store_id")], ids=",".join)
async def test_hourly_sales_are_those_that_were_told(engine: Engine, chain: Chain, tmp_path: Path, names: tuple[str, ...]) -> None:
    async with headquarters(engine, tmp_path) as client:
        for period in PERIODS:
            rows = await every_row(client, "hourly-sales", 11, group_by=",".join(names), **period)
            assert rows == [
                {name: value for name, value in row.items() if name != "returned_units"} for row in sales_by(chain, names, period)
            ]


@pytest.mark.parametrize("sort", ["revenue", "units"])
async def test_top_products_are_the_best_with_their_share(engine: Engine, chain: Chain, tmp_path: Path, sort: str) -> None:
    async with headquarters(engine, tmp_path) as client:
        for asked in ({}, {"from": "2026-02-01", "to": "2026-02-28"}, {"store": "north"}, {"category": "Fruits EN"}):
            rows = await every_row(client, "top-products", 2, sort=sort, **asked)
            expected = sales_by(chain, ("sku",), asked)
            expected.sort(key=lambda row: (-Decimal(row[sort]), row["sku"]))
            whole = {name: sum(Decimal(row[name]) for row in expected) for name in ("revenue", "units")}
            for row, other in zip(rows, expected, strict=True):
                assert {name: row[name] for name in other} == other
                assert row["revenue_share_percent"] == float(round(100 * Decimal(other["revenue"]) / whole["revenue"], 2))
                assert row["name"] == (None if row["sku"] == "stranger" else {"fr": f"{row['sku']} fr", "en": f"{row['sku']} en"})


def performance(chain: Chain, store: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """A store's figures of a period."""
    lines = [line for line in chain.lines if line.store == store and asked_for(line, asked)]
    by_kind = {kind: [line for line in lines if line.kind == kind] for kind in ("sale", "void", "return")}
    receipts = {kind: len({line.receipt for line in found}) for kind, found in by_kind.items()}
    units = {kind: sum(line.units for line in found) for kind, found in by_kind.items()}
    cents = {kind: sum(line.cents for line in found) for kind, found in by_kind.items()}
    sales, taken = receipts["sale"] - receipts["void"], cents["sale"] - cents["void"]
    basket = None if not sales else money(int((Decimal(taken) / sales).quantize(Decimal(1), ROUND_HALF_UP)))
    return {
        "revenue": money(taken - cents["return"]),
        "sales": sales,
        "average_basket": basket,
        "units": units["sale"] - units["void"],
        "returns": receipts["return"],
        "returned_units": units["return"],
        "refunded": money(cents["return"]),
        "voids": receipts["void"],
        "voided": money(cents["void"]),
    }


def grown(now: Any, before: Any) -> float | None:  # noqa: ANN401 - figures of any unit
    if now is None or before is None or not Decimal(before):
        return None
    return float(round(100 * (Decimal(now) - Decimal(before)) / abs(Decimal(before)), 1))


async def test_performance_is_compared_with_as_many_days_before(engine: Engine, chain: Chain, tmp_path: Path) -> None:
    outs = {store: sum(1 for (where, _), units in chain.moved.items() if where == store and units <= 0) for store in SHOPS}
    async with headquarters(engine, tmp_path) as client:
        rows = await every_row(client, "store-performance", 1, **{"from": "2026-02-10", "to": "2026-03-01"})
        plain = await every_row(client, "store-performance", 500)
    for row, store in zip(rows, SHOPS, strict=True):
        now = performance(chain, store, {"from": "2026-02-10", "to": "2026-03-01"})
        before = performance(chain, store, {"from": "2026-01-21", "to": "2026-02-09"})
        compared = ("revenue", "sales", "average_basket", "units", "returns")
        assert row == {
            "store_id": store,
            **now,
            "stock_outs": outs[store],
            **{f"previous_{name}": before[name] for name in compared},
            **{f"{name}_change_percent": grown(now[name], before[name]) for name in compared},
        }
    assert plain == [{"store_id": store, **performance(chain, store, {}), "stock_outs": outs[store]} for store in SHOPS]


def cost_of(chain: Chain, store: str, sku: str) -> Decimal | None:
    """Average cost in cents: of the store's own deliveries, else of its centre's."""
    known = chain.costs.get((store, sku)) or chain.costs.get((CENTRE, sku))
    return None if known is None else Decimal(known.cents) / known.units


def whole_cents(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


def shelves(chain: Chain, cells: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What lies there of some SKUs of some stores."""
    found = {cell: chain.moved[cell] for cell in cells}
    costs = {cell: cost_of(chain, *cell) for cell in found}
    return {
        "on_hand": sum(found.values()),
        "value": money(sum(whole_cents(units * cost) for cell, units in found.items() if (cost := costs[cell]) is not None)),
        "unknown_cost_units": sum(max(0, units) for cell, units in found.items() if costs[cell] is None),
        "skus": len(found),
        "stock_outs": sum(1 for units in found.values() if units <= 0),
    }


def cells_of(chain: Chain, store: str) -> list[tuple[str, str]]:
    return [cell for cell in chain.moved if cell[0] == store]


async def test_stock_is_worth_what_was_paid_for_it(engine: Engine, chain: Chain, tmp_path: Path) -> None:
    async with headquarters(engine, tmp_path) as client:
        by_store = await every_row(client, "stock-valuation", 2)
        by_category = await every_row(client, "stock-valuation", 2, group_by="category")
        by_product = await every_row(client, "stock-valuation", 2, group_by="product", store="north")
        both = await every_row(client, "stock-valuation", 4, group_by="store,product")
        fruits = await every_row(client, "stock-valuation", 4, group_by="store", category="FRUITS")
    assert by_store == [{"store_id": store, **shelves(chain, cells_of(chain, store))} for store in (CENTRE, *SHOPS)]
    categories = sorted({CATEGORIES.get(sku) for _, sku in chain.moved}, key=lambda name: name or "")
    assert by_category == [
        {"category": name, **shelves(chain, [cell for cell in chain.moved if CATEGORIES.get(cell[1]) == name])} for name in categories
    ]
    for rows, cells in ((by_product, cells_of(chain, "north")), (both, list(chain.moved))):
        assert [row["sku"] for row in rows] == [sku for _, sku in sorted(cells)]
        for row, cell in zip(rows, sorted(cells), strict=True):
            expected = shelves(chain, [cell])
            assert {name: row[name] for name in expected} == expected
    assert [row["on_hand"] for row in fruits] == [
        shelves(chain, [cell for cell in cells_of(chain, store) if CATEGORIES.get(cell[1]) == "Fruits"])["on_hand"]
        for store in (CENTRE, *SHOPS)
    ]


@pytest.mark.parametrize(
    "names", [("reason",), ("store_id", "reason"), ("sku",), ("category",), ("business_date",), ("month", "reason")], ids=",".join
)
async def test_shrinkage_is_what_was_adjusted(engine: Engine, chain: Chain, tmp_path: Path, names: tuple[str, ...]) -> None:
    async with headquarters(engine, tmp_path) as client:
        for asked in ({}, {"from": "2026-02-01", "to": "2026-03-01"}, {"store": "north"}, {"category": "fruits"}):
            rows = await every_row(client, "shrinkage", 3, group_by=",".join(names), **asked)
            found: dict[tuple[Any, ...], dict[str, Any]] = {}
            for store, day, sku, reason, delta in chain.adjusted:
                line = Sold("", UUID(int=0), store, day, 0, sku, 0, 0)
                if asked_for(line, asked):
                    key = tuple(reason if name == "reason" else DIMENSIONS[name](line) for name in names)
                    row = found.setdefault(key, {"lost": 0, "found": 0, "lost_cents": Decimal(0), "found_cents": Decimal(0)})
                    side = "lost" if delta < 0 else "found"
                    row[side] += abs(delta)
                    row[f"{side}_cents"] += abs(delta) * (cost_of(chain, store, sku) or 0)
            expected = [
                {
                    **dict(zip(names, key, strict=True)),
                    "lost_units": row["lost"],
                    "found_units": row["found"],
                    "net_lost_units": row["lost"] - row["found"],
                    "lost_value": money(whole_cents(row["lost_cents"])),
                    "found_value": money(whole_cents(row["found_cents"])),
                }
                for key, row in sorted(found.items(), key=lambda item: tuple(str(part or "") for part in item[0]))
            ]
            assert rows == expected, asked


def running_low(chain: Chain, through: date) -> list[Json]:
    """SKUs to look after, with the pace of 28 days."""
    rows = []
    for (store, sku), units in sorted(chain.moved.items()):
        reorder = chain.reorder.get((store, sku))
        if units > 0 and (reorder is None or units > reorder):
            continue
        days = {"store": store, "sku": sku, "from": (through - timedelta(days=27)).isoformat(), "to": through.isoformat()}
        sold = sum(row["units"] for row in sales_by(chain, ("sku",), days))
        rows.append(
            {
                "store_id": store,
                "sku": sku,
                "name": None if sku == "stranger" else {"fr": f"{sku} fr", "en": f"{sku} en"},
                "on_hand": units,
                "reorder_point": reorder,
                "target_level": None if reorder is None else 99,
                "status": "negative" if units < 0 else "out" if units == 0 else "low",
                "units_28_days": sold,
                "days_left": round(max(0, units) * 28 / sold, 1) if sold > 0 else None,
            }
        )
    return rows


def by_urgency(row: Json) -> tuple[float, int, str, str]:
    """The fewest days left first; of those the best sold; what isn't sold last."""
    sold = row["units_28_days"]
    return (max(0, row["on_hand"]) / sold if sold > 0 else float("inf"), -sold, row["store_id"], row["sku"])


async def test_low_stock_is_what_runs_out_and_when(engine: Engine, chain: Chain, tmp_path: Path) -> None:
    through = date(2026, 3, 1)
    expected = running_low(chain, through)
    assert {row["status"] for row in expected} >= {"negative", "low"}
    async with headquarters(engine, tmp_path) as client:
        assert await every_row(client, "low-stock", 3, to=through.isoformat()) == expected
        for status in ("negative", "out", "low"):
            rows = await every_row(client, "low-stock", 3, to=through.isoformat(), status=status)
            assert rows == [row for row in expected if row["status"] == status]
        urgent = [
            await read(client, "reports/low-stock", sort="urgency", limit=limit, to=through.isoformat()) for limit in (1, 2, 3, 5, 50)
        ]
        urgent_fruits = await read(client, "reports/low-stock", sort="urgency", limit=1, category="Fruits EN", to=through.isoformat())
        counts = await every_row(client, "low-stock", 3, group_by="store")
        fruits = await every_row(client, "low-stock", 3, category="Fruits EN", store="north", to=through.isoformat())
        everywhere = await every_row(client, "low-stock", 1, category="Fruits EN", to=through.isoformat())
        apples = await read(client, "reports/low-stock", sort="urgency", sku="apple", to=through.isoformat())
    assert fruits == [row for row in expected if row["store_id"] == "north" and CATEGORIES.get(row["sku"]) == "Fruits"]
    assert everywhere == [row for row in expected if CATEGORIES.get(row["sku"]) == "Fruits"]
    assert apples["items"] == sorted((row for row in expected if row["sku"] == "apple"), key=by_urgency)
    assert [page["items"] for page in urgent] == [sorted(expected, key=by_urgency)[:limit] for limit in (1, 2, 3, 5, 50)]
    assert urgent_fruits["items"] == sorted(everywhere, key=by_urgency)[:1]
    for row in counts:
        of_store = [each["status"] for each in expected if each["store_id"] == row["store_id"]]
        assert (row["low_skus"], row["negative_skus"]) == (of_store.count("low"), of_store.count("negative"))
        assert row["stock_outs"] == of_store.count("negative") + of_store.count("out")


async def test_the_consolidated_report_is_all_of_it_by_store_and_status(engine: Engine, chain: Chain, tmp_path: Path) -> None:
    asked = {"from": "2026-02-01", "to": "2026-03-01"}
    async with headquarters(engine, tmp_path) as client:
        found = await read(client, "reports/consolidated", **asked)
        one_store = await read(client, "reports/consolidated", group_by="status", store="north")
        best = await read(client, "reports/top-products", limit=10, **asked)
    expected = []
    for store in SHOPS:
        lines = [line for line in chain.lines if line.store == store and asked_for(line, asked)]
        undone = {line.receipt for line in lines if line.kind == "void"}
        for status, mine in (
            ("recorded", [line for line in lines if line.kind == "sale" and line.receipt not in undone]),
            ("returned", [line for line in lines if line.kind == "return"]),
            ("voided", [line for line in lines if line.kind == "void"]),
        ):
            expected.append(
                {
                    "store_id": store,
                    "status": status,
                    "receipts": len({line.receipt for line in mine}),
                    "receipt_units": sum(line.units for line in mine),
                    "amount": money(sum(line.cents for line in mine)),
                }
            )
    assert found["items"] == expected
    assert [row["status"] for row in one_store["items"]] == ["recorded", "returned", "voided"]
    assert found["top_products"] == best["items"]
    everything = shelves(chain, chain.moved)
    assert {name: found["remaining_stock"][name] for name in everything} == everything
    assert found["low_stock"] == running_low(chain, date(2026, 3, 1))[:10]
    assert found["meta"]["complete"] is True


async def test_every_report_has_its_table_and_refuses_what_it_does_not_know(engine: Engine, chain: Chain, tmp_path: Path) -> None:
    assert chain.lines
    async with headquarters(engine, tmp_path) as client:
        listed = {each["name"]: each for each in (await client.get("reports")).json()["items"]}
        for name, report in REPORTS.items():
            table = await client.get(f"reports/{name}", params={"format": "csv"})
            assert table.status_code == 200, table.text
            assert table.text.splitlines()[0].split(",")[0] == report.group_by[0]
            assert {measure["name"] for measure in listed[name]["measures"]} == {measure.name for measure in report.measures}
        present = (await client.get("reports/stock-valuation", params={"from": "2026-01-01", "to": "2026-01-31"})).json()
        assert present["items"] == (await client.get("reports/stock-valuation")).json()["items"]
        assert present["meta"]["ignored"] == ["from", "to"]
        for refused, pointer in (
            ("consolidated?sku=apple", "/query/sku"),
            ("low-stock?hour=3", "/query/hour"),
            ("low-stock?group_by=store&status=low", "/query/status"),
            ("low-stock?group_by=store&sort=urgency", "/query/sort"),
            ("top-products?group_by=day", "/query/group_by"),
            ("top-products?sort=name", "/query/sort"),
        ):
            answer = await client.get(f"reports/{refused}")
            assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, [pointer]), refused


async def test_what_happens_after_the_shelves_were_counted_is_in_the_next_answer(engine: Engine, chain: Chain, tmp_path: Path) -> None:
    assert chain.lines
    async with headquarters(engine, tmp_path) as client:
        before = (await read(client, "reports/stock-valuation", store="north"))["items"][0]
        keep(engine, told(delivered(("apple", 5)), store_id="north", at=NOON + timedelta(days=20)))
        after = (await read(client, "reports/stock-valuation", store="north"))["items"][0]
    chain.moved["north", "apple"] += 5
    assert after["on_hand"] == before["on_hand"] + 5
    assert after == {"store_id": "north", **shelves(chain, cells_of(chain, "north"))}
