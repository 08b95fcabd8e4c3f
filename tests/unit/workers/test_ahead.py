"""Does a reader get every number once and in order, whatever arrives?"""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import Recorded
from tests.telling import SHOP, logged, sale, told
from workers.ahead import MOST_KEPT, Ahead

EVENTS = [logged(told(sale(("apple", 1))), seq=seq) for seq in range(1, 4 * MOST_KEPT)]


def walked(way: Ahead) -> list[int]:
    """The numbers that are at hand, taken one after the other."""
    found = []
    while (event := way.at_hand()) is not None:
        found.append(event.seq)
        way.seq = event.seq
    return found


def test_what_follows_is_at_hand() -> None:
    way = Ahead(SHOP, 2)
    way.offer(EVENTS[2:5])
    assert (way.goal, way.missing) == (5, 3)
    assert walked(way) == [3, 4, 5]
    assert way.missing == 0


def test_behind_a_gap_nothing_is_kept_but_the_goal() -> None:
    way = Ahead(SHOP, 0)
    way.offer(EVENTS[3:6])
    assert (way.at_hand(), way.missing) == (None, 6)


def test_a_reader_that_lags_keeps_a_bounded_part() -> None:
    way = Ahead(SHOP, 0)
    way.offer(EVENTS)
    assert walked(way) == list(range(1, MOST_KEPT + 1))
    assert way.missing == len(EVENTS) - MOST_KEPT


@given(st.lists(st.lists(st.sampled_from(EVENTS[:20]), max_size=6), max_size=12))
def test_any_arrival_gives_each_number_once_and_in_order(arrivals: Sequence[Sequence[Recorded]]) -> None:
    way, taken = Ahead(SHOP, 0), []
    for events in arrivals:
        way.offer(sorted(events, key=lambda event: event.seq))
        taken += walked(way)
    assert taken == list(range(1, len(taken) + 1))
    assert way.goal == max((event.seq for events in arrivals for event in events), default=0)
