"""Do counts, and what comes too late for them, tell together by how much each count is off?"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from events.fields import Sku
from stock.book import Book
from stock.rules import Movement, fold
from stock.variances import COUNTED, EXPLAINED, OPENING, Count, Variance
from tests.telling import SHOP, minutes

APPLE = Sku("apple")
CELL = (SHOP, "apple")
movements = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(-9, 9)), max_size=10)


def moved(number: int, quarter: int, delta: int) -> Movement:
    return Movement(APPLE, minutes(quarter), UUID(int=number), 0, delta=delta)


def counted(number: int, quarter: int, units: int) -> Movement:
    return Movement(APPLE, minutes(quarter), UUID(int=number), 0, counted=units)


def told(story: Iterable[Movement]) -> tuple[Book, list[Variance]]:
    """Everything in one batch, each movement as an event of its own."""
    book = Book(shops={})
    for each in story:
        book.apply(SHOP, each.event_id, [each])
    said = [variance for all_ in book.variances.counted.values() for variance in all_]
    return book, said + [variance for place in book.variances.late for variance in book.variances.concerned(place, {})]


def off(story: Sequence[Movement], concerned: set[UUID]) -> dict[UUID, int]:
    """By how much each of those counts is off when everything is known."""
    found: dict[UUID, int] = {}
    before: Movement | None = None
    for each in sorted((each for each in story if each.event_id in concerned), key=lambda each: each.order):
        between = [
            movement.delta or 0
            for movement in story
            if movement.counted is None
            and movement.effective_at <= each.effective_at
            and (before is None or movement.effective_at > before.effective_at)
        ]
        found[each.event_id] = (each.counted or 0) - (0 if before is None else before.counted or 0) - sum(between)
        before = each
    return found


@given(movements, st.randoms(use_true_random=False))
def test_in_any_order_all_that_is_said_is_what_the_deltas_do_not_tell(
    drawn: Sequence[tuple[bool, int, int]], chance: random.Random
) -> None:
    story = [
        counted(number, quarter, abs(units)) if is_count else moved(number, quarter, units)
        for number, (is_count, quarter, units) in enumerate(drawn, start=1)
        if is_count or units
    ]
    chance.shuffle(story)
    book, said = told(story)
    assert book.level(*CELL).on_hand == fold(story).on_hand
    assert sum(each.units for each in said) == fold(story).on_hand - sum(each.delta or 0 for each in story)
    of_count = Counter[UUID]()
    for each in said:
        of_count[each.of.event_id] += each.units
    assert of_count == off(story, set(of_count))


def test_a_count_says_by_how_much_it_is_off_and_a_sale_that_comes_late_what_it_explains() -> None:
    story = [moved(1, 0, 10), counted(2, 4, 7), moved(3, 3, -2), moved(4, 5, -1)]
    count = Count(minutes(4), UUID(int=2), COUNTED)
    assert told(story)[1] == [Variance(APPLE, -3, count), Variance(APPLE, 2, count._replace(reason=EXPLAINED))]


def test_what_comes_late_concerns_the_next_count_and_not_the_last() -> None:
    story = [moved(1, 0, 10), counted(2, 2, 8), counted(3, 4, 8), moved(4, 1, -2)]
    assert told(story)[1][-1] == Variance(APPLE, 2, Count(minutes(2), UUID(int=2), EXPLAINED))


def test_the_first_that_is_ever_known_of_a_product_is_what_the_store_began_with() -> None:
    count = Count(minutes(2), UUID(int=1), OPENING)
    assert told([counted(1, 2, 12), moved(2, 1, -3)])[1] == [Variance(APPLE, 12, count), Variance(APPLE, 3, count)]
    assert [each.of.reason for each in told([moved(1, 1, -3), counted(2, 2, 12)])[1]] == [COUNTED]


def test_a_count_older_than_the_latest_says_nothing_and_nothing_concerns_it() -> None:
    story = [moved(1, 0, 10), counted(2, 4, 7), counted(3, 2, 9), moved(4, 1, -1)]
    assert [(each.units, each.of.event_id) for each in told(story)[1]] == [(-3, UUID(int=2)), (1, UUID(int=2))]


def test_a_sale_that_comes_after_its_void_explains_nothing() -> None:
    book = Book(shops={})
    book.apply(SHOP, UUID(int=1), [moved(1, 0, 9)])
    book.apply(SHOP, UUID(int=2), [counted(2, 4, 9)])
    book.apply(SHOP, UUID(int=3), [moved(3, 1, -2), moved(3, 1, 2)])
    assert book.variances.concerned((SHOP, UUID(int=3)), {}) == []


def test_a_count_of_the_time_before_variances_were_told_has_no_part_to_explain() -> None:
    book = Book(shops={}, levels={CELL: fold([counted(1, 4, 9)])})
    book.apply(SHOP, UUID(int=2), [moved(2, 1, -2)])
    old = Count(minutes(4), UUID(int=1), None)
    assert book.variances.concerned((SHOP, UUID(int=2)), {(*CELL, minutes(1)): old}) == []
