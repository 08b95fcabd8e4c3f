"""Is a projection one class, and does everything else come by itself?

A test declares one that the code has never heard of: its report, its OpenAPI entry, and what must hold of every projection hold for it too.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, Table, delete, select, text

from api import problems, reports
from api.reading import Reader
from api.tokens import tokens_of
from infra.database import metadata
from infra.settings import Settings
from projections import PROJECTIONS, REPORTS, Projection, checkpoint
from projections.base import Cells, Measure, bump, cell_table
from projections.project import follow
from schemas.envelope import Recorded
from tests.pipeline import NOBODY, rebuilt
from tests.services import Services
from tests.telling import Branch, adjusted, by_store, counted, delivered, marks, minutes, own_engine, returned, sale, void
from workers.projector import Projector

NAME = "delivered-units"


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    return told_by(Branch(engine).opened())


def told_by(branch: Branch) -> Branch:
    """A store with facts of every kind on two days, some before what they speak of."""
    kept, gone, late = branch.told(sale(("apple", 3), ("pear", 1))), branch.told(sale(("pear", 2))), branch.told(sale(("apple", 1)))
    branch.keep(
        delivered(("apple", 10, "0.80"), ("apple", 5)),
        adjusted(("pear", -2), ("apple", 1)),
        kept,
        returned(kept.event_id, ("apple", 1)),
        gone,
        void(gone.event_id),
    )
    branch.keep(branch.told(returned(late.event_id, ("apple", 1)), at=minutes(1_500)), void(late.event_id), late)
    branch.keep(
        branch.told(delivered(("pear", 7)), at=minutes(1_500)), counted(("apple", 4)), sale(("apple", 99), if_insufficient="refuse")
    )
    return branch


@pytest.fixture
def declared(engine: Engine) -> Iterator[str]:
    """The name of a projection declared now, with its table; nothing of it stays."""
    table = cell_table("delivered_units", "store_day", ("store_id", "business_date"), ("deliveries", "units"))
    try:

        class DeliveredUnits(Projection):
            """How many units suppliers brought."""

            name = NAME
            question = "How many units did suppliers bring on each day?"
            tables = (table,)
            measures = (
                Measure("deliveries", "sum(deliveries)", "count", "Livraisons", "Deliveries"),
                Measure("delivered_units", "sum(units)", "units", "Articles livrés", "Units delivered"),
            )
            group_by = ("business_date", "store_id")

            def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
                days: Cells = {}
                for event in events:
                    if event.type == "delivery.received":
                        units = sum(line["quantity"] for line in event.data["lines"])
                        bump(days, (event.store_id, event.local_at.date()), 1, units)
                return {table: days}

        with engine.begin() as connection:
            connection.execute(text("CREATE SCHEMA delivered_units"))
            table.create(connection)
        yield DeliveredUnits.name
    finally:
        PROJECTIONS.pop(NAME, None)
        REPORTS.pop(NAME, None)
        metadata.remove(table)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA IF EXISTS delivered_units CASCADE"))
            connection.execute(delete(checkpoint.checkpoint).where(checkpoint.checkpoint.c.projection == NAME))


def cells(engine: Engine, name: str, store_id: str) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        return {
            f"{table.schema}.{table.name}": sorted(
                tuple(row) for row in connection.execute(select(table).where(table.c.store_id == store_id))
            )
            for table in filter(by_store, PROJECTIONS[name].tables)
        }


def forget(engine: Engine, name: str, store_id: str) -> None:
    """As if the projection had never seen this store."""
    place = checkpoint.checkpoint.c
    with engine.begin() as connection:
        connection.execute(delete(checkpoint.checkpoint).where(place.projection == name, place.store_id == store_id))
        for table in filter(by_store, PROJECTIONS[name].tables):
            connection.execute(delete(table).where(table.c.store_id == store_id))


def check_idempotence(branch: Branch, name: str) -> None:
    """Whatever comes again, alone or all together, changes nothing."""
    follow(branch.engine, {branch.store_id: branch.log})
    before = cells(branch.engine, name, branch.store_id)
    assert any(before.values())
    for event in branch.log:
        follow(branch.engine, {branch.store_id: [event]})
    follow(branch.engine, {branch.store_id: [*branch.log, *branch.log]})
    assert cells(branch.engine, name, branch.store_id) == before
    assert marks(branch.engine)[name, branch.store_id] == (len(branch.log), "live")


def check_rebuild(branch: Branch, name: str) -> None:
    """From the log alone come the cells that following event by event made, and those that the definition says."""
    for event in branch.log:
        follow(branch.engine, {branch.store_id: [event]})
    live = cells(branch.engine, name, branch.store_id)
    forget(branch.engine, name, branch.store_id)
    assert not any(cells(branch.engine, name, branch.store_id).values())
    assert Projector(branch.engine, NOBODY).catch_up() == 1
    assert cells(branch.engine, name, branch.store_id) == live
    assert live.items() <= rebuilt(branch.engine, [branch.store_id]).items()


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_duplicates_change_nothing_in_any_projection(branch: Branch, name: str) -> None:
    check_idempotence(branch, name)


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_any_projection_is_built_again_from_the_log_as_it_was(branch: Branch, name: str) -> None:
    Projector(branch.engine, NOBODY).catch_up()
    check_rebuild(branch, name)


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_no_event_of_another_type_than_those_it_names_adds_anything(branch: Branch, name: str) -> None:
    projection = PROJECTIONS[name]
    assert projection.increments(list(projection.concerned(branch.log))) == projection.increments(branch.log)


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_what_events_add_together_is_the_sum_of_what_each_adds(branch: Branch, name: str) -> None:
    projection = PROJECTIONS[name]
    together = {
        f"{table.schema}.{table.name}": sorted((*key, *amounts) for key, amounts in added.items())
        for table, added in projection.increments(branch.log).items()
        if by_store(table)
    }
    assert together.items() <= rebuilt(branch.engine, [branch.store_id]).items()


def test_a_new_projection_finds_all_that_happened_before_it_was_there(branch: Branch, declared: str) -> None:
    follow(branch.engine, {branch.store_id: branch.log[:1]})
    forget(branch.engine, declared, branch.store_id)
    assert (declared, branch.store_id) not in marks(branch.engine)
    Projector(branch.engine, NOBODY).catch_up()
    assert [row[2:] for row in cells(branch.engine, declared, branch.store_id)["delivered_units.store_day"]] == [(1, 15), (1, 7)]


def test_what_holds_for_every_projection_holds_for_a_new_one(branch: Branch, declared: str) -> None:
    check_idempotence(branch, declared)
    Projector(branch.engine, NOBODY).catch_up()
    check_rebuild(branch, declared)


def test_two_projections_can_not_have_one_name(declared: str) -> None:
    with pytest.raises(TypeError, match=f"two reports are called {declared}"):
        type("Again", (Projection,), {"name": declared})


@asynccontextmanager
async def headquarters(engine: Engine, home: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A caller who may read every report, of an API that has nothing but the reports declared now."""
    app = FastAPI()
    problems.install(app)
    app.include_router(reports.router())
    app.state.tokens = tokens_of(Settings(env="test", home=home))
    app.state.reader = Reader(engine, None, ttl_seconds=1, timeout_seconds=1)
    token = app.state.tokens.issue("siege", "gestionnaire", ["*"])
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test", headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


async def test_a_new_projection_has_its_report_its_entry_in_the_list_and_in_openapi(
    engine: Engine, branch: Branch, declared: str, tmp_path: Path
) -> None:
    Projector(engine, NOBODY).catch_up()
    async with headquarters(engine, tmp_path) as client:
        listed = (await client.get("/api/v2/reports")).json()["items"]
        document = (await client.get("/openapi.json")).json()
        report = await client.get(f"/api/v2/reports/{declared}", params={"store": branch.store_id})
        grouped = await client.get(f"/api/v2/reports/{declared}", params={"store": branch.store_id, "group_by": "store"})
    assert declared in [each["name"] for each in listed]
    entry = document["paths"][f"/api/v2/reports/{declared}"]["get"]
    assert entry["summary"] == "How many units did suppliers bring on each day?"
    assert "`delivered_units` (units) = `sum(units)`: Units delivered." in entry["description"]
    assert report.status_code == 200
    assert report.json()["items"] == [
        {"business_date": "2026-03-14", "store_id": branch.store_id, "deliveries": 1, "delivered_units": 15},
        {"business_date": "2026-03-15", "store_id": branch.store_id, "deliveries": 1, "delivered_units": 7},
    ]
    assert report.json()["meta"]["complete"] is True
    assert grouped.json()["items"] == [{"store_id": branch.store_id, "deliveries": 2, "delivered_units": 22}]


async def test_when_it_is_gone_nothing_of_it_is_left(engine: Engine, tmp_path: Path) -> None:
    async with headquarters(engine, tmp_path) as client:
        assert (await client.get(f"/api/v2/reports/{NAME}")).status_code == 404
    assert NAME not in PROJECTIONS
    assert "delivered_units.store_day" not in metadata.tables
