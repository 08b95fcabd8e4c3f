"""Does a count with an instant for each line end the same whenever it comes, and does it say when it is far off?"""

from collections.abc import Sequence
from datetime import datetime
from itertools import permutations
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from events.base import Event
from stock.book import Book, Case, Shop
from stock.counting import Found, Tolerance, findings
from stock.decide import decide
from stock.rules import Level, Movement, fold
from tests.telling import NOON, SHOP, counted, delivered, minutes, sale, told

STORY: Sequence[tuple[Event, datetime]] = (
    (delivered(("apple", 30), ("pear", 9)), NOON),
    (counted(("apple", 20, minutes(10)), ("pear", 8, minutes(40)), ("apple", 9, minutes(30))), minutes(50)),
    (sale(("apple", 2), ("pear", 1)), minutes(20)),
    (sale(("apple", 1), ("pear", 1)), minutes(45)),
    (counted(("pear", 3)), minutes(40)),
)


def outcome_of(story: Sequence[tuple[UUID, Event, datetime]], batch_size: int) -> tuple[dict[tuple[str, str], Level], list[Movement]]:
    """The levels after a story arrived in batches (the ledger knows the batches before, a book its own), and all its movements."""
    ledger: list[Movement] = []
    levels: dict[tuple[str, str], Level] = {}
    for start in range(0, len(story), batch_size):
        heads = [told(event, event_id=event_id, at=at) for event_id, event, at in story[start : start + batch_size]]
        events = [event for _, event, _ in story[start : start + batch_size]]
        instants: set[tuple[str, str, datetime]] = {
            (SHOP, found.sku, found.at)
            for event, head in zip(events, heads, strict=True)
            if event.type == "stock.counted"
            for found in findings(event, head)  # type: ignore[arg-type]  # by its type it is a StockCounted
        }
        later = {cell: sum(each.delta or 0 for each in ledger if each.sku == cell[1] and each.effective_at > cell[2]) for cell in instants}
        book = Book(shops={SHOP: Shop(ZoneInfo("America/Toronto"))}, levels=levels, later_deltas=later)
        for event, head in zip(events, heads, strict=True):
            book.apply(SHOP, head.event_id, decide(event, head, book).movements)
        ledger += [movement for moved in book.moved.values() for _, movement in moved]
        levels = book.levels
    return levels, ledger


def numbered(story: Sequence[tuple[Event, datetime]]) -> list[tuple[UUID, Event, datetime]]:
    return [(UUID(int=number + 1), event, at) for number, (event, at) in enumerate(story)]


def test_every_order_and_batch_leads_to_the_fold_of_what_every_line_found() -> None:
    for order in permutations(numbered(STORY)):
        for size in (1, 2, len(STORY)):
            levels, ledger = outcome_of(order, size)
            for sku, on_hand in (("apple", 28), ("pear", 2)):
                assert levels[SHOP, sku] == fold(each for each in ledger if each.sku == sku)
                assert levels[SHOP, sku].on_hand == on_hand


@st.composite
def stories(draw: st.DrawFn) -> list[tuple[Event, datetime]]:
    instants = st.integers(0, 4).map(minutes)
    story: list[tuple[Event, datetime]] = []
    for _ in range(draw(st.integers(1, 7))):
        lines = draw(st.lists(st.tuples(st.sampled_from(["apple", "pear"]), st.integers(1, 9)), min_size=1, max_size=4))
        at = draw(instants)
        match draw(st.sampled_from(["count", "count", "sale", "delivery"])):
            case "count":
                own = [(*line, draw(instants)) if draw(st.booleans()) else line for line in lines]
                story.append((counted(*own), at))
            case "sale":
                story.append((sale(*lines), at))
            case _:
                story.append((delivered(*lines), at))
    return story


@given(stories(), st.data(), st.integers(1, 4))
def test_any_order_of_counts_line_by_line_keeps_the_fold(story: list[tuple[Event, datetime]], data: st.DataObject, batch_size: int) -> None:
    straight, _ = outcome_of(numbered(story), len(story))
    levels, ledger = outcome_of(data.draw(st.permutations(numbered(story))), batch_size)
    assert levels == straight
    for (_, sku), level in levels.items():
        assert level == fold(each for each in ledger if each.sku == sku)


def test_a_line_without_an_instant_has_the_counts_and_none_lies_ahead_of_its_arrival() -> None:
    event = counted(("apple", 3), ("pear", 4, minutes(-5)), ("plum", 5, minutes(99)))
    found = findings(event, told(event, at=minutes(1), received_at=minutes(2)))
    assert [(each.sku, each.at) for each in found] == [("apple", minutes(1)), ("pear", minutes(-5)), ("plum", minutes(2))]


def test_one_sku_on_several_lines_lay_on_several_shelves_until_the_last_was_counted() -> None:
    event = counted(("apple", 3, minutes(7)), ("pear", 1), ("apple", 4, minutes(2)))
    found = findings(event, told(event, at=minutes(5)))
    assert [(each.sku, each.quantity, each.at) for each in found] == [("apple", 7, minutes(7)), ("pear", 1, minutes(5))]
    assert isinstance(found[0], Found)


def cases_of(event: Event, level: Level | None, at: datetime = NOON, tolerance: Tolerance | None = None) -> tuple[Case, ...]:
    book = Book(shops={SHOP: Shop(ZoneInfo("UTC"))}, levels={} if level is None else {(SHOP, "apple"): level})
    book.tolerance = tolerance or book.tolerance
    return decide(event, told(event, event_id=UUID(int=5), at=at), book).cases


def test_far_off_is_a_case_whose_key_holds_no_quantity() -> None:
    (case,) = cases_of(counted(("apple", 80)), Level(100))
    assert (case.kind, case.key, case.sku) == ("count_variance", f"{UUID(int=5)}|count_variance|apple", "apple")
    assert case.details == {"expected": 100, "counted": 80, "variance": -20, "counted_at": "2026-03-14T12:00:00Z"}


def test_nearly_right_is_none_unless_nothing_is_tolerated() -> None:
    assert cases_of(counted(("apple", 98)), Level(100)) == ()
    assert len(cases_of(counted(("apple", 99)), Level(100), tolerance=Tolerance(1, 0))) == 1


def test_what_was_never_known_and_what_a_later_count_has_told_is_no_variance() -> None:
    assert cases_of(counted(("apple", 80)), None) == ()
    assert cases_of(counted(("apple", 80)), Level(100, minutes(1), UUID(int=1))) == ()
    assert len(cases_of(counted(("apple", 80)), Level(100, NOON, UUID(int=4)))) == 1
    assert cases_of(counted(("apple", 80)), Level(100, NOON, UUID(int=6))) == ()
