"""Other systems: one that listens to the feed, and one that takes webhooks, well or badly."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aio_pika.abc import AbstractIncomingMessage
from pydantic_core import to_json
from sqlalchemy import Engine

from infra import outward, webhooks
from infra.connection import brief_channel, connect
from infra.consumer import BatchConsumer
from infra.event_log import read
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from infra.topology import FEED, declare
from infra.webhooks import Delivery, Status, Webhook
from magasin.home import LOOPBACK
from workers.outbound import NAME, Outbound

SECRET = "whsec_test"  # noqa: S105 - of subscribers that live as long as a test
Answering = Callable[["Request"], int | None]


@dataclass(frozen=True)
class Request:
    """What a subscriber got."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def place(self) -> tuple[str, int]:
        return self.event["storeid"], self.event["seq"]


def good(_: Request) -> int:
    return 204


@dataclass
class Subscriber:
    """An HTTP server that answers what `answering` says; None: nothing at all, for as long as the caller waits."""

    answering: Answering = good
    seen: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)
    url: str = ""
    most_at_once: int = 0
    _at_once: int = 0
    _serving: set[asyncio.Task[None] | None] = field(default_factory=set)

    def order(self, store_id: str) -> list[int]:
        """The numbers that it took of a store, each where it came first."""
        return list(dict.fromkeys(request.event["seq"] for request in self.taken if request.event["storeid"] == store_id))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Subscriber"]:
        server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/hook"
        try:
            yield self
        finally:
            server.close()
            # A connection may be there that nobody has looked at yet: its task starts in the next round of the loop.
            await asyncio.sleep(0)
            await asyncio.gather(*filter(None, self._serving), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
                await self._answer(Request(headers, await reader.readexactly(int(headers["content-length"]))), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            # Long enough that requests which may overlap do.
            await asyncio.sleep(0.002)
            status = self.answering(request)
            if status is None:
                await reader.read()
                return
            if status < 300:
                self.taken.append(request)
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\nLocation: {self.url}?moved\r\n\r\nok".encode())
            await writer.drain()
        finally:
            self._at_once -= 1


@dataclass
class Ear:
    """A queue of somebody else's on the feed."""

    messages: list[AbstractIncomingMessage] = field(default_factory=list)

    def order(self, store_id: str) -> list[int]:
        """The numbers that came of a store, each where it came first."""
        return list(dict.fromkeys(self.seqs(store_id)))

    def seqs(self, store_id: str) -> list[int]:
        """The same with repetitions."""
        return [int(str(each.headers["ce-seq"])) for each in self.messages if each.headers["ce-storeid"] == store_id]

    async def hear(self, message: AbstractIncomingMessage) -> None:
        self.messages.append(message)


@asynccontextmanager
async def ear(url: str, *keys: str) -> AsyncIterator[Ear]:
    """An ear for these routing keys."""
    connection = await connect(url, name="ear")
    try:
        channel = await connection.channel()
        await declare(channel)
        queue = await channel.declare_queue(exclusive=True)
        for key in keys or ("#",):
            await queue.bind(FEED, key)
        made = Ear()
        await queue.consume(made.hear, no_ack=True)
        yield made
    finally:
        await connection.close()


@dataclass
class Outside:
    """The outbound worker in this process, and a hand that records and wakes."""

    engine: Engine
    publisher: ConfirmingPublisher
    worker: Outbound

    def delivers_to(self, webhook_id: UUID) -> bool:
        """Whether the worker has heard that this webhook is active, and not yet that it no longer is."""
        return webhook_id in self.worker._webhooks._subscribers  # noqa: SLF001 - nobody else has to know

    async def wake(self, store_id: str, *seqs: int) -> None:
        """Tell how far a store's log reaches, as the projector does; or, number by number, how far it reached."""
        with self.engine.connect() as connection:
            head = read(connection, store_id, after=0, through=2**62)[-1].seq
        for seq in seqs or (head,):
            body = to_json({"stores": [{"store_id": store_id, "seq": seq, "types": []}]})
            await self.publisher.announce(body, content_type="application/json", type="projected", app_id="test")

    def place(self, reader: str, store_id: str) -> int:
        with self.engine.connect() as connection:
            return outward.positions(connection, reader).get(store_id, 0)


@asynccontextmanager
async def outbound(settings: Settings, engine: Engine, publisher: ConfirmingPublisher | None = None) -> AsyncIterator[Outside]:
    """The worker at work, with a publisher of the test's own if it has one."""
    made = publisher or ConfirmingPublisher(settings.amqp_url, name="test-outbound")
    teller = ConfirmingPublisher(settings.amqp_url, name="test")
    async with brief_channel(settings.amqp_url, name="test-topology") as channel:
        await declare(channel)
    await made.start()
    await teller.start()
    handler = Outbound(engine, made, settings)
    consumer = BatchConsumer(settings.amqp_url, NAME, handler, prefetch_count=20, batch_messages=20, name="test-outbound")
    await consumer.start(paused=True)
    handler.start(consumer)
    handler.release()
    try:
        yield Outside(engine, teller, handler)
        assert not handler.ended
    finally:
        await handler.stop()
        await consumer.stop()
        await made.close()
        await teller.close()


def subscribe(engine: Engine, url: str, *, types: Sequence[str] = ("*",), stores: Sequence[str] = ("*",)) -> Webhook:
    """A webhook that begins at the log's first event."""
    values = {"webhook_id": uuid4(), "url": url, "secret": SECRET, "types": list(types), "stores": list(stores), "created_by": "test"}
    with engine.begin() as connection:
        made = webhooks.add(connection, values)
        webhooks.notify(connection, "webhooks")
    return made


def deliveries(engine: Engine, webhook_id: UUID, status: Status | None = None) -> list[Delivery]:
    """What the log says of a webhook, the oldest first."""
    with engine.connect() as connection:
        return webhooks.deliveries(connection, webhook_id, status=status, store_id=None, after=None, limit=500)[::-1]
