"""How does a worker take messages so that none is lost, none sticks, and a batch costs one acknowledgement?

What has arrived when a batch ends is the next batch: no timer, which would only add latency. A batch is acknowledged after the
handler has returned, which is after its commit, with one multiple acknowledgement (one consumer on the channel, batches in
order, so everything below the last tag is settled). When the handler raises, nothing is acknowledged and the same batch is
tried again until it succeeds: a database that is away loses and dead-letters nothing. Poison is the handler's business.

Ending a session (pause, stop, a lost connection) gives back what was not acknowledged. The broker counts that as a delivery,
and there are `infra.topology.DELIVERY_LIMIT` of them; the log absorbs the redelivery.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from infra.connection import Backoff, Broker, BrokerUnavailable, leave, reported, settle_closings
from infra.faults import is_transient
from infra.metrics import batch_messages as batch_messages_sizes
from infra.metrics import batch_seconds, consumed_messages, consumer_sessions

OPEN_TIMEOUT_SECONDS = 3.0
WATCH_SECONDS = 5.0
"""How often the broker is asked about the queue, on the consumer's own connection."""
STOP_TIMEOUT_SECONDS = 30.0
BATCH_BYTES = 1_048_576
"""A message holds one event or five hundred; this keeps a batch of full ones to a few thousand events in one transaction."""
RETRY_FIRST_SECONDS = 0.1
RETRY_MOST_SECONDS = 10.0
"""For a handler that fails by itself. The broker's own patience with an unacknowledged delivery is 30 minutes; after that it takes the
batch back and it comes again."""
AWAY_MOST_SECONDS = 1.0
"""For a database or a broker that is away: a deferred batch is at most this late after it is back, and looking once a second is cheap."""

log = logging.getLogger(__name__)


class Retry(Exception):
    """Raised by a handler for what will pass, like the errors that pass by themselves: the batch is kept, no stack is logged."""


@dataclass(eq=False, slots=True)
class Delivery:
    """One message as it came. A handler that wants it in the dead letters sets `reject` and returns normally."""

    body: bytes
    headers: Mapping[str, object]
    message_id: str | None
    type: str | None
    redelivered: bool
    delivery_count: int
    """Deliveries before this one that were not acknowledged (quorum queues count them; 0 the first time)."""
    exchange: str
    routing_key: str
    timestamp: datetime | None
    delivery_tag: int
    reject: bool = False


Handler = Callable[[list[Delivery]], Awaitable[None]]


@dataclass(eq=False)
class _Session:
    """One channel with one consumer, from consuming to the end of either. Holds what aio-pika only holds weakly."""

    connection: AbstractConnection
    channel: AbstractChannel
    watching: AbstractChannel
    arrived: deque[Delivery] = field(default_factory=deque)
    arrived_at: deque[float] = field(default_factory=deque)
    """One instant for each delivery that is not settled, in order: the first is the oldest."""
    taken: list[Delivery] = field(default_factory=list)
    """The batch that the handler has."""
    last_tag: int = 0
    consumer_tag: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""

    def take(self, most_messages: int, most_bytes: int) -> list[Delivery]:
        """The deliveries that arrived first, within the bounds and at least one."""
        batch = [self.arrived.popleft()]
        room = most_bytes - len(batch[0].body)
        while self.arrived and len(batch) < most_messages and len(self.arrived[0].body) <= room:
            batch.append(self.arrived.popleft())
            room -= len(batch[-1].body)
        return batch

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest delivery that is not settled was published."""
        first = self.taken or self.arrived
        return first[0].timestamp if first else None

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.over.set()
        self.wake.set()


class BatchConsumer:
    """Consumes `queue` in batches, keeps consuming across interruptions, and knows how it is doing.

    A batch has at most `batch_messages` messages and `batch_bytes` bytes (a larger message comes alone).

    `handler` has no acknowledgement, commit or retry in it: returning means "committed, acknowledge", raising means "again".
    """

    def __init__(  # noqa: PLR0913 - bounds and names, each spelt out by the caller
        self,
        url: str,
        queue: str,
        handler: Handler,
        *,
        prefetch_count: int,
        batch_messages: int,
        name: str,
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        self.queue = queue
        self.last_error: str | None = None
        """Why the batch at hand, or the connection, does not succeed; None when all is well."""
        self.since: datetime | None = None
        """Since when `last_error` holds, with whatever text."""
        self.latest_error: tuple[str, datetime] | None = None
        """What went wrong last and when, also when all is well again."""
        self._handler = handler
        self._prefetch_count = prefetch_count
        self._batch_messages = batch_messages
        self._batch_bytes = batch_bytes
        self._name = name
        self._broker = Broker(url, name=name)
        self._session: _Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._stopping = asyncio.Event()
        self._handling_since: float | None = None
        self._seen_at = 0.0
        self._left_at: datetime | None = None

    @property
    def paused(self) -> bool:
        """Whether it was told to pause (it may still be finishing a batch)."""
        return not self._wanted.is_set()

    @property
    def consuming(self) -> bool:
        """Whether there is a consumer on an open channel right now."""
        return self._session is not None and not self._session.over.is_set()

    @property
    def alive(self) -> bool:
        """Whether it consumes and the broker said so within the last looks; or was told to pause, and the loop is there to resume."""
        if self._task is None or self._task.done():
            return False
        recently = _now() - self._seen_at < 3 * WATCH_SECONDS
        return self.paused or (self.consuming and recently)

    @property
    def ended(self) -> bool:
        """Whether consuming is over though nobody stopped it: something escaped that no handler may raise."""
        return self._task is not None and self._task.done()

    @property
    def handling_seconds(self) -> float:
        """How long the present call of the handler has been running; 0 between calls and while it waits to try again."""
        return 0.0 if self._handling_since is None else _now() - self._handling_since

    @property
    def oldest_unacknowledged_seconds(self) -> float:
        """The age of the oldest delivery that is not acknowledged yet, in memory or in the handler."""
        session = self._session
        return _now() - session.arrived_at[0] if session is not None and session.arrived_at else 0.0

    @property
    def oldest_at(self) -> datetime | None:
        """When the oldest delivery in hand was published, to the second; while it doesn't consume, the oldest that it gave back."""
        return self._left_at if self._session is None else self._session.oldest_at

    async def start(self, *, paused: bool = False) -> None:
        """Begin to consume, now or as soon as the broker is there; with `paused`, when `resume` is called."""
        if not paused:
            self._wanted.set()
        self._task = asyncio.create_task(self._run(), name=f"{self._name}-consumer")

    async def pause(self) -> None:
        """Cancel the consumer, finish the batch that the handler has, give back the rest. Returns when that is done.

        It cancels and does not merely stop reading: the broker closes a channel that sits on a delivery for 30 minutes.
        """
        self._wanted.clear()
        if self._session is not None:
            self._session.end("paused")
        if self._task is not None and not self._task.done():
            await self._idle.wait()

    def resume(self) -> None:
        """Consume again."""
        self._wanted.set()

    async def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Stop consuming, let the handler finish its batch, acknowledge it, close. After the time it is given back unfinished."""
        self._stopping.set()
        self._wanted.set()
        if self._session is not None:
            self._session.end("stopping")
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=timeout_seconds)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task})
        await settle_closings()

    async def _run(self) -> None:
        backoff = Backoff(0.05, 1.0)
        while not self._stopping.is_set():
            self._idle.set()
            await self._wanted.wait()
            self._idle.clear()
            if self._stopping.is_set():
                return
            try:
                session = await self._open()
            except BrokerUnavailable as error:
                self._note(f"cannot consume {self.queue}: {error.reason}")
            else:
                backoff.reset()
                await self._consume(session)
                if self._told_to_consume:
                    self._note(f"stopped consuming {self.queue}: {session.reason}")
            if self._told_to_consume:
                await asyncio.sleep(backoff.next_seconds())

    @property
    def _told_to_consume(self) -> bool:
        return self._wanted.is_set() and not self._stopping.is_set()

    async def _open(self) -> _Session:
        connection = await self._broker.connect()
        try:
            with reported():
                async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                    channel = await connection.channel(publisher_confirms=False)
                    session = _Session(connection, channel, await connection.channel(publisher_confirms=False))
                    underlay = await channel.get_underlay_channel()
                    channel.close_callbacks.add(lambda *_: session.end("the channel was closed"))
                    underlay.on_consumer_cancel_callbacks.add(lambda _: session.end("the broker cancelled the consumer"))
                    # Per consumer, never global: global QoS on a quorum queue closes the whole connection.
                    await channel.set_qos(prefetch_count=self._prefetch_count, global_=False)
                    queue = await channel.get_queue(self.queue, ensure=True)
                    session.consumer_tag = await queue.consume(partial(self._receive, session), no_ack=False)
        except BaseException:
            leave(connection)
            raise
        if channel.is_closed:
            session.end("the channel was closed")
        if not self._told_to_consume:
            session.end("told to stop while connecting")
        self._session = session
        self._seen_at = _now()
        self.last_error = self.since = None
        consumer_sessions.labels(self.queue).inc()
        return session

    async def _receive(self, session: _Session, message: AbstractIncomingMessage) -> None:
        tag = message.delivery_tag or 0
        if tag != session.last_tag + 1:
            # A multiple acknowledgement covers everything below it, so a gap must never be acknowledged over.
            session.end(f"delivery {tag} came after {session.last_tag}")
            return
        session.last_tag = tag
        headers = message.headers
        count = headers.get("x-delivery-count", 0)
        session.arrived.append(
            Delivery(
                body=message.body,
                headers=headers,
                message_id=message.message_id,
                type=message.type,
                redelivered=bool(message.redelivered),
                delivery_count=count if isinstance(count, int) else 0,
                exchange=message.exchange or "",
                routing_key=message.routing_key or "",
                timestamp=message.timestamp,
                delivery_tag=tag,
            )
        )
        session.arrived_at.append(_now())
        session.wake.set()

    async def _consume(self, session: _Session) -> None:
        """Batch after batch until the session is over, for whatever reason."""
        watch = asyncio.create_task(self._watch(session))
        try:
            while not session.over.is_set():
                if not session.arrived:
                    session.wake.clear()
                    await session.wake.wait()
                    continue
                batch = session.taken = session.take(self._batch_messages, self._batch_bytes)
                if await self._handle(session, batch):
                    await self._acknowledge(session, batch)
        finally:
            self._session, self._left_at = None, session.oldest_at
            watch.cancel()
            leave(session.connection)

    async def _handle(self, session: _Session, batch: list[Delivery]) -> bool:
        """Whether the handler has taken the batch, with as many attempts as that needs; False when the session ended before."""
        backoff = Backoff(RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS)
        batch_messages_sizes.labels(self.queue).observe(len(batch))
        while True:
            error = await self._attempt(batch)
            if error is None:
                self.last_error = self.since = None
                return True
            passing = isinstance(error, Retry | BrokerUnavailable) or is_transient(error)
            self._note(f"{type(error).__name__}: {error}", None if passing else error)
            seconds = backoff.next_seconds()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(session.over.wait(), min(seconds, AWAY_MOST_SECONDS) if passing else seconds)
            if session.over.is_set():
                return False

    async def _attempt(self, batch: list[Delivery]) -> BaseException | None:
        began = self._handling_since = _now()
        outcome = "failed"
        for delivery in batch:
            delivery.reject = False
        try:
            await self._handler(batch)
        except asyncio.CancelledError as error:
            # A task that the handler waits for may have been cancelled; that is its failure and not our end.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return error
        except Exception as error:  # noqa: BLE001 - the client would only log it, and the prefetch would fill up in silence
            return error
        else:
            outcome = "done"
            return None
        finally:
            self._handling_since = None
            batch_seconds.labels(self.queue, outcome).observe(_now() - began)

    async def _acknowledge(self, session: _Session, batch: list[Delivery]) -> None:
        """Reject what the handler gave up and acknowledge the others, on the channel they came by.

        When that channel is gone the broker has taken them back and they come again; there is nothing to acknowledge, and on
        the next channel the same numbers mean other messages.
        """
        rejected = [delivery.delivery_tag for delivery in batch if delivery.reject]
        kept = [delivery.delivery_tag for delivery in batch if not delivery.reject]
        try:
            with reported():
                underlay = await session.channel.get_underlay_channel()
                for tag in rejected:
                    await underlay.basic_reject(tag, requeue=False)
                if kept:
                    await underlay.basic_ack(kept[-1], multiple=True)
        except BrokerUnavailable as error:
            session.end(f"could not acknowledge: {error.reason}")
            return
        session.taken = []
        for _ in batch:
            session.arrived_at.popleft()
        consumed_messages.labels(self.queue, "acknowledged").inc(len(kept))
        consumed_messages.labels(self.queue, "rejected").inc(len(rejected))

    async def _watch(self, session: _Session) -> None:
        """Ask the broker about the queue now and then, and end a session that only looks alive.

        Messages ready, none of them here, and none arrived since the last look: then the broker does not know this consumer.
        """
        last_tag = -1
        while not session.over.is_set():
            await asyncio.sleep(WATCH_SECONDS)
            try:
                with reported():
                    async with asyncio.timeout(WATCH_SECONDS):
                        queue = await session.watching.get_queue(self.queue, ensure=True)
            except BrokerUnavailable as error:
                session.end(f"no word about {self.queue}: {error.reason}")
                return
            ready = queue.declaration_result.message_count or 0
            if ready and not session.arrived_at and session.last_tag == last_tag:
                session.end(f"{ready} messages are ready and none arrives")
                return
            last_tag = session.last_tag
            self._seen_at = _now()

    def _note(self, reason: str, error: BaseException | None = None) -> None:
        self.last_error = reason
        self.latest_error = reason, datetime.now(UTC)
        self.since = self.since or self.latest_error[1]
        log.warning("%s: %s", self._name, reason, exc_info=error)


def _now() -> float:
    return asyncio.get_running_loop().time()
