"""What does each kind of event do, and what contradicts what is known?"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import TYPES
from events.base import Event
from events.cases import CaseOpened, CaseResolved
from events.catalogue import ProductStocked
from events.fields import Sku
from events.sales import SaleLine, SaleRecorded
from projections.facts import SaleFact, sale_facts
from stock import decide_cases
from stock.book import Book, Decision, Shop
from stock.costing import in_cents
from stock.decide import NoRule, decide, sold_lines
from stock.rules import Level, Movement
from tests.telling import NOON, SHOP, adjusted, counted, delivered, logged, minutes, product, returned, sale, shop, told, void

TORONTO = ZoneInfo("America/Toronto")
SALE, VOID, RETURN = UUID(int=1), UUID(int=2), UUID(int=3)


def book(oversell: str = "allow", **on_hand: int) -> Book:
    return Book(shops={SHOP: Shop(TORONTO, oversell)}, levels={(SHOP, sku): Level(units) for sku, units in on_hand.items()})


def tell(event: Event, book: Book, event_id: UUID | None = None, at: datetime = NOON) -> Decision:
    """Decide, and move the levels as the writer does."""
    head = told(event, event_id=event_id, at=at)
    decision = decide(event, head, book)
    book.apply(SHOP, head.event_id, decision.movements)
    return decision


def deltas(decision: Decision) -> list[tuple[str, int | None]]:
    return [(each.sku, each.delta) for each in decision.movements]


def test_the_only_event_that_no_rule_knows_is_the_case_which_the_writer_makes_itself() -> None:
    ours = {name: cls for name, cls in TYPES.items() if cls.__module__.startswith("events.")}
    assert decide.dispatch(CaseResolved) is decide_cases.resolve_case
    unknown = {name for name, cls in ours.items() if decide.dispatch(cls) is decide.dispatch(Event)}
    assert unknown == {("case.opened", 1)}
    with pytest.raises(NoRule, match="CaseOpened"):
        tell(CaseOpened(kind="oversell", events=()), book())


def test_a_sale_takes_each_line_away_at_its_instant() -> None:
    decision = tell(sale(("apple", 2), ("pear", 1), ("apple", 3)), book(), SALE)
    assert decision.outcome == "recorded"
    assert decision.movements == (
        Movement(Sku("apple"), NOON, SALE, 0, delta=-2),
        Movement(Sku("pear"), NOON, SALE, 1, delta=-1),
        Movement(Sku("apple"), NOON, SALE, 2, delta=-3),
    )


def test_a_sale_that_happened_is_recorded_below_zero() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept)
    assert kept.level(SHOP, "apple").on_hand == -2


def test_an_adjustment_moves_by_its_deltas_and_a_delivery_by_its_quantities() -> None:
    assert deltas(tell(adjusted(("apple", -2), ("pear", 4)), book())) == [("apple", -2), ("pear", 4)]
    assert deltas(tell(delivered(("apple", 2), ("apple", 4)), book())) == [("apple", 2), ("apple", 4)]


def test_one_sku_on_several_lines_of_a_count_lay_on_several_shelves() -> None:
    kept = book(apple=50)
    decision = tell(counted(("apple", 3), ("pear", 1), ("apple", 4)), kept, SALE)
    assert decision.movements == (
        Movement(Sku("apple"), NOON, SALE, 0, counted=7),
        Movement(Sku("pear"), NOON, SALE, 1, counted=1),
    )
    assert kept.level(SHOP, "apple").on_hand == 7


def test_a_shop_defined_is_the_shop_of_what_follows() -> None:
    kept = book()
    assert tell(shop("refuse", "Europe/Paris"), kept) == Decision()
    assert kept.shops[SHOP] == Shop(ZoneInfo("Europe/Paris"), "refuse")


def test_a_product_defined_is_known_to_what_follows_and_moves_nothing() -> None:
    kept = book()
    kept.unknown_skus = {"apple", "pear"}
    assert tell(product("apple"), kept) == Decision()
    assert kept.unknown_skus == {"pear"}


def test_a_shops_own_limits_move_nothing() -> None:
    assert tell(ProductStocked(sku=Sku("apple"), reorder_point=3), book()) == Decision()


# On refusing for want of stock:


def test_lines_of_one_sku_are_added_up_before_they_are_compared_with_what_is_there() -> None:
    decision = tell(sale(("apple", 3), ("apple", 3), if_insufficient="refuse"), book(apple=5))
    assert (decision.outcome, decision.reason, decision.movements) == ("refused", "insufficient_stock", ())
    assert decision.effect == {"available": {"apple": 5}}


def test_a_refusal_names_only_what_is_short() -> None:
    decision = tell(sale(("apple", 3), ("pear", 1), ("plum", 2), if_insufficient="refuse"), book(apple=2, pear=1))
    assert decision.effect == {"available": {"apple": 2, "plum": 0}}


def test_what_is_exactly_there_is_sold() -> None:
    kept = book(apple=5)
    assert tell(sale(("apple", 2), ("apple", 3), if_insufficient="refuse"), kept).outcome == "recorded"
    assert kept.level(SHOP, "apple").on_hand == 0


@pytest.mark.parametrize(
    ("policy", "asked", "outcome"),
    [
        ("refuse", None, "refused"),
        ("refuse", "allow", "recorded"),
        ("allow", None, "recorded"),
        ("allow", "refuse", "refused"),
    ],
)
def test_the_sales_own_wish_goes_before_the_policy_of_the_shop(policy: str, asked: Any, outcome: str) -> None:  # noqa: ANN401
    assert tell(sale(("apple", 1), if_insufficient=asked), book(policy)).outcome == outcome


def test_a_refused_sale_leaves_nothing_behind_for_its_void() -> None:
    kept = book("refuse")
    tell(sale(("apple", 1)), kept, SALE)
    assert kept.sale(SHOP, SALE).lines is None
    assert tell(void(SALE), kept, VOID).movements == ()


def test_a_sale_whose_void_came_first_is_never_refused_because_nothing_leaves() -> None:
    kept = book("refuse")
    tell(void(SALE), kept, VOID)
    assert tell(sale(("apple", 9)), kept, SALE).outcome == "recorded"
    assert kept.level(SHOP, "apple").on_hand == 0


# On voids:


def test_a_void_brings_the_goods_back_at_the_instant_they_left() -> None:
    kept = book()
    tell(sale(("apple", 2), ("apple", 1)), kept, SALE)
    decision = tell(void(SALE), kept, VOID, at=minutes(90))
    assert decision.movements == (
        Movement(Sku("apple"), NOON, VOID, 0, delta=2),
        Movement(Sku("apple"), NOON, VOID, 1, delta=1),
    )


def test_a_sale_can_be_voided_once() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept, SALE)
    tell(void(SALE), kept, VOID)
    again = tell(void(SALE), kept, uuid4())
    assert (again.outcome, again.reason, again.movements) == ("refused", "already_voided", ())
    assert kept.level(SHOP, "apple").on_hand == 0


def test_a_second_void_is_refused_even_while_the_sale_is_on_its_way() -> None:
    kept = book()
    tell(void(SALE), kept, VOID)
    assert tell(void(SALE), kept, uuid4()).reason == "already_voided"


def test_a_void_at_the_till_is_refused_when_goods_came_back_already() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept, SALE)
    tell(returned(SALE, ("apple", 1)), kept, RETURN)
    assert tell(void(SALE, enforce=True), kept, VOID).reason == "already_returned"


def test_a_void_told_afterwards_is_recorded_and_what_came_back_is_a_case() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept, SALE)
    tell(returned(SALE, ("apple", 1)), kept, RETURN)
    decision = tell(void(SALE), kept, VOID)
    assert decision.outcome == "recorded"
    assert [(case.kind, case.sku, case.details) for case in decision.cases] == [("over_return", "apple", {"sold": 0, "returned": 1})]


# On returns:


def test_resellable_goods_are_on_hand_again_and_damaged_ones_are_not() -> None:
    kept = book()
    tell(sale(("apple", 5)), kept, SALE)
    assert deltas(tell(returned(SALE, ("apple", 2)), kept)) == [("apple", 2)]
    assert deltas(tell(returned(SALE, ("apple", 1), condition="damaged"), kept)) == []


def test_a_return_counts_at_its_own_instant() -> None:
    kept = book()
    tell(sale(("apple", 5)), kept, SALE)
    assert tell(returned(SALE, ("apple", 2)), kept, RETURN, at=minutes(9)).movements[0].effective_at == minutes(9)


def test_more_than_was_sold_is_refused_at_the_till_and_names_what_may_still_come_back() -> None:
    kept = book()
    tell(sale(("apple", 2), ("apple", 1)), kept, SALE)
    tell(returned(SALE, ("apple", 1)), kept)
    decision = tell(returned(SALE, ("apple", 2), ("apple", 1), ("pear", 1), enforce=True), kept)
    assert (decision.outcome, decision.reason, decision.movements) == ("refused", "over_return", ())
    assert decision.effect == {"returnable": {"apple": 2, "pear": 0}}
    assert tell(returned(SALE, ("apple", 2), enforce=True), kept).outcome == "recorded"


def test_nothing_of_a_voided_sale_may_come_back_at_the_till() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept, SALE)
    tell(void(SALE), kept, VOID)
    assert tell(returned(SALE, ("apple", 1), enforce=True), kept).reason == "over_return"


def test_more_than_was_sold_told_afterwards_is_recorded_and_a_case() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept, SALE)
    decision = tell(returned(SALE, ("apple", 3)), kept, RETURN)
    assert decision.outcome == "recorded"
    assert deltas(decision) == [("apple", 3)]
    (case,) = decision.cases
    assert (case.kind, case.sku, case.events, case.details) == ("over_return", "apple", (SALE, RETURN), {"sold": 2, "returned": 3})


def test_more_over_return_of_one_sku_is_the_same_case() -> None:
    kept = book()
    tell(sale(("apple", 2)), kept, SALE)
    first = tell(returned(SALE, ("apple", 3)), kept).cases[0]
    assert tell(returned(SALE, ("apple", 1)), kept).cases[0].key == first.key


def test_a_refund_that_was_given_stands_and_the_share_of_the_price_paid_is_the_usual_one() -> None:
    kept = book()
    tell(sale(("apple", 3, "0.50")), kept, SALE)
    given = tell(returned(SALE, ("apple", 1), refund="0.10"), kept)
    usual = tell(returned(SALE, ("apple", 2)), kept)
    assert given.effect == {"lines": [{"sku": "apple", "quantity": 1, "refund_cents": 10}]}
    assert usual.effect == {"lines": [{"sku": "apple", "quantity": 2, "refund_cents": 100}]}


@pytest.mark.parametrize(
    ("total", "quantity", "refund"), [("1.00", 1, 33), ("1.00", 2, 67), ("1.00", 3, 100), ("0.05", 1, 2), ("0.00", 3, 0)]
)
def test_shares_are_rounded_half_up_to_the_cent(total: str, quantity: int, refund: int) -> None:
    kept = book()
    line = SaleLine(sku=Sku("apple"), quantity=3, unit_price=Decimal("9.99"), line_total=Decimal(total))
    tell(SaleRecorded(lines=(line,)), kept, SALE)
    effect = tell(returned(SALE, ("apple", quantity)), kept).effect
    assert effect == {"lines": [{"sku": "apple", "quantity": quantity, "refund_cents": refund}]}


def test_what_was_never_sold_is_worth_nothing() -> None:
    kept = book()
    tell(sale(("apple", 3)), kept, SALE)
    assert tell(returned(SALE, ("pear", 1)), kept).effect == {"lines": [{"sku": "pear", "quantity": 1, "refund_cents": 0}]}


def test_a_sale_settles_the_void_and_the_returns_that_came_before_it() -> None:
    kept = book()
    tell(void(SALE), kept, VOID)
    tell(returned(SALE, ("apple", 1)), kept, RETURN, at=minutes(600))
    decision = tell(sale(("apple", 2)), kept, SALE)
    assert decision.effect == {
        "voided_by": str(VOID),
        "refunds": [
            {
                "return_id": str(RETURN),
                "local_at": "2026-03-14T18:00:00",
                "business_date": "2026-03-14",
                "lines": [{"sku": "apple", "refund_cents": 250}],
            }
        ],
    }
    assert [(each.event_id, each.delta) for each in decision.movements] == [(SALE, -2), (VOID, 2)]


def test_a_refund_that_was_given_before_the_sale_came_needs_no_settling() -> None:
    kept = book()
    tell(returned(SALE, ("apple", 1), refund="1.00"), kept)
    assert tell(sale(("apple", 2)), kept, SALE).effect is None


# On every order ends the same:

STORY: Sequence[tuple[UUID, Event, datetime]] = (
    (SALE, sale(("apple", 3, "1.00"), ("apple", 1, "2.00"), ("pear", 2)), NOON),
    (RETURN, returned(SALE, ("apple", 2), ("pear", 3)), minutes(60)),
    (UUID(int=4), returned(SALE, ("apple", 1), condition="damaged"), minutes(90)),
    (VOID, void(SALE), minutes(120)),
    (UUID(int=5), counted(("apple", 10)), minutes(30)),
)


def outcome_of(story: Sequence[tuple[UUID, Event, datetime]]) -> tuple[Any, ...]:
    """Levels, movements, money by day and cases after a story was told in this order."""
    kept = book()
    facts: list[SaleFact] = []
    cases: dict[str, Any] = {}
    for event_id, event, at in story:
        head = told(event, event_id=event_id, at=at)
        instants = {(SHOP, line.sku, at): 0 for line in getattr(event, "lines", ())}
        kept.later_deltas = instants
        decision = decide(event, head, kept)
        kept.apply(SHOP, event_id, decision.movements)
        local_at = at.astimezone(TORONTO).replace(tzinfo=None)
        facts += sale_facts([logged(head, local_at=local_at, outcome=decision.outcome, effect=decision.effect)])
        # What a count differs from is what was known when it was recorded: that alone depends on the order.
        cases |= {case.key: (case.kind, case.sku) for case in decision.cases if case.kind != "count_variance"}
    movements = Counter(each for entries in kept.moved.values() for _, each in entries)
    money = Counter[tuple[str, Any]]()
    for fact in facts:
        signs = {"sale": 1, "void": -1, "return": -1, "refund": -1}
        for sku, units, paid in fact.lines:
            money["units", sku] += signs[fact.kind] * units
            money[fact.local_at.isoformat(), sku] += signs[fact.kind] * paid
    return kept.levels, movements, money, cases


def test_a_sale_its_void_its_returns_and_a_count_end_the_same_in_each_of_their_120_orders() -> None:
    expected = outcome_of(STORY)
    assert expected[0][SHOP, "apple"].on_hand == 12
    assert expected[3] == {f"{SALE}|over_return|{sku}": ("over_return", sku) for sku in ("apple", "pear")}
    for order in permutations(STORY):
        assert outcome_of(order) == expected


@given(st.permutations([step for step in STORY if step[0] != VOID]))
def test_without_a_void_only_what_exceeds_the_sale_is_a_case_in_any_order(order: list[tuple[UUID, Event, datetime]]) -> None:
    assert outcome_of(order)[3] == {f"{SALE}|over_return|pear": ("over_return", "pear")}


# On money:


def test_money_is_exact_in_cents() -> None:
    assert in_cents(Decimal("12.50")) == 1250
    assert [line.total_cents for line in sold_lines(sale(("apple", 3, "0.10"), ("pear", 1)).lines)] == [30, 250]
