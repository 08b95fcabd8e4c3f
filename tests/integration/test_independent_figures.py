"""Does every report say of the demonstration what an independent script makes of its raw files, to the unit and to the cent?

The project's own loader says what is sent; ``tests/independent/figures.py`` reads the files by itself and knows nothing of the project. In
between lies the real pipeline: broker, stock writer, projector. Everything is told out of order, and some of it twice.
"""

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import httpx2
import pytest
from sqlalchemy import Engine, text

from events.catalogue import ProductDefined, ProductStocked, StoreDefined
from events.sales import ReturnLine, SaleRecorded, SaleReturned, SaleVoided
from events.stock import DeliveryReceived, StockAdjusted
from magasin import demo_data
from projections import PROJECTIONS
from projections.checkpoint import behind
from schemas.envelope import CATALOGUE_STREAM, Accepted
from tests.headquarters import headquarters, read
from tests.independent.figures import DAY_ENDS, Basket, Figures, Movement, ranked
from tests.pipeline import NOBODY, pipeline
from tests.sandbox import fresh_broker
from tests.services import Services
from tests.telling import keep, own_engine, told
from workers.projector import Projector

LAST_DAY = date(2026, 3, 14)
"""Summer time begins a week before."""
TORONTO = ZoneInfo(demo_data.TIMEZONE)
STORES = ("292", "343", "381")
"""Three of the eleven shops with a quarter of the sales, so that the test takes seconds; two of them close after midnight."""
OPENED = datetime(2026, 2, 1, tzinfo=UTC)
EVENTS_A_MESSAGE = 100
PATIENCE_SECONDS = 90.0
LOOK_SECONDS = 0.1
WEEK = {"from": "2026-03-02", "to": "2026-03-08"}
COLUMN = {
    "day": "business_date",
    "store": "store_id",
    "product": "sku",
    **{name: name for name in ("week", "month", "hour", "category", "status")},
}
Row = dict[str, Any]
Table = dict[tuple[Any, ...], Row]


def named(name: str) -> UUID:
    """An id that is the same on every run."""
    return uuid5(demo_data.NAMESPACE, name)


def at(there: datetime) -> datetime:
    """The instant of a time on the shops' clock."""
    return there.replace(tzinfo=TORONTO).astimezone(UTC)


def shops() -> Iterator[Accepted]:
    """The shops, two of which have a business day that ends after midnight."""
    for store_id, body in demo_data.store_bodies().items():
        if store_id not in {*STORES, demo_data.CENTRE}:
            continue
        details = json.loads(body)
        if store_id in DAY_ENDS:
            details["day_ends"] = f"{DAY_ENDS[store_id].seconds // 3600:02d}:00"
        yield told(StoreDefined.model_validate(details), store_id=store_id, at=OPENED)


def products(figures: Figures) -> Iterator[Accepted]:
    """The products that those shops keep."""
    kept = {sku for _, sku in figures.opening}
    for product in demo_data.products():
        if product.sku not in kept:
            continue
        body = json.loads(demo_data.product_body(product))
        yield told(ProductDefined.model_validate({"sku": product.sku, **body}), store_id=CATALOGUE_STREAM, at=OPENED)


def sales() -> Iterator[Accepted]:
    """Every sale, as the project's own loader says it."""
    for basket in demo_data.baskets():
        if basket.store_id not in STORES:
            continue
        body = json.loads(demo_data.sale_body(basket, LAST_DAY))
        event_id, when = UUID(body.pop("sale_id")), datetime.fromisoformat(body.pop("occurred_at"))
        yield told(SaleRecorded.model_validate(body), store_id=basket.store_id, event_id=event_id, at=when)


def sequels(baskets: Sequence[Basket]) -> Iterator[Accepted]:
    """The voids and returns that the independent script has chosen."""
    for basket in baskets:
        sale_id, sequel_id = named(f"sale:{basket.number}"), named(f"sequel:{basket.number}")
        if basket.voided:
            void = SaleVoided(sale_id=sale_id, reason="error")
            yield told(void, store_id=basket.store, event_id=sequel_id, at=at(basket.at + timedelta(minutes=5)))
        elif basket.returned:
            condition = "resellable" if basket.resellable else "damaged"
            line = ReturnLine.model_validate({"sku": basket.returned.sku, "quantity": basket.returned.quantity, "condition": condition})
            back = SaleReturned(sale_id=sale_id, reason="error", lines=(line,))
            yield told(back, store_id=basket.store, event_id=sequel_id, at=at(basket.returned_at))


def shelves(figures: Figures) -> Iterator[Accepted]:
    """The opening stock as the project's own loader says it, with the script's costs; and the script's reorder points."""
    for delivery in demo_data.opening_deliveries():
        if delivery.store_id not in STORES:
            continue
        body = json.loads(demo_data.delivery_body(delivery, LAST_DAY))
        when = datetime.fromisoformat(body.pop("occurred_at"))
        event_id = UUID(body.pop("delivery_id"))
        costs = [figures.costs.get((delivery.store_id, line["sku"])) for line in body["lines"]]
        body["lines"] = [
            {**line, "unit_cost": None if cost is None else str(cost)} for line, cost in zip(body["lines"], costs, strict=True)
        ]
        yield told(DeliveryReceived.model_validate(body), store_id=delivery.store_id, event_id=event_id, at=when)
    for (store_id, sku), point in figures.reorder_points.items():
        event = ProductStocked.model_validate({"sku": sku, "reorder_point": point})
        yield told(event, store_id=store_id, event_id=named(f"stocked:{store_id}:{sku}"), at=OPENED)


def losses(figures: Figures) -> Iterator[Accepted]:
    """What the independent script has stolen."""
    for (store_id, sku), units in figures.stolen.items():
        event = StockAdjusted.model_validate({"reason": "theft", "lines": [{"sku": sku, "delta": -units}]})
        when = at(datetime.combine(LAST_DAY, time(15)))
        yield told(event, store_id=store_id, event_id=named(f"stolen:{store_id}:{sku}"), at=when)


def arrivals(figures: Figures) -> list[list[Accepted]]:
    """What the shops tell: the opening stock, then all else shuffled, in messages of a hundred events, one message in ten twice."""
    chance = random.Random(20_171_217)  # noqa: S311 - the same order every time
    events = [*sales(), *sequels(figures.baskets), *losses(figures)]
    chance.shuffle(events)
    messages = [events[start : start + EVENTS_A_MESSAGE] for start in range(0, len(events), EVENTS_A_MESSAGE)]
    messages += chance.sample(messages, len(messages) // 10)
    chance.shuffle(messages)
    return [list(shelves(figures)), *messages]


async def send(url: str, engine: Engine, messages: Sequence[Sequence[Accepted]]) -> None:
    """Everything through the broker; return when every projection has all of it."""
    ids = [str(event.event_id) for event in {event.event_id: event for message in messages for event in message}.values()]
    left = text("SELECT count(*) FROM unnest(CAST(:ids AS uuid[])) AS id WHERE NOT EXISTS (SELECT FROM event_log WHERE event_id = id)")
    async with pipeline(url, engine) as line, line.sound(), asyncio.timeout(PATIENCE_SECONDS):
        await line.tell(*messages)
        while True:
            with engine.connect() as connection:
                if not connection.execute(left, {"ids": ids}).scalar_one() and not behind(connection, PROJECTIONS):
                    return
            await asyncio.sleep(LOOK_SECONDS)


@pytest.fixture(scope="module")
def figures() -> Figures:
    """What the independent script says."""
    return Figures(LAST_DAY, STORES)


@pytest.fixture(scope="module")
def engine(services: Services, figures: Figures) -> Iterator[Engine]:
    """A system in which all of it has happened."""
    with own_engine(services) as pool, fresh_broker(services) as url:
        opening = [*shops(), *products(figures)]
        for start in range(0, len(opening), 500):
            keep(pool, *opening[start : start + 500], now=OPENED)
        Projector(pool, NOBODY).catch_up()
        # A thread of its own: where this is asked for a loop may run already.
        loading = threading.Thread(target=asyncio.run, args=(send(url, pool, arrivals(figures)),))
        loading.start()
        loading.join()
        yield pool


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the key lies that signs tokens."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def client(engine: Engine, home: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with headquarters(engine, home) as made:
        yield made


async def table(client: httpx2.AsyncClient, report: str, group_by: str, **asked: str) -> Table:
    """A report, row by row under what it is grouped by, whatever number of pages it has."""
    dimensions = [COLUMN[name] for name in group_by.split(",")]
    found: Table = {}
    link = str(httpx2.URL(f"/api/v2/reports/{report}", params={"group_by": group_by, "limit": "10000", **asked}))
    while link:
        answer = await client.get(f"http://test{link}")
        assert answer.status_code == 200, answer.text
        for row in answer.json()["items"]:
            found[tuple(str(row[name]) for name in dimensions)] = row
        link = answer.links.get("next", {}).get("url", "")
    return found


def taken(figures: Figures, group_by: str, measures: str, **only: Any) -> Table:  # noqa: ANN401 - what a movement has
    """What the independent script says of those measures, in the same form."""

    def wanted(each: Movement) -> bool:
        first, last = only.get("days", (date.min, date.max))
        return first <= each.day <= last and all(getattr(each, name) == value for name, value in only.items() if name != "days")

    by_product = bool({"category", "sku"} & only.keys())
    found = figures.takings(*group_by.split(","), only=wanted, by_product=by_product)
    if "product" in group_by:
        # A product of which only a voided sale is known has no row.
        found = {key: amounts for key, amounts in found.items() if amounts.sold or amounts.returns}
    return {key: {name: plain(getattr(amounts, name)) for name in measures.split()} for key, amounts in found.items()}


def plain(value: Any) -> Any:  # noqa: ANN401 - any figure
    """A figure as a report writes it."""
    return f"{value + 0:.2f}" if isinstance(value, Decimal) else len(value) if isinstance(value, set) else value


def parts(found: Table, measures: str) -> Table:
    """Those measures of a report."""
    return {key: {name: row[name] for name in measures.split()} for key, row in found.items()}


SOLD = "sales units returned_units revenue"
PERFORMANCE = "revenue sales average_basket units returns returned_units refunded voids voided"
GROUPINGS = ("day", "week", "month", "store", "product", "category", "day,store", "month,category", "store,product", "day,store,product")


@pytest.mark.parametrize("group_by", GROUPINGS)
async def test_daily_sales(client: httpx2.AsyncClient, figures: Figures, group_by: str) -> None:
    found = parts(await table(client, "daily-sales", group_by), SOLD)
    assert found == taken(figures, group_by, SOLD)
    assert len(found) >= 2


async def test_daily_sales_of_a_week_a_store_a_product_and_a_category(client: httpx2.AsyncClient, figures: Figures) -> None:
    days = (date.fromisoformat(WEEK["from"]), date.fromisoformat(WEEK["to"]))
    assert parts(await table(client, "daily-sales", "day,store", **WEEK), SOLD) == taken(figures, "day,store", SOLD, days=days)
    one = taken(figures, "day,product", SOLD, days=days, store="343")
    assert parts(await table(client, "daily-sales", "day,product", **WEEK, store="343"), SOLD) == one
    sku = max(figures.takings("product").items(), key=lambda item: item[1].sales)[0][0]
    assert parts(await table(client, "daily-sales", "store", sku=sku), SOLD) == taken(figures, "store", SOLD, sku=sku)
    category = figures.categories[sku]
    asked = taken(figures, "store", SOLD, category=category)
    assert parts(await table(client, "daily-sales", "store", category=category), SOLD) == asked


@pytest.mark.parametrize("group_by", ["hour", "day,hour", "hour,store"])
async def test_hourly_sales(client: httpx2.AsyncClient, figures: Figures, group_by: str) -> None:
    measures = "sales units revenue"
    found = parts(await table(client, "hourly-sales", group_by), measures)
    assert found == taken(figures, group_by, measures)


@pytest.mark.parametrize("group_by", ["store", "day,store", "week", "month"])
async def test_store_performance(client: httpx2.AsyncClient, figures: Figures, group_by: str) -> None:
    assert parts(await table(client, "store-performance", group_by), PERFORMANCE) == taken(figures, group_by, PERFORMANCE)


async def test_store_performance_against_the_week_before_and_with_its_empty_shelves(client: httpx2.AsyncClient, figures: Figures) -> None:
    first, last = date.fromisoformat(WEEK["from"]), date.fromisoformat(WEEK["to"])
    now = taken(figures, "store", PERFORMANCE, days=(first, last))
    before = taken(figures, "store", PERFORMANCE, days=(first - timedelta(days=7), last - timedelta(days=7)))
    found = await table(client, "store-performance", "store", **WEEK)
    assert parts(found, PERFORMANCE) == now
    for key, row in found.items():
        for name in ("revenue", "sales", "average_basket", "units", "returns"):
            assert row[f"previous_{name}"] == before[key][name]
            change = 100 * (Decimal(now[key][name]) - Decimal(before[key][name])) / Decimal(before[key][name])
            assert row[f"{name}_change_percent"] == pytest.approx(float(change), abs=0.051)
        assert row["stock_outs"] == sum(left <= 0 for (store, _), left in figures.on_hand.items() if store == key[0])


@pytest.mark.parametrize("sort", ["revenue", "units"])
@pytest.mark.parametrize("group_by", ["product", "category"])
async def test_top_products(client: httpx2.AsyncClient, figures: Figures, sort: str, group_by: str) -> None:
    found = await table(client, "top-products", group_by, sort=sort)
    takings = {key: amounts for key, amounts in figures.takings(group_by).items() if amounts.sold or amounts.returns}
    assert [key[0] for key in found] == ranked(takings, sort)
    assert parts(found, SOLD) == taken(figures, group_by, SOLD)
    for name in ("revenue", "units"):
        whole = sum(Decimal(getattr(amounts, name)) for amounts in takings.values())
        for key, row in found.items():
            assert row[f"{name}_share_percent"] == pytest.approx(float(100 * Decimal(getattr(takings[key], name)) / whole), abs=0.0051)


async def test_consolidated(client: httpx2.AsyncClient, figures: Figures) -> None:
    found = await table(client, "consolidated", "store,status")
    for (store,), total in figures.takings("store").items():
        expected = {
            "recorded": (total.sales, total.units, total.revenue + total.refunded),
            "voided": (len(total.voids), total.voided_units, total.voided),
            "returned": (len(total.returns), total.returned_units, total.refunded),
        }
        for status, figure in expected.items():
            row = found.pop((store, status))
            assert (row["receipts"], row["receipt_units"], Decimal(row["amount"])) == figure
    assert not found
    answer = await read(client, "reports/consolidated")
    assert [row["sku"] for row in answer["top_products"]] == ranked(figures.takings("product"), "revenue")[:10]
    assert answer["remaining_stock"]["on_hand"] == sum(figures.on_hand.values())
    assert answer["remaining_stock"]["value"] == plain(sum((figures.value(*each) for each in figures.on_hand.items()), Decimal(0)))
    assert [(row["store_id"], row["sku"]) for row in answer["low_stock"]] == sorted(figures.low)[:10]


async def test_stock_and_its_value(client: httpx2.AsyncClient, figures: Figures) -> None:
    found = await table(client, "stock-valuation", "store,product")
    assert {key: (row["on_hand"], row["value"]) for key, row in found.items()} == {
        shelf: (left, plain(figures.value(shelf, left))) for shelf, left in figures.on_hand.items()
    }
    for group_by, key_of in (("store", lambda shelf: shelf[0]), ("category", lambda shelf: figures.categories[shelf[1]])):
        for key, row in (await table(client, "stock-valuation", group_by)).items():
            shelves = {shelf: left for shelf, left in figures.on_hand.items() if key_of(shelf) == key[0]}
            assert row["on_hand"] == sum(shelves.values())
            assert row["skus"] == len(shelves)
            assert row["value"] == plain(sum((figures.value(*each) for each in shelves.items()), Decimal(0)))
            assert row["unknown_cost_units"] == sum(max(0, left) for shelf, left in shelves.items() if shelf not in figures.costs)
            assert row["stock_outs"] == sum(left <= 0 for left in shelves.values())


async def test_low_stock(client: httpx2.AsyncClient, figures: Figures) -> None:
    found = await table(client, "low-stock", "store,product", to=LAST_DAY.isoformat())
    assert {key: row["on_hand"] for key, row in found.items()} == figures.low
    sold = figures.sold_since(LAST_DAY - timedelta(days=27), LAST_DAY)
    for shelf, row in found.items():
        left, units = figures.low[shelf], sold.get(shelf, 0)
        assert row["reorder_point"] == figures.reorder_points.get(shelf)
        assert row["units_28_days"] == units
        assert row["days_left"] == (pytest.approx(max(0, left) * 28 / units, abs=0.051) if units else None)
        assert row["status"] == ("negative" if left < 0 else "out" if left == 0 else "low")


async def test_shrinkage(client: httpx2.AsyncClient, figures: Figures) -> None:
    found = await table(client, "shrinkage", "store,product")
    assert parts(found, "lost_units found_units net_lost_units lost_value") == {
        shelf: {"lost_units": units, "found_units": 0, "net_lost_units": units, "lost_value": plain(figures.value(shelf, units))}
        for shelf, units in figures.stolen.items()
    }


async def test_tills(client: httpx2.AsyncClient, figures: Figures) -> None:
    rows = (await read(client, "reports/tills"))["items"]
    assert {row["missing"] for row in rows} == {0}
    assert sum(row["last_seq"] for row in rows) == len(figures.baskets)


SAMPLES = (
    ("daily-sales", "day,store", "revenue sales", 29),
    ("daily-sales", "store,product", "units revenue", 1_501),
    ("daily-sales", "month,category", "revenue", 17),
    ("hourly-sales", "day,hour", "sales revenue", 151),
    ("store-performance", "store", "average_basket voids", 2),
    ("top-products", "product", "returned_units", 1_301),
    ("consolidated", "store,status", "receipts amount", 4),
    ("stock-valuation", "store", "value stock_outs", 2),
    ("stock-valuation", "category", "on_hand", 9),
    ("low-stock", "store,product", "on_hand reorder_point", 151),
    ("shrinkage", "store,product", "lost_units lost_value", 31),
)


@pytest.mark.parametrize(("report", "group_by", "measures", "step"), SAMPLES, ids=[f"{each[0]} by {each[1]}" for each in SAMPLES])
async def test_figures_computed_again_from_their_events_are_those_of_the_report(
    client: httpx2.AsyncClient, report: str, group_by: str, measures: str, step: int
) -> None:
    found = await table(client, report, group_by)
    for key, row in [*found.items()][::step]:
        cell = dict(pair for name, value in zip(group_by.split(","), key, strict=True) for pair in filters_of(name, value))
        for measure in measures.split():
            told = await read(client, f"reports/{report}/explain", measure=measure, limit=1, **cell)
            assert (told["reported"], told["recomputed"], told["agrees"]) == (row[measure], row[measure], True), (cell, measure)


def filters_of(name: str, value: str) -> list[tuple[str, str]]:
    """The filters that name a cell of a grouping."""
    if name == "day":
        return [("from", value), ("to", value)]
    if name == "month":
        first = date.fromisoformat(value)
        return [("from", value), ("to", ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).isoformat())]
    return [({"product": "sku"}.get(name, name), value)]
