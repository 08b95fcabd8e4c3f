"""How does a FastStream worker record sales? As its documentation shows: a subscriber, one message and one transaction at a time."""

from faststream import FastStream
from faststream.rabbit import RabbitBroker
from pydantic_core import to_json

from bench.baselines.database import Pool
from bench.baselines.faststream_sale import QUEUE, AcceptedSale
from bench.baselines.front import database_url
from infra.settings import settings

broker = RabbitBroker(settings().amqp_url)
app = FastStream(broker)
pool = Pool(database_url())


@app.on_startup
async def connect() -> None:
    """Open the pool before the first message."""
    await pool.open()


@app.after_shutdown
async def disconnect() -> None:
    """Close it after the last."""
    await pool.close()


@broker.subscriber(QUEUE)
async def record(sale: AcceptedSale) -> None:
    """Record one sale."""
    await pool.record(sale.event, to_json(sale.data))
