"""Do the cells that are chosen make exactly the days asked for, and are there few of them?"""

from collections import Counter
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.cover import Grain, Span, cover

YEAR = (date(2026, 1, 1), date(2026, 12, 31))
EVERY: tuple[Grain, ...] = ("year", "month", "day")
days = st.dates(date(2024, 1, 1), date(2027, 12, 31))


def counted(spans: list[Span]) -> Counter[date]:
    """How often each day is in what was added up."""
    found = Counter[date]()
    for span in spans:
        for n in range((span.last - span.first).days + 1):
            found[span.first + timedelta(days=n)] += span.sign
    return found


@given(
    asked=st.tuples(days, days),
    known=st.tuples(days, days),
    grains=st.sampled_from([EVERY, ("month", "day"), ("day",)]),
    less=st.booleans(),
)
def test_each_day_asked_for_counts_once_and_no_other_day_at_all(
    *, asked: tuple[date, date], known: tuple[date, date], grains: tuple[Grain, ...], less: bool
) -> None:
    first, last = sorted(asked)
    known = (min(known), max(known))
    spans = cover(first, last, known, grains, take_away=less)
    assert less or all(span.sign > 0 for span in spans)
    found = counted(spans)
    for day, times in found.items():
        # Days of which there are no cells may be in whole months and years: they add nothing.
        assert not known[0] <= day <= known[1] or times == (1 if first <= day <= last else 0), day
    wanted = (max(first, known[0]), min(last, known[1]))
    assert all(found[wanted[0] + timedelta(days=n)] == 1 for n in range((wanted[1] - wanted[0]).days + 1))


@pytest.mark.parametrize(
    ("first", "last", "spans"),
    [
        (date(2026, 1, 1), date(2026, 12, 31), [("year", 1)]),
        (date(2020, 1, 1), date(2030, 12, 31), [("year", 1)]),
        (date(2026, 5, 1), date(2026, 5, 31), [("month", 1)]),
        (date(2026, 5, 4), date(2026, 5, 9), [("day", 1)]),
        (date(2026, 5, 4), date(2026, 5, 31), [("month", 1), ("day", -1)]),
        (date(2026, 1, 3), date(2026, 12, 30), [("year", 1), ("day", -1), ("day", -1)]),
        (date(2026, 3, 30), date(2026, 4, 4), [("day", 1)]),
    ],
)
def test_as_little_as_possible_is_read(first: date, last: date, spans: list[tuple[Grain, int]]) -> None:
    assert [(span.grain, span.sign) for span in cover(first, last, YEAR, EVERY)] == spans


def test_where_nothing_may_be_taken_away_the_edges_are_days() -> None:
    spans = cover(date(2026, 1, 3), date(2026, 3, 30), YEAR, EVERY, take_away=False)
    assert [(span.grain, span.sign) for span in spans] == [("day", 1), ("month", 1), ("day", 1)]


def test_what_has_not_been_yet_costs_nothing() -> None:
    so_far = (date(2026, 1, 1), date(2026, 11, 22))
    assert [span.grain for span in cover(date(2026, 1, 1), date(2026, 12, 31), so_far, EVERY)] == ["year"]
    assert [span.grain for span in cover(date(2026, 11, 1), date(2026, 11, 30), so_far, EVERY)] == ["month"]


def test_of_a_year_that_has_only_begun_to_be_known_the_year_is_read() -> None:
    so_far = (date(2025, 11, 22), date(2026, 11, 21))
    assert [span[:2] for span in cover(date(2025, 11, 15), date(2026, 11, 22), so_far, EVERY)] == [
        ("year", date(2025, 1, 1)),
        ("year", date(2026, 1, 1)),
    ]


def test_where_nothing_is_known_nothing_is_read() -> None:
    assert cover(date(2020, 1, 1), date(2020, 12, 31), YEAR, EVERY) == []
