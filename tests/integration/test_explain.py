"""Does every figure lead back to the events that make it, and is it what they come to?"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text

from projections import PROJECTIONS, explain
from projections.project import follow
from projections.query import Question, answer, dimensions
from schemas.envelope import Accepted
from tests.services import Services
from tests.telling import Branch, counted, delivered, keep, minutes, own_engine, returned, sale, shop, void

DAY, NEXT = date(2026, 3, 14), date(2026, 3, 15)
TODAY = datetime(2026, 3, 14, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)


class History(NamedTuple):
    """A store of a test's own, and what happened there, by name."""

    branch: Branch
    events: dict[str, Accepted]

    def names(self, parts: Sequence[explain.Part]) -> list[str]:
        """The parts by the names that the test gave their events."""
        known = {event.event_id: name for name, event in self.events.items()}
        return [known[part.event.event_id] for part in parts]


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture(scope="module")
def history(engine: Engine) -> History:
    """Two days of a shop: sales, a void and a return of the next day, and a sale that came after its return and without its price."""
    Branch(engine).opened()
    branch = Branch(engine)
    branch.keep(shop(), now=TODAY - HOUR)
    events = {
        "bread": branch.told(sale(("apple", 2), ("pear", 1))),
        "milk": branch.told(sale(("apple", 4, "1.10")), at=minutes(70)),
        "lost": branch.told(sale(("pear", 3, "0.99")), at=minutes(80)),
        "tomorrow": branch.told(sale(("apple", 1)), at=minutes(1_500)),
    }
    events["void"] = branch.told(void(events["milk"].event_id), at=minutes(1_450))
    events["back"] = branch.told(returned(events["lost"].event_id, ("pear", 2)), at=minutes(1_460))
    events["count"] = branch.told(counted(("apple", 7)), at=minutes(90))
    arrivals = {
        "bread": TODAY,
        "milk": TODAY,
        "count": TODAY,
        "tomorrow": TODAY + 24 * HOUR,
        "void": TODAY + 24 * HOUR,
        "back": TODAY + 24 * HOUR,
    }
    for name, now in (arrivals | {"lost": TODAY + 72 * HOUR}).items():
        keep(engine, events[name], now=now)
    keep(engine, branch.told(delivered(("apple", 9))), branch.told(sale(("apple", 99), if_insufficient="refuse")), now=TODAY)
    follow(engine, {branch.store_id: branch.log})
    return History(branch, events)


def explained(history: History, report: str, measure: str, **how: Any) -> explain.Explanation:  # noqa: ANN401 - members of a question
    """The figure of this store, explained."""
    paging = {name: how.pop(name) for name in ("after", "late_only") if name in how}
    limit = how.pop("limit", 100)
    projection = PROJECTIONS[report]
    (found,) = (each for each in projection.measures if each.name == measure)
    question = Question((), stores={history.branch.store_id}, **how)
    with history.branch.engine.connect() as connection:
        return explain.explain(connection, projection, found, question, limit=limit, **paging)


def test_a_figure_is_made_of_its_sales_voids_and_refunds(history: History) -> None:
    found = explained(history, "daily-sales", "revenue", since=DAY, through=DAY)
    assert (found.reported, found.recomputed) == ("10.47", "10.47")
    assert sorted(history.names(found.parts)) == ["bread", "lost", "milk", "void"]
    assert {name: part.contribution for name, part in zip(history.names(found.parts), found.parts, strict=True)} == {
        "bread": "7.50",
        "milk": "4.40",
        "void": "-4.40",
        "lost": "2.97",
    }


def test_what_a_late_sale_tells_of_an_earlier_return_counts_on_the_day_of_the_return(history: History) -> None:
    found = explained(history, "daily-sales", "revenue", since=NEXT)
    assert (found.reported, found.recomputed) == ("0.52", "0.52")
    assert {name: part.contribution for name, part in zip(history.names(found.parts), found.parts, strict=True)} == {
        "tomorrow": "2.50",
        "lost": "-1.98",
    }
    back = explained(history, "daily-sales", "returned_units", since=NEXT)
    assert (history.names(back.parts), back.recomputed) == (["back"], 2)


def test_what_came_late_is_said(history: History) -> None:
    found = explained(history, "daily-sales", "revenue", since=DAY, through=DAY)
    late = {name for name, part in zip(history.names(found.parts), found.parts, strict=True) if part.late}
    assert late == {"lost", "void"}, "the void was told in time, and yet the day that it changes was over"
    assert (found.late_events, found.event_count) == (2, 4)
    only = explained(history, "daily-sales", "revenue", since=DAY, through=DAY, late_only=True)
    assert set(history.names(only.parts)) == {"lost", "void"}
    assert (only.recomputed, only.event_count) == (found.recomputed, 4)


def test_pages_show_every_event_once_and_fold_them_all_each_time(history: History) -> None:
    whole = explained(history, "daily-sales", "units")
    pages, after = [], None
    while True:
        page = explained(history, "daily-sales", "units", limit=2, after=after)
        assert (page.recomputed, page.event_count, page.late_events) == (whole.recomputed, whole.event_count, whole.late_events)
        pages.append(history.names(page.parts))
        after = page.after
        if after is None:
            break
    assert [name for page in pages for name in page] == history.names(whole.parts)
    assert all(len(page) == 2 for page in pages[:-1])


def test_a_quotient_shows_what_goes_into_it(history: History) -> None:
    found = explained(history, "store-performance", "average_basket")
    assert found.reported == found.recomputed is not None
    assert all(part.contribution is None for part in found.parts)
    assert sum(part.amounts["sales"] for part in found.parts) == 3


def test_every_figure_of_every_report_agrees_with_its_events(history: History) -> None:
    """Each measure, cell by cell: by day, hour, product, category, and all together."""
    checked = 0
    for name, projection in PROJECTIONS.items():
        for group in [None, *(each for each in ("business_date", "hour", "sku", "category") if each in dimensions(projection))]:
            for how in cells(history, name, group):
                for measure in projection.measures:
                    found = explained(history, name, measure.name, **how)
                    assert found.recomputed == found.reported, (name, measure.name, how)
                    checked += 1
    assert checked > 60


def cells(history: History, name: str, group: str | None) -> list[dict[str, Any]]:
    """The filters that name each cell of a report."""
    question = Question([group] if group else [], stores={history.branch.store_id})
    with history.branch.engine.connect() as connection:
        rows = answer(connection, PROJECTIONS[name], question)
    if group is None:
        return [{}]
    if group == "business_date":
        return [{"since": row[group], "through": row[group]} for row in rows]
    return [{group: row[group]} for row in rows if row[group] is not None]


def test_a_cell_that_was_changed_behind_the_systems_back_does_not_agree(history: History) -> None:
    engine = history.branch.engine
    change = text("UPDATE daily_sales.store_day SET revenue_cents = revenue_cents + :by WHERE store_id = :s AND business_date = :d")
    try:
        with engine.begin() as connection:
            connection.execute(change, {"by": 1, "s": history.branch.store_id, "d": DAY})
        found = explained(history, "daily-sales", "revenue", since=DAY, through=DAY)
        assert (found.reported, found.recomputed) == ("10.48", "10.47")
    finally:
        with engine.begin() as connection:
            connection.execute(change, {"by": -1, "s": history.branch.store_id, "d": DAY})


def test_a_report_that_lags_is_compared_with_what_it_has_seen(engine: Engine) -> None:
    branch = Branch(engine).opened()
    branch.keep(sale(("apple", 1)), sale(("apple", 1)), sale(("apple", 1)))
    follow(engine, {branch.store_id: branch.log[:2]})
    found = explained(History(branch, {}), "daily-sales", "sales")
    assert (found.reported, found.recomputed) == (1, 1)


def test_what_would_take_too_long_is_said_and_not_begun(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "MOST_EVENTS", 3)
    with pytest.raises(explain.TooMuchToExplain):
        explained(history, "daily-sales", "revenue")


def test_what_is_read_in_chunks_is_the_same(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    before = explained(history, "daily-sales", "revenue")
    monkeypatch.setattr(explain, "CHUNK_EVENTS", 2)
    assert explained(history, "daily-sales", "revenue") == before
