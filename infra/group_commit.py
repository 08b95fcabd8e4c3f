"""How do many requests share one message and one confirm?

A confirmed publish costs the Python client about 150 µs of CPU whatever is in it, so events that wait at the same moment go
together: 1,700 → 3,600 confirmed sales a second through FastAPI on two cores. Nothing waits for company: with a free place in
flight an item leaves in the same turn of the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

from infra.connection import BrokerUnavailable
from infra.metrics import group_events as group_events_sizes

BACKLOG_BYTES = 67_108_864
"""20,000 waiting events of the usual kilobyte are 20 MB; this bounds the unusual ones."""

Entry = tuple[Sequence[bytes], int, asyncio.Future[None]]
"""Items that go together, their bytes, and who waits for them."""


class GroupCommit:
    """Collects what is submitted while earlier groups are under way, and sends it as the next group.

    `send` takes the items of one group and returns when they are safe; what it raises goes to every waiter of that group. At
    most `in_flight` sends run at once. A group has at most `group_events` items and `group_bytes` bytes (one item that is larger
    goes alone). With more than `backlog_events` items or `backlog_bytes` bytes waiting, `submit` refuses at once.
    """

    def __init__(  # noqa: PLR0913 - bounds, each spelt out by the caller
        self,
        send: Callable[[list[bytes]], Awaitable[None]],
        *,
        in_flight: int,
        group_events: int,
        group_bytes: int,
        backlog_events: int,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self._send = send
        self._in_flight = in_flight
        self._group_events = group_events
        self._group_bytes = group_bytes
        self._backlog_events = backlog_events
        self._backlog_bytes = backlog_bytes
        self._waiting: deque[Entry] = deque()
        self._waiting_events = 0
        self._waiting_bytes = 0
        self._senders: set[asyncio.Task[None]] = set()
        self._flying = 0
        self._starting = False
        self._draining = False

    @property
    def waiting_events(self) -> int:
        """Items not yet handed to `send`."""
        return self._waiting_events

    async def submit(self, item: bytes) -> None:
        """Return when `item` is safe. Raises BrokerUnavailable, or whatever `send` raised for its group."""
        await self._enqueue((item,), len(item))

    async def submit_many(self, items: Sequence[bytes]) -> None:
        """Return when all `items` are safe; they may travel in several groups. All are refused or none.

        When it raises, some may be safe: unknown, like any failure here.
        """
        chunks = list(self._chunks(items))
        if chunks:
            self._refuse_beyond_bounds(len(items), sum(size for _, size in chunks))
            waiters = [self._enqueue(chunk, size) for chunk, size in chunks]
            for outcome in await asyncio.gather(*waiters, return_exceptions=True):
                if outcome is not None:
                    raise outcome

    async def drain(self) -> None:
        """Take nothing more, and return when everything taken has been sent or has failed."""
        self._draining = True
        while self._senders:
            await asyncio.wait(self._senders)

    def _enqueue(self, items: Sequence[bytes], size: int) -> asyncio.Future[None]:
        self._refuse_beyond_bounds(len(items), size)
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((items, size, waiter))
        self._waiting_events += len(items)
        self._waiting_bytes += size
        if not self._starting and self._flying < self._in_flight:
            self._start_sender()
        return waiter

    def _refuse_beyond_bounds(self, events: int, size: int) -> None:
        if self._draining:
            raise BrokerUnavailable("stopping")
        if self._waiting_events + events > self._backlog_events or self._waiting_bytes + size > self._backlog_bytes:
            raise BrokerUnavailable(f"{self._waiting_events} events are waiting already")

    def _chunks(self, items: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], int]]:
        chunk: list[bytes] = []
        size = 0
        for item in items:
            if chunk and (len(chunk) == self._group_events or size + len(item) > self._group_bytes):
                yield chunk, size
                chunk, size = [], 0
            chunk.append(item)
            size += len(item)
        if chunk:
            yield chunk, size

    def _start_sender(self) -> None:
        # The task takes its group on its first step, not here: all that is submitted in this turn of the loop goes along.
        self._starting = True
        self._flying += 1
        task = asyncio.get_running_loop().create_task(self._send_while_waiting())
        self._senders.add(task)
        task.add_done_callback(self._senders.discard)

    async def _send_while_waiting(self) -> None:
        self._starting = False
        try:
            while self._waiting:
                items, waiters = self._take_group()
                if self._waiting and not self._starting and self._flying < self._in_flight:
                    self._start_sender()
                if items:
                    await self._send_group(items, waiters)
        finally:
            # Here and not when the task is seen to be done, which is a turn later: those woken by this group submit before that.
            self._flying -= 1

    def _take_group(self) -> tuple[list[bytes], list[asyncio.Future[None]]]:
        group: list[bytes] = []
        waiters: list[asyncio.Future[None]] = []
        room = self._group_bytes
        while self._waiting:
            items, size, waiter = self._waiting[0]
            if group and (len(group) + len(items) > self._group_events or size > room):
                break
            self._waiting.popleft()
            self._waiting_events -= len(items)
            self._waiting_bytes -= size
            if not waiter.done():  # a waiter that was cancelled meanwhile has promised nobody anything
                group.extend(items)
                waiters.append(waiter)
                room -= size
        return group, waiters

    async def _send_group(self, items: list[bytes], waiters: list[asyncio.Future[None]]) -> None:
        group_events_sizes.observe(len(items))
        try:
            await self._send(items)
        except asyncio.CancelledError:
            _fail(waiters, BrokerUnavailable("stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for this group
            _fail(waiters, error)
        else:
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


def _fail(waiters: list[asyncio.Future[None]], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
