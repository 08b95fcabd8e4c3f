"""Can a message really go into the broker and come back out, right now?

Connecting proves little: under a memory or disk alarm a new connection opens fine and publishing then hangs for as long as the
alarm lasts. So readiness is a real message: published with confirm through the process's own publisher, taken back by a
consumer of our own within the deadline.
"""

import asyncio
from contextlib import suppress
from secrets import token_hex
from time import perf_counter

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from infra.connection import Broker, BrokerUnavailable, is_open, leave, reported, settle_closings
from infra.publisher import ConfirmingPublisher
from infra.topology import PROBES

FRESH_SECONDS = 2.0
"""How long an answer holds: probes from several sides cost one message in that time."""
QUEUE_LENGTH = 10
"""Room for checks that gave up; the queue drops the oldest beyond that."""
EXPIRES_MILLISECONDS = 60_000


class Canary:
    """One small exclusive queue, on a connection of its own (a blocked publishing connection must not look like a deaf consumer).

    `check` may be called from any number of tasks; those that come while one is under way share its outcome.
    """

    def __init__(self, url: str, publisher: ConfirmingPublisher, *, name: str) -> None:
        self._broker = Broker(url, name=f"{name}-canary")
        self._publisher = publisher
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._queue: AbstractQueue | None = None
        self._back: dict[bytes, asyncio.Future[None]] = {}
        self._turn = asyncio.Lock()
        self._checked_at = float("-inf")
        self._outcome: float | BrokerUnavailable = 0.0

    async def check(self, timeout_seconds: float) -> float:
        """The seconds that a message took there and back. At most `FRESH_SECONDS` old. Raises BrokerUnavailable."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError as error:
            raise BrokerUnavailable("the canary before has not come back yet") from error
        try:
            if asyncio.get_running_loop().time() - self._checked_at > FRESH_SECONDS:
                await self._look(deadline)
        finally:
            self._turn.release()
        if isinstance(self._outcome, BrokerUnavailable):
            raise BrokerUnavailable(self._outcome.reason) from self._outcome
        return self._outcome

    async def close(self) -> None:
        """Close the connection; the queue goes with it."""
        self._forget()
        await settle_closings()

    async def _look(self, deadline: float) -> None:
        began = perf_counter()
        try:
            with reported():
                async with asyncio.timeout_at(deadline):
                    await self._round_trip()
            self._outcome = perf_counter() - began
        except BrokerUnavailable as error:
            self._outcome = error
            self._forget()
        self._checked_at = asyncio.get_running_loop().time()

    async def _round_trip(self) -> None:
        queue = await self._own_queue()
        canary = token_hex(8).encode()
        back = self._back[canary] = asyncio.get_running_loop().create_future()
        try:
            await self._publisher.publish(PROBES, queue, canary, content_type="text/plain", type="canary", app_id="magasin")
            await back
        finally:
            del self._back[canary]

    async def _own_queue(self) -> str:
        if self._queue is None or self._connection is None or not is_open(self._connection):
            self._forget()
            self._connection = await self._broker.connect()
            self._channel = await self._connection.channel(publisher_confirms=False)
            queue = await self._channel.declare_queue(
                exclusive=True, auto_delete=True, arguments={"x-max-length": QUEUE_LENGTH, "x-message-ttl": EXPIRES_MILLISECONDS}
            )
            await queue.bind(PROBES, queue.name)
            await queue.consume(self._receive, no_ack=True)
            self._queue = queue
        return self._queue.name

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        with suppress(KeyError, asyncio.InvalidStateError):
            self._back[message.body].set_result(None)

    def _forget(self) -> None:
        if self._connection is not None:
            leave(self._connection)
        self._connection = self._channel = self._queue = None
