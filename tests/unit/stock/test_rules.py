"""Does the level that is kept movement by movement equal the one that all movements define together?"""

from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from events.fields import Sku
from stock.book import Book
from stock.rules import Level, Movement, fold
from tests.telling import SHOP, minutes

APPLE = Sku("apple")
COUNT, EARLY, LATE = UUID(int=5), UUID(int=1), UUID(int=9)


def moved(minute: int, delta: int, event_id: UUID = LATE, line: int = 0) -> Movement:
    return Movement(APPLE, minutes(minute), event_id, line, delta=delta)


def found(minute: int, quantity: int, event_id: UUID = COUNT) -> Movement:
    return Movement(APPLE, minutes(minute), event_id, 0, counted=quantity)


def kept(movements: Sequence[Movement]) -> Level:
    """The level after these arrived one by one, each knowing only what came before it."""
    level = Level()
    for place, movement in enumerate(movements):
        if movement.counted is None:
            level = level.moved(movement.delta or 0, movement.effective_at)
        else:
            later = sum(each.delta or 0 for each in movements[:place] if each.effective_at > movement.effective_at)
            level = level.counted(movement.counted, movement.effective_at, movement.event_id, later)
    return level


def booked(movements: Sequence[Movement], batch_size: int) -> Level:
    """The level after these arrived in batches, as a book keeps it: the ledger knows the batches before, the book its own."""
    ledger: list[Movement] = []
    levels: dict[tuple[str, str], Level] = {}
    for start in range(0, len(movements), batch_size):
        batch = movements[start : start + batch_size]
        instants = {each.effective_at for each in batch if each.counted is not None}
        later = {(SHOP, str(APPLE), at): sum(each.delta or 0 for each in ledger if each.effective_at > at) for at in instants}
        book = Book(shops={}, levels=levels, later_deltas=later)
        for each in batch:
            book.apply(SHOP, each.event_id, (each,))
        ledger += batch
        levels = book.levels
    return levels.get((SHOP, APPLE)) or Level()


@st.composite
def histories(draw: st.DrawFn) -> list[Movement]:
    """Movements of one SKU in few minutes, so that instants often are the same; each event has an id of its own."""
    ids = draw(st.lists(st.integers(1, 1_000), unique=True, max_size=12))
    history = []
    for number in ids:
        minute = draw(st.integers(0, 4))
        if draw(st.booleans()):
            history.append(found(minute, draw(st.integers(0, 20)), UUID(int=number)))
        else:
            deltas = draw(st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=3))
            history += [moved(minute, delta, UUID(int=number), line) for line, delta in enumerate(deltas)]
    return history


@given(histories(), st.data())
def test_any_order_of_arrival_keeps_the_level_that_the_fold_defines(history: list[Movement], data: st.DataObject) -> None:
    arrived = data.draw(st.permutations(history))
    assert kept(arrived) == fold(history)


@given(histories(), st.data(), st.integers(1, 5))
def test_a_book_keeps_the_same_level_in_batches_of_any_size(history: list[Movement], data: st.DataObject, batch_size: int) -> None:
    arrived = data.draw(st.permutations(history))
    assert booked(arrived, batch_size) == fold(history)


def test_nothing_at_all_is_a_level_of_nothing() -> None:
    assert fold([]) == Level(0, None, None)


def test_without_a_count_every_delta_counts() -> None:
    assert fold([moved(3, -2), moved(1, 10)]) == Level(8)


def test_a_count_is_the_truth_of_its_instant_and_deltas_go_on_from_there() -> None:
    assert fold([moved(1, 100), found(2, 7), moved(3, -2)]) == Level(5, minutes(2), COUNT)


def test_a_movement_at_the_very_instant_of_a_count_was_on_the_shelf_whatever_its_id() -> None:
    for event_id in (EARLY, LATE):
        assert fold([found(2, 7), moved(2, 3, event_id)]).on_hand == 7
        assert kept([found(2, 7), moved(2, 3, event_id)]).on_hand == 7


def test_of_two_counts_at_one_instant_the_one_with_the_greater_id_stands() -> None:
    first, second = found(2, 7, EARLY), found(2, 9, LATE)
    assert kept([first, second]) == kept([second, first]) == fold([first, second]) == Level(9, minutes(2), LATE)


def test_a_late_sale_from_before_the_count_changes_nothing_now() -> None:
    level = Level().counted(7, minutes(2), COUNT, 0)
    assert level.moved(-3, minutes(1)) is level


def test_a_late_count_takes_what_moved_after_it_along() -> None:
    assert Level(on_hand=-4).counted(10, minutes(2), COUNT, later_deltas=-4) == Level(6, minutes(2), COUNT)


def test_a_count_older_than_the_latest_changes_nothing_now() -> None:
    level = Level().counted(7, minutes(2), COUNT, 0)
    assert level.counted(99, minutes(1), LATE, 5) is level


def test_lines_of_one_sku_in_one_event_all_move() -> None:
    assert kept([moved(1, -1, LATE, 0), moved(1, -2, LATE, 1)]).on_hand == -3
