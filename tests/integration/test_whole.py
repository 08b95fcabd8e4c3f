"""Is the whole told, in figures that alerts are made of, by a process that does none of the work?"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Connection, Engine, text

from infra.connection import brief_channel
from infra.dead_letters import Letter, park
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from infra.topology import INTAKE, INTAKE_KEY, declare
from operations import consumers
from operations.consumers import Pulse, utc_now
from tests.services import Services
from tests.telling import Branch, sale
from workers.whole import Whole

PATIENCE_SECONDS = 20.0
HOUR = timedelta(hours=1)


@pytest.fixture
def config(settings_for_test: Settings, services: Services) -> Settings:
    return settings_for_test.model_copy(update={"rabbitmq_management_url": services.management_url, "till_silence_seconds": 7_200})


def told(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"magasin_{name}", labels)


@pytest.fixture
def whole(config: Settings) -> Iterator[Whole]:
    made = Whole(config)
    yield made
    made.close()


def heard(connection: Connection, store_id: str, till_id: str, ago: timedelta) -> None:
    at = datetime.now(UTC) - ago
    row = {"store": store_id, "till": till_id, "at": at}
    connection.execute(text("INSERT INTO till VALUES (:store, :till, '{[1,2)}', '{}', :at, :at)"), row)


def letter() -> Letter:
    return Letter(
        message_id=str(uuid4()),
        place=0,
        consumer="projector",
        exchange="magasin.events",
        routing_key="projector",
        headers={},
        reason="poison",
        error=ValueError("unreadable"),
        attempts=3,
        failed_at=utc_now(),
        payload=b"{}",
    )


async def test_a_till_is_silent_alone_while_its_colleagues_sell_and_gone_after_a_week(whole: Whole, engine: Engine) -> None:
    with engine.begin() as connection:
        heard(connection, "busy", "1", HOUR)
        heard(connection, "busy", "2", 3 * HOUR)
        heard(connection, "closed", "1", 5 * HOUR)
        heard(connection, "busy", "old", timedelta(days=8))
    await whole.refresh()
    assert [told("tills", state=state) for state in ("heard", "silent", "alone")] == [1.0, 2.0, 1.0]


async def test_dead_letters_are_told_by_status_and_zero_where_there_are_none(whole: Whole, engine: Engine) -> None:
    await whole.refresh()
    assert told("dead_letters", status="waiting") == 0.0
    with engine.begin() as connection:
        park(connection, [letter(), letter()])
    await whole.refresh()
    assert (told("dead_letters", status="waiting"), told("dead_letters", status="parked")) == (2.0, 0.0)


async def test_the_lag_is_told_although_no_projector_lives(whole: Whole, engine: Engine) -> None:
    Branch(engine).opened().keep(sale(("apple", 1)))
    await whole.refresh()
    assert (told("projection_lag_events", projection="daily-sales") or 0) >= 2


async def test_a_queue_that_nobody_serves_grows_older(whole: Whole, config: Settings, engine: Engine) -> None:
    publisher = ConfirmingPublisher(config.amqp_url, name="test")
    async with brief_channel(config.amqp_url, name="test") as channel:
        await declare(channel)
    await publisher.start()
    try:
        await publisher.publish(INTAKE, INTAKE_KEY, b"{}", content_type="application/json", type="sale.recorded", app_id="test")
    finally:
        await publisher.close()
    with engine.begin() as connection:
        consumers.beat(connection, last_words())
    async with asyncio.timeout(PATIENCE_SECONDS):
        # The broker's own figures are samples.
        while told("queue_ready_messages", queue="stock-writer") != 1.0:
            await asyncio.sleep(0.1)
            await whole.refresh()
    assert (told("queue_oldest_seconds", queue="stock-writer") or 0) >= HOUR.total_seconds()
    assert told("broker_alarms", alarm="memory") == 0.0


def last_words() -> Pulse:
    """Of a stock writer that died an hour ago with a message in its hands."""
    then = utc_now() - HOUR
    return Pulse(uuid4(), "stock-writer", "there", 1, "0", "stopped", then, None, None, then, then)


async def test_without_management_nothing_is_claimed_of_the_broker_and_without_a_database_that_it_is_there(
    config: Settings, whole: Whole
) -> None:
    await whole.refresh()
    assert told("database_ready") == 1.0
    away = {"rabbitmq_management_url": None, "database_url": "postgresql://nobody@127.0.0.1:1/none", "database_connect_timeout_seconds": 1}
    blind = Whole(config.model_copy(update=away))
    try:
        await blind.refresh()
    finally:
        blind.close()
    assert told("database_ready") == 0.0
    assert told("broker_alarms", alarm="memory") is None
