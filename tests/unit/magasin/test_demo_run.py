"""Does the whole demonstration end in a difference of 0, whatever happens on the way, and say so when it does not?"""

import io
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from unittest.mock import patch

import httpx2
import pytest
from rich.console import Console

from magasin import demo, demo_data, demo_post
from magasin.demo_check import Day, Shelf, check, expected
from magasin.demo_client import Client, DemonstrationError
from magasin.demo_data import baskets, opening_deliveries
from magasin.demo_load import is_loaded, load, load_demonstration, loaded
from magasin.demo_post import PostResult, post
from tests.unit.magasin.paper_system import PASSWORD, PaperSystem

FIRST_RUN = date(2026, 11, 21)
NEXT_WEEK = date(2026, 11, 28)
FEW = demo_data.products()[:40]


def silence(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture(autouse=True)
def _few_products() -> Iterator[None]:
    with patch.object(demo_data, "products", lambda: FEW):
        yield


@pytest.fixture
async def system() -> PaperSystem:
    """A system with the demonstration loaded."""
    made = PaperSystem()
    async with made.client() as client:
        await load(client, silence, FIRST_RUN)
    return made


@pytest.fixture
def few_baskets() -> Iterator[None]:
    """The first baskets only, where the number does not matter."""
    few = baskets()[:150]
    with patch.object(demo_data, "baskets", lambda: few):
        yield


@pytest.fixture
def sold(system: PaperSystem) -> PaperSystem:
    """The same with every basket in it, put there without any request."""
    for one in demo_data.posts(FIRST_RUN):
        system.sell(one.basket.store_id, json.loads(one.body))
    return system


async def run(system: PaperSystem, last_day: date = FIRST_RUN) -> PostResult:
    async with system.client() as client:
        return await post(client, silence, last_day)


async def test_a_load_defines_and_delivers_everything_once() -> None:
    system = PaperSystem(page=7, lag=1)
    seen: dict[str, tuple[int, int]] = {}
    async with system.client() as client:
        assert not await loaded(client)
        result = await load(client, lambda what, done, total: seen.__setitem__(what, (done, total)), FIRST_RUN)
        assert await loaded(client)
    assert (result.stores, result.products, result.deliveries, result.already) == (12, 40, len(opening_deliveries()), 0)
    assert seen == {"stores": (12, 12), "products": (40, 40), "opening stock": (58, 58)}
    assert list(system.stores) == ["centre", *demo_data.SHOPS]
    assert sum(int(str(one["delta"])) for moved in system.movements.values() for one in moved) == result.units == 60_275
    assert {account for account, _ in system.accounts} == {"admin"}


@pytest.mark.parametrize("day", [FIRST_RUN, NEXT_WEEK])
async def test_a_second_load_changes_nothing_on_any_day(system: PaperSystem, day: date) -> None:
    before = dict(system.changes)
    async with system.client() as client:
        result = await load(client, silence, day)
    assert system.changes == before
    assert result.already == 58


async def test_a_load_that_was_cut_short_is_not_taken_for_a_whole_one_and_is_completed_the_next_day() -> None:
    system = PaperSystem()
    async with system.client(patience_seconds=0.01) as client:
        await load_until_delivery(client, system, 5)
        assert not await loaded(client)
        await load(client, silence, NEXT_WEEK)
        assert await loaded(client)
    assert set(system.changes.values()) == {1}


async def load_until_delivery(client: Client, system: PaperSystem, number: int) -> None:
    """Load, and lose the system for good when so many deliveries are there."""

    def watch(what: str, done: int, _total: int) -> None:
        if what == "opening stock" and done == number:
            system.troubles.extend([httpx2.ConnectError("gone")] * 500)

    with pytest.raises(DemonstrationError):
        await load(client, watch, FIRST_RUN)
    system.troubles.clear()


async def test_a_delivery_accepted_on_another_day_but_not_yet_known_stays_as_it_was(system: PaperSystem) -> None:
    before = dict(system.changes)

    async def unknown(*_: object) -> None:
        return None

    async with system.client() as client:
        with patch.object(client, "outcome", unknown), patch.object(client, "settle", unknown):
            result = await load(client, silence, NEXT_WEEK)
    assert system.changes == before
    assert result.already == 58


async def test_any_other_refusal_of_a_delivery_ends_the_load() -> None:
    system = PaperSystem()
    system.forbidden = {"deliveries"}
    async with system.client() as client:
        with pytest.raises(DemonstrationError, match="403"):
            await load(client, silence, FIRST_RUN)


async def test_the_tills_post_every_basket_once_and_the_difference_is_0(system: PaperSystem) -> None:
    system.lag = 1
    result = await run(system)
    assert (result.baskets, result.recorded, result.already, result.refused) == (2_051, 2_051, 0, ())
    assert result.requests == result.accepted == result.recorded + result.duplicates
    assert 180 < result.duplicates < 230
    tills = {account for account, method in system.accounts if method == "POST" and account.startswith("caissier-")}
    assert tills == {f"caissier-{store_id}" for store_id in demo_data.SHOPS}
    async with system.client() as client:
        checked = await check(client, result.last_day, silence)
    assert (checked.stock_off, checked.revenue_off, checked.differences, checked.others) == (0, Decimal(0), [], 0)
    assert checked.found.units == checked.expected.units == 15_100
    assert checked.found.revenue == checked.expected.revenue == Decimal("66336.62")


@pytest.mark.usefixtures("few_baskets")
async def test_posting_again_next_week_sends_the_same_facts(system: PaperSystem) -> None:
    await run(system)
    before = dict(system.changes)
    again = await run(system, NEXT_WEEK)
    assert system.changes == before
    assert again.last_day == FIRST_RUN
    assert again.recorded == again.already == 150
    assert again.duplicates == again.accepted


@pytest.mark.usefixtures("few_baskets")
async def test_a_busy_system_and_expired_tokens_change_only_the_number_of_requests(system: PaperSystem) -> None:
    def watch(what: str, done: int, _total: int) -> None:
        if what == "baskets" and done % 40 == 0:
            system.forget_tokens()
            system.troubles.extend([503, httpx2.ReadError("cut"), 429])

    async with system.client() as client:
        result = await post(client, watch, FIRST_RUN)
    assert result.repeated >= 9
    assert result.recorded == 150
    assert set(system.changes.values()) == {1}


async def test_baskets_are_not_posted_where_nothing_is_loaded() -> None:
    async with PaperSystem().client() as client:
        with pytest.raises(DemonstrationError, match="not loaded"):
            await post(client, silence, FIRST_RUN)


async def test_a_basket_that_is_there_with_another_content_stays_as_it_is(system: PaperSystem) -> None:
    first, second, _ = few = baskets()[:3]
    for basket in (first, second):
        system.sell(basket.store_id, {"sale_id": str(basket.sale_id), "occurred_at": "2026-01-01T00:00:00Z", "lines": []})
    with patch.object(demo_data, "baskets", lambda: few), patch.object(demo_data, "sent_twice", lambda _basket: False):
        result = await run(system)
        assert (result.already, result.recorded) == (2, 3)
        del system.sales[first.store_id, str(first.sale_id)]
        with pytest.raises(DemonstrationError, match="does not know it"):
            await run(system)


async def test_a_refusal_of_a_new_basket_is_raised(system: PaperSystem) -> None:
    system.events[str(baskets()[1].sale_id)] = b"something else"
    with patch.object(demo_data, "baskets", lambda: baskets()[:3]), pytest.raises(DemonstrationError, match="idempotency_mismatch"):
        await run(system)


async def test_what_others_sold_is_left_out_and_counted(sold: PaperSystem) -> None:
    basket = baskets()[-1]
    sku = basket.lines[0].sku
    line = {"sku": sku, "quantity": 3, "unit_price": "1.00", "line_total": "3.00"}
    for number in range(2):
        sale_id = f"00000000-0000-7000-8000-00000000000{number}"
        occurred_at = demo_data.moved(basket.local, FIRST_RUN).isoformat()
        sold.sell(basket.store_id, {"sale_id": sale_id, "occurred_at": occurred_at, "lines": [line, {**line, "sku": "new"}]})
    async with sold.client() as client:
        checked = await check(client, FIRST_RUN, silence)
    assert checked.others == 2
    assert (checked.stock_off, checked.revenue_off, checked.differences) == (0, Decimal(0), [])


async def test_a_lost_sale_and_one_counted_twice_are_found_to_the_cent(sold: PaperSystem) -> None:
    lost, twice = baskets()[10], baskets()[20]
    del sold.sales[lost.store_id, str(lost.sale_id)]
    moved = sold.movements[twice.store_id, twice.lines[0].sku]
    moved.append(next(one for one in moved if one["event_id"] == str(twice.sale_id)))
    async with sold.client() as client:
        checked = await check(client, FIRST_RUN, silence)
    assert checked.stock_off == twice.lines[0].quantity
    assert checked.revenue_off == Decimal(sum(line.total_cents for line in lost.lines)) / 100
    day = lost.local.date() + (FIRST_RUN - demo_data.last_day_of_files())
    assert [difference.where for difference in checked.differences] == [
        f"stock of {twice.lines[0].sku} in store {twice.store_id}",
        f"sales of store {lost.store_id} on {day}",
    ]


def test_the_check_computes_what_the_tills_send_by_another_way() -> None:
    books = expected(FIRST_RUN)
    assert len(books.stock) == 16_171
    assert len(books.takings) == 316
    assert sum(day.sales for day in books.takings.values()) == 2_051
    assert books.stock[Shelf("367", "1082185")] == 7  # 32 sold
    assert max(day.business_date for day in books.takings) == FIRST_RUN
    assert Day("292", FIRST_RUN) in books.takings


def drawn() -> Console:
    return Console(file=io.StringIO(), width=100)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def through(system: PaperSystem, console: Console) -> int:
    """The demonstration as the command line runs it, on this system."""
    opened = partial(Client, transport=httpx2.MockTransport(system.answer), patience_seconds=0.5)
    with patch("magasin.demo_post.Client", opened), patch("magasin.demo_check.Client", opened):
        return await demo.demonstrate("http://paper/", PASSWORD, console)


async def test_who_runs_it_reads_the_numbers_and_a_difference_of_0(system: PaperSystem) -> None:
    console = drawn()
    with patch.object(demo_post, "yesterday", lambda: FIRST_RUN):
        assert await through(system, console) == 0
    shown = text_of(console)
    for words in ("2,051", "duplicates dropped", "66,336.62", "16,171", "The difference is 0.", "recorded and projected"):
        assert words in shown


async def test_who_runs_it_on_a_system_that_lies_reads_where(sold: PaperSystem) -> None:
    sold.sell("292", {"sale_id": "00000000-0000-7000-8000-000000000001", "occurred_at": "2026-01-01T00:00:00Z", "lines": [line_of("1")]})
    lost = baskets()[10]
    del sold.sales[lost.store_id, str(lost.sale_id)]
    console = drawn()
    assert await through(sold, console) == 1
    shown = text_of(console)
    assert "1 cells differ." in shown
    assert f"sales of store {lost.store_id} on" in shown
    assert "1 other facts" in shown


def line_of(quantity: str) -> dict[str, str]:
    return {"sku": baskets()[0].lines[0].sku, "quantity": quantity, "line_total": "1.00"}


async def test_a_refused_basket_makes_the_demonstration_fail(sold: PaperSystem) -> None:
    sold.refused = {str(baskets()[0].sale_id)}
    console = drawn()
    assert await through(sold, console) == 1
    assert "1 baskets were accepted and not recorded" in text_of(console)


async def test_a_system_that_is_away_is_said_in_a_sentence() -> None:
    system = PaperSystem()
    system.troubles.extend([httpx2.ConnectError("away")] * 100)
    console = drawn()
    assert await through(system, console) == 1
    assert "could not be completed" in text_of(console)
    assert "make run" in text_of(console)


async def test_the_public_doors_open_a_client_of_their_own() -> None:
    system = PaperSystem()
    opened = partial(Client, transport=httpx2.MockTransport(system.answer))
    with patch("magasin.demo_load.Client", opened):
        assert not await is_loaded("http://paper", PASSWORD)
        await load_demonstration("http://paper", PASSWORD, silence)
        assert await is_loaded("http://paper", PASSWORD)
