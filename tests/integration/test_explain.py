"""Does every figure lead back to the events that make it, and is it what they come to?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Engine, text

from events.catalogue import ProductStocked
from events.fields import Sku
from events.stock import DeliveryReceived, StockAdjusted
from projections import REPORTS, explain, explanation
from projections.explanation import Explanation, Listing, NotExplained, Part, TooMuchToExplain
from projections.project import follow
from projections.question import NoSuchGroup, Question
from schemas.envelope import Accepted
from tests.services import Services
from tests.telling import Branch, counted, keep, minutes, own_engine, returned, sale, shop, void

DAY, NEXT = date(2026, 3, 14), date(2026, 3, 15)
TODAY = datetime(2026, 3, 14, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)


class History(NamedTuple):
    """A store of a test's own, and what happened there, by name."""

    branch: Branch
    events: dict[str, Accepted]

    def names(self, parts: Sequence[Part]) -> list[str]:
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
    events |= stocking(branch)
    for name in ("few", "limit", "stolen", "found", "delivery", "costly", "refused"):
        keep(engine, events[name], now=TODAY + 73 * HOUR)
    follow(engine, {branch.store_id: branch.log})
    return History(branch, events)


def stocking(branch: Branch) -> dict[str, Accepted]:
    """What happened to the shelves: two deliveries of known cost and one of unknown cost, losses, a find, and two reorder points."""

    def costing(sku: str, quantity: int, cost: str) -> DeliveryReceived:
        return DeliveryReceived.model_validate({"supplier": "Nord", "lines": [{"sku": sku, "quantity": quantity, "unit_cost": cost}]})

    def changed(reason: str, sku: str, delta: int) -> StockAdjusted:
        return StockAdjusted.model_validate({"reason": reason, "lines": [{"sku": sku, "delta": delta}]})

    return {
        "few": branch.told(ProductStocked(sku=Sku("apple"), reorder_point=2, target_level=9), at=minutes(200)),
        "limit": branch.told(ProductStocked(sku=Sku("apple"), reorder_point=30, target_level=40), at=minutes(201)),
        "stolen": branch.told(changed("theft", "apple", -2), at=minutes(202)),
        "found": branch.told(changed("found", "pear", 1), at=minutes(203)),
        "delivery": branch.told(costing("apple", 3, "1.01"), at=minutes(60)),
        "costly": branch.told(costing("apple", 7, "1.34"), at=minutes(204)),
        "refused": branch.told(sale(("apple", 99), if_insufficient="refuse"), at=minutes(205)),
    }


def explained(history: History, report: str, measure: str, **how: Any) -> Explanation:  # noqa: ANN401 - members of a question
    """The figure of this store, explained."""
    listing = Listing(how.pop("limit", 100), how.pop("after", None), how.pop("late_only", False))
    found = REPORTS[report]
    question = Question((), stores={history.branch.store_id}, **how)
    with history.branch.engine.connect() as connection:
        return explain.explain(connection, explain.Asked(found, explain.measures_of(found)[measure], question, listing))


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


PERIODS: tuple[dict[str, Any], ...] = ({}, {"since": DAY, "through": DAY}, {"since": NEXT, "through": NEXT})
FILTERS = {"business_date", "hour", "sku", "category", "reason", "status"}


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_every_figure_of_every_report_agrees_with_its_events(history: History, name: str) -> None:
    """Each measure of each row, however the rows are grouped."""
    report, checked = REPORTS[name], 0
    for period in PERIODS:
        for group in report.dimensions():
            if not set(report.grouping([group])) <= FILTERS | {"store_id"}:
                continue
            for row, how in rows(history, name, group, period):
                for measure in (each for each in report.measures if each.name in row):
                    if measure.name.endswith(("_percent", "_28_days")) or measure.name.startswith("previous_"):
                        continue
                    found = explained(history, name, measure.name, **how)
                    assert (found.recomputed, found.reported) == (row[measure.name],) * 2, (measure.name, how)
                    checked += 1
    assert checked > 5


def rows(history: History, name: str, group: str, period: dict[str, Any]) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """The rows of a report, each with the filters that name its cells."""
    report = REPORTS[name]
    question = Question(report.grouping([group]), stores={history.branch.store_id}, limit=100, **period)
    if not report.answerable(question):
        return []
    with history.branch.engine.connect() as connection:
        found = report.find(connection, question).rows
    return [(row, {**period, **named(row, question)}) for row in found]


def named(row: Mapping[str, Any], question: Question) -> dict[str, Any]:
    filters: dict[str, Any] = {}
    for name in question.group_by:
        if name == "business_date":
            filters |= {"since": row[name], "through": row[name]}
        elif name in {"reason", "status"}:
            filters["options"] = ((name, row[name]),)
        elif name != "store_id":
            filters[name] = row[name]
    return filters


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
    monkeypatch.setattr(explanation, "MOST_EVENTS", 3)
    for report, measure in (("daily-sales", "revenue"), ("stock-valuation", "on_hand")):
        with pytest.raises(TooMuchToExplain):
            explained(history, report, measure)


def test_what_is_read_in_chunks_is_the_same(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [("daily-sales", "revenue"), ("stock-valuation", "value"), ("low-stock", "on_hand")]
    before = [explained(history, *each) for each in figures]
    monkeypatch.setattr(explanation, "CHUNK_EVENTS", 2)
    assert [explained(history, *each) for each in figures] == before


def test_what_lies_on_a_shelf_is_made_of_its_movements(history: History) -> None:
    found = explained(history, "stock-valuation", "on_hand", sku="apple")
    assert found.reported == found.recomputed == 11
    assert {name: part.contribution for name, part in zip(history.names(found.parts), found.parts, strict=True)} == {
        "bread": -2,
        "delivery": 3,
        "milk": -4,
        "void": 4,
        "count": 6,
        "stolen": -2,
        "costly": 7,
        "tomorrow": -1,
    }


def test_the_value_of_a_shelf_is_that_of_its_deliveries_in_the_log(history: History) -> None:
    found = explained(history, "stock-valuation", "value", sku="apple")
    assert found.reported == found.recomputed
    assert sum(Decimal(part.contribution) for part in found.parts) == Decimal(found.recomputed)


def test_a_limit_was_set_by_the_last_event_that_set_it(history: History) -> None:
    found = explained(history, "low-stock", "reorder_point", sku="apple")
    assert (found.reported, found.recomputed, history.names(found.parts)) == (30, 30, ["few", "limit"])
    with pytest.raises(NotExplained, match="sku"):
        explained(history, "low-stock", "reorder_point")


def test_what_is_made_of_other_figures_says_of_which(history: History) -> None:
    day = {"since": NEXT, "through": NEXT}
    growth = explained(history, "store-performance", "revenue_change_percent", **day)
    assert [(each.measure, each.recomputed) for each in growth.made_of] == [("revenue", "0.52"), ("previous_revenue", "10.47")]
    assert growth.reported == growth.recomputed == -95.0
    before = explained(history, "store-performance", "previous_revenue", **day)
    assert (before.recomputed, len(before.parts)) == ("10.47", 4)
    with pytest.raises(NotExplained, match="from"):
        explained(history, "store-performance", "previous_revenue")
    shares = [explained(history, "top-products", "revenue_share_percent", sku=sku) for sku in ("apple", "pear")]
    assert sum(each.recomputed for each in shares) == pytest.approx(100, abs=0.01)
    left = explained(history, "low-stock", "days_left", sku="apple", through=NEXT)
    assert left.reported == left.recomputed
    assert [(each.measure, each.recomputed) for each in left.made_of] == [("on_hand", 11), ("units_28_days", 3)]


def test_a_report_without_that_filter_explains_nothing_by_it(history: History) -> None:
    for report, measure, how in (
        ("hourly-sales", "sales", {"sku": "apple"}),
        ("daily-sales", "sales", {"options": (("reason", "theft"),)}),
        ("consolidated", "amount", {"options": (("status", "nothing"),)}),
        ("consolidated", "amount", {"sku": "apple"}),
        ("stock-valuation", "value", {"hour": 3}),
    ):
        with pytest.raises(NoSuchGroup):
            explained(history, report, measure, **how)
