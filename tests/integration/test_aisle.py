"""Are the sales of a category those of its products, whatever has been written down of them already, and by whom?"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, Engine, text

from events.catalogue import Bilingual, ProductDefined, StoreDefined
from events.fields import Sku
from projections import REPORTS, aisle
from projections.question import Question
from projections.snapshot import SNAPSHOT
from schemas.envelope import CATALOGUE_STREAM, Accepted
from tests.e2e.system import eventually
from tests.headquarters import headquarters, read
from tests.pipeline import NOBODY
from tests.services import Services
from tests.telling import NOON, keep, own_engine, sale, told, void
from workers.projector import Projector

SHOPS = ("east", "west")
CATEGORIES = {"apple": "Fruits", "pear": "Fruits", "soap": "Entretien", "cup": "Maison"}
SKUS = (*CATEGORIES, "stranger")
FIGURES = ("sales", "units", "returned_units", "revenue")
GROUPINGS = (("category",), ("month", "category"), ("week", "category"), ("store", "category"), ("day", "store", "category"))
PERIOD = {"from": "2026-01-09", "to": "2026-03-20"}


def product(sku: str, category: str) -> Accepted:
    described = ProductDefined(sku=Sku(sku), name=Bilingual(fr=sku, en=sku), category=Bilingual(fr=category, en=category), price=Decimal(1))
    return told(described, store_id=CATALOGUE_STREAM, at=NOON)


def some_sales(seed: int, number: int = 30) -> list[Accepted]:
    """Sales of the last weeks, and voids of some of them, as often as not before the sale."""
    rng = random.Random(seed)  # noqa: S311 - an example, not a secret
    facts: list[Accepted] = []
    for _ in range(number):
        store, at = rng.choice(SHOPS), NOON - timedelta(minutes=rng.randrange(70 * 1_440))
        lines = [(rng.choice(SKUS), rng.randint(1, 4), f"{rng.randint(50, 900) / 100:.2f}") for _ in range(rng.randint(1, 4))]
        sold = told(sale(*lines), store_id=store, at=at)
        facts.append(sold)
        if rng.random() < 0.2:
            facts.insert(rng.randrange(len(facts)), told(void(sold.event_id), store_id=store, at=at + timedelta(hours=1)))
    return facts


def record(engine: Engine, facts: Sequence[Accepted]) -> None:
    keep(engine, *facts)
    Projector(engine, NOBODY).catch_up()


@pytest.fixture
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        keep(pool, *(told(StoreDefined(name=each, timezone="America/Toronto"), store_id=each, at=NOON) for each in SHOPS))
        record(pool, [*(product(*each) for each in CATEGORIES.items()), *some_sales(1)])
        yield pool


def of_products(rows: Sequence[dict[str, Any]], names: Sequence[str], categories: dict[str, str]) -> dict[tuple[Any, ...], list[Decimal]]:
    """Rows of products as rows of their categories; those with nothing are left out."""
    found: dict[tuple[Any, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * len(FIGURES))
    for row in rows:
        key = tuple(categories.get(row["sku"]) if name == "category" else row[name] for name in names)
        found[key] = [so_far + Decimal(row[figure]) for so_far, figure in zip(found[key], FIGURES, strict=True)]
    return {key: figures for key, figures in found.items() if any(figures)}


async def assert_right(client: httpx2.AsyncClient, categories: dict[str, str]) -> None:
    """By category as by product, in the same order of what they are grouped by."""
    for names in GROUPINGS:
        for asked in ({}, PERIOD, {"store": "west"}):
            finer = [name for name in names if name != "category"]
            products = await read(client, "reports/daily-sales", group_by=",".join([*finer, "product"]), limit=10_000, **asked)
            answer = await read(client, "reports/daily-sales", group_by=",".join(names), limit=10_000, **asked)
            columns = [name for name in answer["items"][0] if name not in FIGURES]
            told_ = {tuple(row[name] for name in columns): [Decimal(row[figure]) for figure in FIGURES] for row in answer["items"]}
            assert told_ == of_products(products["items"], columns, categories), (names, asked)


async def test_sales_by_category_follow_whatever_is_recorded(engine: Engine, tmp_path: Path) -> None:
    async with headquarters(engine, tmp_path) as client:
        await assert_right(client, CATEGORIES)
        record(engine, some_sales(2))
        await assert_right(client, CATEGORIES)


async def test_a_product_in_another_category_takes_its_sales_along(engine: Engine, tmp_path: Path) -> None:
    async with headquarters(engine, tmp_path) as client:
        await assert_right(client, CATEGORIES)
        record(engine, [product("pear", "Maison"), product("stranger", "Divers")])
        await assert_right(client, CATEGORIES | {"pear": "Maison", "stranger": "Divers"})


async def test_nobody_waits_for_somebody_who_writes(engine: Engine, tmp_path: Path) -> None:
    async with headquarters(engine, tmp_path) as client:
        await assert_right(client, CATEGORIES)
        with engine.begin() as other:
            other.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": aisle.LOCK})
            before = _seen(engine)
            record(engine, some_sales(3))
            await assert_right(client, CATEGORIES)
            assert _seen(engine) == before
        await assert_right(client, CATEGORIES)
        assert _seen(engine) != before


def test_who_finds_the_cells_written_meanwhile_leaves_them_as_they_are(engine: Engine) -> None:
    _write(engine)
    record(engine, some_sales(5))
    before = _seen(engine)
    with ThreadPoolExecutor(1) as threads:
        with engine.begin() as other:
            other.execute(text("UPDATE aisle.month SET units = units"))
            writing = threads.submit(_write, engine)
            assert eventually(lambda: _is_waited_for(other) or None)
        writing.result()
    assert _seen(engine) == before
    _write(engine)
    with engine.connect() as connection:
        assert _units(connection, "aisle.month") == _units(connection, "daily_sales.store_day")


def test_what_nobody_has_written_down_yet_is_laid_beside_it(engine: Engine) -> None:
    report = REPORTS["daily-sales"]
    _write(engine)
    record(engine, some_sales(4))
    with engine.connect() as connection:
        connection.execute(SNAPSHOT)
        stored = aisle.stored(connection)
        assert stored is not None
        assert stored.late is not None
        question = Question(("month", "category"), since=NOON.date() - timedelta(days=50), category="Fruits", limit=100)
        rows = report.find(connection, question).rows
        products = report.find(connection, Question(("month", "sku"), since=question.since, limit=1_000)).rows
    expected = of_products([dict(row) for row in products if CATEGORIES.get(row["sku"]) == "Fruits"], ("month", "category"), CATEGORIES)
    assert {(row["month"], row["category"]): [Decimal(row[figure]) for figure in FIGURES] for row in rows} == expected


def test_another_build_of_the_sales_is_added_up_anew(engine: Engine) -> None:
    _write(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE aisle.month SET units = units + 1"))
        connection.execute(text("INSERT INTO generation (projection, number, state) VALUES ('daily-sales', 2, 'live')"))
    with engine.connect() as connection:
        connection.execute(SNAPSHOT)
        assert aisle.stored(connection) is None
    _write(engine)
    with engine.connect() as connection:
        assert _units(connection, "aisle.month") == _units(connection, "daily_sales.store_day")


def _write(engine: Engine) -> None:
    with engine.connect() as connection:
        for _ in aisle.write(connection):
            connection.commit()


def _seen(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {row.store_id: row.position for row in connection.execute(text("SELECT * FROM aisle.seen"))}


def _is_waited_for(connection: Connection) -> bool:
    waits = text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid)")
    return bool(connection.execute(waits).scalar_one())


def _units(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT sum(units) FROM {table}")).scalar_one())  # noqa: S608 - a table of ours
