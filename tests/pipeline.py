"""The real pipeline in one process: intake, stock writer, events, projector, on a real broker; and workers that die where a test says."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aio_pika.abc import AbstractIncomingMessage
from sqlalchemy import Engine, text

from infra.connection import connect
from infra.consumer import BatchConsumer, Delivery, Handler
from infra.publisher import ConfirmingPublisher
from infra.topology import EVENTS, INTAKE, INTAKE_KEY, declare
from projections import PROJECTIONS
from schemas.envelope import BATCH_CONTENT_TYPE, Accepted, Recorded, decode_recorded, join, split
from tests.brokers import until
from tests.telling import by_store, marks, whole_log, wire
from workers import projector, stock_writer
from workers.projector import Projector
from workers.stock_writer import StockWriter, utc_now

PREFETCH = 50
PATIENCE_SECONDS = 20.0
NOBODY = ConfirmingPublisher("amqp://nobody:nobody@127.0.0.1:1/", name="never-started")
"""For the parts of workers that publish nothing."""


class Crash(BaseException):
    """The end of a process, which nothing in it can handle."""


class Dying(ConfirmingPublisher):
    """Publishes, and at the n-th time dies instead."""

    def __init__(self, url: str, *, at: int) -> None:
        super().__init__(url, name="dying")
        self._left = at

    async def publish(self, *arguments: Any, **properties: Any) -> None:  # noqa: ANN401 - as the publisher takes them
        self._count_down()
        await super().publish(*arguments, **properties)

    async def announce(self, *arguments: Any, **properties: Any) -> None:  # noqa: ANN401 - the same
        self._count_down()
        await super().announce(*arguments, **properties)

    def _count_down(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Crash


class Forgetting(BatchConsumer):
    """Its first acknowledgement is lost on the way."""

    lost = False

    async def _acknowledge(self, session: Any, batch: list[Delivery]) -> None:  # noqa: ANN401 - the consumer's own
        if self.lost:
            await super()._acknowledge(session, batch)
        else:
            self.lost = True
            session.end("the acknowledgement was lost")


def dying_after(handler: Handler) -> Handler:
    """The handler, in a process that ends before it can acknowledge."""

    async def handle(deliveries: list[Delivery]) -> None:
        await handler(deliveries)
        raise Crash

    return handle


def writer(engine: Engine, publisher: ConfirmingPublisher = NOBODY, *, batch_events: int = 500) -> StockWriter:
    """A stock writer with the real clock."""
    return StockWriter(engine, publisher, batch_events=batch_events, attempts=2, now=utc_now)


@dataclass
class Pipeline:
    """The broker with its topology, a publisher, and everything that came out of `magasin.events`."""

    url: str
    engine: Engine
    publisher: ConfirmingPublisher
    published: list[Recorded] = field(default_factory=list)

    async def tell(self, *messages: Sequence[Accepted]) -> None:
        """Publish to the intake, one message for each sequence."""
        for each in messages:
            body = join(wire(event) for event in each)
            await self.publisher.publish(INTAKE, INTAKE_KEY, body, content_type=BATCH_CONTENT_TYPE, type="accepted", app_id="test")

    @asynccontextmanager
    async def consuming(self, queue: str, handler: Handler, kind: type[BatchConsumer] = BatchConsumer) -> AsyncIterator[BatchConsumer]:
        """A worker's consumer for the length of a block."""
        consumer = kind(self.url, queue, handler, prefetch_count=PREFETCH, batch_messages=PREFETCH, name=f"test-{queue}")
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def crash(self, queue: str, handler: Handler) -> None:
        """Let a worker begin, and return when it has died."""
        async with self.consuming(queue, handler):
            (task,) = (each for each in asyncio.all_tasks() if each.get_name() == f"test-{queue}-consumer")
            await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
            assert isinstance(task.exception(), Crash)

    @asynccontextmanager
    async def sound(self, *, without: str = "") -> AsyncIterator[None]:
        """A stock writer and a projector (or one of them) that work."""
        handlers: dict[str, Callable[[list[Delivery]], Awaitable[None]]] = {
            stock_writer.NAME: writer(self.engine, self.publisher).handle,
            projector.NAME: Projector(self.engine, self.publisher).handle,
        }
        async with AsyncExitStack() as stack:
            for queue, handler in handlers.items():
                if queue != without:
                    await stack.enter_async_context(self.consuming(queue, handler))
            yield

    async def until_projected(self, heads: Mapping[str, int]) -> None:
        """Wait until every projection has come to these places."""
        wanted = {(name, store_id): (seq, "live") for name in PROJECTIONS for store_id, seq in heads.items()}
        await until(lambda: wanted.items() <= marks(self.engine).items(), PATIENCE_SECONDS)

    async def until_recorded(self, event_ids: Collection[UUID]) -> None:
        """Wait until the log has these events."""
        await until(lambda: self._recorded(event_ids) == len(event_ids), PATIENCE_SECONDS)

    def _recorded(self, event_ids: Collection[UUID]) -> int:
        with self.engine.connect() as connection:
            asked = {"ids": list(event_ids)}
            return int(connection.execute(text("SELECT count(*) FROM event_log WHERE event_id = ANY(:ids)"), asked).scalar_one())

    async def until_published(self, events: Sequence[Recorded]) -> None:
        """Wait until each of these came out of `magasin.events` at least once, as the log has it."""
        await until(lambda: all(event in self.published for event in events), PATIENCE_SECONDS)

    async def hear(self, message: AbstractIncomingMessage) -> None:
        self.published += [decode_recorded(each) for each in split(message.body)]


@asynccontextmanager
async def pipeline(url: str, engine: Engine) -> AsyncIterator[Pipeline]:
    """A broker ready for use, with an ear on `magasin.events`."""
    connection = await connect(url, name="test")
    try:
        channel = await connection.channel()
        await declare(channel)
        publisher = ConfirmingPublisher(url, name="test")
        await publisher.start()
        try:
            made = Pipeline(url, engine, publisher)
            ear = await channel.declare_queue(exclusive=True)
            await ear.bind(EVENTS, "#")
            await ear.consume(made.hear, no_ack=True)
            yield made
        finally:
            await publisher.close()
    finally:
        await connection.close()


def rebuilt(engine: Engine, store_ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """The cells of these stores that their log makes, by the definition itself: the sum of what each event adds."""
    with engine.connect() as connection:
        events = whole_log(connection, store_ids)
    built: dict[str, list[tuple[Any, ...]]] = {}
    for projection in PROJECTIONS.values():
        sums: dict[str, dict[tuple[Any, ...], list[int]]] = defaultdict(dict)
        for event in events:
            for table, added in projection.increments([event]).items():
                for key, amounts in added.items():
                    before = sums[f"{table.schema}.{table.name}"].setdefault(key, [0] * len(amounts))
                    sums[f"{table.schema}.{table.name}"][key] = [one + other for one, other in zip(before, amounts, strict=True)]
        for table in filter(by_store, projection.tables):
            name = f"{table.schema}.{table.name}"
            built[name] = sorted((*key, *amounts) for key, amounts in sums[name].items())
    return built
