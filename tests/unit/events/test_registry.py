"""Is every fact known by its type and version, past tense, frozen, and closed to what it doesn't know?"""

from pathlib import Path

import pytest
from pydantic import ValidationError

import events
from events import TYPES, Event, UnknownEventType, event_type
from events.sales import SaleRecorded

OURS = {
    "case.opened",
    "case.resolved",
    "delivery.received",
    "product.defined",
    "product.stocked",
    "restock.approved",
    "restock.cancelled",
    "restock.received",
    "restock.rejected",
    "restock.requested",
    "restock.shipped",
    "sale.recorded",
    "sale.returned",
    "sale.voided",
    "stock.adjusted",
    "stock.counted",
    "store.defined",
    "till.waived",
}


def test_our_events_are_ours_and_not_those_of_a_package_of_the_same_name() -> None:
    assert Path(events.__file__).is_relative_to(Path(__file__).parents[3] / "events")


def test_these_are_all_the_facts_there_are() -> None:
    assert {name for (name, _), cls in TYPES.items() if cls.__module__.startswith("events.")} == OURS


def test_declaring_a_fact_registers_it_and_a_second_claim_fails_at_once() -> None:
    try:

        class TillOpened(Event, type="till.opened"):
            """For this test."""

        assert event_type("till.opened", 1) is TillOpened
        with pytest.raises(TypeError, match=r"TillOpenedToo and TillOpened both claim till.opened v1"):
            type("TillOpenedToo", (Event,), {}, type="till.opened")

        class TillOpened2(Event, type="till.opened", version=2):
            """The next version is another entry."""

        assert event_type("till.opened", 2) is TillOpened2
    finally:
        TYPES.pop(("till.opened", 1), None)
        TYPES.pop(("till.opened", 2), None)


def test_a_type_nobody_declared_has_its_own_error() -> None:
    with pytest.raises(UnknownEventType, match=r"no event type sale.recorded v9"):
        event_type("sale.recorded", 9)


def test_a_fact_can_not_be_changed() -> None:
    fact = SaleRecorded.model_validate({"lines": [{"sku": "apple", "quantity": 1, "unit_price": "1.00"}]})
    with pytest.raises(ValidationError):
        fact.till_id = "2"  # type: ignore[misc]


@pytest.mark.parametrize("cls", TYPES.values(), ids=lambda cls: cls.__name__)
def test_an_unknown_field_is_refused_and_no_error_repeats_what_was_sent(cls: type[Event]) -> None:
    with pytest.raises(ValidationError) as refused:
        cls.model_validate({"surprise": "SECRET-VALUE"})
    assert "extra_forbidden" in {each["type"] for each in refused.value.errors()}
    assert "SECRET-VALUE" not in str(refused.value)
