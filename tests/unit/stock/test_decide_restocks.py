"""Which steps may a restock take, what does each one move, and is nothing ever lost without a name?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any, get_args
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from events.base import event_type
from events.restocks import OfRestock
from schemas.envelope import Accepted
from stock import decide_restocks
from stock.book import Book, Decision, Shop
from stock.decide import decide
from stock.restock import Line, Restock, Status
from tests.restocking import CENTRE, Transfer, lost, on_the_way, stories
from tests.telling import SHOP

Step = Callable[[Transfer], Accepted]
STEPS: dict[str, Step] = {
    "request": lambda way: way.requested(apple=1),
    "approve": lambda way: way.approved(),
    "reject": lambda way: way.rejected(),
    "cancel": lambda way: way.cancelled(),
    "ship": lambda way: way.shipped(apple=10),
    "receive": lambda way: way.received({"apple": 4}),
    "close": lambda way: way.received({}, close=True),
}
# How each status is reached, and the only steps that it allows, with the status that they lead to.
WAYS: dict[Status, tuple[str, ...]] = {
    "requested": (),
    "approved": ("approve",),
    "rejected": ("reject",),
    "cancelled": ("cancel",),
    "shipped": ("approve", "ship"),
    "partially_received": ("approve", "ship", "receive"),
    "received": ("approve", "ship", "close"),
}
ALLOWED: dict[Status, dict[str, Status]] = {
    "requested": {"approve": "approved", "reject": "rejected", "cancel": "cancelled"},
    "approved": {"cancel": "cancelled", "ship": "shipped"},
    "rejected": {},
    "cancelled": {},
    "shipped": {"receive": "partially_received", "close": "received"},
    "partially_received": {"receive": "partially_received", "close": "received"},
    "received": {"receive": "received"},
}


def book() -> Book:
    return Book(shops={store_id: Shop(ZoneInfo("America/Toronto")) for store_id in (SHOP, CENTRE)})


def tell(kept: Book, accepted: Accepted) -> Decision:
    """Decide, and move the levels as the writer does."""
    event = event_type(accepted.type, accepted.version).model_validate(accepted.data)
    decision = decide(event, accepted, kept)
    kept.apply(accepted.store_id, accepted.event_id, decision.movements)
    return decision


def after(*told_: Accepted) -> tuple[Book, Decision]:
    """The book after these, and the last decision."""
    kept = book()
    decisions = [tell(kept, each) for each in told_]
    return kept, decisions[-1]


def shipped(way: Transfer, **lines: int) -> tuple[Accepted, ...]:
    """All that leads to so many units being in transit."""
    return way.requested(**lines), way.approved(), way.shipped(**lines)


def on_hand(kept: Book) -> dict[tuple[str, str], int]:
    return {cell: level.on_hand for cell, level in kept.levels.items()}


def lines(kept: Book, way: Transfer) -> dict[str, Line]:
    return {str(sku): line for sku, line in kept.restocks[way.restock_id].lines.items()}


def cases(decision: Decision) -> list[tuple[str, str | None]]:
    return [(case.kind, case.sku) for case in decision.cases]


# The states.


def test_every_fact_about_a_restock_has_its_rule() -> None:
    assert {decide.dispatch(cls).__module__ for cls in get_args(OfRestock)} == {decide_restocks.__name__}


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_each_status_allows_its_steps_and_refuses_all_others_with_the_state(status: Status, step: str) -> None:
    way = Transfer()
    kept, _ = after(way.requested(apple=10), *(STEPS[each](way) for each in WAYS[status]))
    assert kept.restocks[way.restock_id].status == status
    before = (on_hand(kept), lines(kept, way))
    decision = tell(kept, replace(STEPS[step](way), event_id=uuid4()))
    if step in ALLOWED[status]:
        assert (decision.outcome, decision.reason) == ("recorded", None)
        assert kept.restocks[way.restock_id].status == ALLOWED[status][step]
    else:
        assert decision == Decision(outcome="refused", reason="wrong_state", effect={"state": status})
        assert (on_hand(kept), lines(kept, way), kept.restocks[way.restock_id].status) == (*before, status)


@pytest.mark.parametrize("order", list(permutations(["approve", "reject", "cancel"])))
def test_who_decides_first_wins(order: Sequence[str]) -> None:
    way = Transfer()
    kept, _ = after(way.requested(apple=10))
    outcomes = [tell(kept, STEPS[step](way)).outcome for step in order]
    if order[:2] == ("approve", "cancel"):  # what was approved and hasn't left can still be cancelled
        assert outcomes == ["recorded", "recorded", "refused"]
    elif order == ("approve", "reject", "cancel"):
        assert outcomes == ["recorded", "refused", "recorded"]
    else:
        assert outcomes == ["recorded", "refused", "refused"]


@pytest.mark.parametrize("step", [name for name in STEPS if name != "request"])
def test_a_restock_that_nobody_asked_for_takes_no_step(step: str) -> None:
    _, decision = after(STEPS[step](Transfer()))
    assert (decision.outcome, decision.reason, decision.movements) == ("refused", "unknown_restock", ())


@pytest.mark.parametrize("step", STEPS)
def test_a_step_told_by_the_other_store_or_of_another_way_is_refused(step: str) -> None:
    way = Transfer()
    kept = book() if step == "request" else after(way.requested(apple=10))[0]
    here = STEPS[step](way)
    there = replace(here, store_id=SHOP if here.store_id == CENTRE else CENTRE)
    assert tell(kept, there).reason == "wrong_store"
    if step != "request":
        assert tell(kept, STEPS[step](replace(way, from_store="elsewhere"))).reason == "wrong_store"


# How much.


def test_less_than_was_asked_may_be_approved_and_less_than_that_shipped() -> None:
    way = Transfer()
    kept, decision = after(way.requested(apple=10, pear=5, plum=2), way.approved(apple=7, plum=0), way.shipped(apple=6))
    assert lines(kept, way) == {"apple": Line(10, 7, 6), "pear": Line(5, 5), "plum": Line(2)}
    assert [(each.sku, each.delta) for each in decision.movements] == [("apple", -6)]
    assert on_hand(kept) == {(CENTRE, "apple"): -6}


@pytest.mark.parametrize(
    ("steps", "most"),
    [
        ((lambda way: way.approved(apple=11, pear=0),), {"apple": 10}),
        ((lambda way: way.approved(plum=1),), {"plum": 0}),
        ((lambda way: way.approved(apple=7), lambda way: way.shipped(apple=8)), {"apple": 7}),
        ((lambda way: way.approved(), lambda way: way.shipped(plum=0)), {"plum": 0}),
    ],
)
def test_more_than_before_is_refused_and_the_answer_says_how_much_there_may_be(steps: Sequence[Step], most: dict[str, int]) -> None:
    way = Transfer()
    kept, decision = after(way.requested(apple=10, pear=5), *(step(way) for step in steps))
    assert (decision.outcome, decision.reason) == ("refused", "exceeds_restock")
    assert decision.effect == {"state": kept.restocks[way.restock_id].status, "most": most}
    assert on_hand(kept) == {}


def test_nothing_at_all_can_not_be_shipped() -> None:
    way = Transfer()
    _, decision = after(way.requested(apple=10), way.approved(), way.shipped(apple=0))
    assert (decision.outcome, decision.reason) == ("refused", "nothing_to_ship")


def test_one_sku_on_several_lines_is_their_sum() -> None:
    way = Transfer()
    twice = way.requested(apple=4)
    twice.data["lines"] *= 2
    kept, _ = after(twice, way.approved(), way.shipped(apple=8))
    assert lines(kept, way) == {"apple": Line(8, 8, 8)}


# Receipts.


def test_what_arrives_is_on_hand_and_the_last_of_it_closes() -> None:
    way = Transfer()
    kept, first = after(*shipped(way, apple=10, pear=2), way.received({"apple": 6, "pear": 2}))
    assert (kept.restocks[way.restock_id].status, first.effect) == ("partially_received", {"state": "partially_received"})
    assert on_the_way(kept.restocks[way.restock_id]) == 4
    last = tell(kept, way.received({"apple": 4}))
    assert (last.effect, last.cases) == ({"state": "received"}, ())
    assert on_hand(kept) == {(CENTRE, "apple"): -10, (CENTRE, "pear"): -2, (SHOP, "apple"): 10, (SHOP, "pear"): 2}
    assert on_the_way(kept.restocks[way.restock_id]) == 0


def test_damaged_units_arrive_and_are_on_no_shelf() -> None:
    way = Transfer()
    kept, decision = after(*shipped(way, apple=10), way.received({"apple": 7}, damaged={"apple": 3}))
    assert on_hand(kept)[SHOP, "apple"] == 7
    assert decision.effect == {"state": "received"}
    (case,) = decision.cases
    assert (case.kind, case.sku, case.events[0]) == ("damaged_receipt", "apple", way.restock_id)
    assert case.details.items() >= {"broken": 3, "shipped": 10, "received": 7, "damaged": 3, "missing": 0}.items()


def test_who_closes_says_that_the_rest_is_missing() -> None:
    way = Transfer()
    kept, decision = after(*shipped(way, apple=10, pear=2, plum=1), way.received({"plum": 1}), way.received({"apple": 6}, close=True))
    assert decision.effect == {"state": "received", "missing": {"apple": 4, "pear": 2}}
    assert {sku: line.missing for sku, line in lines(kept, way).items()} == {"apple": 4, "pear": 2, "plum": 0}
    assert cases(decision) == [("short_receipt", "apple"), ("short_receipt", "pear")]


def test_what_comes_after_closing_is_on_hand_found_again_and_a_case() -> None:
    way = Transfer()
    kept, decision = after(*shipped(way, apple=10), way.received({"apple": 6}, close=True), way.received({"apple": 3}))
    assert on_hand(kept)[SHOP, "apple"] == 9
    assert decision.effect == {"state": "received", "missing": {"apple": -3}}
    assert cases(decision) == [("late_receipt", "apple")]
    assert decision.cases[0].details.items() >= {"arrived": 3, "missing": 1}.items()
    assert cases(tell(kept, way.received({"apple": 1}, damaged={"apple": 1}))) == [("damaged_receipt", "apple"), ("late_receipt", "apple")]
    assert lines(kept, way)["apple"] == Line(10, 10, 10, received=10, damaged=1)


def test_more_than_was_shipped_is_on_hand_and_a_case() -> None:
    way = Transfer()
    kept, decision = after(*shipped(way, apple=10, pear=1), way.received({"apple": 12, "plum": 2}))
    assert on_hand(kept)[SHOP, "apple"] == 12
    assert on_hand(kept)[SHOP, "plum"] == 2
    assert kept.restocks[way.restock_id].status == "partially_received"
    assert cases(decision) == [("late_receipt", "apple"), ("late_receipt", "plum")]
    assert [case.details["surplus"] for case in decision.cases] == [2, 2]


def test_a_case_has_the_same_id_however_often_it_is_found() -> None:
    way, receipt = Transfer(), uuid4()
    keys = set()
    for _ in range(2):
        _, decision = after(
            *shipped(way, apple=10), replace(way.received({"apple": 1}, damaged={"apple": 1}, close=True), event_id=receipt)
        )
        keys.add(tuple(case.key for case in decision.cases))
    assert len(keys) == 1


def test_the_end_is_the_same_in_whatever_order_receipts_come() -> None:
    way = Transfer()
    receipts = [
        way.received({"apple": 3}, damaged={"pear": 1}),
        way.received({"apple": 2, "pear": 4}),
        way.received({"apple": 1}, close=True),
    ]
    ends: list[Any] = []
    for order in permutations(receipts):
        kept, _ = after(*shipped(way, apple=10, pear=5), *order)
        ends.append((on_hand(kept), lines(kept, way), kept.restocks[way.restock_id].status))
    assert ends == [ends[0]] * len(ends)


# Nothing is lost without a name.


def whole(kept: Book) -> int:
    """Units in all stores, in transit, and lost with a name."""
    return sum(level.on_hand for level in kept.levels.values()) + sum(on_the_way(each) + lost(each) for each in kept.restocks.values())


@given(stories())
def test_no_step_of_a_restock_makes_or_loses_a_unit_that_no_line_names(story: list[Accepted]) -> None:
    kept = book()
    for each in story:
        before, names = whole(kept), {restock_id: lost(restock) for restock_id, restock in kept.restocks.items()}
        decision = tell(kept, each)
        if each.type.startswith("restock."):
            assert whole(kept) == before
        if decision.outcome == "refused" or each.type != "restock.received":
            assert {restock_id: lost(kept.restocks[restock_id]) for restock_id in names} == names
        for restock in kept.restocks.values():
            check(restock)


def check(restock: Restock) -> None:
    """What must hold of a restock after every step."""
    for sku, line in restock.lines.items():
        assert line.shipped == line.received + line.damaged + line.missing + restock.in_transit(sku) - line.surplus
        assert line.requested >= line.approved >= line.shipped >= 0 <= min(line.received, line.damaged, line.missing)
        assert not line.missing or restock.closed
    assert restock.status in ALLOWED
    assert isinstance(restock.changed_by, UUID)
