"""Does the broker let each process do its work with its own user, and refuse it everything else?"""

from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import ChannelClosed

from infra.broker_users import OUTSIDER
from infra.canary import Canary
from infra.connection import BrokerUnavailable, brief_channel
from infra.consumer import BatchConsumer, Delivery
from infra.publisher import ConfirmingPublisher
from infra.topology import EVENTS, FEED, INTAKE, INTAKE_KEY, PROJECTOR, QUEUES, RECORDED_KEY, STOCK_WRITER, TopologyError, declare, provide
from tests.brokers import until
from tests.privileges import broker_urls
from tests.services import Services

PROCESSES = ("api", "stock-writer", "projector", "dead-letters", "outbound", "operator")


@pytest.fixture
def users(services: Services, broker_url: str) -> Iterator[Mapping[str, str]]:
    """The URL of each user, in a virtual host that was made of the definitions alone."""
    if services.management_url is None:
        pytest.skip("needs the management API")
    with broker_urls(services, broker_url) as urls:
        yield urls


def heard(deliveries: list[bytes]) -> Any:  # noqa: ANN401 - a handler
    async def handle(arrived: list[Delivery]) -> None:
        deliveries.extend(each.body for each in arrived)

    return handle


async def send(url: str, exchange: str, key: str, body: bytes = b"{}") -> None:
    """Publish as a process does. Raises BrokerUnavailable."""
    publisher = ConfirmingPublisher(url, name="test")
    await publisher.start()
    try:
        await publisher.publish(exchange, key, body, content_type="application/json", type="test", app_id="test", timeout_seconds=20)
    finally:
        await publisher.close()


@asynccontextmanager
async def refused() -> Any:  # noqa: ANN401 - an async context
    with pytest.raises((ChannelClosed, BrokerUnavailable), match="ACCESS_REFUSED"):
        yield


async def unheard(_: AbstractIncomingMessage) -> None:
    """Nothing comes."""


@pytest.mark.parametrize("name", PROCESSES)
async def test_every_process_starts_and_its_readiness_is_a_real_message(users: Mapping[str, str], name: str) -> None:
    await provide(users[name], name="test")
    publisher = ConfirmingPublisher(users[name], name="test")
    await publisher.start()
    canary = Canary(users[name], publisher, name="test")
    try:
        await canary.check(20)
    finally:
        await canary.close()
        await publisher.close()


async def test_what_the_api_accepts_reaches_the_stock_writer_and_what_that_records_the_projector(users: Mapping[str, str]) -> None:
    for sender, exchange, key, reader in (
        ("api", INTAKE, INTAKE_KEY, STOCK_WRITER.name),
        ("stock-writer", EVENTS, RECORDED_KEY, PROJECTOR.name),
        ("operator", "", STOCK_WRITER.name, STOCK_WRITER.name),
    ):
        arrived: list[bytes] = []
        consumer = BatchConsumer(users[reader], reader, heard(arrived), prefetch_count=5, batch_messages=5, name="test")
        await consumer.start()
        await send(users[sender], exchange, key, sender.encode())
        await until(lambda: arrived == [sender.encode()], 20)  # noqa: B023 - awaited within the round
        await consumer.stop()


async def test_nobody_reads_anothers_queue(users: Mapping[str, str]) -> None:
    for name, queue in ((name, each.name) for name in PROCESSES for each in QUEUES if each.name != name):
        async with refused(), brief_channel(users[name], name="test") as channel:
            await (await channel.get_queue(queue, ensure=False)).consume(unheard, no_ack=True)


@pytest.mark.parametrize(
    ("exchange", "key"),
    [(EVENTS, RECORDED_KEY), (FEED, "sale.recorded.v1.x"), ("", PROJECTOR.name), ("", STOCK_WRITER.name), (INTAKE, "intake.v2")],
)
async def test_the_api_says_what_was_accepted_and_nothing_else(users: Mapping[str, str], exchange: str, key: str) -> None:
    async with refused(), brief_channel(users["api"], name="test") as channel:
        to = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await to.publish(aio_pika.Message(b"{}"), key)


async def test_no_process_makes_or_removes_what_lasts(users: Mapping[str, str]) -> None:
    for name in PROCESSES:
        async with refused(), brief_channel(users[name], name="test") as channel:
            await channel.declare_queue("mine", durable=True)
        async with refused(), brief_channel(users[name], name="test") as channel:
            await channel.queue_delete(STOCK_WRITER.name)
        async with refused(), brief_channel(users[name], name="test") as channel:
            await (await channel.get_queue(PROJECTOR.name, ensure=False)).unbind(EVENTS, "#")


async def test_a_process_that_may_make_nothing_says_what_is_missing(services: Services, users: Mapping[str, str], broker_url: str) -> None:
    del services
    async with brief_channel(broker_url, name="test") as channel:
        await channel.queue_delete(PROJECTOR.name)
    with pytest.raises(TopologyError, match=PROJECTOR.name):
        await provide(users["api"], name="test")
    async with brief_channel(broker_url, name="test") as channel:
        await declare(channel)
    await provide(users["api"], name="test")


async def test_an_outsider_follows_the_feed_in_queues_of_its_own(users: Mapping[str, str]) -> None:
    arrived: list[bytes] = []
    connection = await aio_pika.connect(users[OUTSIDER])
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"{OUTSIDER}.accounting", durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(FEED, "sale.#")

        async def hear(message: AbstractIncomingMessage) -> None:
            arrived.append(message.body)

        await queue.consume(hear, no_ack=True)
        await send(users["outbound"], FEED, "sale.recorded.v1.x", b"sold")
        await until(lambda: arrived == [b"sold"], 20)
    async with refused(), brief_channel(users[OUTSIDER], name="test") as channel:
        await (await channel.get_queue(f"{OUTSIDER}.accounting", ensure=False)).bind(EVENTS, "#")
    async with refused(), brief_channel(users[OUTSIDER], name="test") as channel:
        await channel.declare_queue("elsewhere", durable=True)
