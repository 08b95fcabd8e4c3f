"""Does each trap of RabbitMQ and of its Python client, found by trying, stay shut?

Where the trap itself can be shown on this broker, the test shows it first; where it can't (a newer broker's default), the test
asserts what keeps it shut. Tests that kill the broker or put it under alarm have one of their own.
"""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import aio_pika
import pytest
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from infra import connection as infra_connection
from infra.canary import Canary
from infra.connection import BrokerUnavailable, brief_channel, close, connect, settle_closings
from infra.consumer import BatchConsumer, Delivery, Handler, Retry
from infra.publisher import GRACE_SECONDS, ConfirmingPublisher
from infra.topology import (
    DEAD_LETTERS,
    DELIVERY_LIMIT,
    FEED,
    INTAKE,
    INTAKE_KEY,
    STOCK_WRITER,
    TopologyError,
    assert_topology,
    declare,
    definitions,
)
from magasin import rabbitmq
from tests.brokers import Cable, Management, OwnBroker, until
from tests.sandbox import fresh_broker
from tests.services import Services

ALARM_DEADLINE_SECONDS = 1.5
ATTEMPTS_AT_START = 20


@asynccontextmanager
async def opened(url: str, *, confirms: bool = True) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel of the test's own."""
    line = await connect(url, name="test")
    try:
        yield await line.channel(publisher_confirms=confirms, on_return_raises=confirms)
    finally:
        await close(line)


@asynccontextmanager
async def publishing(url: str, *, timeout_seconds: float = 10.0) -> AsyncIterator[ConfirmingPublisher]:
    publisher = ConfirmingPublisher(url, name="test", timeout_seconds=timeout_seconds)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.close()


@asynccontextmanager
async def consuming(consumer: BatchConsumer) -> AsyncIterator[BatchConsumer]:
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop(timeout_seconds=3)


async def send(publisher: ConfirmingPublisher, body: bytes = b"[]", *, exchange: str = INTAKE, key: str = INTAKE_KEY) -> None:
    await publisher.publish(exchange, key, body, content_type="application/json", type="test", app_id="magasin")


async def send_until_taken(publisher: ConfirmingPublisher, body: bytes) -> None:
    """Publish as a till does: refused, it comes again. A broker just started opens connections before its quorum queues have a leader."""
    async with asyncio.timeout(30):
        while True:
            try:
                await send(publisher, body)
            except BrokerUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def send_for_ever(publisher: ConfirmingPublisher, confirmed: list[float]) -> None:
    """Publish one after the other and note each confirm, until one fails."""
    while True:
        await send(publisher)
        confirmed.append(perf_counter())


async def check_for_ever(canary: Canary, deadline_seconds: float) -> None:
    """Check until a check fails."""
    while True:
        await canary.check(deadline_seconds)
        await asyncio.sleep(0.1)


async def refuse(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    await message.reject(requeue=True)


async def ready_in(url: str, queue: str = STOCK_WRITER.name) -> tuple[int, int]:
    """Messages that wait for a consumer, and consumers."""
    async with opened(url) as channel:
        found = (await channel.get_queue(queue)).declaration_result
    return found.message_count or 0, found.consumer_count or 0


async def wait_for_ready(url: str, expected: int, queue: str = STOCK_WRITER.name) -> None:
    async with asyncio.timeout(15):
        while (await ready_in(url, queue))[0] != expected:
            await asyncio.sleep(0.05)


class Taken:
    """A handler that keeps what it got, and can be told to fail first."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.batches: list[list[Delivery]] = []

    async def __call__(self, batch: list[Delivery]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.batches.append(batch)

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for batch in self.batches for delivery in batch]


def consumer_of(url: str, handler: Handler, *, prefetch: int = 50, batch: int = 20, queue: str = STOCK_WRITER.name) -> BatchConsumer:
    return BatchConsumer(url, queue, handler, prefetch_count=prefetch, batch_messages=batch, name="test")


@pytest.fixture
async def broker(broker_url: str) -> str:
    """The URL of a virtual host of this test's own with the topology in it."""
    async with opened(broker_url) as channel:
        await declare(channel)
    return broker_url


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBroker]:
    """A broker that this module may kill."""
    if rabbitmq.server_script() is None:
        pytest.skip("needs RabbitMQ's own programs")
    own = OwnBroker(Path(tmp_path_factory.mktemp("rabbitmq")))
    try:
        own.start()
        yield own
    finally:
        own.close()


@pytest.fixture
async def fragile(machine: OwnBroker) -> AsyncIterator[str]:
    """The same as `broker`, on the broker that may be killed."""
    machine.start()
    with fresh_broker(machine.services) as url:
        # It takes connections before it has a virtual host ready, and answers INTERNAL_ERROR until then.
        for attempt in range(ATTEMPTS_AT_START):
            try:
                async with brief_channel(url, name="test-topology") as channel:
                    await declare(channel)
            except BrokerUnavailable:
                if attempt == ATTEMPTS_AT_START - 1:
                    raise
                await asyncio.sleep(0.5)
            else:
                break
        yield url


# RabbitMQ


async def test_what_was_confirmed_survives_the_kill_of_the_broker(machine: OwnBroker, fragile: str) -> None:
    confirmed: list[float] = []
    async with publishing(fragile, timeout_seconds=2) as publisher:
        clients = [asyncio.create_task(send_for_ever(publisher, confirmed)) for _ in range(20)]
        await until(lambda: len(confirmed) > 300)
        machine.kill()
        failures = await asyncio.gather(*clients, return_exceptions=True)
        assert {type(failure) for failure in failures} == {BrokerUnavailable}
        machine.spawn()
        await until(machine.answers, 60)
        async with asyncio.timeout(20):
            while (await ready_in(fragile))[0] < len(confirmed):
                await asyncio.sleep(0.1)


async def test_an_alarm_hangs_publishers_of_new_connections_too_and_readiness_says_so(machine: OwnBroker, fragile: str) -> None:
    async with publishing(fragile, timeout_seconds=ALARM_DEADLINE_SECONDS) as publisher:
        canary = Canary(fragile, publisher, name="test")
        assert await canary.check(5) < 5
        async with machine.alarm():
            await close(await connect(fragile, name="a-liar"))
            began = perf_counter()
            # The answer may be two seconds old, no older.
            with pytest.raises(BrokerUnavailable):
                await check_for_ever(canary, ALARM_DEADLINE_SECONDS)
            assert perf_counter() - began < 2 + 2 * ALARM_DEADLINE_SECONDS
            with pytest.raises(BrokerUnavailable, match="in time"):
                await send(publisher)
            await asyncio.sleep(GRACE_SECONDS)
            began = perf_counter()
            with pytest.raises(BrokerUnavailable):
                await send(publisher)
            assert perf_counter() - began < 0.1, "an alarm that is known costs no request its timeout"
        await until(lambda: publisher.ready, 15)
        await send(publisher)
        await canary.close()


async def test_a_publish_that_timed_out_is_unknown_and_may_arrive_when_the_alarm_clears(machine: OwnBroker, fragile: str) -> None:
    async with publishing(fragile, timeout_seconds=ALARM_DEADLINE_SECONDS) as publisher:
        async with machine.alarm():
            with pytest.raises(BrokerUnavailable):
                await send(publisher, b"unknown, not failed")
        taken = Taken()
        async with consuming(consumer_of(fragile, taken)):
            await until(lambda: taken.bodies == [b"unknown, not failed"], 15)


async def test_consuming_goes_on_under_an_alarm_because_it_has_a_connection_of_its_own(machine: OwnBroker, fragile: str) -> None:
    async with publishing(fragile) as publisher:
        for _ in range(50):
            await send(publisher)
        async with machine.alarm():
            with pytest.raises(BrokerUnavailable):
                await publisher.publish(INTAKE, INTAKE_KEY, b"x", content_type="", type="", app_id="", timeout_seconds=0.5)
            taken = Taken()
            async with consuming(consumer_of(fragile, taken)) as consumer:
                await until(lambda: len(taken.bodies) == 50)
                await until(lambda: consumer.oldest_unacknowledged_seconds == 0)
            assert (await ready_in(fragile))[0] == 0


async def test_a_message_that_no_queue_takes_is_never_confirmed(broker: str) -> None:
    async with publishing(broker) as publisher:
        with pytest.raises(BrokerUnavailable) as caught:
            await send(publisher, exchange=FEED, key="nobody.listens")
        assert caught.value.unroutable
        await send(publisher)


async def test_the_topology_is_asserted_and_a_missing_queue_or_exchange_is_named(broker: str) -> None:
    async with opened(broker) as channel:
        await assert_topology(channel)
        await channel.queue_delete(STOCK_WRITER.name)
    async with opened(broker) as channel:
        with pytest.raises(TopologyError, match=STOCK_WRITER.name):
            await assert_topology(channel)
    async with opened(broker) as channel:
        await channel.exchange_delete(FEED)
    async with publishing(broker) as publisher:
        assert not publisher.ready
        with pytest.raises(BrokerUnavailable, match=FEED):
            await publisher.publish(INTAKE, INTAKE_KEY, b"", content_type="", type="", app_id="", timeout_seconds=3)


async def test_declaring_again_changes_nothing_and_other_arguments_are_refused_in_words(broker: str) -> None:
    async with opened(broker) as channel:
        await asyncio.gather(declare(channel), declare(channel))
        await channel.queue_delete(STOCK_WRITER.name)
        await channel.declare_queue(STOCK_WRITER.name, durable=True, arguments={"x-queue-type": "quorum"})
        with pytest.raises(TopologyError, match="empty it, delete it"):
            await declare(channel)


async def test_a_message_beyond_the_delivery_limit_is_dead_lettered_and_not_dropped(broker: str) -> None:
    async with opened(broker, confirms=False) as channel:
        await channel.set_qos(prefetch_count=1)
        await (await channel.get_queue(STOCK_WRITER.name)).consume(refuse)
        async with publishing(broker) as publisher:
            await send(publisher, b"again and again")
        taken = Taken()
        async with consuming(consumer_of(broker, taken, queue=DEAD_LETTERS.name)):
            await until(lambda: bool(taken.batches), 20)
    ((dead,),) = taken.batches
    assert dead.body == b"again and again"
    assert dead.routing_key == STOCK_WRITER.name
    assert dead.headers["x-first-death-queue"] == STOCK_WRITER.name
    assert dead.headers["x-first-death-reason"] == "delivery_limit"
    assert STOCK_WRITER.arguments["x-delivery-limit"] == DELIVERY_LIMIT


async def test_an_operator_lowers_the_delivery_limit_with_a_policy_and_no_queue_is_declared_again(services: Services, broker: str) -> None:
    management = Management.of(services, broker)
    if management is None:
        pytest.skip("needs the management API")
    management.put(
        "/api/policies/{vhost}/impatient", {"pattern": "^stock-writer$", "apply-to": "queues", "definition": {"delivery-limit": 2}}
    )
    async with opened(broker) as channel:
        await declare(channel)
    async with publishing(broker) as publisher:
        await send(publisher)
        async with opened(broker, confirms=False) as channel:
            await (await channel.get_queue(STOCK_WRITER.name)).consume(refuse)
            await wait_for_ready(broker, 1, DEAD_LETTERS.name)


async def test_a_lost_connection_uses_one_delivery_of_the_whole_prefetch_window(broker: str) -> None:
    async with Cable.to(broker) as cable, publishing(broker) as publisher:
        for _ in range(10):
            await send(publisher)
        taken = Taken(*[Retry("the database is away")] * 1_000)
        async with consuming(consumer_of(cable.url, taken, batch=1)) as consumer:
            await until(lambda: len(taken.failures) < 1_000)
            await wait_for_ready(broker, 0)
            taken.failures.clear()
            cable.cut()
            await until(lambda: len(set(map(id, taken.bodies))) >= 10 and consumer.oldest_unacknowledged_seconds == 0)
        redelivered = [delivery for batch in taken.batches for delivery in batch if delivery.redelivered]
        assert redelivered
        assert {delivery.delivery_count for delivery in redelivered} == {1}


async def test_what_a_handler_rejects_goes_to_the_dead_letters_and_its_neighbours_are_acknowledged(broker: str) -> None:
    async def refuse_poison(batch: list[Delivery]) -> None:
        for delivery in batch:
            delivery.reject = delivery.body == b"poison"

    dead = Taken()
    async with publishing(broker) as publisher:
        for body in (b"a", b"poison", b"b", b"poison"):
            await send(publisher, body)
        async with consuming(consumer_of(broker, refuse_poison)), consuming(consumer_of(broker, dead, queue=DEAD_LETTERS.name)):
            await until(lambda: dead.bodies == [b"poison", b"poison"])
        assert await ready_in(broker) == (0, 0)


async def test_global_prefetch_closes_the_connection_and_ours_is_never_global(broker: str) -> None:
    line = await connect(broker, name="test")
    channel = await line.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=10, global_=True)
    with pytest.raises(CONNECTION_EXCEPTIONS):
        await (await channel.get_queue(STOCK_WRITER.name)).consume(refuse)
    assert not infra_connection.is_open(line)
    await close(line)
    async with consuming(consumer_of(broker, Taken())) as consumer:
        await until(lambda: consumer.alive)


async def test_a_nack_opens_another_channel_on_the_same_connection(services: Services, broker: str) -> None:
    management = Management.of(services, broker)
    if management is None:
        pytest.skip("needs the management API")
    management.put("/api/policies/{vhost}/full", {"pattern": "^stock-writer$", "apply-to": "queues", "definition": {"max-length": 1}})
    async with publishing(broker) as publisher:
        with pytest.raises(BrokerUnavailable, match="refused") as caught:
            await send_for_ever(publisher, [])
        assert not caught.value.unroutable
        management.delete("/api/policies/{vhost}/full")
        async with asyncio.timeout(5):
            while True:
                try:
                    began = perf_counter()
                    await send(publisher)
                    break
                except BrokerUnavailable:
                    await asyncio.sleep(0.05)
        assert perf_counter() - began < 1


async def test_after_a_timeout_the_next_host_is_asked(broker: str) -> None:
    async with Cable.to(broker) as one, Cable.to(broker) as two:
        url = one.url.replace(one.host, f"{one.host},{two.host}")
        async with publishing(url, timeout_seconds=2) as publisher:
            await send(publisher)
            one.frozen = True
            with pytest.raises(BrokerUnavailable, match="in time"):
                await send(publisher)
            began = perf_counter()
            await send(publisher)
            assert perf_counter() - began < 2
            one.frozen = False


async def test_a_host_that_is_gone_costs_nothing_but_the_attempt(broker: str) -> None:
    async with Cable.to(broker) as one:
        url = one.url.replace(one.host, f"127.0.0.1:9,{one.host}")
        async with publishing(url) as publisher:
            assert publisher.ready


async def test_a_paused_consumer_cancels_and_gives_back_what_it_had_not_begun(broker: str) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    taken = Taken()

    async def slow(batch: list[Delivery]) -> None:
        begun.set()
        await go_on.wait()
        await taken(batch)

    async with publishing(broker) as publisher:
        for number in range(30):
            await send(publisher, b"%d" % number)
        async with consuming(consumer_of(broker, slow, batch=10)) as consumer:
            await begun.wait()
            pausing = asyncio.create_task(consumer.pause())
            await asyncio.sleep(0.1)
            assert not pausing.done(), "the batch at hand is finished first"
            go_on.set()
            await pausing
            done = len(taken.bodies)
            assert 0 < done <= 10
            await wait_for_ready(broker, 30 - done)
            assert (await ready_in(broker))[1] == 0
            assert consumer.alive
            assert not consumer.consuming
            consumer.resume()
            await until(lambda: len(taken.bodies) == 30)
        assert sorted(map(int, taken.bodies)) == list(range(30))


async def test_processes_without_the_configure_right_work_on_a_topology_from_definitions(services: Services, broker_url: str) -> None:
    management = Management.of(services, broker_url)
    if management is None:
        pytest.skip("needs the management API")
    user = management.vhost
    management.put("/api/users/" + user, {"password": "least", "tags": ""})
    try:
        rights = {
            "configure": r"^amq\.gen-.*$",
            "write": r"^(magasin\..*|amq\.direct|amq\.gen-.*)$",
            "read": r"^(stock-writer|amq\.direct|amq\.gen-.*)$",
        }
        management.put("/api/permissions/{vhost}/" + user, rights)
        management.post("/api/definitions/{vhost}", definitions(management.vhost))
        url = management.url_for(broker_url, user, "least")
        async with opened(url) as channel:
            await assert_topology(channel)
        taken = Taken()
        async with publishing(url) as publisher, consuming(consumer_of(url, taken)) as consumer:
            canary = Canary(url, publisher, name="test")
            assert await canary.check(5) < 5
            await send(publisher)
            await until(lambda: len(taken.bodies) == 1 and consumer.alive)
            await canary.close()
        async with opened(broker_url) as channel:
            await declare(channel)
    finally:
        management.delete("/api/users/" + user)


# aio-pika and aiormq


async def test_the_client_takes_an_unroutable_publish_for_done_unless_told_and_ours_is_told(broker: str) -> None:
    line = await connect(broker, name="test")
    careless = await line.channel()
    returned = await (await careless.get_exchange(FEED)).publish(aio_pika.Message(b""), "nobody.listens", mandatory=True)
    assert getattr(returned, "name", None) != "Basic.Ack"
    await close(line)
    async with publishing(broker) as publisher:
        with pytest.raises(BrokerUnavailable):
            await send(publisher, exchange=FEED, key="nobody.listens")


async def test_two_in_flight_with_one_message_id_fool_the_client_so_each_attempt_has_its_own(broker: str) -> None:
    async with opened(broker) as channel:
        feed = await channel.get_exchange(FEED)
        twins = [feed.publish(aio_pika.Message(b"", message_id="same"), "nobody.listens", mandatory=True) for _ in range(2)]
        outcomes = await asyncio.gather(*twins, return_exceptions=True)
        assert any(getattr(outcome, "name", None) == "Basic.Ack" for outcome in outcomes), "the trap is gone: simplify"
    taken = Taken()
    async with publishing(broker) as publisher, consuming(consumer_of(broker, taken)):
        lost = [send(publisher, b"same", exchange=FEED, key="nobody.listens") for _ in range(50)]
        kept = [send(publisher, b"same") for _ in range(50)]
        outcomes = await asyncio.gather(*lost, *kept, return_exceptions=True)
        assert [isinstance(outcome, BrokerUnavailable) and outcome.unroutable for outcome in outcomes] == [True] * 50 + [False] * 50
        await until(lambda: len(taken.bodies) == 50)
    ids = Counter(delivery.message_id for batch in taken.batches for delivery in batch)
    assert len(ids) == 50


async def test_a_connection_dead_by_heartbeat_is_unavailable_and_not_a_cancelled_request(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert infra_connection.HEARTBEAT_SECONDS == 10
    monkeypatch.setattr(infra_connection, "HEARTBEAT_SECONDS", 1)
    async with Cable.to(broker) as cable, publishing(cable.url, timeout_seconds=60) as publisher:
        cable.frozen = True
        began = perf_counter()
        with pytest.raises(BrokerUnavailable) as caught:
            await send(publisher)
        assert perf_counter() - began < 20
        assert not isinstance(caught.value.__cause__, TimeoutError), "the heartbeat must have been first"
        cable.frozen = False
        await until(lambda: publisher.ready, 15)
        await send(publisher)


async def test_no_publish_takes_longer_than_its_timeout_while_the_broker_is_away(machine: OwnBroker, fragile: str) -> None:
    async with publishing(fragile) as publisher:
        machine.kill()
        for _ in range(3):
            began = perf_counter()
            with pytest.raises(BrokerUnavailable):
                await publisher.publish(INTAKE, INTAKE_KEY, b"", content_type="", type="", app_id="", timeout_seconds=0.3)
            assert perf_counter() - began < 0.5
        machine.spawn()
        await until(machine.answers, 60)
        waited = await until(lambda: publisher.ready, 10)
        assert waited < 3


async def test_a_cancelled_handler_loses_nothing(broker: str) -> None:
    taken = Taken(asyncio.CancelledError())
    async with publishing(broker) as publisher, consuming(consumer_of(broker, taken)):
        await send(publisher, b"kept")
        await until(lambda: taken.bodies == [b"kept"])


async def test_a_worker_stopped_in_the_middle_of_a_batch_gives_it_back(broker: str) -> None:
    begun = asyncio.Event()

    async def endless(_: list[Delivery]) -> None:
        begun.set()
        await asyncio.sleep(60)

    async with publishing(broker) as publisher:
        await send(publisher, b"kept")
        consumer = consumer_of(broker, endless)
        await consumer.start()
        await begun.wait()
        assert consumer.handling_seconds > 0
        assert consumer.oldest_unacknowledged_seconds > 0
        await consumer.stop(timeout_seconds=0.2)
        assert not consumer.alive
        taken = Taken()
        async with consuming(consumer_of(broker, taken)):
            await until(lambda: taken.bodies == [b"kept"])


async def test_a_handler_that_raises_more_often_than_the_prefetch_is_deep_does_not_stick(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.consumer.RETRY_FIRST_SECONDS", 0.001)
    monkeypatch.setattr("infra.consumer.RETRY_MOST_SECONDS", 0.002)
    taken = Taken(*[ValueError("a bug")] * 20, *[Retry("the database is away")] * 20)
    async with publishing(broker) as publisher, consuming(consumer_of(broker, taken, prefetch=5, batch=3)) as consumer:
        for number in range(30):
            await send(publisher, b"%d" % number)
            if number == 0:
                await until(lambda: consumer.last_error is not None)
                assert consumer.since is not None
        await until(lambda: len(taken.bodies) == 30)
        assert taken.bodies == [b"%d" % number for number in range(30)], "kept in memory, in order, never given back"
        await until(lambda: consumer.last_error is None and consumer.oldest_unacknowledged_seconds == 0)
    assert await ready_in(broker) == (0, 0)


async def test_publishing_to_an_exchange_that_was_not_asserted_harms_nobody(broker: str) -> None:
    async with publishing(broker) as publisher:
        neighbours = [send(publisher) for _ in range(20)]
        with pytest.raises(ValueError, match="not one of the exchanges"):
            await send(publisher, exchange="magasin.typo")
        await asyncio.gather(*neighbours)


async def test_an_exchange_deleted_under_the_publisher_is_unavailable_until_it_is_back(broker: str) -> None:
    async with publishing(broker) as publisher:
        async with opened(broker) as channel:
            await channel.exchange_delete(FEED)
        with pytest.raises(BrokerUnavailable):
            await send(publisher, exchange=FEED, key="x")
        with pytest.raises(BrokerUnavailable):
            await asyncio.gather(*(send(publisher) for _ in range(5)))
        async with opened(broker) as channel:
            await declare(channel)
        await until(lambda: publisher.ready)
        await send(publisher)


async def test_acknowledging_after_a_reconnect_is_swallowed_and_touches_no_other_message(broker: str) -> None:
    first, go_on = asyncio.Event(), asyncio.Event()
    taken = Taken()

    async def slow_at_first(batch: list[Delivery]) -> None:
        if not first.is_set():
            first.set()
            await go_on.wait()
        await taken(batch)

    async with Cable.to(broker) as cable, publishing(broker) as publisher:
        async with consuming(consumer_of(cable.url, slow_at_first, batch=5)):
            for number in range(20):
                await send(publisher, b"%d" % number)
            await first.wait()
            cable.cut()
            await asyncio.sleep(0.2)
            go_on.set()
            await until(lambda: len(set(taken.bodies)) == 20)
            seen = Counter(taken.bodies)
            assert seen[taken.bodies[0]] >= 2, "the batch of the lost connection came again"
            await asyncio.sleep(0.2)
        assert await ready_in(broker) == (0, 0)


async def test_channels_and_queues_that_only_we_hold_survive_the_garbage_collector(broker: str) -> None:
    taken = Taken()
    async with publishing(broker) as publisher, consuming(consumer_of(broker, taken)):
        canary = Canary(broker, publisher, name="test")
        for number in range(20):
            gc.collect()
            await send(publisher)
            await until(lambda wanted=number + 1: len(taken.bodies) == wanted)  # type: ignore[misc]
        assert await canary.check(5) < 5
        gc.collect()
        await asyncio.sleep(2.1)
        assert await canary.check(5) < 5
        await canary.close()


async def test_a_probe_that_went_away_does_not_spoil_the_next_one(broker: str) -> None:
    async with publishing(broker) as publisher:
        canary = Canary(broker, publisher, name="test")
        probe = asyncio.create_task(canary.check(5))
        await asyncio.sleep(0)
        probe.cancel()
        first, second = await asyncio.gather(canary.check(5), canary.check(5))
        assert first == second, "checks of the same moment share one message"
        await canary.close()


async def test_a_batch_is_bounded_by_messages_and_by_bytes(broker: str) -> None:
    taken = Taken()
    async with publishing(broker) as publisher:
        for size in (1, 1, 1, 60, 60, 200, 1):
            await send(publisher, b"x" * size)
        consumer = BatchConsumer(broker, STOCK_WRITER.name, taken, prefetch_count=50, batch_messages=2, batch_bytes=100, name="test")
        await consumer.start(paused=True)
        assert consumer.alive
        assert not consumer.consuming
        consumer.resume()
        await until(lambda: len(taken.bodies) == 7)
        await consumer.stop()
    assert all(len(batch) <= 2 and (len(batch) == 1 or sum(len(d.body) for d in batch) <= 100) for batch in taken.batches)


# What must heal by itself


async def test_consuming_goes_on_soon_after_the_broker_was_killed_and_is_back(machine: OwnBroker, fragile: str) -> None:
    taken = Taken()
    async with publishing(fragile) as publisher, consuming(consumer_of(fragile, taken)) as consumer:
        await send_until_taken(publisher, b"before")
        await until(lambda: b"before" in taken.bodies)
        machine.kill()
        await until(lambda: not consumer.consuming)
        assert consumer.last_error is not None
        machine.spawn()
        await until(machine.answers, 60)
        assert await until(lambda: consumer.consuming and publisher.ready, 10) < 3
        await send_until_taken(publisher, b"after")
        await until(lambda: taken.bodies[-1] == b"after")
        assert consumer.alive


async def test_a_consumer_whose_queue_was_deleted_notices_and_consumes_again_when_it_is_back(broker: str) -> None:
    taken = Taken()
    async with publishing(broker) as publisher, consuming(consumer_of(broker, taken)) as consumer:
        await until(lambda: consumer.alive)
        async with opened(broker) as channel:
            await channel.queue_delete(STOCK_WRITER.name)
            await until(lambda: not consumer.consuming)
            assert not consumer.alive
            await declare(channel)
        await until(lambda: consumer.alive)
        await send(publisher)
        await until(lambda: len(taken.bodies) == 1)


async def test_a_consumer_that_only_looks_alive_is_found_out_and_begins_again(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.consumer.WATCH_SECONDS", 0.1)
    taken = Taken()
    async with publishing(broker) as publisher, consuming(consumer_of(broker, taken)) as consumer:
        await until(lambda: consumer.alive)
        session = consumer._session  # noqa: SLF001 - the trap is in there
        assert session is not None
        underlay = await session.channel.get_underlay_channel()
        # Gone for the broker, and no word of it to the consumer: what a lost leader or a client's bug leaves behind.
        await underlay.basic_cancel(session.consumer_tag)
        await send(publisher)
        await until(lambda: len(taken.bodies) == 1)
        assert consumer._session is not session  # noqa: SLF001 - the same


async def test_a_silent_network_makes_a_consumer_not_alive(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.consumer.WATCH_SECONDS", 0.2)
    async with Cable.to(broker) as cable, consuming(consumer_of(cable.url, Taken())) as consumer:
        await until(lambda: consumer.alive)
        cable.frozen = True
        await until(lambda: not consumer.alive)
        cable.frozen = False
        await until(lambda: consumer.alive, 15)
    await settle_closings()
