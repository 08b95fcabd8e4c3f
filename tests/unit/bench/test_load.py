"""The generator against a server that only answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from bench.latency import Latencies
from bench.load import ClosedLoop, Gauge, OpenLoop, pace, prepared, saturate
from bench.plan import Arrivals, Plan
from bench.sales import STORES

PLAN = Plan(
    host="127.0.0.1",
    port=0,
    tokens=dict.fromkeys(STORES, "token"),
    profile="spread",
    seed=1,
    lines=2,
    batch=1,
    connections=4,
    warmup_seconds=0.1,
    window_seconds=0.3,
    most_per_second=20_000,
)


class Answering(asyncio.Protocol):
    """Answers the n-th request of all its connections with ``status(n)``."""

    def __init__(self, requests: Iterator[int], status: Callable[[int], int]) -> None:
        self._requests = requests
        self._status = status
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        if body and len(body) == int(head.rpartition(b"Content-Length: ")[2]):
            self._received = b""
            answer = b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % self._status(next(self._requests))
            asyncio.get_running_loop().call_later(0.001, self._transport.write, answer)


@asynccontextmanager
async def server(status: Callable[[int], int]) -> AsyncIterator[Plan]:
    """Such a server, and the plan that names it."""
    requests = count(1)
    listening = await asyncio.get_running_loop().create_server(lambda: Answering(requests, status), "127.0.0.1", 0)
    async with listening:
        yield PLAN.model_copy(update={"port": listening.sockets[0].getsockname()[1]})


class Slow(Gauge):
    """Lets ten sales through at each look."""

    def __init__(self) -> None:
        self.bound = 30
        self.sales = 0
        self.most_on_their_way = 0
        self.run: ClosedLoop | None = None

    async def look(self) -> None:
        if self.run is not None:
            self.most_on_their_way = max(self.most_on_their_way, self.run.sent - self.sales)
            self.sales = min(self.sales + 10, self.run.answered)

    async def wait_until_everywhere(self, sales: int) -> None:
        assert self.sales >= sales


async def test_a_closed_loop_counts_what_was_accepted_in_its_window(capsys: pytest.CaptureFixture[str]) -> None:
    async with server(lambda _: 202) as plan:
        outcome = await saturate(ClosedLoop(plan, prepared(plan, 1), None))
    assert outcome.refused == {}
    assert 0 < outcome.window_sales < outcome.sent
    assert 0.3 <= outcome.window_seconds < 1
    assert [line.split('"')[3] for line in capsys.readouterr().out.splitlines()] == ["begin", "end"]


async def test_a_closed_loop_never_has_more_on_their_way_than_its_bound() -> None:
    gauge = Slow()
    async with server(lambda _: 202) as plan:
        gauge.run = ClosedLoop(plan, prepared(plan, 1), gauge)
        outcome = await saturate(gauge.run)
    assert gauge.most_on_their_way == 30
    assert gauge.sales == outcome.sent


async def test_a_refused_sale_ends_the_run_and_is_told() -> None:
    async with server(lambda number: 503 if number == 20 else 202) as plan:
        outcome = await saturate(ClosedLoop(plan, prepared(plan, 1), None))
    assert outcome.refused == {503: 1}
    assert 20 <= outcome.sent < 30


async def test_a_plan_that_runs_out_of_requests_fails() -> None:
    async with server(lambda _: 202) as plan:
        with pytest.raises(RuntimeError, match="all 10 prepared"):
            await saturate(ClosedLoop(plan, prepared(plan, 1)[:10], None))


async def test_an_open_loop_posts_everything_at_its_rate() -> None:
    async with server(lambda _: 202) as plan:
        paced = plan.model_copy(update={"arrivals": Arrivals(per_second=500, amqp_url="")})
        requests = prepared(paced, 1)
        latencies = Latencies(500, len(requests))
        run = OpenLoop(paced, requests, latencies)
        latencies.was_projected("a", 1_000)
        for number in range(len(requests)):
            latencies.was_recorded(number, "a", number + 1)
        outcome = await pace(run)
    assert outcome.sent == len(requests) == 200
    assert outcome.window_seconds == pytest.approx(0.4, abs=0.2)
    assert outcome.accepted is not None
    assert outcome.accepted.p50_ms < 200
