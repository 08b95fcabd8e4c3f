"""Is a projection built again beside the live one exactly what its log says, and does nobody notice until it is promoted?"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select, text

from infra.audit import audit_log
from operations import job, job_orders, rebuild, swap
from operations.deed import Refused
from operations.job import Job, Overtaken
from operations.rebuild import Rebuild
from projections import PROJECTIONS, checkpoint, generations, shadow
from projections.base import Cells
from projections.daily_sales import DailySales
from projections.project import follow
from schemas.envelope import Recorded
from tests.pipeline import NOBODY, rebuilt
from tests.services import Services
from tests.telling import Branch, adjusted, by_store, cells, delivered, marks, own_engine, returned, sale, void
from workers.projector import Projector

NAME = DailySales.name
DAY = "daily_sales.store_day"
WHO = {"by": "olga", "reason": "figures look wrong"}


@pytest.fixture
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    """A store with facts of every kind, all of them projected."""
    made = Branch(engine).opened()
    kept, gone = made.told(sale(("apple", 3), ("pear", 1))), made.told(sale(("pear", 2)))
    made.keep(delivered(("apple", 10, "0.80")), adjusted(("pear", -2)), kept, returned(kept.event_id, ("apple", 1)), gone, void(gone.event_id))
    Projector(engine, NOBODY).catch_up()
    return made


def moved(engine: Engine, started: Job, *, most: int = 1_000) -> Job:
    """The rebuild, moved on until it waits for somebody."""
    found = started
    while found.moves:
        Rebuild(engine).move(found, most)
        found = seen(engine, found)
    return found


def seen(engine: Engine, found: Job) -> Job:
    with engine.connect() as connection:
        now = job.find(connection, found.id)
    assert now is not None
    return now


def started(engine: Engine, name: str = NAME) -> Job:
    return rebuild.start(engine, name, **WHO)


def ready(engine: Engine, name: str = NAME) -> Job:
    found = moved(engine, started(engine, name))
    assert (found.state, found.error, found.done) == ("ready", None, found.total)
    return found


def tamper(engine: Engine, store_id: str, cents: int = 100) -> None:
    with engine.begin() as connection:
        asked = {"cents": cents, "store_id": store_id}
        connection.execute(text("UPDATE daily_sales.store_day SET revenue_cents = revenue_cents + :cents WHERE store_id = :store_id"), asked)


def revenue(engine: Engine, store_id: str) -> int:
    with engine.connect() as connection:
        statement = text("SELECT sum(revenue_cents) FROM daily_sales.store_day WHERE store_id = :store_id")
        return int(connection.execute(statement, {"store_id": store_id}).scalar_one())


def schemas(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%\\_g_'")))


def check_rebuild(engine: Engine, name: str) -> None:
    """Built again it differs in nothing, and promoting it changes nothing; whatever comes then is added to it."""
    before = cells(engine)
    found = ready(engine, name)
    assert found.place["diff"]["cells"] == 0
    assert found.place["apart"] == []
    assert cells(engine) == before
    swap.promote(engine, found.id, **WHO)
    assert cells(engine) == before


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_every_projection_built_again_is_the_live_one(engine: Engine, branch: Branch, name: str) -> None:
    check_rebuild(engine, name)
    branch.keep(sale(("apple", 2)), delivered(("pear", 4, "0.50")), adjusted(("apple", -1)))
    Projector(engine, NOBODY).catch_up()
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])


def test_a_tampered_cell_is_named_and_is_gone_once_the_build_is_promoted(engine: Engine, branch: Branch) -> None:
    true = cells(engine)
    tamper(engine, branch.store_id)
    found = ready(engine)
    tables = found.place["diff"]["tables"]
    assert found.place["diff"]["cells"] == 1
    assert {name: (each["added"], each["removed"], each["changed"]) for name, each in tables.items() if each["examples"]} == {
        "store_day": (0, 0, 1)
    }
    (example,) = tables["store_day"]["examples"]
    assert example["key"] == {"store_id": branch.store_id, "business_date": "2026-03-14"}
    assert example["change"] == {"sales": 0, "units": 0, "returned_units": 0, "revenue_cents": -100}
    assert tables["store_day"]["sums"]["revenue_cents"]["live"] - tables["store_day"]["sums"]["revenue_cents"]["rebuilt"] == 100
    assert cells(engine) != true
    swap.promote(engine, found.id, **WHO)
    assert cells(engine) == true
