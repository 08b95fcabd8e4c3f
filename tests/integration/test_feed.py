"""Does every recorded event reach other systems singly, in order per store, through every failure?"""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage
from pydantic_core import from_json
from sqlalchemy import Engine, text

from infra.connection import BrokerUnavailable, connect
from infra.database import engine_for
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from infra.topology import FEED, declare
from tests.brokers import until
from tests.outside import Ear, ear, outbound
from tests.services import Services
from tests.telling import Branch, sale
from workers.ahead import CHUNK_EVENTS

PATIENCE = 20.0


@pytest.fixture
def engine(settings_for_test: Settings) -> Iterator[Engine]:
    pool = engine_for(settings_for_test, name="test-feed")
    yield pool
    pool.dispose()


def branch(engine: Engine, sales: int) -> Branch:
    """A store with so many sales after its opening."""
    made = Branch(engine).opened()
    made.keep(*(sale(("apple", 1)) for _ in range(sales)))
    return made


async def heard_all(heard: Ear, *branches: Branch) -> None:
    await until(lambda: all(heard.order(each.store_id) == [event.seq for event in each.log] for each in branches), PATIENCE)


async def test_an_event_goes_out_in_binary_mode_with_its_attributes_as_headers(settings_for_test: Settings, engine: Engine) -> None:
    shop = branch(engine, 1)
    (event,) = (each for each in shop.log if each.type == "sale.recorded")
    async with ear(settings_for_test.amqp_url, f"sale.recorded.v1.{shop.store_id}") as heard, outbound(settings_for_test, engine):
        await until(lambda: bool(heard.messages), PATIENCE)
    (message,) = heard.messages
    assert message.routing_key == f"sale.recorded.v1.{shop.store_id}"
    assert from_json(message.body) == event.data
    expected: dict[str, Any] = {
        "ce-specversion": "1.0",
        "ce-id": str(event.event_id),
        "ce-type": "sale.recorded",
        "ce-source": event.source,
        "ce-time": "2026-03-14T12:00:00Z",
        "ce-dataschema": "urn:magasin:schema:sale.recorded:1",
        "ce-storeid": shop.store_id,
        "ce-seq": event.seq,
        "ce-outcome": "recorded",
        "ce-businessdate": "2026-03-14",
    }
    assert expected.items() <= dict(message.headers).items()
    assert not {"ce-actor", "ce-fingerprint", "ce-effect"} & set(message.headers)
    assert (message.type, message.app_id, message.content_type) == ("sale.recorded", "feed", "application/json")
    assert message.delivery_mode == 2
    assert message.timestamp is not None
    assert message.message_id != str(event.event_id)


async def test_everything_in_the_log_goes_out_once_in_order_per_store_and_then_what_is_told(
    settings_for_test: Settings, engine: Engine
) -> None:
    branches = [branch(engine, 30) for _ in range(4)]
    async with ear(settings_for_test.amqp_url) as heard, outbound(settings_for_test, engine) as outside:
        await heard_all(heard, *branches)
        for each in branches:
            each.keep(*(sale(("pear", 1)) for _ in range(20)))
        await asyncio.gather(*(outside.wake(each.store_id) for each in branches))
        await heard_all(heard, *branches)
        for each in branches:
            await until(lambda: outside.place("feed", each.store_id) == len(each.log), PATIENCE)  # noqa: B023 - awaited in the loop
    for each in branches:
        assert heard.seqs(each.store_id) == [event.seq for event in each.log]


async def test_what_no_message_told_of_is_read_from_the_log(settings_for_test: Settings, engine: Engine) -> None:
    shop = branch(engine, 1)
    async with ear(settings_for_test.amqp_url) as heard, outbound(settings_for_test, engine) as outside:
        await heard_all(heard, shop)
        shop.keep(*(sale(("apple", 1)) for _ in range(2 * CHUNK_EVENTS)))
        await outside.publisher.announce(b"no JSON", content_type="text/plain", type="projected", app_id="test")
        await outside.wake(shop.store_id, len(shop.log))
        await heard_all(heard, shop)
    assert heard.seqs(shop.store_id) == [event.seq for event in shop.log]


async def test_while_nobody_listens_nothing_is_published_and_who_comes_then_gets_what_is_recorded_from_then_on(
    services: Services, settings_for_test: Settings, engine: Engine
) -> None:
    if services.management_url is None:
        pytest.skip("needs the management API")
    shop, counting = branch(engine, 20), Counting(settings_for_test.amqp_url, name="counting")
    async with outbound(settings_for_test, engine, counting) as outside:
        await until(lambda: outside.place("feed", shop.store_id) == len(shop.log), PATIENCE)
        assert counting.count == 0
        async with ear(settings_for_test.amqp_url) as heard:
            missed = len(shop.log)
            shop.keep(*(sale(("apple", 1)) for _ in range(5)))  # nobody is told of these: that somebody listens now is enough
            await until(lambda: heard.order(shop.store_id) == [event.seq for event in shop.log[missed:]], PATIENCE)


class Counting(ConfirmingPublisher):
    """Counts what is published to the feed."""

    count = 0

    async def publish(self, exchange: str, *arguments: Any, **properties: Any) -> None:  # noqa: ANN401 - as the publisher takes them
        self.count += exchange == FEED
        await super().publish(exchange, *arguments, **properties)


class Failing(ConfirmingPublisher):
    """Every third publish to the feed fails, half of those after the broker took it."""

    count = 0

    async def publish(self, exchange: str, *arguments: Any, **properties: Any) -> None:  # noqa: ANN401 - as the publisher takes them
        if exchange != FEED:
            await super().publish(exchange, *arguments, **properties)
            return
        self.count += 1
        if self.count % 6 == 3:
            raise BrokerUnavailable("not sent")
        await super().publish(exchange, *arguments, **properties)
        if self.count % 6 == 0:
            raise BrokerUnavailable("sent, but who knows")


async def test_failures_in_the_middle_repeat_and_never_reorder(settings_for_test: Settings, engine: Engine) -> None:
    branches = [branch(engine, 8) for _ in range(3)]
    failing = Failing(settings_for_test.amqp_url, name="failing")
    async with ear(settings_for_test.amqp_url) as heard, outbound(settings_for_test, engine, failing):
        await heard_all(heard, *branches)
    assert any(len(heard.seqs(each.store_id)) > len(each.log) for each in branches)


async def test_a_queue_that_refuses_messages_in_between_gets_them_in_order_all_the_same(
    settings_for_test: Settings, engine: Engine
) -> None:
    """With several unconfirmed messages of one store under way, one behind a refused one would have been taken before it."""
    shop, heard = branch(engine, 10), Ear()

    async def slowly(message: AbstractIncomingMessage) -> None:
        await heard.hear(message)
        await asyncio.sleep(0.02)
        await message.ack()

    connection = await connect(settings_for_test.amqp_url, name="narrow")
    try:
        channel = await connection.channel()
        await declare(channel)
        await channel.set_qos(prefetch_count=1)
        narrow: dict[str, Any] = {"x-queue-type": "quorum", "x-max-length": 2, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("narrow", durable=True, arguments=narrow)
        await queue.bind(FEED, "#")
        await queue.consume(slowly)
        async with outbound(settings_for_test, engine):
            await heard_all(heard, shop)
    finally:
        await connection.close()


async def test_a_worker_that_died_before_it_wrote_its_place_repeats_and_skips_nothing(settings_for_test: Settings, engine: Engine) -> None:
    shop = branch(engine, 10)
    async with ear(settings_for_test.amqp_url) as heard:
        async with outbound(settings_for_test, engine) as outside:
            await heard_all(heard, shop)
            await until(lambda: outside.place("feed", shop.store_id) == len(shop.log), PATIENCE)
        with engine.begin() as connection:
            connection.execute(text("UPDATE outward_position SET seq = 4 WHERE store_id = :store_id"), {"store_id": shop.store_id})
        shop.keep(sale(("apple", 1)))
        async with outbound(settings_for_test, engine):
            await heard_all(heard, shop)
    assert heard.seqs(shop.store_id) == [*range(1, len(shop.log)), *range(5, len(shop.log) + 1)]


async def test_of_two_one_works_and_the_other_goes_on_when_it_ends(settings_for_test: Settings, engine: Engine) -> None:
    shop = branch(engine, 5)
    async with ear(settings_for_test.amqp_url) as heard:
        async with outbound(settings_for_test, engine) as first:
            await heard_all(heard, shop)
            async with AsyncExitStack() as stack:
                second = await stack.enter_async_context(outbound(settings_for_test, engine))
                shop.keep(sale(("apple", 1)))
                await first.wake(shop.store_id)
                await heard_all(heard, shop)
                later = stack.pop_all()
        shop.keep(sale(("apple", 1)))
        await second.wake(shop.store_id)
        await heard_all(heard, shop)
        await later.aclose()
    assert heard.seqs(shop.store_id) == [event.seq for event in shop.log]


async def test_who_takes_the_lead_away_is_followed_by_another_start(settings_for_test: Settings, engine: Engine) -> None:
    shop = branch(engine, 5)
    async with ear(settings_for_test.amqp_url) as heard, outbound(settings_for_test, engine):
        await heard_all(heard, shop)
        with engine.connect() as connection:
            lost = connection.scalar(
                text(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE application_name LIKE '%-lead' AND datname = current_database()"
                )
            )
        assert lost == 1
        shop.keep(sale(("apple", 1)))
        await heard_all(heard, shop)
