"""How fast is the same route when it publishes each sale with FastStream, for a worker with one transaction a message?"""

from fastapi import FastAPI
from faststream.rabbit import RabbitBroker
from pydantic_core import from_json

from bench.baselines.faststream_sale import QUEUE, AcceptedSale
from bench.baselines.front import application
from infra.settings import settings
from schemas.envelope import Accepted


def create_app() -> FastAPI:
    """Publishes with FastStream's default: persistent as asked for, confirmed by the broker."""
    broker = RabbitBroker(settings().amqp_url)

    async def opened() -> None:
        await broker.start()
        await broker.declare_queue(QUEUE)

    async def take(event: Accepted, data: bytes) -> None:
        sale = AcceptedSale(
            event_id=event.event_id,
            type=event.type,
            version=event.version,
            store_id=event.store_id,
            source=event.source,
            occurred_at=event.occurred_at,
            received_at=event.received_at,
            fingerprint=event.fingerprint,
            actor=event.actor,
            traceparent=event.traceparent,
            data=from_json(data),
        )
        await broker.publish(sale, QUEUE, persist=True)

    async def closed() -> None:
        await broker.stop()

    return application(take, opened, closed)
