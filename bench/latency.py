"""How long does a sale take from the instant at which it should have been posted until it is in the reports?

It is in the reports once the projector has committed and announced a sequence number of its store that is not before the sale's own. The
sale's own number comes with the recorded events, on a queue of the generator's own. Waiting for a free connection counts.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from statistics import quantiles
from time import perf_counter

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from pydantic_core import from_json

from bench import wire
from bench.plan import Quantiles
from infra.connection import close, connect
from infra.topology import EVENTS, LIVE

NEVER = float("inf")
QUEUE_LENGTH = 100_000


class Latencies:
    """The instants of every sale of a run, by its number."""

    def __init__(self, per_second: float, sales: int) -> None:
        self.per_second = per_second
        self.began = 0.0
        self._accepted = [NEVER] * sales
        self._visible = [NEVER] * sales
        self._waiting: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._projected: dict[str, int] = {}
        self._seen = 0

    def begin(self) -> None:
        """The first sale is due now."""
        self.began = perf_counter()

    def intended(self, number: int) -> float:
        """When that sale is to be posted."""
        return self.began + number / self.per_second

    def was_accepted(self, number: int) -> None:
        """Its answer has just come."""
        self._accepted[number] = perf_counter()

    def was_recorded(self, number: int, store_id: str, seq: int) -> None:
        """It has just become known under which sequence number it was recorded."""
        heappush(self._waiting[store_id], (seq, number))
        self._take(store_id, perf_counter())

    def was_projected(self, store_id: str, seq: int) -> None:
        """Every report has just come to that sequence number of the store."""
        self._projected[store_id] = max(seq, self._projected.get(store_id, 0))
        self._take(store_id, perf_counter())

    def all_visible(self, sales: int) -> bool:
        """Whether so many sales are in the reports."""
        return self._seen >= sales

    def accepted_after(self, skipped: int) -> Quantiles:
        """From due to accepted, without the first ones."""
        return self._quantiles(self._accepted, skipped)

    def visible_after(self, skipped: int) -> Quantiles:
        """From due to visible, without the first ones."""
        return self._quantiles(self._visible, skipped)

    def _take(self, store_id: str, now: float) -> None:
        waiting, projected = self._waiting[store_id], self._projected.get(store_id, 0)
        while waiting and waiting[0][0] <= projected:
            self._visible[heappop(waiting)[1]] = now
            self._seen += 1

    def _quantiles(self, instants: list[float], skipped: int) -> Quantiles:
        taken = [(instant - self.intended(number)) * 1000 for number, instant in enumerate(instants) if number >= skipped]
        cuts = quantiles(taken, n=100)
        return Quantiles(p50_ms=round(cuts[49], 1), p99_ms=round(cuts[98], 1))


@asynccontextmanager
async def listening(amqp_url: str, run: int, latencies: Latencies) -> AsyncIterator[None]:
    """While in here, `latencies` hears of the sales of `run`."""
    # A sale's id ends in 38 bits of the run and 24 of the number; the bits above are the same for all.
    ending = wire.sale_id(0, run, 0)[19:-6]

    async def recorded(message: AbstractIncomingMessage) -> None:
        for event in from_json(message.body):
            if event["id"][19:-6] == ending:
                latencies.was_recorded(wire.number_of(event["id"]), event["storeid"], event["seq"])

    async def announced(message: AbstractIncomingMessage) -> None:
        if message.type == "projected":
            for store in from_json(message.body)["stores"]:
                latencies.was_projected(store["store_id"], store["seq"])

    connection = await connect(amqp_url, name="bench")
    try:
        channel = await connection.channel(publisher_confirms=False)
        await (await _queue(channel, EVENTS)).consume(recorded, no_ack=True)
        await (await _queue(channel, LIVE)).consume(announced, no_ack=True)
        yield
    finally:
        await close(connection)


async def _queue(channel: AbstractChannel, exchange: str) -> AbstractQueue:
    queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": QUEUE_LENGTH})
    await queue.bind(exchange, "#")
    return queue
