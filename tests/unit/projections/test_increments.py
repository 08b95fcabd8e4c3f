"""What do sales, voids and returns add to which cells?"""

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from events.base import Event
from events.restocks import RestockReceived
from events.sales import SaleLine, SaleRecorded
from projections import PROJECTIONS
from projections.base import add_statement, bump
from projections.daily_sales import DailySales, sku_day, store_day
from projections.facts import cents, sale_facts
from projections.hourly_sales import HourlySales, store_hour
from projections.shrinkage import Shrinkage, reason_day
from projections.store_performance import StorePerformance
from projections.store_performance import store_day as performance
from schemas.envelope import Recorded
from tests.telling import SHOP, counted, logged, returned, sale, told, void

DAY, LATER = datetime(2026, 3, 14, 8), datetime(2026, 3, 15, 17)  # noqa: DTZ001 - the shop's wall clock
SOLD = [{"sku": "apple", "quantity": 2, "total_cents": 500}]
SALE_ID = told(sale(("apple", 1))).event_id


def recorded(event: Event, effect: dict[str, Any] | None = None, local_at: datetime = DAY) -> Recorded:
    return logged(told(event), effect=effect, local_at=local_at)


def daily(*events: Recorded) -> dict[tuple[Any, ...], list[int]]:
    """Sales, units, returned units and cents by day."""
    return {key[1:]: amounts for key, amounts in DailySales().increments(events)[store_day].items()}


def by_sku(*events: Recorded) -> dict[tuple[Any, ...], list[int]]:
    return {key[2:]: amounts for key, amounts in DailySales().increments(events)[sku_day].items()}


VOIDED = recorded(void(SALE_ID), {"sale": {"local_at": DAY.isoformat(), "lines": SOLD}}, LATER)
RETURNED = recorded(returned(SALE_ID, ("apple", 1)), {"lines": [{"sku": "apple", "quantity": 1, "refund_cents": 250}]}, LATER)
UNPRICED = recorded(returned(SALE_ID, ("apple", 1)), {"lines": [{"sku": "apple", "quantity": 1, "refund_cents": None}]}, LATER)
SETTLING = {
    "voided_by": str(VOIDED.event_id),
    "refunds": [{"return_id": str(RETURNED.event_id), "local_at": LATER.isoformat(), "lines": [{"sku": "apple", "refund_cents": 250}]}],
}


def test_months_and_years_are_the_sums_of_their_days() -> None:
    sold = [recorded(sale(("apple", 2))), recorded(sale(("apple", 3), ("pear", 1)), local_at=LATER)]
    statement = add_statement(DailySales().increments(sold))
    assert statement is not None
    # Store and day, day and SKU, month and SKU, year and SKU; of each the keys, then sales, units, …
    sent = {name: value for name, value in statement.parameters.items() if name in {"c2_0", "c2_1", "c2_2", "c2_3", "c3_0", "c3_3"}}
    assert sent == {
        "c2_0": "{2026-03-01,2026-03-01}",
        "c2_1": '{"apple","pear"}',
        "c2_2": "{2,1}",
        "c2_3": "{5,1}",
        "c3_0": "{2026-01-01,2026-01-01}",
        "c3_3": "{5,1}",
    }


def test_what_a_restock_loses_on_its_way_is_shrinkage_of_who_receives_and_comes_back_when_it_turns_up() -> None:
    way = {"restock_id": str(uuid4()), "from_store": "centre", "to_store": SHOP}
    lines = [{"sku": "apple", "received": 5, "damaged": 2}]
    receipt = RestockReceived.model_validate({**way, "lines": lines, "close": True})
    late = RestockReceived.model_validate({**way, "lines": [{"sku": "apple", "received": 1}]})
    closing = recorded(receipt, {"state": "received", "missing": {"apple": 3}})
    turned_up = recorded(late, {"state": "received", "missing": {"apple": -1}}, LATER)
    assert Shrinkage().increments([closing, turned_up])[reason_day] == {
        (SHOP, DAY.date(), "apple", "transit_damaged"): [2, 0],
        (SHOP, DAY.date(), "apple", "transit_missing"): [3, 0],
        (SHOP, LATER.date(), "apple", "transit_missing"): [-1, 0],
    }


def test_what_a_count_missed_and_what_explains_it_later_are_shrinkage_of_the_day_of_the_count() -> None:
    def of(reason: str, **units: int) -> dict[str, Any]:
        return {"variances": {sku: {"units": each, "day": LATER.date().isoformat(), "reason": reason} for sku, each in units.items()}}

    count = recorded(counted(("apple", 1), ("pear", 9), ("plum", 0)), of("stock_count", apple=-3, pear=2, plum=0))
    opening = recorded(counted(("fig", 7)), of("opening_stock", fig=7))
    late = recorded(sale(("apple", 2), ("pear", 1)), of("explained_later", apple=2, pear=1))
    assert Shrinkage().increments([count, opening, late, recorded(sale(("apple", 4)))])[reason_day] == {
        (SHOP, LATER.date(), "apple", "stock_count"): [3, 0],
        (SHOP, LATER.date(), "pear", "stock_count"): [0, 2],
        (SHOP, LATER.date(), "apple", "explained_later"): [0, 2],
        (SHOP, LATER.date(), "pear", "explained_later"): [0, 1],
    }


def test_a_sale_counts_on_its_day_and_once_for_each_sku_however_many_lines_it_has() -> None:
    sold = recorded(sale(("apple", 2, "1.50"), ("apple", 1, "1.50"), ("pear", 1, "0.99")))
    assert daily(sold) == {(DAY.date(),): [1, 4, 0, 549]}
    assert by_sku(sold) == {("apple",): [1, 3, 0, 450], ("pear",): [1, 1, 0, 99]}


def test_what_the_till_says_a_line_costs_counts_and_not_the_product_of_its_parts() -> None:
    line = SaleLine.model_validate({"sku": "apple", "quantity": 3, "unit_price": "0.33", "line_total": "1.00"})
    assert daily(recorded(SaleRecorded(lines=(line,)))) == {(DAY.date(),): [1, 3, 0, 100]}


def test_a_void_counts_on_the_day_of_its_sale() -> None:
    assert daily(VOIDED) == {(DAY.date(),): [-1, -2, 0, -500]}
    assert by_sku(VOIDED) == {("apple",): [-1, -2, 0, -500]}


def test_a_return_counts_on_its_own_day_and_leaves_what_was_sold() -> None:
    assert daily(RETURNED) == {(LATER.date(),): [0, 0, 1, -250]}


def test_a_void_that_waits_for_its_sale_says_nothing_until_the_sale_settles_it() -> None:
    assert daily(recorded(void(SALE_ID))) == {}
    assert daily(recorded(sale(("apple", 2)), {"voided_by": "x"})) == {(DAY.date(),): [0, 0, 0, 0]}


def test_a_refund_that_waits_for_its_price_is_completed_on_the_day_of_the_return() -> None:
    assert daily(UNPRICED) == {(LATER.date(),): [0, 0, 1, 0]}
    settled = recorded(sale(("apple", 2)), SETTLING)
    assert daily(UNPRICED, settled) == {(DAY.date(),): [0, 0, 0, 0], (LATER.date(),): [0, 0, 1, -250]}


def test_hours_are_those_of_the_shops_own_clock() -> None:
    found = HourlySales().increments([recorded(sale(("apple", 2))), VOIDED, RETURNED])[store_hour]
    assert found == {(SHOP, DAY.date(), 8): [0, 0, 0], (SHOP, LATER.date(), 17): [0, 0, -250]}


def test_performance_keeps_returns_refunds_and_voids_apart() -> None:
    found = StorePerformance().increments([recorded(sale(("apple", 2))), recorded(sale(("apple", 2))), VOIDED, RETURNED])[performance]
    assert found == {(SHOP, DAY.date()): [1, 2, 0, 0, 1, 500, 0, 500, 2], (SHOP, LATER.date()): [0, 0, 1, 1, 0, -250, 250, 0, 0]}


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_what_was_refused_and_what_is_no_sale_adds_nothing(name: str) -> None:
    refused = replace(recorded(sale(("apple", 2))), outcome="refused", reason="insufficient_stock")
    assert not any(PROJECTIONS[name].increments([refused, recorded(counted(("apple", 2)))]).values())


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_every_projection_can_be_read_about_in_both_languages(name: str) -> None:
    projection = PROJECTIONS[name]
    assert projection.question.endswith("?")
    assert all(measure.fr and measure.en for measure in projection.measures)
    assert {table.schema for table in projection.tables} == {name.replace("-", "_")}


def test_facts_come_in_the_order_of_the_events() -> None:
    facts = list(sale_facts([recorded(sale(("apple", 2)), SETTLING), VOIDED, RETURNED]))
    assert [fact.kind for fact in facts] == ["sale", "void", "refund", "void", "return"]


@pytest.mark.parametrize(("amount", "hundredths"), [("12.50", 1250), (3, 300), (0.1, 10), ("1E+1", 1000), (Decimal("0.00"), 0)])
def test_money_is_exact(amount: object, hundredths: int) -> None:
    assert cents(amount) == hundredths


def test_a_cell_adds_up_measure_by_measure() -> None:
    cells: dict[tuple[Any, ...], list[int]] = {}
    bump(cells, (SHOP, date(2026, 3, 14)), 1, 2)
    bump(cells, (SHOP, date(2026, 3, 14)), 10, -2)
    assert cells == {(SHOP, date(2026, 3, 14)): [11, 0]}
