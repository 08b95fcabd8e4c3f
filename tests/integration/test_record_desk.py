"""Do counts, cases and tills end in the tables as the log tells them, in whatever order and however often events come?"""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from events.base import Event
from events.cases import CaseKind, CaseResolved, Resolution
from events.tills import TillWaived
from schemas.envelope import Accepted
from stock import counts, desk, tills
from stock.counting import Tolerance
from tests.services import Services
from tests.telling import (
    Branch,
    counted,
    delivered,
    folded,
    kept_levels,
    minutes,
    own_engine,
    returned,
    sale,
)

SOME = settings(max_examples=15)


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    return Branch(engine).opened()


def cases(branch: Branch, **wanted: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as `desk.Wanted` takes them
    with branch.engine.connect() as connection:
        return desk.cases(connection, desk.Wanted(stores={branch.store_id}, **wanted), after=None, limit=500)


def count(branch: Branch, told_: Accepted, *, may_know: bool = True) -> dict[str, Any]:
    with branch.engine.connect() as connection:
        found = counts.count(connection, branch.store_id, told_.event_id, may_know=may_know)
    assert found is not None
    return found


def till(branch: Branch, till_id: str = "1", *, silent_after_seconds: int = 3_600) -> dict[str, Any]:
    with branch.engine.connect() as connection:
        rows = tills.tills(connection, {branch.store_id}, silent_after_seconds=silent_after_seconds, after=None, limit=500)
    return next(row for row in rows if row["till_id"] == till_id)


def owing(branch: Branch) -> tills.Owing:
    with branch.engine.connect() as connection:
        return tills.owing(connection, {branch.store_id})


def resolved(case_id: UUID, resolution: Any = "accept", note: str | None = None) -> CaseResolved:  # noqa: ANN401 - a literal
    return CaseResolved(case_id=case_id, resolution=resolution, note=note)


# Counts.


def test_a_late_sale_changes_what_a_count_expected_and_not_the_present(branch: Branch) -> None:
    counting = branch.told(counted(("apple", 8)), at=minutes(60))
    branch.keep(branch.told(delivered(("apple", 10))), counting)
    assert count(branch, counting)["lines"][0] | {"name": None} == {
        "sku": "apple",
        "name": None,
        "counted": 8,
        "counted_at": minutes(60),
        "expected": 10,
        "variance": -2,
    }
    branch.keep(branch.told(sale(("apple", 2)), at=minutes(30)))
    assert (count(branch, counting)["lines"][0]["expected"], count(branch, counting)["totals"]["variance"]) == (8, 0)
    assert branch.levels == {"apple": 8}


def test_each_line_counts_from_its_own_instant(branch: Branch) -> None:
    branch.keep(branch.told(delivered(("apple", 10), ("pear", 10))))
    counting = branch.told(counted(("apple", 10, minutes(10)), ("pear", 9, minutes(30))), at=minutes(60))
    branch.keep(branch.told(sale(("apple", 1), ("pear", 1)), at=minutes(20)), counting)
    assert branch.levels == {"apple": 9, "pear": 9}
    found = count(branch, counting)
    assert [(line["sku"], line["expected"], line["variance"]) for line in found["lines"]] == [("apple", 10, 0), ("pear", 9, 0)]
    assert found["totals"] == {"lines": 2, "counted": 19, "expected": 19, "variance": 0, "missing": 0, "surplus": 0}


def test_shelves_of_one_sku_are_counted_when_the_last_of_them_is(branch: Branch) -> None:
    counting = branch.told(counted(("apple", 3, minutes(10)), ("apple", 4, minutes(30)), ("pear", 1)), at=minutes(20))
    branch.keep(counting, branch.told(sale(("apple", 1)), at=minutes(25)), branch.told(sale(("apple", 1)), at=minutes(31)))
    assert branch.levels == {"apple": 6, "pear": 1}
    assert [(line["sku"], line["counted"], line["counted_at"]) for line in count(branch, counting)["lines"]] == [
        ("apple", 7, minutes(30)),
        ("pear", 1, minutes(20)),
    ]


def test_a_line_from_the_future_counts_when_the_system_got_it(branch: Branch) -> None:
    counting = branch.told(counted(("apple", 3, minutes(500))), at=minutes(0), received_at=minutes(5))
    branch.keep(counting)
    assert count(branch, counting)["lines"][0]["counted_at"] == minutes(5)


def test_a_sku_that_was_counted_before_is_expected_from_there(branch: Branch) -> None:
    first, second = branch.told(counted(("apple", 20)), at=minutes(0)), branch.told(counted(("apple", 12)), at=minutes(60))
    branch.keep(branch.told(delivered(("apple", 99)), at=minutes(-60)), first, branch.told(sale(("apple", 5)), at=minutes(30)), second)
    assert [count(branch, each)["lines"][0]["expected"] for each in (first, second)] == [99, 15]
    assert count(branch, second)["totals"] == {"lines": 1, "counted": 12, "expected": 15, "variance": -3, "missing": 3, "surplus": 0}


def test_a_blind_count_tells_a_cashier_nothing_of_what_was_expected(branch: Branch) -> None:
    counting = branch.told(counted(("apple", 8), blind=True))
    branch.keep(delivered(("apple", 10)), counting)
    assert count(branch, counting, may_know=False)["lines"][0].keys() == {"sku", "name", "counted", "counted_at"}
    assert count(branch, counting, may_know=False)["totals"] == {"lines": 1, "counted": 8}
    assert count(branch, counting)["lines"][0]["variance"] == -2


def test_counts_are_listed_the_last_first_and_of_their_own_store(engine: Engine, branch: Branch) -> None:
    told_ = [branch.told(counted(("apple", units), ("apple", 1), ("pear", 1)), at=minutes(-units)) for units in range(3)]
    branch.keep(*told_)
    with engine.connect() as connection:
        rows = counts.counts(connection, branch.store_id, after=None, limit=2)
        rest = counts.counts(connection, branch.store_id, after=(rows[-1]["seq"],), limit=2)
        assert counts.count(connection, "elsewhere", told_[0].event_id, may_know=True) is None
        assert counts.count(connection, branch.store_id, uuid4(), may_know=True) is None
    assert [row["count_id"] for row in (*rows, *rest)] == [each.event_id for each in reversed(told_)]
    assert (rows[0]["skus"], rows[0]["units"], rows[0]["blind"]) == (2, 4, False)


def test_the_sheet_lists_what_the_store_holds_and_is_blind_when_asked(engine: Engine, branch: Branch) -> None:
    branch.keep(delivered(("apple", 3), ("pear", 4)), delivered(("strange", 1)))
    with engine.connect() as connection:
        rows = counts.sheet(connection, counts.Sheet(branch.store_id), after=None, limit=50)
        blind = counts.sheet(
            connection, counts.Sheet(branch.store_id, search="POMME pear", category="Fruit", blind=True), after=None, limit=50
        )
        rest = counts.sheet(connection, counts.Sheet(branch.store_id), after=("apple",), limit=50)
    assert [(row["sku"], row["expected"]) for row in rows] == [("apple", 3), ("pear", 4), ("strange", 1)]
    assert [row["name"] is None for row in rows] == [False, False, True]
    assert [(row["sku"], "expected" in row) for row in blind] == [("pear", False)]
    assert rest == rows[1:]


# Variances that are cases.


def test_a_count_far_off_opens_one_case_a_sku_with_what_was_expected_then(branch: Branch) -> None:
    counting = branch.told(counted(("apple", 90), ("pear", 98)), at=minutes(60))
    branch.keep(branch.told(delivered(("apple", 100), ("pear", 100))), counting)
    for _ in range(2):
        branch.keep(counting)
    (case,) = cases(branch)
    assert (case["kind"], case["sku"], case["proposal"], case["events"]) == ("count_variance", "apple", "recount", [str(counting.event_id)])
    assert case["details"] == {"expected": 100, "counted": 90, "variance": -10, "counted_at": "2026-03-14T13:00:00Z"}


def test_what_is_far_off_is_a_matter_of_units_and_percent() -> None:
    usual = Tolerance(3, 5)
    assert [usual.exceeded(100, found) for found in (96, 95, 105, 104)] == [False, True, True, False]
    assert [usual.exceeded(10, found) for found in (8, 7)] == [False, True]
    assert usual.exceeded(0, 3)
    assert usual.exceeded(-4, 0)


def test_the_first_that_is_ever_known_of_a_sku_is_no_variance(branch: Branch) -> None:
    branch.keep(counted(("apple", 500)))
    assert cases(branch) == []


def test_a_count_that_a_later_one_has_overtaken_opens_nothing(branch: Branch) -> None:
    branch.keep(branch.told(delivered(("apple", 100))), branch.told(counted(("apple", 100)), at=minutes(60)))
    branch.keep(branch.told(counted(("apple", 5)), at=minutes(30)))
    assert cases(branch) == []
    assert branch.levels == {"apple": 100}


def test_a_late_count_is_compared_with_what_was_there_then(branch: Branch) -> None:
    branch.keep(branch.told(delivered(("apple", 100))), branch.told(sale(("apple", 60)), at=minutes(60)))
    branch.keep(branch.told(counted(("apple", 100)), at=minutes(30)), branch.told(counted(("pear", 1)), at=minutes(30)))
    assert cases(branch) == []


# Cases.


def test_every_case_of_the_log_stands_in_the_table_once(branch: Branch) -> None:
    sold = branch.told(sale((uuid4().hex, 1), ("apple", 2), till="1", number=4))
    back = branch.told(returned(sold.event_id, ("apple", 9)))
    second = branch.told(sale(("pear", 1), till="1", number=4))
    for _ in range(3):
        branch.keep(back, sold, second)
    found = cases(branch)
    assert sorted(case["kind"] for case in found) == ["over_return", "oversell", "oversell", "till_sequence", "unknown_product"]
    opened = [event for event in branch.log if event.type == "case.opened"]
    assert [(case["case_id"], case["seq"], case["opened_at"]) for case in found] == [(e.event_id, e.seq, e.recorded_at) for e in opened]
    assert [case["details"] for case in found] == [event.data.get("details", {}) for event in opened]
    assert {case["status"] for case in found} == {"open"}
    assert [case["kind"] for case in cases(branch, kind="over_return")] == ["over_return"]
    assert cases(branch, status="resolved") == []


def test_a_case_is_resolved_by_an_event_and_stays_so_when_what_opened_it_comes_again(branch: Branch) -> None:
    sold = branch.told(sale(("apple", 2)))
    branch.keep(sold)
    (case,) = cases(branch)
    settled = branch.told(resolved(case["case_id"], "recount", "compté de nouveau"))
    (event,) = branch.keep(settled).recorded
    for _ in range(2):
        assert branch.keep(sold, settled).recorded == []
    (after,) = cases(branch, status="resolved")
    assert after["resolution"] == {
        "resolution": "recount",
        "note": "compté de nouveau",
        "action_event_id": None,
        "by": "test",
        "at": after["resolution"]["at"],
        "event_id": str(settled.event_id),
    }
    assert datetime.fromisoformat(after["resolution"]["at"]) == event.recorded_at
    assert cases(branch, status="open") == []


def test_of_two_who_resolve_the_first_counts_in_one_batch_and_in_two(branch: Branch) -> None:
    branch.keep(sale(("apple", 2)), sale(("pear", 2)))
    one, other = (case["case_id"] for case in cases(branch))
    first, second = branch.keep(resolved(one, "recount"), resolved(one, "write_off")).recorded
    assert (first.outcome, second.outcome, second.reason) == ("recorded", "refused", "already_resolved")
    (third,) = branch.keep(resolved(one, "transfer")).recorded
    told_ = (third.effect or {})["resolved"]
    assert (third.reason, told_["resolution"], told_["by"], told_["event_id"]) == (
        "already_resolved",
        "recount",
        "test",
        str(first.event_id),
    )
    assert [case["case_id"] for case in cases(branch, status="open")] == [other]


def test_a_case_that_the_store_does_not_have_is_resolved_by_nobody(engine: Engine, branch: Branch) -> None:
    other = Branch(engine).opened()
    other.keep(sale(("apple", 2)))
    (case,) = cases(other)
    for case_id in (case["case_id"], uuid4()):
        (event,) = branch.keep(resolved(case_id)).recorded
        assert (event.outcome, event.reason) == ("refused", "unknown_case")
    assert [each["status"] for each in cases(other)] == ["open"]


def test_a_case_shows_its_events_and_of_foreign_stores_only_their_ids(branch: Branch) -> None:
    sold = branch.told(sale(("apple", 1), ("pear", 1), ("apple", 1)))
    branch.keep(delivered(("pear", 5)), sold)
    (case,) = cases(branch)
    branch.keep(resolved(case["case_id"]))
    with branch.engine.connect() as connection:
        found = desk.case(connection, case["case_id"])
        assert found is not None
        shown = desk.events_of(connection, found, None)
        hidden = desk.events_of(connection, found, {"elsewhere"})
        assert desk.case(connection, uuid4()) is None
    assert [each["type"] for each in shown] == ["sale.recorded", "case.resolved"]
    assert [line["sku"] for line in shown[0]["content"]["lines"]] == ["apple", "apple"]
    assert hidden == [{"event_id": each["event_id"]} for each in shown]


def test_every_kind_of_case_has_its_advice() -> None:
    assert desk.ADVICE.keys() == set(get_args(CaseKind))
    assert {resolution for resolution, _, _ in desk.ADVICE.values()} <= set(get_args(Resolution))


def test_the_table_can_be_made_again_from_the_log(engine: Engine, branch: Branch) -> None:
    step = import_module("migrations.versions.0004_desk")
    branch.keep(sale(("apple", 2), till="7", number=2), sale((uuid4().hex, 1), till="8"), sale(("apple", 1), till="7", number=5))
    tables = ("stock_case", "till")
    with engine.begin() as connection:
        before = {name: connection.execute(text(f"SELECT * FROM {name} ORDER BY 1, 2")).all() for name in tables}  # noqa: S608 - ours
        connection.execute(text("TRUNCATE stock_case, till"))
        for statement in (step.CASES_SO_FAR, step.NUMBERS_SO_FAR):
            connection.exec_driver_sql(statement)
        after = {name: connection.execute(text(f"SELECT * FROM {name} ORDER BY 1, 2")).all() for name in tables}  # noqa: S608 - ours
        connection.rollback()
    assert [tuple(row)[:8] for row in after["stock_case"]] == [tuple(row)[:8] for row in before["stock_case"]]
    assert after["till"] == before["till"]


# Tills.


def test_numbers_between_the_lowest_and_the_highest_that_nobody_has_seen_are_owed(branch: Branch) -> None:
    branch.keep(*(sale(("apple", 1), till="1", number=number) for number in (3, 7, 8, 2)))
    assert till(branch) | {"last_sale_at": 0, "last_heard_at": 0, "silent_seconds": 0} == {
        "store_id": branch.store_id,
        "till_id": "1",
        "last_seq": 8,
        "contiguous_through": 3,
        "missing": 3,
        "waived": 0,
        "gaps": [{"from": 4, "to": 6}],
        "last_sale_at": 0,
        "last_heard_at": 0,
        "silent_seconds": 0,
        "silent": False,
    }
    branch.keep(sale(("apple", 1), till="1", number=6), sale(("apple", 1), till="1", number=4))
    assert (till(branch)["contiguous_through"], till(branch)["missing"], till(branch)["gaps"]) == (4, 1, [{"from": 5, "to": 5}])
    branch.keep(sale(("apple", 1), till="1", number=5))
    assert (till(branch)["contiguous_through"], till(branch)["missing"], till(branch)["gaps"]) == (8, 0, [])
    assert owing(branch) == (0, [])


def test_a_till_that_served_elsewhere_goes_on_where_it_was(branch: Branch) -> None:
    branch.keep(sale(("apple", 1), till="1", number=48_231))
    assert (till(branch)["contiguous_through"], till(branch)["missing"]) == (48_231, 0)
    branch.keep(sale(("apple", 1), till="1", number=48_229))
    assert (till(branch)["contiguous_through"], till(branch)["missing"]) == (48_229, 1)


def test_a_till_that_gives_no_numbers_owes_nothing(branch: Branch) -> None:
    branch.keep(sale(("apple", 1), till="1"), sale(("apple", 1)))
    assert [till(branch)[name] for name in ("last_seq", "contiguous_through", "missing", "gaps")] == [None, None, 0, []]
    assert owing(branch).tills_owing == 0


def test_a_refused_sale_was_heard_and_its_number_may_be_used_again(branch: Branch) -> None:
    refused = branch.told(sale(("apple", 1), till="1", number=1, if_insufficient="refuse"))
    branch.keep(refused)
    assert till(branch)["contiguous_through"] == 1
    branch.keep(delivered(("apple", 9)))
    branch.keep(sale(("apple", 1), till="1", number=1))
    assert cases(branch) == []
    branch.keep(sale(("apple", 1), till="1", number=1))
    assert [case["kind"] for case in cases(branch)] == ["till_sequence"]


def test_two_sales_under_one_number_are_one_case_with_both_and_both_are_recorded(engine: Engine) -> None:
    told_: list[list[dict[str, Any]]] = []
    for batches in ([[0, 1, 2]], [[2], [1], [0]], [[1, 1], [0, 0, 1], [2, 0]]):
        branch = Branch(engine).opened()
        branch.keep(delivered(("apple", 9)))
        sold = [branch.told(sale(("apple", 1 + units), till="1", number=5), event_id=UUID(int=uuid4().int)) for units in range(2)]
        sold.append(branch.told(sale(("apple", 1), till="2", number=5)))
        for batch in batches:
            branch.keep(*(sold[place] for place in batch))
        (case,) = cases(branch)
        assert (case["kind"], case["details"]) == ("till_sequence", {"till_id": "1", "till_seq": 5})
        assert case["events"] == sorted(str(each.event_id) for each in sold[:2])
        assert branch.levels == {"apple": 5}
        told_.append(cases(branch))
    assert len(told_) == 3


def test_a_third_sale_under_the_number_is_the_same_case(branch: Branch) -> None:
    branch.keep(delivered(("apple", 9)))
    for _ in range(3):
        branch.keep(sale(("apple", 1), till="1", number=5))
    assert len(cases(branch)) == 1


def test_a_number_of_long_ago_is_still_taken_though_its_sale_is_not_looked_for(branch: Branch) -> None:
    late = 60 * 24 * (tills.SEARCH_DAYS + 2)
    branch.keep(delivered(("apple", 9)), branch.told(sale(("apple", 1), till="1", number=1)))
    second = branch.told(sale(("apple", 1), till="1", number=1), at=minutes(late))
    branch.keep(second)
    (case,) = cases(branch)
    assert case["events"] == [str(second.event_id)]


def test_a_till_that_counts_anew_opens_a_case_a_number_and_few_are_looked_for(branch: Branch) -> None:
    branch.keep(delivered(("apple", 99)))
    for _ in range(2):
        branch.keep(*(sale(("apple", 1), till="1", number=1 + number) for number in range(20)))
    lengths = [len(case["events"]) for case in cases(branch)]
    assert len(lengths) == 20
    assert sum(length == 2 for length in lengths) == tills.MOST_SEARCHED


def test_of_too_many_holes_the_oldest_are_forgotten(branch: Branch) -> None:
    branch.keep(delivered(("apple", 9_999)))
    most = tills.MOST_RANGES
    for first, last in ((1, most), (most + 1, most + 3)):
        branch.keep(*(sale(("apple", 1), till="1", number=2 * number) for number in range(first, last + 1)))
    found = till(branch)
    assert (found["contiguous_through"], found["missing"], found["last_seq"]) == (8, most - 1, 2 * (most + 3))
    branch.keep(sale(("apple", 1), till="1", number=3))
    assert cases(branch) == []


def test_what_is_owed_is_told_for_the_stores_asked_for_and_bounded(engine: Engine) -> None:
    one, other = Branch(engine).opened(), Branch(engine).opened()
    one.keep(*(sale(("apple", 1), till=f"t-{till_:02d}", number=number) for till_ in range(tills.MOST_OWING + 5) for number in (7, 10)))
    other.keep(sale(("apple", 1), till="1", number=1))
    found = owing(one)
    assert (found.tills_owing, len(found.tills)) == (tills.MOST_OWING + 5, tills.MOST_OWING)
    assert found.tills[0] | {"last_heard_at": None} == {
        "store_id": one.store_id,
        "till_id": "t-00",
        "missing": 2,
        "first_missing": 8,
        "last_heard_at": None,
    }
    assert owing(other) == (0, [])


def test_a_till_is_silent_after_its_time(branch: Branch) -> None:
    branch.keep(sale(("apple", 1), till="1"))
    assert not till(branch)["silent"]
    assert till(branch, silent_after_seconds=0)["silent"]


def test_what_was_given_up_is_owed_no_more_and_counts_when_it_comes_all_the_same(branch: Branch) -> None:
    branch.keep(delivered(("apple", 9)), *(sale(("apple", 1), till="1", number=number) for number in (2, 9)))
    waiver = branch.told(TillWaived(till_id="1", first=1, last=6, reason="volée"))
    for _ in range(2):
        branch.keep(waiver, TillWaived(till_id="unheard-of", first=1, last=6, reason="volée"))
    found = till(branch)
    assert (found["missing"], found["waived"], found["gaps"], found["contiguous_through"]) == (2, 4, [{"from": 7, "to": 8}], 6)
    branch.keep(TillWaived(till_id="1", first=7, last=8, reason="volée"))
    assert owing(branch) == (0, [])
    branch.keep(sale(("apple", 1), till="1", number=4))
    assert (till(branch)["waived"], cases(branch)) == (5, [])
    branch.keep(sale(("apple", 1), till="1", number=4), sale(("apple", 1), till="1", number=12))
    assert ([case["kind"] for case in cases(branch)], till(branch)["missing"]) == (["till_sequence"], 2)


# Every order.


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[Event, int]]:
    """Counts with instants of their own lines, sales with numbers, deliveries; each at one of few instants."""
    lines = st.lists(st.tuples(st.sampled_from(["apple", "pear"]), st.integers(1, 9)), min_size=1, max_size=3)
    story: list[tuple[Event, int]] = []
    for _ in range(draw(st.integers(2, 9))):
        at = draw(st.integers(0, 5)) * 10
        match draw(st.sampled_from(["sale", "sale", "count", "count", "delivery"])):
            case "sale":
                story.append((sale(*draw(lines), till=draw(st.sampled_from(["1", "2"])), number=draw(st.integers(1, 4))), at))
            case "count":
                own = st.none() | st.integers(0, 5).map(lambda place: minutes(place * 10))
                found = [(sku, units, instant) if (instant := draw(own)) else (sku, units) for sku, units in draw(lines)]
                story.append((counted(*found), at))
            case _:
                story.append((delivered(*draw(lines)), at))
    return story


@SOME
@given(stories(), st.randoms(use_true_random=False))
def test_levels_variances_numbers_and_their_cases_are_the_same_in_any_order(
    engine: Engine, story: Sequence[tuple[Event, int]], chance: random.Random
) -> None:
    base = uuid4().int >> 64 << 64
    ends = []
    for crooked in (False, True):
        branch = Branch(engine).opened()
        told_ = [branch.told(event, at=minutes(at), event_id=UUID(int=base + crooked * 2**32 + n)) for n, (event, at) in enumerate(story)]
        arrived = [*told_, *chance.choices(told_, k=3)] if crooked else list(told_)
        if crooked:
            chance.shuffle(arrived)
        while arrived:
            size = chance.randint(1, 4)
            branch.keep(*arrived[:size])
            del arrived[:size]
        ends.append(_end(branch, told_))
    assert ends[0] == ends[1]


def _end(branch: Branch, told_: Sequence[Accepted]) -> dict[str, Any]:
    stores = [branch.store_id]
    assert kept_levels(branch.engine, stores) == folded(branch.engine, stores)
    place = {str(each.event_id): n for n, each in enumerate(told_)}
    with branch.engine.connect() as connection:
        rows = tills.tills(connection, set(stores), silent_after_seconds=60, after=None, limit=50)
    numbered = [case for case in cases(branch) if case["kind"] == "till_sequence"]
    return {
        "levels": branch.levels,
        "variances": [
            [(line["sku"], line["expected"], line["variance"]) for line in count(branch, each)["lines"]]
            for each in told_
            if each.type == "stock.counted"
        ],
        "tills": [(row["till_id"], row["contiguous_through"], row["missing"], str(row["gaps"]), row["last_sale_at"]) for row in rows],
        "numbers": sorted((case["details"]["till_id"], case["details"]["till_seq"]) for case in numbered),
        "pairs": all(len({place[each] for each in case["events"]}) == 2 for case in numbered),
    }
