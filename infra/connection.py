"""How does a process reach the broker, and what does it make of a connection that fails?

Connections are aio-pika's plain ones, not its robust ones. A robust connection knows one host, waits 5 s between attempts,
ignores ``timeout=`` while it reconnects, declares again what it declared before (which needs the configure right) and puts a
new channel under an old delivery, so that a late acknowledgement closes it. Here whoever owns a connection opens the next one:
the publisher and the consumer each have a short loop for that, and a delivery keeps the channel it came by.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

HEARTBEAT_SECONDS = 10
"""A dead peer is noticed after about 33 s (aiormq waits three heartbeats); with the client's default of 60 it takes 183 s."""
CONNECT_TIMEOUT_SECONDS = 3.0
"""For one host: name, TCP, TLS, login and the first answer."""
CLOSE_TIMEOUT_SECONDS = 5.0
CALLBACK_TURNS = 5
"""Turns of the event loop that aio-pika's close callbacks take after `close` has returned; they run in tasks of their own."""

log = logging.getLogger(__name__)
_leaving: set[asyncio.Task[None]] = set()


class BrokerUnavailable(Exception):
    """The broker did not confirm.

    That means *unknown*, not *failed*: after an alarm clears, most publishes that timed out are delivered all the same. Whoever
    gets this repeats the same event with the same id, and the log makes it one.

    `unroutable` says that no queue took the message, which is the one certain failure and a fault of the topology.
    """

    def __init__(self, reason: str, *, unroutable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unroutable = unroutable


class Broker:
    """One or more hosts of one broker, tried in turn: the attempt after a failure begins with the next host."""

    def __init__(self, url: str, *, name: str) -> None:
        self.name = name
        self._addresses = deque(addresses(url))

    async def connect(self) -> AbstractConnection:
        """The first connection that a host accepts, each host asked once. Raises BrokerUnavailable when none does."""
        reasons = []
        for _ in range(len(self._addresses)):
            address = self._addresses[0]
            self._addresses.rotate(-1)
            try:
                with reported():
                    async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                        return await aio_pika.connect(
                            address,
                            heartbeat=HEARTBEAT_SECONDS,
                            client_properties={"connection_name": f"magasin-{self.name}", "product": "Magasin"},
                        )
            except BrokerUnavailable as error:
                reasons.append(f"{urlsplit(address).hostname}: {error.reason}")
        raise BrokerUnavailable("no connection to " + "; ".join(reasons))


async def connect(url: str, *, name: str) -> AbstractConnection:
    """A connection that shows up as ``magasin-<name>`` in the broker's list. Raises BrokerUnavailable.

    `url` may name several hosts: ``amqp://user:password@one:5672,two:5672/vhost``.
    """
    return await Broker(url, name=name).connect()


def addresses(url: str) -> tuple[str, ...]:
    """One URL for each host in `url`, with the same user, vhost and query."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return tuple(urlunsplit(parts._replace(netloc=f"{user}{at}{host.strip()}")) for host in hosts.split(","))


def is_open(connection: AbstractConnection) -> bool:
    """Whether the socket and its reader are still there (aio-pika's own `is_closed` only tells whether we closed it)."""
    return connection.transport is not None and not connection.transport.connection.is_closed


def leave(connection: AbstractConnection) -> None:
    """Close in the background: a blocked or dead connection takes seconds to say good-bye, and nobody should wait for it."""
    task = asyncio.get_running_loop().create_task(close(connection))
    _leaving.add(task)
    task.add_done_callback(_leaving.discard)


async def close(connection: AbstractConnection) -> None:
    """Close, within a bound, whatever state the connection is in. Raises nothing of the broker's."""
    try:
        with reported():
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await connection.close()
    except BrokerUnavailable as error:
        log.debug("closing a connection: %s", error.reason)
    for _ in range(CALLBACK_TURNS):
        await asyncio.sleep(0)


@asynccontextmanager
async def brief_channel(url: str, *, name: str) -> AsyncIterator[AbstractChannel]:
    """A channel on a connection of its own, for a few words.

    Whatever the broker does to it inside comes out as BrokerUnavailable: one that has just come up takes connections before it can answer.
    """
    connection = await connect(url, name=name)
    try:
        with reported():
            yield await connection.channel()
    finally:
        await close(connection)


async def settle_closings() -> None:
    """Wait for the connections that are being closed in the background; for the end of a process or a test."""
    await asyncio.gather(*_leaving)


@contextmanager
def reported() -> Iterator[None]:
    """Whatever a failing connection throws comes out as BrokerUnavailable.

    That includes the CancelledError that a connection dead by heartbeat puts into everything that waits on it: nobody cancelled
    the task, and passing it on would end a request handler without an answer.
    """
    try:
        yield
    except PublishError as error:
        raise BrokerUnavailable("no queue takes this message", unroutable=True) from error
    except DeliveryError as error:
        raise BrokerUnavailable("the broker refused the message") from error
    except TimeoutError as error:
        raise BrokerUnavailable("no answer from the broker in time") from error
    except CONNECTION_EXCEPTIONS as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable("the connection was lost") from error


class Backoff:
    """Waits that double from `first_seconds` up to `most_seconds`, each drawn from its upper half so that processes spread out."""

    def __init__(self, first_seconds: float, most_seconds: float) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._next = first_seconds

    def next_seconds(self) -> float:
        """How long to wait this time."""
        bound = self._next
        self._next = min(bound * 2, self._most)
        return random.uniform(bound / 2, bound)  # noqa: S311 - spreads retries, keeps no secret

    def reset(self) -> None:
        """After a success: the next wait is the first again."""
        self._next = self._first
