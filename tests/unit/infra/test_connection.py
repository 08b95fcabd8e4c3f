"""What do we make of a broker's address and of a connection's failures?"""

import asyncio

import pytest
from aio_pika.exceptions import AMQPConnectionError, ChannelInvalidStateError

from infra.connection import Backoff, BrokerUnavailable, addresses, connect, reported


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://u:p@one:5672/v", ["amqp://u:p@one:5672/v"]),
        ("amqp://u:p@one:5672,two:5673/v?x=1", ["amqp://u:p@one:5672/v?x=1", "amqp://u:p@two:5673/v?x=1"]),
        ("amqps://u:p%40,q@one, two/%2F", ["amqps://u:p%40,q@one/%2F", "amqps://u:p%40,q@two/%2F"]),
        ("amqp://[::1]:5672,one/", ["amqp://[::1]:5672/", "amqp://one/"]),
        ("amqp://one", ["amqp://one"]),
    ],
)
def test_each_host_gets_the_user_vhost_and_query_of_the_whole(url: str, expected: list[str]) -> None:
    assert list(addresses(url)) == expected


@pytest.mark.parametrize("error", [AMQPConnectionError("gone"), ChannelInvalidStateError("closed"), ConnectionResetError(), TimeoutError()])
def test_what_a_broken_connection_throws_is_the_broker_being_unavailable(error: Exception) -> None:
    with pytest.raises(BrokerUnavailable) as caught, reported():
        raise error
    assert caught.value.__cause__ is error
    assert not caught.value.unroutable


async def test_a_cancellation_that_nobody_asked_for_is_a_lost_connection() -> None:
    confirm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    confirm.cancel()
    with pytest.raises(BrokerUnavailable, match="lost"), reported():
        await confirm


async def test_a_real_cancellation_stays_one() -> None:
    async def publish() -> None:
        with reported():
            await asyncio.sleep(10)

    task = asyncio.create_task(publish())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_mistake_of_ours_is_not_blamed_on_the_broker() -> None:
    with pytest.raises(KeyError), reported():
        raise KeyError


async def test_no_host_answering_names_each_of_them() -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1: .*; localhost: "):
        await connect("amqp://u:p@127.0.0.1:9,localhost:9/", name="test")


def test_waits_double_up_to_their_bound_and_begin_again() -> None:
    backoff = Backoff(1.0, 4.0)
    waits = [backoff.next_seconds() for _ in range(5)]
    for wait, bound in zip(waits, [1, 2, 4, 4, 4], strict=True):
        assert bound / 2 <= wait <= bound
    backoff.reset()
    assert backoff.next_seconds() <= 1
