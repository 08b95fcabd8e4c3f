"""Do two sums tell equal cells from others, however the parts of a cell come, and does the sieve hold what differs?"""

from collections.abc import Mapping
from datetime import date

from hypothesis import assume, given
from hypothesis import strategies as st

from operations.sketch import BUCKETS, Key, Sieve, Sketch, bucket_of

TABLE = "daily_sales.sku_day"
KEYS = st.tuples(st.sampled_from(["a", "b"]), st.dates(date(2026, 1, 1), date(2026, 1, 9)), st.sampled_from(["P-1", "P-2", "P-3"]))
AMOUNTS = st.tuples(*[st.integers(-(2**62), 2**62)] * 3)
CELLS = st.dictionaries(KEYS, AMOUNTS, max_size=12)


def sketched(cells: Mapping[Key, tuple[int, ...]]) -> Sketch:
    """A sketch in which these cells should be there."""
    made = Sketch()
    made.expect(TABLE, cells.items())
    return made


@given(CELLS, st.data())
def test_equal_cells_come_to_nothing_in_whatever_parts_and_order(cells: dict[Key, tuple[int, ...]], data: st.DataObject) -> None:
    sketch = Sketch()
    parts = []
    for key, amounts in cells.items():
        part = data.draw(AMOUNTS)
        parts += [(key, part), (key, tuple(one - other for one, other in zip(amounts, part, strict=True)))]
    sketch.expect(TABLE, data.draw(st.permutations(parts)))
    sketch.find(TABLE, cells.items())
    assert sketch.suspects() == {}
    assert sketch.cells == len(cells)


@given(CELLS.filter(bool), st.integers(0, 2), st.integers(-(2**62), 2**62).filter(bool), st.data())
def test_one_amount_that_differs_is_always_found_where_it_is(
    cells: dict[Key, tuple[int, ...]], place: int, change: int, data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(cells)))
    wrong = dict(cells)
    wrong[key] = tuple(amount + change * (number == place) for number, amount in enumerate(cells[key]))
    sketch = sketched(cells)
    sketch.find(TABLE, wrong.items())
    assert sketch.suspects() == {TABLE: [bucket_of(key)]}


@given(CELLS, CELLS)
def test_cells_that_are_missing_or_too_many_are_found_unless_they_hold_nothing(
    cells: dict[Key, tuple[int, ...]], others: dict[Key, tuple[int, ...]]
) -> None:
    def worth(side: Mapping[Key, tuple[int, ...]]) -> dict[Key, tuple[int, ...]]:
        return {key: amounts for key, amounts in side.items() if any(amounts)}

    assume(worth(cells) != worth(others))
    sketch = sketched(cells)
    sketch.find(TABLE, others.items())
    differ = {key for key in {*cells, *others} if worth(cells).get(key) != worth(others).get(key)}
    assert set(sketch.suspects()[TABLE]) == {bucket_of(key) for key in differ}


@given(CELLS.filter(bool), st.data())
def test_the_sieve_holds_the_cells_of_its_buckets_and_no_others(cells: dict[Key, tuple[int, ...]], data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.sampled_from(sorted({bucket_of(key) for key in cells}))))
    sieve = Sieve({TABLE: wanted})
    sieve.expect(TABLE, cells.items())
    sieve.expect(TABLE, cells.items())
    sieve.find(TABLE, cells.items())
    sieve.find("another.table", cells.items())
    held = {key: list(amounts) for key, amounts in cells.items() if bucket_of(key) in wanted}
    assert sieve.found == {TABLE: held}
    assert sieve.expected == {TABLE: {key: [2 * amount for amount in amounts] for key, amounts in held.items()}}
    assert [sieve.takes(TABLE), sieve.takes("another.table")] == [True, False]
    assert all(0 <= bucket_of(key) < BUCKETS for key in cells)
