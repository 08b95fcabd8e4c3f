"""Are the coarsest tables read that make the answer, and only where they do?"""

from datetime import date
from typing import Any

import pytest

from projections import hourly_sales
from projections.daily_sales import DailySales, sku_day, sku_month, sku_year, store_day
from projections.question import NoSuchGroup, Question, grouped
from projections.source import Parameters, Plan, Reading, Stored, plan, table_for
from projections.statement import Statement

TABLES = DailySales.tables
KNOWN = (date(2026, 1, 1), date(2026, 12, 31))
REPORT = DailySales()


def asked(*group_by: str, **more: Any) -> Question:  # noqa: ANN401 - any field
    return Question(group_by, **more)


@pytest.mark.parametrize(
    ("question", "table"),
    [
        (asked(), store_day),
        (asked("business_date", "store_id"), store_day),
        (asked("sku"), sku_day),
        (asked("category"), sku_day),
        (asked("store_id", category="Fruits"), sku_day),
        (asked("month", sku="apple"), sku_day),
    ],
)
def test_the_table_of_days_has_no_more_than_is_asked_for(question: Question, table: Any) -> None:  # noqa: ANN401 - a table
    assert table_for(TABLES, question) is table


def test_what_no_table_has_can_not_be_asked_for() -> None:
    with pytest.raises(NoSuchGroup):
        table_for(TABLES, asked("hour"))
    with pytest.raises(NoSuchGroup, match="hour"):
        grouped(["day", "hour"], ["day", "store"], ["store_id"])


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        (asked("sku"), [sku_year]),
        (asked("category", since=date(2026, 3, 1), through=date(2026, 4, 30)), [sku_month]),
        (asked("month", "sku"), [sku_month]),
        (asked("sku", since=date(2026, 3, 2), through=date(2026, 3, 31)), [sku_month, sku_day]),
        (asked("week", "sku"), [sku_day]),
        (asked("business_date", "sku"), [sku_day]),
        (asked("sku", stores=("north",)), [sku_day]),
        (asked("store_id", "sku"), [sku_day]),
        (asked("store_id"), [store_day]),
        (asked(since=date(2026, 3, 1), through=date(2026, 3, 31)), [store_day]),
    ],
)
def test_months_and_years_are_read_where_they_say_the_same(question: Question, tables: list[Any]) -> None:
    chosen = plan(Stored(TABLES), question, KNOWN)
    assert list(dict.fromkeys(chosen.tables[span.grain] for span in chosen.spans)) == tables


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        (asked("hour"), [hourly_sales.store_month]),
        (asked("store_id"), [hourly_sales.store_month]),
        (asked("month", "store_id"), [hourly_sales.store_month]),
        (asked("store_id", since=date(2026, 1, 3), through=date(2026, 3, 30)), [hourly_sales.store_day, hourly_sales.store_month]),
        (asked("business_date"), [hourly_sales.store_day]),
        (asked("business_date", "hour"), [hourly_sales.store_hour]),
        (asked("week", hour=8), [hourly_sales.store_hour]),
    ],
)
def test_hours_are_added_up_from_the_fewest_cells(question: Question, tables: list[Any]) -> None:
    chosen = plan(Stored(hourly_sales.HourlySales.tables), question, KNOWN)
    assert list(dict.fromkeys(chosen.tables[span.grain] for span in chosen.spans)) == tables
    assert all(span.sign > 0 for span in chosen.spans)


def test_rows_are_in_one_order_however_the_grouping_is_written() -> None:
    possible = ["store", "product", "month", "day"]
    assert grouped(["product", "store", "month"], possible, ()) == ["month", "store_id", "sku"]
    assert grouped(["store", "store"], possible, ()) == ["store_id"]
    assert grouped([], possible, ("store_id",)) == ["store_id"]


def test_what_is_asked_for_never_stands_in_the_statement() -> None:
    parameters = Parameters()
    question = asked("sku", sku="'; DROP", category="'; DROP", stores=("'; DROP",), since=date(2026, 1, 2), limit=7, after=("'; DROP",))
    statement = Statement(REPORT, question, plan(Stored(TABLES), question, KNOWN), ["'; DROP"]).sql(parameters)
    assert "DROP" not in statement
    assert {"'; DROP", 7} <= {value for value in parameters.values.values() if not isinstance(value, list)}


def test_cells_that_are_rows_already_are_not_added_up() -> None:
    whole = Statement(REPORT, asked("sku"), plan(Stored(TABLES), asked("sku"), KNOWN), None).sql(Parameters())
    assert "GROUP BY" not in whole
    parts = asked("sku", since=date(2026, 1, 2))
    assert "GROUP BY" in Statement(REPORT, parts, plan(Stored(TABLES), parts, KNOWN), None).sql(Parameters())


def test_a_page_of_very_many_rows_is_made_step_by_step() -> None:
    question = asked("business_date", "sku", limit=10)
    assert "CROSS JOIN LATERAL" in Statement(REPORT, question, plan(Stored(TABLES), question, KNOWN), None).sql(Parameters())


def test_without_any_cell_nothing_is_read() -> None:
    question = asked("sku", since=date(2020, 1, 1), through=date(2020, 1, 2))
    sql = Reading(question, ("sku",), ("units",)).sql(Plan({"day": sku_day, "year": sku_year}), Parameters())
    assert sql.endswith("WHERE false")
