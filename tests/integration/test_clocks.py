"""Is stock of any instant, as known at any other, the fold of what had happened by the one and was known by the other?"""

import csv
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, Row, insert, select

from events.fields import Sku
from schemas.envelope import instant_text
from stock import clocks
from stock.clocks import NOW, Clocks, Place, Stretch
from stock.holdings import Wanted
from stock.rules import Movement, fold
from stock.shortages import shortages
from stock.tables import stock_level, stock_movement, store
from tests.e2e.system import Json, Shop, System, sku
from tests.integration.test_properties_pipeline import QUARTER_DAY_MINUTES, Step, Telling, cut, repeated, stories
from tests.pipeline import writer
from tests.services import Services
from tests.telling import message, minutes, own_engine

SKUS = ("apple", "pear")
MOST = 500
SOME = settings(max_examples=60)
FEW = settings(max_examples=15)


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@dataclass(frozen=True)
class Known:
    """A movement, and since when the log knows of it."""

    movement: Movement
    recorded_at: datetime


@st.composite
def ledgers(draw: st.DrawFn) -> list[Known]:
    """Movements of two SKUs in so few minutes that instants often are the same, each recorded then or later."""
    ledger = []
    for number in draw(st.lists(st.integers(1, 1_000), unique=True, max_size=14)):
        minute, delay = draw(st.integers(0, 4)), draw(st.integers(0, 4))
        article, at, event_id = Sku(draw(st.sampled_from(SKUS))), minutes(minute), UUID(int=number)
        if draw(st.booleans()):
            made = [Movement(article, at, event_id, 0, counted=draw(st.integers(0, 20)))]
        else:
            deltas = draw(st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=3))
            made = [Movement(article, at, event_id, line, delta=delta) for line, delta in enumerate(deltas)]
        ledger += [Known(each, minutes(minute + delay)) for each in made]
    return ledger


def instants() -> st.SearchStrategy[datetime | None]:
    """Now, or an instant at which something may have happened, or between two."""
    return st.none() | st.integers(-1, 18).map(lambda halves: minutes(halves / 2))


def both() -> st.SearchStrategy[Clocks]:
    return st.builds(Clocks, instants(), instants())


def written(engine: Engine, ledger: Sequence[Known]) -> str:
    """The ledger in a store of its own, with the levels that a writer would keep."""
    store_id = f"s-{uuid4().hex[:12]}"
    rows = [
        {
            "store_id": store_id, "sku": each.movement.sku, "effective_at": each.movement.effective_at, "event_id": each.movement.event_id,
            "line": each.movement.line, "seq": each.movement.event_id.int, "type": "test", "delta": each.movement.delta,
            "counted": each.movement.counted, "recorded_at": each.recorded_at,
        }
        for each in ledger
    ]  # fmt: skip
    levels = [
        {"store_id": store_id, "sku": article, "on_hand": level.on_hand, "counted_at": level.counted_at, "count_id": level.count_id}
        for article in sorted({each.movement.sku for each in ledger})
        for level in [fold(each.movement for each in ledger if each.movement.sku == article)]
    ]
    with engine.begin() as connection:
        for table, made in ((stock_movement, rows), (stock_level, levels)):
            if made:
                connection.execute(insert(table), made)
    return store_id


def left(ledger: Sequence[Known], at: Clocks) -> list[Movement]:
    """The movements that both clocks leave, by the words of the definition."""
    return [
        each.movement
        for each in ledger
        if (at.as_of is None or each.movement.effective_at <= at.as_of) and (at.known_at is None or each.recorded_at <= at.known_at)
    ]


def expected(ledger: Sequence[Known], at: Clocks) -> dict[str, tuple[int, datetime | None]]:
    """On hand, and when it was counted last, by SKU: the rules' own fold."""
    there = {article: [each for each in left(ledger, at) if each.sku == article] for article in {each.movement.sku for each in ledger}}
    return {article: (level.on_hand, level.counted_at) for article, moved in there.items() for level in [fold(moved)]}


def found(engine: Engine, store_id: str, at: Clocks) -> dict[str, tuple[int, datetime | None]]:
    with engine.connect() as connection:
        rows, following = clocks.levels(connection, Wanted(stores={store_id}), at, after=None, limit=MOST)
    assert following is None
    return {row["sku"]: (row["on_hand"], row["counted_at"]) for row in rows}


def history(engine: Engine, cell: tuple[str, str], at: Clocks, stretch: Stretch, limit: int) -> list[Json]:
    """All pages of a cell's movements, each of at most `limit`."""
    rows: list[Json] = []
    after: Place | None = None
    with engine.connect() as connection:
        while page := clocks.movements(connection, *cell, at, stretch, after=after, limit=limit):
            rows += page
            after = (page[-1]["effective_at"], page[-1]["kind"], page[-1]["event_id"], page[-1]["line"])
    return rows


@SOME
@given(ledgers(), both())
def test_stock_of_any_instant_known_at_any_other_is_the_fold_of_what_both_leave(engine: Engine, ledger: list[Known], at: Clocks) -> None:
    assert found(engine, written(engine, ledger), at) == expected(ledger, at)


@SOME
@given(ledgers(), both(), st.builds(Stretch, instants(), instants()), st.integers(1, 4))
def test_every_movement_tells_what_it_left_on_hand(engine: Engine, ledger: list[Known], at: Clocks, stretch: Stretch, limit: int) -> None:
    store_id = written(engine, ledger)
    for article in SKUS:
        movements = sorted((each for each in left(ledger, at) if each.sku == article), key=lambda each: each.order)
        shown = [
            (place, each)
            for place, each in enumerate(movements, start=1)
            if (stretch.since is None or each.effective_at >= stretch.since)
            and (stretch.until is None or each.effective_at < stretch.until)
        ]
        wanted = [(each.event_id, each.line, fold(movements[:place]).on_hand) for place, each in reversed(shown)]
        rows = history(engine, (store_id, article), at, stretch, limit)
        assert [(row["event_id"], row["line"], row["on_hand"]) for row in rows] == wanted


@SOME
@given(ledgers(), both(), st.sampled_from(["negative", "out", "ok"]), st.integers(1, 3))
def test_a_status_is_that_of_then_and_pages_make_the_whole(
    engine: Engine, ledger: list[Known], at: Clocks, status: str, limit: int
) -> None:
    store_id, rows, after = written(engine, ledger), list[Json](), None
    signs = {"negative": lambda units: units < 0, "out": lambda units: units == 0, "ok": lambda units: units > 0}
    with engine.connect() as connection:
        while True:
            page, after = clocks.levels(connection, Wanted(stores={store_id}, status=status), at, after=after, limit=limit)
            assert len(page) <= limit
            rows += page
            if after is None:
                break
    assert [row["sku"] for row in rows] == sorted(article for article, (units, _) in expected(ledger, at).items() if signs[status](units))


@SOME
@given(ledgers(), st.integers(-1, 9))
def test_what_a_store_had_run_out_of_is_the_fold_of_what_was_before(engine: Engine, ledger: list[Known], minute: int) -> None:
    store_id, ends = written(engine, ledger), minutes(minute)
    about = {"name": store_id, "kind": "store", "currency": "CAD", "oversell": "allow"}
    with engine.begin() as connection:
        connection.execute(
            insert(store).values(store_id=store_id, timezone="Etc/GMT+3", day_ends=f"{ends - timedelta(hours=3):%H:%M}", **about)
        )
    moved = [each.movement for each in ledger if each.movement.effective_at < ends]
    held = [fold(each for each in moved if each.sku == article).on_hand for article in {each.sku for each in moved}]
    with engine.connect() as connection:
        counted = shortages(connection, {store_id}, (ends - timedelta(days=1)).date())
        now = shortages(connection, {store_id}, None)
    assert counted == [
        {"store_id": store_id, "stock_outs": sum(units <= 0 for units in held), "negative_skus": sum(units < 0 for units in held)}
    ]
    assert now[0]["stock_outs"] == sum(units <= 0 for units, _ in expected(ledger, NOW).values())


def test_a_page_of_one_status_looks_at_a_bounded_number_of_cells(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "MOST_CELLS", 2)
    names = [Sku(f"a-{number}") for number in range(7)]
    ledger = [Known(Movement(name, minutes(0), UUID(int=n + 1), 0, delta=-1 if n == 5 else 1), minutes(0)) for n, name in enumerate(names)]
    store_id, pages, after = written(engine, ledger), list[list[str]](), None
    with engine.connect() as connection:
        while not pages or after is not None:
            page, after = clocks.levels(connection, Wanted(stores={store_id}, status="negative"), Clocks(minutes(1)), after=after, limit=1)
            pages.append([row["sku"] for row in page])
    assert pages == [[], [], ["a-5"], []]


class Watched(Telling):
    """A story through the real writer, whose clock goes on an hour from batch to batch; every level is kept as it was then."""

    def settle(self, chance: random.Random) -> list[tuple[datetime, dict[str, int]]]:
        """The levels after each batch, by store and SKU, with the instant of recording."""
        seen = []
        facts = repeated(self.facts, chance)
        # The shops were opened just now, and what is recorded in a store never goes back in time.
        clock = datetime.now(UTC)
        for batch in cut(facts, chance):
            clock += timedelta(hours=1)
            told = writer(self.engine)
            told._now = lambda now=clock: now  # type: ignore[misc] # noqa: SLF001 - its clock
            told.settle([message(batch)])
            seen.append((clock, self.levels()))
        return seen

    def levels(self) -> dict[str, int]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(stock_level).where(stock_level.c.store_id.in_(self.stores)))
            return {f"{row.store_id} {row.sku}": row.on_hand for row in rows}

    def at(self, clocks_: Clocks) -> dict[str, int]:
        with self.engine.connect() as connection:
            rows, _ = clocks.levels(connection, Wanted(stores=set(self.stores)), clocks_, after=None, limit=MOST)
        return {f"{row['store_id']} {row['sku']}": row["on_hand"] for row in rows}

    def ledger(self) -> Sequence[Row[Any]]:
        with self.engine.connect() as connection:
            return connection.execute(select(stock_movement).where(stock_movement.c.store_id.in_(self.stores))).all()


@FEW
@given(stories(), st.randoms(use_true_random=False))
def test_what_was_known_then_is_what_the_levels_were_then(engine: Engine, story: list[Step], chance: random.Random) -> None:
    telling = Watched(engine, story)
    seen = telling.settle(chance)
    for known_at, levels in seen:
        # A cell that came later is there with nothing.
        assert telling.at(Clocks(known_at=known_at)) == {cell: levels.get(cell, 0) for cell in seen[-1][1]}
    assert telling.at(NOW) == telling.levels()


@FEW
@given(stories(), st.randoms(use_true_random=False), st.integers(-1, 6), st.integers(0, 5))
def test_through_the_real_pipeline_any_two_instants_give_the_fold(
    engine: Engine, story: list[Step], chance: random.Random, quarter_day: int, batch: int
) -> None:
    telling = Watched(engine, story)
    seen = telling.settle(chance)
    at = Clocks(minutes(quarter_day * QUARTER_DAY_MINUTES), seen[min(batch, len(seen) - 1)][0])
    cells: dict[str, list[Movement]] = {cell: [] for cell in telling.levels()}
    for row in telling.ledger():
        if row.effective_at <= at.as_of and row.recorded_at <= at.known_at:
            movement = Movement(Sku(row.sku), row.effective_at, row.event_id, row.line, row.delta, row.counted)
            cells[f"{row.store_id} {row.sku}"].append(movement)
    assert telling.at(at) == {cell: fold(moved).on_hand for cell, moved in cells.items()}


class Week(Shop):
    """A shop with a delivery on Monday, a sale on Tuesday and a count on Wednesday, all told on Thursday, which is a week ago."""

    article: str
    monday: datetime


@pytest.fixture(scope="module")
def week(system: System) -> Week:
    opened = system.open_store(timezone="Pacific/Auckland")
    week = Week(system, opened.store_id, opened.http)
    week.article = sku()
    week.monday = datetime.now(UTC).replace(microsecond=0) - timedelta(days=10)
    told = {"supplier": "Moulin", "lines": [{"sku": week.article, "quantity": 10}]}
    week.done("deliveries", {**told, "occurred_at": instant_text(week.monday)})
    week.sell(week.article, 3, occurred_at=instant_text(week.monday + timedelta(days=1)))
    counted = {"counted_at": instant_text(week.monday + timedelta(days=2)), "lines": [{"sku": week.article, "counted": 5}]}
    week.done("stock-counts", counted)
    return week


def test_the_past_is_read_like_the_present(week: Week) -> None:
    noon = [week.monday + timedelta(days=days, hours=1) for days in range(-1, 3)]
    for instant, units, status in zip(noon, (0, 10, 7, 5), ("out", "ok", "ok", "ok"), strict=True):
        answer = week.read("stock", store=week.store_id, as_of=instant_text(instant))
        (item,) = answer["items"]
        assert (item["sku"], item["on_hand"], item["status"], item["in_transit"]) == (week.article, units, status, None)
        assert answer["meta"]["as_of"] == instant_text(instant)
        assert answer["meta"]["complete"] is True
    assert week.on_hand(week.article) == 5


def test_what_was_not_told_yet_was_not_known(week: Week) -> None:
    before, now = instant_text(week.monday + timedelta(days=5)), instant_text(datetime.now(UTC))
    unknown = week.read("stock", store=week.store_id, known_at=before)
    assert [item["on_hand"] for item in unknown["items"]] == [0]
    assert unknown["meta"]["known_at"] == before
    known = week.read("stock", store=week.store_id, as_of=before, known_at=now)
    assert [item["on_hand"] for item in known["items"]] == [5]
    assert (known["meta"]["as_of"], known["meta"]["known_at"]) == (before, now)


def test_an_offset_names_the_same_instant(week: Week) -> None:
    there = (week.monday + timedelta(hours=1)).isoformat().replace("+00:00", "-00:00")
    assert week.read("stock", store=week.store_id, as_of=there)["items"][0]["on_hand"] == 10


def test_movements_show_both_clocks_and_what_they_left(week: Week) -> None:
    path = f"stores/{week.store_id}/stock/{week.article}/movements"
    rows = week.read(path)["items"]
    assert [(row["type"], row["delta"], row["counted"], row["on_hand"]) for row in rows] == [
        ("stock.counted", None, 5, 5),
        ("sale.recorded", -3, None, 7),
        ("delivery.received", 10, None, 10),
    ]
    assert {name for row in rows for name in row} >= {"effective_at", "recorded_at", "event_id", "line", "seq"}
    assert "kind" not in rows[0]
    tuesday = week.read(path, as_of=instant_text(week.monday + timedelta(days=1)))
    assert [row["on_hand"] for row in tuesday["items"]] == [7, 10]
    assert week.read(path, known_at=instant_text(week.monday + timedelta(days=3)))["items"] == []
    table = week.http.get(f"/api/v2/{path}", headers={"Accept": "text/csv"})
    assert [row["on_hand"] for row in csv.DictReader(io.StringIO(table.text))] == ["5", "7", "10"]


def test_movements_of_some_business_days(system: System) -> None:
    shop = system.open_store(timezone="America/Toronto", day_ends="03:00")
    article = sku()
    for instant in ("2026-11-10T02:59:00-05:00", "2026-11-10T03:00:00-05:00", "2026-11-11T02:59:00-05:00", "2026-11-11T03:00:00-05:00"):
        shop.sell(article, occurred_at=instant)
    path = f"stores/{shop.store_id}/stock/{article}/movements"

    def seen(**days: str) -> list[int]:
        return [row["on_hand"] for row in shop.read(path, **days)["items"]]

    assert seen() == [-4, -3, -2, -1]
    assert seen(**{"from": "2026-11-10", "to": "2026-11-10"}) == [-3, -2]
    assert seen(**{"from": "2026-11-11"}) == [-4]
    assert seen(to="2026-11-09") == [-1]
    assert seen(**{"from": "2000-01-01", "to": "2999-12-31"}) == [-4, -3, -2, -1]
    refused = shop.http.get(f"/api/v2/{path}", params={"from": "2026-11-11", "to": "2026-11-10"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/to")


@pytest.mark.parametrize(
    ("given_", "code"),
    [
        ("2026-11-20", "not_a_time"),
        ("2026-11-20T10:00:00", "no_time_zone"),
        ("1700000000", "not_a_time"),
        ("yesterday", "not_a_time"),
        ("", "not_a_time"),
        ("2999-01-01T00:00:00Z", "in_the_future"),
        ("9999-12-31T23:59:59-14:00", "in_the_future"),
        ("0001-01-01T00:00:00+14:00", "too_old"),
        ("1969-12-31T23:59:59Z", "too_old"),
        ("2026-02-30T00:00:00Z", "not_a_time"),
    ],
)
@pytest.mark.parametrize("name", ["as_of", "known_at"])
def test_odd_instants_are_refused_with_their_place(week: Week, name: str, given_: str, code: str) -> None:
    for read in ("stock", f"stores/{week.store_id}/stock/{week.article}/movements"):
        answer = week.http.get(f"/api/v2/{read}", params={name: given_})
        assert answer.status_code == 422, answer.text
        assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [(f"/query/{name}", code)]


def test_a_cursor_of_somebodys_invention_is_refused_not_a_failure(week: Week) -> None:
    path = f"/api/v2/stores/{week.store_id}/stock/{week.article}/movements"
    following = week.http.get(path, params={"limit": 1}).links["next"]["url"]
    assert week.http.get(following).status_code == 200
    for made_up in (
        "x",
        "WzFd",
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsMSwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxIiw5MDA3MTk5MjU0NzQwOTkxXQ",
    ):
        assert week.http.get(path, params={"after": made_up}).status_code in {200, 400, 422}


def test_two_far_instants_are_both_named_at_once(week: Week) -> None:
    answer = week.http.get("/api/v2/stock", params={"as_of": "2999-01-01T00:00:00Z", "known_at": "1900-01-01T00:00:00Z"})
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/query/as_of", "/query/known_at"}


def test_a_story_can_be_told_later_without_changing_what_was_known(engine: Engine) -> None:
    ledger = [
        Known(Movement(Sku("apple"), minutes(0), UUID(int=1), 0, delta=10), minutes(0)),
        Known(Movement(Sku("apple"), minutes(2), UUID(int=2), 0, counted=8), minutes(2)),
    ]
    late = Known(Movement(Sku("apple"), minutes(1), UUID(int=3), 0, delta=-2), minutes(3))
    store_id = written(engine, [*ledger, late])
    then = Clocks(minutes(1), minutes(2))
    assert found(engine, store_id, then)["apple"] == (10, None)
    assert found(engine, store_id, replace(then, known_at=None))["apple"] == (8, None)
    assert found(engine, store_id, Clocks())["apple"] == (8, minutes(2))
