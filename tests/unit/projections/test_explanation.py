"""Is an explanation counted whole and shown page by page, and does each of its foldings keep to its rule?"""

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.explain import STATUSES, is_sum, measures_of
from projections.explain_shelves import WORTH, Known, Shelf
from projections.explain_tills import FIGURES
from projections.explanation import Explanation, Listing, Part, is_late
from projections.measures import AMOUNT, AVERAGE_BASKET, RECEIPT_UNITS, RECEIPTS, REVENUE, VALUE, change
from projections.report import REPORTS

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
DAY = date(2026, 3, 14)
AT = Shelf("292", "apple")
HOUR = timedelta(hours=1)


class Happened(NamedTuple):
    """As much of an event as an explanation shows."""

    store_id: str
    seq: int
    event_id: UUID = uuid4()
    type: str = "sale.recorded"
    business_date: date = DAY
    occurred_at: datetime = NOON
    recorded_at: datetime = NOON


PLACES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 20), st.booleans()), unique_by=lambda each: each[:2])


@given(PLACES, st.integers(1, 5), st.booleans())
def test_pages_show_each_event_once_and_every_page_counts_them_all(
    places: list[tuple[str, int, bool]],
    limit: int,
    late_only: bool,  # noqa: FBT001 - an example's own
) -> None:
    parts = [Part(Happened(store_id, seq), {}, late) for store_id, seq, late in sorted(places)]
    shown: list[tuple[str, int]] = []
    after: tuple[str, int] | None = None
    while True:
        page = Explanation(Listing(limit, after, late_only))
        for part in parts:
            page.take(part)
        assert (page.event_count, page.late_events) == (len(parts), sum(part.late for part in parts))
        assert len(page.parts) == limit or page.after is None
        shown += [(part.event.store_id, part.event.seq) for part in page.parts]
        after = page.after
        if after is None:
            break
    assert shown == [(part.event.store_id, part.event.seq) for part in parts if part.late or not late_only]


@pytest.mark.parametrize(
    ("recorded_at", "recorded_on", "late"),
    [
        (NOON + HOUR, DAY, False),
        (NOON + HOUR + timedelta(seconds=1), DAY, True),
        (NOON, DAY + timedelta(days=1), True),
        (NOON, None, False),
        (NOON - HOUR, DAY, False),
    ],
)
def test_late_is_what_came_when_the_figure_had_been_looked_at(recorded_at: datetime, recorded_on: date | None, late: bool) -> None:  # noqa: FBT001 - the same
    assert is_late(recorded_at, NOON, recorded_on, DAY) is late


@given(st.integers(-2_000, 2_000), st.integers(1, 500), st.integers(0, 100_000))
def test_a_shelf_is_worth_its_units_at_their_average_cost_rounded_half_away_from_nothing(on_hand: int, units: int, cents: int) -> None:
    known = Known({AT: (units, cents)}, {}, {})
    exact = (Decimal(on_hand) * cents / units).quantize(Decimal(1), ROUND_HALF_UP)
    assert WORTH[VALUE.name](AT, on_hand, known) == exact
    assert WORTH["unknown_cost_units"](AT, on_hand, known) == 0


def test_a_store_without_a_cost_of_its_own_takes_its_centres() -> None:
    known = Known({Shelf("centre", "apple"): (2, 500)}, {"292": "centre"}, {})
    assert WORTH[VALUE.name](AT, 3, known) == 750
    assert WORTH[VALUE.name](Shelf("321", "apple"), 3, known) == 0
    assert WORTH["unknown_cost_units"](Shelf("321", "apple"), 3, known) == 3
    assert WORTH["unknown_cost_units"](Shelf("321", "apple"), -3, known) == 0


@pytest.mark.parametrize(("on_hand", "expected"), [(-1, (1, 1, 0)), (0, (1, 0, 0)), (2, (0, 0, 1)), (3, (0, 0, 0))])
def test_empty_negative_and_low_are_three_things(on_hand: int, expected: tuple[int, ...]) -> None:
    known = Known({}, {}, {AT: 2})
    assert tuple(WORTH[name](AT, on_hand, known) for name in ("stock_outs", "negative_skus", "low_skus")) == expected
    assert WORTH["low_skus"](AT, 1, Known({}, {}, {AT: None})) == 0
    assert WORTH["skus"](AT, on_hand, known) == 1


@given(st.sets(st.integers(1, 60)))
def test_what_a_till_owes_lies_between_its_lowest_and_highest_number(numbers: set[int]) -> None:
    missing = set(range(min(numbers), max(numbers))) - numbers if numbers else set()
    assert FIGURES["missing"](numbers) == len(missing)
    assert FIGURES["last_seq"](numbers) == (max(numbers) if numbers else None)
    assert FIGURES["contiguous_through"](numbers) == (min(missing) - 1 if missing else max(numbers, default=None))


def test_contributions_add_up_unless_the_figure_is_a_quotient() -> None:
    assert is_sum(REVENUE)
    assert is_sum(VALUE)
    assert not is_sum(AVERAGE_BASKET)
    assert not is_sum(change(REVENUE))


def test_every_figure_of_the_consolidated_report_is_known_for_every_status() -> None:
    measures = measures_of(REPORTS["consolidated"])
    assert {RECEIPTS.name, RECEIPT_UNITS.name, AMOUNT.name, "value"} <= measures.keys()
    assert {name for name, _ in STATUSES} == {each.name for each in REPORTS["consolidated"].measures}
    assert {status for _, status in STATUSES} == {"recorded", "voided", "returned"}
