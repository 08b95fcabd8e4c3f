"""How do the demonstration's stores, products and opening stock get into a system? By its REST interface, as anybody's would.

Every command has an id of its own that is the same on every load, so a second load, or one after an interruption, changes nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from magasin import demo_data
from magasin.demo_client import CONNECTIONS, UNPROCESSABLE, Answer, Client, RefusedError, in_parallel

ACCOUNT: Final = "admin"
TAIL: Final = CONNECTIONS
"""The last products sent that are waited for before the list of products is read."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was loaded. `already` deliveries of the opening stock were there from an earlier load."""

    stores: int
    products: int
    deliveries: int
    already: int
    units: int
    requests: int
    repeated: int
    seconds: float


class _Accepted(Answer):
    event_id: UUID


class _Product(Answer):
    sku: str


class _Products(Answer):
    items: list[_Product]


async def load_demonstration(base_url: str, password: str, progress: Progress) -> LoadResult:
    """Define the stores and products and deliver the opening stock; return when all is recorded and in every projection.

    `base_url` is the system's address without ``/api/v2``, `password` the demonstration accounts'. Raises DemonstrationError.
    """
    async with Client(base_url, password) as client:
        return await load(client, progress, yesterday())


async def is_loaded(base_url: str, password: str) -> bool:
    """Whether a load has come to its end here: its last delivery, which is only sent when all the others are recorded, is recorded."""
    async with Client(base_url, password) as client:
        return await loaded(client)


async def loaded(client: Client) -> bool:
    """The same for a client that is there already."""
    last = await client.outcome(ACCOUNT, demo_data.opening_deliveries()[-1].delivery_id)
    return last is not None and last.status == "recorded"


def yesterday() -> date:
    """Yesterday on the shops' clock."""
    return datetime.now(ZoneInfo(demo_data.TIMEZONE)).date() - timedelta(days=1)


async def load(client: Client, progress: Progress, last_day: date) -> LoadResult:
    """The load itself; the opening stock arrives before baskets whose last day is `last_day`."""
    started = time.monotonic()
    stores = await _define_stores(client, progress)
    products = await _define_products(client, progress)
    already = await _deliver(client, progress, last_day)
    deliveries = demo_data.opening_deliveries()
    return LoadResult(
        stores=stores,
        products=products,
        deliveries=len(deliveries),
        already=already,
        units=sum(units for delivery in deliveries for _, units in delivery.lines),
        requests=client.requests,
        repeated=client.repeated,
        seconds=time.monotonic() - started,
    )


async def _define(client: Client, path: str, body: bytes) -> UUID:
    # The content is part of the key: the same description again is the same event, a new edition of the files is a new one.
    key = uuid5(demo_data.NAMESPACE, f"{path}:{body.decode()}")
    answer = await client.command(ACCOUNT, "PUT", path, body, {"Idempotency-Key": str(key)})
    return _Accepted.model_validate_json(answer.content).event_id


async def _define_stores(client: Client, progress: Progress) -> int:
    bodies = demo_data.store_bodies()
    for done, (store_id, body) in enumerate(bodies.items(), start=1):
        # One after the other: the shops name the centre, and everything after names the shops.
        await client.settle(ACCOUNT, [await _define(client, f"/stores/{store_id}", body)])
        progress("stores", done, len(bodies))
    return len(bodies)


async def _define_products(client: Client, progress: Progress) -> int:
    products = demo_data.products()
    events: dict[str, UUID] = {}

    async def define(product: demo_data.Product) -> None:
        events[product.sku] = await _define(client, f"/products/{product.sku}", demo_data.product_body(product))
        progress("products", len(events), len(products))

    await in_parallel(products, define, parallel=CONNECTIONS)
    await client.settle(ACCOUNT, list(events.values())[-TAIL:])
    # Twenty pages tell what ten thousand questions would; only what is not on them is asked for singly.
    async for page in client.pages(ACCOUNT, "/products", _Products):
        for product in page.items:
            events.pop(product.sku, None)
    await client.settle(ACCOUNT, events.values())
    return len(products)


async def _deliver(client: Client, progress: Progress, last_day: date) -> int:
    *first, last = deliveries = demo_data.opening_deliveries()
    already: set[UUID] = set()
    done = 0

    async def deliver(delivery: demo_data.Delivery) -> None:
        nonlocal done
        # An earlier load may have been another day's, with other times: its deliveries stay as they are.
        if await client.outcome(ACCOUNT, delivery.delivery_id) is not None or not await _accepted(client, delivery, last_day):
            already.add(delivery.delivery_id)
        done += 1
        progress("opening stock", done, len(deliveries))

    await in_parallel(first, deliver)
    await client.settle(ACCOUNT, [delivery.delivery_id for delivery in first])
    await deliver(last)
    await client.settle(ACCOUNT, [last.delivery_id])
    return len(already)


async def _accepted(client: Client, delivery: demo_data.Delivery, last_day: date) -> bool:
    try:
        await client.command(ACCOUNT, "POST", f"/stores/{delivery.store_id}/deliveries", demo_data.delivery_body(delivery, last_day))
    except RefusedError as refusal:
        if (refusal.status, refusal.code) == (UNPROCESSABLE, "idempotency_mismatch"):
            return False
        raise
    return True
