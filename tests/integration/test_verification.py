"""Is everything proven again all the time, and at once when somebody asks, whoever dies meanwhile?"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine, text

from infra.database import engine_for
from infra.settings import Settings
from operations import job, verification, verified
from operations.deed import Refused
from operations.looking import Interrupted
from operations.verification import KIND, Verification
from operations.verified import ALWAYS, Standing
from projections.project import follow
from tests.brokers import until
from tests.telling import Branch, sale
from workers.operator import Operator
from workers.verifier import Rest, Verifier

PATIENCE_SECONDS = 20.0


@pytest.fixture
def config(database: str) -> Settings:
    return Settings(env="test", database_url=database, verify_share_percent=100.0, verify_interval_seconds=1)


@pytest.fixture
def engine(config: Settings) -> Iterator[Engine]:
    pool = engine_for(config, name="test")
    yield pool
    pool.dispose()


@pytest.fixture
def shops(engine: Engine) -> list[Branch]:
    """Three stores with sales that are projected; the log has the catalogue's stream besides."""
    made = [Branch(engine).opened() for _ in range(3)]
    for number, each in enumerate(made, start=1):
        each.keep(*(sale(("apple", 1), ("pear", 2)) for _ in range(number)))
        follow(engine, {}, {each.store_id: each.log[-1].seq})
    return made


def tamper(branch: Branch) -> str:
    """Change one cell; where that is."""
    with branch.engine.begin() as connection:
        connection.execute(
            text("UPDATE stock_level SET on_hand = on_hand + 5 WHERE store_id = :s AND sku = 'pear'"), {"s": branch.store_id}
        )
    return f"stock_level/{branch.store_id}/pear/on_hand"


def known(engine: Engine) -> Standing:
    with engine.connect() as connection:
        return verified.standing(connection)


def shown(engine: Engine, job_id: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        found = job.find(connection, job_id, KIND)
        assert found
        return verification.told(connection, found, datetime.now(UTC))


@asynccontextmanager
async def operator(engine: Engine, config: Settings) -> AsyncIterator[None]:
    made = Operator(engine, config, [Verification(engine)])
    task = asyncio.create_task(made.run())
    try:
        yield
    finally:
        made.stop()
        await task


async def done(engine: Engine, config: Settings, job_id: UUID) -> dict[str, Any]:
    async with operator(engine, config):
        await until(lambda: shown(engine, job_id)["state"] != "running", PATIENCE_SECONDS)
    return shown(engine, job_id)


async def test_a_full_run_names_what_differs_and_says_through_when_all_is_proven(
    engine: Engine, config: Settings, shops: list[Branch]
) -> None:
    before = datetime.now(UTC)
    place = tamper(shops[1])
    told = await done(engine, config, verification.order(engine, by="operateur").id)
    level = 5 - 2 * 2
    assert (told["state"], told["mismatches"]) == ("done", [{"where": place, "expected": level - 5, "found": level}])
    with engine.connect() as connection:
        total = int(connection.execute(text("SELECT sum(seq) FROM store_head")).scalar_one())
    assert told["done"] == told["total"] == told["events"] == total
    assert told["failed"] == len(shops[1].log)
    assert told["stores"] == len(shops) + 1
    assert before - timedelta(seconds=1) < told["verified_through"] < datetime.now(UTC)
    assert known(engine).mismatch_count == 1


async def test_a_run_that_was_ended_in_the_middle_goes_on_after_the_last_store(
    engine: Engine, config: Settings, shops: list[Branch]
) -> None:
    job_id = verification.order(engine, by="operateur", max_per_second=3.0).id
    async with operator(engine, config):
        await until(lambda: shown(engine, job_id)["done"] > 0, PATIENCE_SECONDS)
    part = shown(engine, job_id)
    assert part["state"] == "running"
    assert part["verified_through"] is None
    with engine.begin() as connection:
        connection.execute(text("UPDATE job SET max_per_second = NULL"))
    told = await done(engine, config, job_id)
    with engine.connect() as connection:
        total = int(connection.execute(text("SELECT sum(seq) FROM store_head")).scalar_one())
    assert (told["state"], told["done"], told["mismatches"]) == ("done", total, [])
    assert len(shops) + 1 == told["stores"]


async def test_one_store_alone_can_be_asked_for(engine: Engine, config: Settings, shops: list[Branch]) -> None:
    tamper(shops[0])
    told = await done(engine, config, verification.order(engine, by="operateur", store_id=shops[2].store_id).id)
    assert (told["events"], told["stores"], told["mismatches"]) == (len(shops[2].log), 1, [])
    with pytest.raises(Refused, match="unknown_store"):
        verification.order(engine, by="operateur", store_id="nowhere")


def test_store_after_store_is_looked_at_the_longest_unseen_first_and_the_chain_too(
    engine: Engine, config: Settings, shops: list[Branch]
) -> None:
    verifier = Verifier(config)
    rest = Rest(100.0, threading.Event())
    first = known(engine)
    assert (first.stores_to_come, first.stores, first.mismatch_count) == (4, 4, 0)
    assert first.verified_through is not None
    assert first.verified_through <= min(each.log[0].recorded_at for each in shops)
    place = tamper(shops[0])
    try:
        for _ in range(len(shops) + 2):
            assert verifier.look(rest)
        assert not verifier.look(rest)
    finally:
        verifier.close()
    with engine.connect() as connection:
        rows = {row.store_id: row for row in connection.execute(text("SELECT * FROM verified WHERE run_id = :run"), {"run": ALWAYS})}
    assert rows.keys() == {"", "siege", *(each.store_id for each in shops)}
    after = known(engine)
    assert after.stores_to_come == 0
    assert after.verified_through == min(row.at for row in rows.values())
    assert [each.where for each in after.mismatches] == [place]


async def test_the_process_that_leads_does_it_by_itself_and_tells_in_its_metrics(
    engine: Engine, config: Settings, shops: list[Branch]
) -> None:
    place = tamper(shops[2])
    verifier = Verifier(config)
    working = asyncio.create_task(verifier.run())
    try:
        await until(lambda: known(engine).stores_to_come == 0 and known(engine).mismatch_count == 1, PATIENCE_SECONDS)
        assert [each.where for each in known(engine).mismatches] == [place]
        await verifier.refresh()
        assert REGISTRY.get_sample_value("magasin_verified_mismatches") == 1.0
        with engine.begin() as connection:
            mended = text("UPDATE stock_level SET on_hand = on_hand - 5 WHERE sku = 'pear' AND store_id = :s")
            connection.execute(mended, {"s": shops[2].store_id})
        await until(lambda: known(engine).mismatch_count == 0, PATIENCE_SECONDS)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        verifier.close()


def test_work_takes_its_share_of_the_time_and_ends_when_told_to() -> None:
    ended = threading.Event()
    rest = Rest(20.0, ended)
    began = time.perf_counter()
    time.sleep(0.05)  # this is the work
    rest()
    assert time.perf_counter() - began >= 0.05 / 0.2
    ended.set()
    with pytest.raises(Interrupted):
        rest()
