"""How are the sales posted? By a process of its own with a raw HTTP/1.1 client: ``python -m bench.load`` with a plan on standard input.

It shares the processors with what it measures, so requests are written beforehand and an answer costs one look at its head.
"""

import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from secrets import randbits
from time import perf_counter
from typing import cast

import psycopg
import uvloop

from bench import wire
from bench.latency import Latencies, listening
from bench.plan import Line, Outcome, Plan, Progress
from bench.sales import PROFILES, sales

ACCEPTED = 202
POLL_SECONDS = 0.025
DRAIN_SECONDS = 60.0
LOST = 0
"""The status of a request whose connection ended before its answer."""


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way. `answered` gets the number of the request and the status."""

    def __init__(self, answered: Callable[["Connection", int, int], None]) -> None:
        self._answered = answered
        self._received = bytearray()
        self._number = -1
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        # uvloop's transports have the methods of asyncio's and none of its classes.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Tell when the whole answer is there."""
        self._received += data
        status = wire.status(self._received)
        if status is not None:
            self._received.clear()
            number, self._number = self._number, -1
            self._answered(self, number, status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's own name
        """Tell who waits that no answer will come."""
        if self._number >= 0:
            number, self._number = self._number, -1
            self._answered(self, number, LOST)

    def send(self, number: int, request: bytes) -> None:
        """Post one request."""
        self._number = number
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Gauge:
    """How many sales have come through since the start, as the database says; and the instant of that look."""

    def __init__(self, progress: Progress, connection: psycopg.AsyncConnection) -> None:
        self._progress = progress
        self._connection = connection
        self._base = 0
        self._everywhere = 0
        self.bound = progress.bound
        self.sales = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, progress: Progress) -> AsyncIterator["Gauge"]:
        """A gauge that stands at 0 now."""
        async with await psycopg.AsyncConnection.connect(progress.database_url, autocommit=True, prepare_threshold=0) as connection:
            gauge = cls(progress, connection)
            gauge._base = await gauge._asked(progress.query)
            gauge._everywhere = await gauge._asked(progress.everywhere)
            yield gauge

    async def look(self) -> None:
        """Ask again."""
        self.sales = await self._asked(self._progress.query) - self._base

    async def wait_until_everywhere(self, sales: int) -> None:
        """Return when so many sales have come as far as they go. Raises TimeoutError after a minute."""
        async with asyncio.timeout(DRAIN_SECONDS):
            while True:
                if await self._asked(self._progress.everywhere) - self._everywhere >= sales:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def _asked(self, query: str) -> int:
        row = await (await self._connection.execute(query.encode())).fetchone()
        return int(row[0] or 0) if row else 0


class Run:
    """What closed and open loop have in common: the requests, what is sent, what is answered."""

    def __init__(self, plan: Plan, requests: list[bytes], gauge: Gauge | None) -> None:
        self.plan = plan
        self.gauge = gauge
        self.requests = requests
        self.sent = 0
        self.answered = 0
        self.statuses: Counter[int] = Counter()
        self.idle: deque[Connection] = deque()
        self.over = False

    @property
    def through(self) -> int:
        """Sales that have come all the way."""
        return self.gauge.sales if self.gauge else self.answered * self.plan.batch

    @property
    def refused(self) -> dict[int, int]:
        """How often there was which answer that isn't 202."""
        return {status: number for status, number in self.statuses.items() if status != ACCEPTED}

    def take_answer(self, number: int, status: int) -> None:
        """Count an answer. A refused request ends the run: it would spoil the check of the stock."""
        del number
        self.answered += 1
        self.statuses[status] += 1
        if status != ACCEPTED:
            self.over = True

    def send(self, connection: Connection) -> None:
        """Post the next request."""
        number = self.sent
        self.sent += 1
        connection.send(number, self.requests[number])


class ClosedLoop(Run):
    """Every connection posts again as soon as it has its answer, unless too many sales are on their way already.

    That bound is what makes the rate sustainable: accepting can't run ahead of recording and projecting.
    """

    def answered_on(self, connection: Connection, number: int, status: int) -> None:
        """Go on with the next sale."""
        self.take_answer(number, status)
        self.go_on(connection)

    def go_on(self, connection: Connection) -> None:
        """Post, or wait for room."""
        if not self.over and self._room() and self.sent < len(self.requests):
            self.send(connection)
        else:
            self.idle.append(connection)

    def wake(self) -> None:
        """Let those post that waited for room."""
        for _ in range(len(self.idle)):
            self.go_on(self.idle.popleft())

    async def until(self, end: float) -> None:
        """Keep going until that instant, looking at the gauge now and then."""
        while perf_counter() < end and not self.over:
            await asyncio.sleep(min(POLL_SECONDS, max(0.0, end - perf_counter())))
            if self.gauge:
                await self.gauge.look()
            self.wake()
        if self.sent == len(self.requests):
            message = f"all {self.sent} prepared requests were posted before the time was over"
            raise RuntimeError(message)

    def _room(self) -> bool:
        return self.gauge is None or self.sent * self.plan.batch - self.gauge.sales < self.gauge.bound


class OpenLoop(Run):
    """Posts at the planned instants, whatever comes back; a sale that finds no free connection waits, and its clock runs."""

    def __init__(self, plan: Plan, requests: list[bytes], latencies: Latencies) -> None:
        super().__init__(plan, requests, None)
        self.latencies = latencies
        self.due: deque[int] = deque()

    def answered_on(self, connection: Connection, number: int, status: int) -> None:
        """Note how long it took, and take the next sale that waits."""
        self.take_answer(number, status)
        self.latencies.was_accepted(number)
        if self.due:
            self._send(connection, self.due.popleft())
        else:
            self.idle.append(connection)

    async def post_all(self) -> None:
        """Post every request at its instant."""
        for number in range(len(self.requests)):
            ahead = self.latencies.intended(number) - perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            if self.over:
                return
            if self.idle:
                self._send(self.idle.pop(), number)
            else:
                self.due.append(number)

    def _send(self, connection: Connection, number: int) -> None:
        self.sent += 1
        connection.send(number, self.requests[number])


@asynccontextmanager
async def connected(run: ClosedLoop | OpenLoop) -> AsyncIterator[list[Connection]]:
    """All connections, open while in here."""
    loop, plan = asyncio.get_running_loop(), run.plan
    connections = [
        (await loop.create_connection(lambda: Connection(run.answered_on), plan.host, plan.port))[1] for _ in range(plan.connections)
    ]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


async def settle(run: Run, done: Callable[[], bool]) -> float:
    """Wait for every answer, and then (unless some were refusals) until `done`; the seconds it took. Raises TimeoutError after a minute."""
    began = perf_counter()
    async with asyncio.timeout(DRAIN_SECONDS):
        while run.answered < run.sent or not (run.refused or done()):
            await asyncio.sleep(POLL_SECONDS)
            if run.gauge:
                await run.gauge.look()
    return perf_counter() - began


async def saturate(run: ClosedLoop) -> Outcome:
    """Measure how many sales a second come through."""
    plan = run.plan
    async with connected(run) as connections:
        for connection in connections:
            run.go_on(connection)
        await run.until(perf_counter() + plan.warmup_seconds)
        began, before, accepted = perf_counter(), run.through, run.answered
        tell(Line(what="begin"))
        await run.until(began + plan.window_seconds)
        ended, after, accepted = perf_counter(), run.through, run.answered - accepted
        tell(Line(what="end"))
        run.over = True
        on_their_way = run.sent * plan.batch - after
        drained = await settle(run, lambda: run.through >= run.sent * plan.batch)
        if run.gauge and not run.refused:
            await run.gauge.wait_until_everywhere(run.sent * plan.batch)
    return Outcome(
        sent=run.sent * plan.batch,
        refused=run.refused,
        window_sales=after - before,
        window_accepted=accepted * plan.batch,
        window_seconds=ended - began,
        on_their_way=on_their_way,
        drain_seconds=drained,
    )


async def pace(run: OpenLoop) -> Outcome:
    """Measure how long a sale takes at a given rate, to its 202 and into the reports."""
    latencies = run.latencies
    async with connected(run) as connections:
        run.idle.extend(connections)
        latencies.begin()
        tell(Line(what="begin"))
        await run.post_all()
        ended = perf_counter()
        tell(Line(what="end"))
        drained = await settle(run, lambda: latencies.all_visible(run.sent))
    skipped = int(run.plan.warmup_seconds * latencies.per_second)
    return Outcome(
        sent=run.sent,
        refused=run.refused,
        window_sales=run.sent,
        window_accepted=run.sent,
        window_seconds=ended - latencies.began,
        on_their_way=0,
        drain_seconds=drained,
        accepted=None if run.refused else latencies.accepted_after(skipped),
        visible=None if run.refused else latencies.visible_after(skipped),
    )


def tell(line: Line) -> None:
    """One line to whoever started this."""
    sys.stdout.write(line.model_dump_json() + "\n")
    sys.stdout.flush()


def prepared(plan: Plan, run: int) -> list[bytes]:
    """As many requests as the plan can possibly take."""
    seconds = plan.warmup_seconds + plan.window_seconds
    number = int(seconds * (plan.arrivals.per_second if plan.arrivals else plan.most_per_second)) // plan.batch * plan.batch
    made = sales(PROFILES[plan.profile], plan.seed, lines=plan.lines, together=plan.batch)
    return wire.requests(islice(made, number), host=f"{plan.host}:{plan.port}", tokens=plan.tokens, run=run, batch=plan.batch)


async def main(plan: Plan) -> Outcome:
    """Carry out a plan."""
    run = randbits(38)
    requests = prepared(plan, run)
    if plan.arrivals:
        latencies = Latencies(plan.arrivals.per_second, len(requests))
        async with listening(plan.arrivals.amqp_url, run, latencies):
            return await pace(OpenLoop(plan, requests, latencies))
    if plan.progress:
        async with Gauge.opened(plan.progress) as gauge:
            return await saturate(ClosedLoop(plan, requests, gauge))
    return await saturate(ClosedLoop(plan, requests, None))


if __name__ == "__main__":
    tell(Line(what="done", outcome=uvloop.run(main(Plan.model_validate_json(sys.stdin.buffer.read())))))
