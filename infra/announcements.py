"""How does an API instance hear what was recorded and projected?

On an exclusive queue of its own, bound to the fanout exchange `magasin.live`. Nothing here is promised: an announcement missed while the
broker was away costs a page one refresh and a `Prefer: wait` its short answer.
"""

import asyncio
from collections.abc import Callable

import structlog
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from pydantic_core import from_json

from infra.connection import Backoff, Broker, BrokerUnavailable, is_open, leave, reported
from infra.topology import LIVE

QUEUE_LENGTH = 10_000
OPEN_TIMEOUT_SECONDS = 3.0
log = structlog.get_logger(__name__)


class Announcements:
    """Calls `heard(type, body)` for each announcement, in the event loop, while connected; connects again by itself.

    `joined` is called each time it has begun to listen: what was announced before that was missed.
    """

    def __init__(
        self, url: str, heard: Callable[[str, dict[str, object]], None], *, name: str, joined: Callable[[], None] = lambda: None
    ) -> None:
        self._broker = Broker(url, name=f"{name}-announcements")
        self._heard = heard
        self._joined = joined
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    @property
    def alive(self) -> bool:
        """Whether it listens on an open connection."""
        return self._connection is not None and is_open(self._connection)

    async def start(self) -> None:
        """Listen from now on, as soon as the broker is there."""
        self._task = asyncio.create_task(self._listen_always(), name="announcements")

    async def close(self) -> None:
        """Stop listening; the queue goes with the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _listen_always(self) -> None:
        backoff = Backoff(0.05, 1.0)
        while True:
            try:
                await self._listen(backoff)
            except BrokerUnavailable as error:
                log.warning("not_listening", error=error.reason)
            await asyncio.sleep(backoff.next_seconds())

    async def _listen(self, backoff: Backoff) -> None:
        connection = await self._broker.connect()
        try:
            with reported():
                async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                    channel = await connection.channel(publisher_confirms=False)
                    queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": QUEUE_LENGTH})
                    await queue.bind(LIVE)
                    await queue.consume(self._receive, no_ack=True)
                    over = asyncio.Event()
                    channel.close_callbacks.add(lambda *_: over.set())
            self._connection = connection
            self._joined()
            backoff.reset()
            await over.wait()
        finally:
            self._connection = None
            leave(connection)

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        try:
            self._heard(message.type or "", from_json(message.body))
        except (ValueError, KeyError, TypeError):
            log.exception("unreadable_announcement")
