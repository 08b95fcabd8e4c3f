"""Is a figure that differs said so that a person finds it?"""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from operations.mismatch import Mismatch, between, plain

PLACE = ("daily_sales.sku_day", "centre-ville", date(2026, 3, 14), "P-1")


def test_only_the_figures_that_differ_are_named_with_table_cell_and_figure() -> None:
    found = list(between(PLACE, {"sales": 1, "units": 4}, {"sales": 1, "units": 5}))
    assert [each.told() for each in found] == [
        {"where": "daily_sales.sku_day/centre-ville/2026-03-14/P-1/units", "expected": 4, "found": 5}
    ]


def test_of_a_row_that_is_missing_only_what_isnt_nothing_is_named() -> None:
    where = "daily_sales.sku_day/centre-ville/2026-03-14/P-1/units"
    assert list(between(PLACE, {"sales": 0, "units": 4}, None)) == [Mismatch(where, 4, None)]
    assert list(between(PLACE, None, {"sales": 0, "units": 4})) == [Mismatch(where, None, 4)]


def test_values_are_written_as_json_has_them() -> None:
    assert plain(datetime(2026, 3, 14, 12, tzinfo=UTC)) == "2026-03-14T12:00:00Z"
    assert plain(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"
    with pytest.raises(TypeError, match="float"):
        plain(0.5)
