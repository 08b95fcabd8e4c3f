"""Can each process write what it writes and nothing else, also in what is made later?"""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, Table, make_url, text

from infra.database import engine_for, metadata
from infra.settings import Settings
from magasin.backup import plain
from magasin.database_roles import PASSWORD_FILES, ROLES, apply
from operations import job, swap
from operations.rebuild import Rebuild, start
from projections import PROJECTIONS
from projections.project import follow
from tests.privileges import database_urls
from tests.services import Services
from tests.telling import SHOP, delivered, keep, log_of, open_shops, sale, told

DAILY = "daily-sales"
CELLS = [table for projection in PROJECTIONS.values() for table in projection.tables]
OF_THE_STOCK = {
    "event_log", "store_head", "stock_level", "stock_cost", "stock_movement", "stock_case", "store", "product", "product_word",
    "store_product", "restock", "restock_line", "till",
}  # fmt: skip


@pytest.fixture
def urls(database: str, tmp_path: Path) -> Mapping[str, str]:
    return database_urls(database, tmp_path / "passwords")


def connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(plain(url), autocommit=True)


def refused(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> bool:
    try:
        connection.execute(statement.encode())
    except InsufficientPrivilege:
        return True
    except psycopg.Error:
        return False
    return False


def writing(table: Table) -> list[str]:
    column = list(table.columns)[-1].name
    return [
        f"INSERT INTO {table.fullname} DEFAULT VALUES",
        f"UPDATE {table.fullname} SET {column} = {column}",  # noqa: S608 - names that the code declares, here and below
        f"DELETE FROM {table.fullname}",  # noqa: S608
        f"TRUNCATE {table.fullname}",
    ]


def test_the_api_writes_neither_the_stock_nor_the_log_nor_a_projection(urls: Mapping[str, str]) -> None:
    tables = [metadata.tables[name] for name in OF_THE_STOCK] + CELLS
    with connected(urls["api"]) as connection:
        allowed = [each for table in tables for each in writing(table) if not refused(connection, each)]
        assert allowed == []
        assert refused(connection, "UPDATE checkpoint SET seq = 1")
        assert refused(connection, "CREATE TABLE public.mine ()")
        assert refused(connection, "CREATE SCHEMA mine")
        for table in tables:
            connection.execute(f"SELECT 1 FROM {table.fullname}".encode())  # noqa: S608


def test_nobody_changes_or_removes_what_is_in_the_log_or_in_the_audit_log(urls: Mapping[str, str]) -> None:
    for name, url in urls.items():
        with connected(url) as connection:
            for table in ("event_log", "audit_log"):
                allowed = [each for each in writing(metadata.tables[table])[1:] if not refused(connection, each)]
                assert allowed == [], name


def test_the_stock_is_the_stock_writers_and_the_operators_who_tries_what_it_would_do(urls: Mapping[str, str]) -> None:
    for name in urls.keys() - {"stock-writer", "operator"}:
        with connected(urls[name]) as connection:
            allowed = [each for table in OF_THE_STOCK for each in writing(metadata.tables[table]) if not refused(connection, each)]
            assert allowed == [], name


def test_secrets_are_read_by_those_who_need_them(urls: Mapping[str, str]) -> None:
    def readers(table: str) -> set[str]:
        found = set()
        for name, url in urls.items():
            with connected(url) as connection:
                found |= set() if refused(connection, f"SELECT 1 FROM {table}") else {name}  # noqa: S608 - a name of ours
        return found

    assert readers("account") == readers("refresh_token") == {"api"}
    assert readers("webhook") == {"api", "outbound"}


def test_every_table_has_somebody_who_writes_it() -> None:
    kept = {table.name for table in metadata.tables.values() if table.schema is None}
    assert kept == {table for role in ROLES for table in role.writes}


def test_a_right_that_is_not_named_any_more_is_taken_away(database: str, urls: Mapping[str, str], tmp_path: Path) -> None:
    (role,) = (role.called(make_url(database).database or "") for role in ROLES if role.name == "api")
    with connected(database) as owner, connected(urls["api"]) as connection:
        owner.execute(f"GRANT INSERT, UPDATE (seq) ON event_log TO {role}".encode())
        assert not refused(connection, "UPDATE event_log SET seq = seq")
        assert len(apply(database, tmp_path / "passwords")) == len(ROLES)
        assert refused(connection, "UPDATE event_log SET seq = seq")
        assert refused(connection, "INSERT INTO event_log DEFAULT VALUES")


def test_without_a_password_nobody_signs_in(database: str, urls: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "passwords" / PASSWORD_FILES["outbound"]).unlink()
    assert not [name for name in apply(database, tmp_path / "passwords") if name.endswith("_outbound")]
    with pytest.raises(psycopg.OperationalError):
        connected(urls["outbound"])


@pytest.fixture
def engines(services: Services, database: str, urls: Mapping[str, str]) -> Iterator[dict[str, Engine]]:
    """Of each role, and of the owner."""
    del services
    made = {name: engine_for(Settings(env="test", database_url=url), name=name) for name, url in {**urls, "owner": database}.items()}
    yield made
    for each in made.values():
        each.dispose()


async def ready(engine: Engine, begun: job.Job) -> None:
    found: job.Job | None = begun
    while found is not None and found.moves:
        await Rebuild(engine).step(found, 1_000)
        with engine.connect() as connection:
            found = job.find(connection, begun.id)
    assert found is not None
    assert found.state == "ready", found.error


def test_builds_that_the_operator_makes_and_swaps_are_everybodys_as_the_first_was(
    engines: dict[str, Engine], database: str, tmp_path: Path
) -> None:
    open_shops(engines["stock-writer"])
    keep(engines["stock-writer"], told(delivered(("apple", 9))), told(sale(("apple", 2))))
    project(engines["projector"])
    begun = start(engines["operator"], DAILY, by="test", reason=None)
    asyncio.run(ready(engines["operator"], begun))
    swap.promote(engines["operator"], begun.id, by="test", reason=None)
    keep(engines["stock-writer"], told(sale(("apple", 3))))
    project(engines["projector"])
    assert units(engines["api"]) == units(engines["reader"]) == 5
    with connected(plain(str(engines["api"].url.render_as_string(hide_password=False)))) as connection:
        assert [each for table in CELLS for each in writing(table) if not refused(connection, each)] == []
    apply(database, tmp_path / "passwords")
    with engines["owner"].begin() as connection_of_owner:
        connection_of_owner.execute(text("ALTER TABLE daily_sales.store_day ADD COLUMN later bigint"))
        connection_of_owner.execute(text("ALTER TABLE daily_sales.store_day DROP COLUMN later"))
    swap.rollback(engines["operator"], begun.id, by="test", reason=None)
    assert units(engines["api"]) == 5


def project(engine: Engine) -> None:
    follow(engine, {}, {SHOP: len(log_of(engine))})


def units(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT sum(units) FROM daily_sales.store_day")) or 0)
