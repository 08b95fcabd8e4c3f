"""Does a reader get every number once and in order, however far it is told to go?"""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine

from schemas.envelope import Recorded
from tests.telling import SHOP, logged, sale, told
from workers import ahead
from workers.ahead import CHUNK_EVENTS, Ahead

EVENTS = [logged(told(sale(("apple", 1))), seq=seq) for seq in range(1, 2 * CHUNK_EVENTS)]
NOWHERE = create_engine("sqlite://")


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of these events that needs no database."""

    def read(way: Ahead, engine: Engine, through: int) -> list[Recorded]:
        assert engine is NOWHERE
        return EVENTS[way.seq : through]

    monkeypatch.setattr(ahead.Ahead, "_read", read)


async def walked(way: Ahead) -> list[int]:
    """The numbers up to the goal, taken one after the other."""
    found = []
    while way.missing:
        event = way.at_hand()
        if event is None:
            await way.fetch(NOWHERE)
            continue
        found.append(event.seq)
        way.seq = event.seq
    return found


async def test_what_follows_is_read_stretch_by_stretch() -> None:
    way = Ahead(SHOP, 2, len(EVENTS))
    assert way.missing == len(EVENTS) - 2
    await way.fetch(NOWHERE)
    first = way.at_hand()
    assert first is not None
    assert first.seq == 3
    assert await walked(way) == list(range(3, len(EVENTS) + 1))


async def test_a_goal_that_the_log_does_not_reach_is_given_up() -> None:
    way = Ahead(SHOP, len(EVENTS), len(EVENTS) + 7)
    await way.fetch(NOWHERE)
    assert (way.at_hand(), way.missing) == (None, 0)


@given(st.lists(st.integers(1, len(EVENTS)), max_size=8))
async def test_any_goals_give_each_number_once_and_in_order(goals: Sequence[int]) -> None:
    way, taken = Ahead(SHOP, 0), []
    for goal in goals:
        way.goal = max(way.goal, goal)
        taken += await walked(way)
    assert taken == list(range(1, max(goals, default=0) + 1))
