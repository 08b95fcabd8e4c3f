"""How do many requests share one message and one confirm?

A confirmed publish costs the Python client about 150 µs of CPU whatever is in it, so events that wait at the same moment go
together: 1,700 → 3,600 confirmed sales a second through FastAPI on two cores. Nothing waits for company: with a free place in
flight an item leaves in the same turn of the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from infra.connection import BrokerUnavailable
from infra.metrics import group_events as group_events_sizes

BACKLOG_BYTES = 67_108_864
"""20,000 waiting events of the usual kilobyte are 20 MB; this bounds the unusual ones."""

Item = TypeVar("Item")
Entry = tuple[Sequence[Item], int, asyncio.Future[list[bool]]]
"""Items that go together, their bytes, and who waits for them."""
Waiter = tuple[asyncio.Future[list[bool]], int]
"""Who waits for how many items of a group."""


class GroupCommit(Generic[Item]):
    """Collects what is submitted while earlier groups are under way, and sends it as the next group.

    `send` takes the items of one group and returns when they are safe: for each whether it was taken, or None when all were. What it
    raises goes to every waiter of that group. `size_of` tells an item's bytes. At most `in_flight` sends run at once. A group has at most
    `group_events` items and `group_bytes` bytes (one item that is larger goes alone). With more than `backlog_events` items or
    `backlog_bytes` bytes waiting, `submit` refuses at once.
    """

    def __init__(  # noqa: PLR0913 - bounds, each spelt out by the caller
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[bool] | None]],
        *,
        size_of: Callable[[Item], int],
        in_flight: int,
        group_events: int,
        group_bytes: int,
        backlog_events: int,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self._send = send
        self._size_of = size_of
        self._in_flight = in_flight
        self._group_events = group_events
        self._group_bytes = group_bytes
        self._backlog_events = backlog_events
        self._backlog_bytes = backlog_bytes
        self._waiting: deque[Entry[Item]] = deque()
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

    async def submit(self, item: Item) -> bool:
        """Return whether `item` was taken, once it is safe. Raises BrokerUnavailable, or whatever `send` raised for its group."""
        return (await self._enqueue((item,), self._size_of(item)))[0]

    async def submit_many(self, items: Sequence[Item]) -> list[bool]:
        """Return for each of the `items` whether it was taken, once all are safe; they may travel in several groups.

        When it raises, some may be safe: unknown, like any failure here.
        """
        chunks = list(self._chunks(items))
        if chunks:
            self._refuse_beyond_bounds(len(items), sum(size for _, size in chunks))
            waiters = [self._enqueue(chunk, size) for chunk, size in chunks]
            taken: list[bool] = []
            for outcome in await asyncio.gather(*waiters, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                taken += outcome
            return taken
        return []

    async def drain(self) -> None:
        """Take nothing more, and return when everything taken has been sent or has failed."""
        self._draining = True
        while self._senders:
            await asyncio.wait(self._senders)

    def _enqueue(self, items: Sequence[Item], size: int) -> asyncio.Future[list[bool]]:
        self._refuse_beyond_bounds(len(items), size)
        waiter: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
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

    def _chunks(self, items: Sequence[Item]) -> Iterator[tuple[Sequence[Item], int]]:
        chunk: list[Item] = []
        size = 0
        for item in items:
            more = self._size_of(item)
            if chunk and (len(chunk) == self._group_events or size + more > self._group_bytes):
                yield chunk, size
                chunk, size = [], 0
            chunk.append(item)
            size += more
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

    def _take_group(self) -> tuple[list[Item], list[Waiter]]:
        group: list[Item] = []
        waiters: list[Waiter] = []
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
                waiters.append((waiter, len(items)))
                room -= size
        return group, waiters

    async def _send_group(self, items: list[Item], waiters: list[Waiter]) -> None:
        group_events_sizes.observe(len(items))
        try:
            taken = await self._send(items)
        except asyncio.CancelledError:
            _fail(waiters, BrokerUnavailable("stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait for this group
            _fail(waiters, error)
        else:
            flags = [True] * len(items) if taken is None else list(taken)
            start = 0
            for waiter, count in waiters:
                if not waiter.done():
                    waiter.set_result(flags[start : start + count])
                start += count


def _fail(waiters: list[Waiter], error: Exception) -> None:
    for waiter, _ in waiters:
        if not waiter.done():
            waiter.set_exception(error)
