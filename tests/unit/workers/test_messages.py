"""Are messages and batches bounded, and does nothing get lost at their borders?"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from events.sales import SaleRecorded
from infra.dead_letters import error_fingerprint
from infra.faults import printable
from schemas.envelope import Recorded, decode_recorded, split
from tests.telling import delivered, delivery, logged, sale, told
from workers.letters import letter
from workers.stock_writer import chunks, messages


def recorded(seq: int, lines: int = 1) -> Recorded:
    return logged(told(sale(*[("apple", 1)] * lines)), seq=seq)


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(1, 5), st.integers(300, 4_000))
def test_every_event_is_in_exactly_one_message_in_order_and_messages_are_bounded(
    sizes: list[int], most_events: int, most_bytes: int
) -> None:
    events = [recorded(seq, lines) for seq, lines in enumerate(sizes, 1)]
    bodies = list(messages(events, most_events, most_bytes))
    opened = [[decode_recorded(wire) for wire in split(body)] for body in bodies]
    assert [event for found in opened for event in found] == events
    assert all(1 <= len(found) <= most_events for found in opened)
    assert all(len(found) == 1 or len(body) <= most_bytes + len(found) + 1 for body, found in zip(bodies, opened, strict=True))


def test_nothing_to_publish_is_no_message() -> None:
    assert list(messages([], 500)) == []


@given(st.lists(st.integers()), st.integers(1, 10))
def test_chunks_are_the_items(items: list[int], size: int) -> None:
    cut = list(chunks(items, size))
    assert [item for chunk in cut for item in chunk] == items
    assert all(0 < len(chunk) <= size for chunk in cut)


def test_a_letter_of_a_whole_message_is_the_message() -> None:
    made = letter(delivery(b"poison", delivery_count=2), "stock-writer", "malformed_message", ValueError("no"))
    assert (made.payload, made.attempts, made.event_id, made.type, made.store_id) == (b"poison", 3, None, None, None)


@pytest.mark.parametrize("wire", [5, None, [], {}, {"id": 5, "type": 7, "storeid": None}, {"id": "x" * 40}])
def test_a_letter_tells_what_can_be_known_and_no_more(wire: object) -> None:
    made = letter(delivery(b"[1, 2 ]"), "stock-writer", "malformed_event", ValueError("no"), place=1, wire=wire)
    assert (made.payload, made.event_id, made.type, made.store_id) == (b"2", None, None, None)


def test_names_in_a_letter_are_bounded_and_printable() -> None:
    event = told(delivered(("apple", 1)))
    wire = {"id": str(event.event_id), "type": "x" * 1_000, "storeid": "a\x00b\ud800", "traceparent": 5}
    made = letter(delivery(b"[1]"), "stock-writer", "malformed_event", ValueError("no"), place=0, wire=wire)
    assert (made.event_id, made.type, made.store_id, made.traceparent) == (event.event_id, "x" * 200, "a�b?", None)


@given(st.text(), st.integers(0, 50))
def test_whatever_is_told_of_an_error_the_database_can_keep(words: str, most: int) -> None:
    kept = printable(words, most)
    assert "\x00" not in kept
    assert len(kept) <= most
    kept.encode()


def test_errors_that_differ_in_numbers_ids_and_names_are_of_one_kind() -> None:
    one = error_fingerprint(ValueError("row 5 of 'apple' in 0123456789abcdef failed"), "sale.recorded")
    assert one == error_fingerprint(ValueError("row 77 of 'pear' in fedcba98765432 failed"), "sale.recorded")
    assert one != error_fingerprint(ValueError("row 5 of 'apple' in 0123456789abcdef failed"), "sale.voided")
    assert one != error_fingerprint(KeyError("row 5 of 'apple' in 0123456789abcdef failed"), "sale.recorded")
    assert error_fingerprint(ValueError("\ud800"), None)
    assert one != error_fingerprint(ValueError("row 5 of 'apple' in 0123456789abcdef failed"), "sale.recorded", "2")


def test_content_that_is_wrong_in_the_same_fields_and_ways_is_of_one_kind() -> None:
    def wrong(*lines: dict[str, object]) -> str:
        with pytest.raises(ValidationError) as told:
            SaleRecorded.model_validate({"lines": lines})
        return error_fingerprint(told.value, "sale.recorded")

    good = {"sku": "apple", "quantity": 1, "unit_price": "2.50"}
    zero = {**good, "quantity": 0}
    assert wrong(zero) == wrong(good, zero, zero)
    assert wrong(zero) != wrong({**good, "quantity": "1"})
    assert wrong(zero) != wrong({**good, "unit_price": "-1"})


def test_a_place_changes_the_letter_and_not_the_message() -> None:
    first = letter(delivery(b"[1,2]"), "stock-writer", "malformed_event", ValueError("no"), place=0, wire=1)
    second = letter(delivery(b"[1,2]"), "stock-writer", "malformed_event", ValueError("no"), place=1, wire=2)
    assert (first.payload, second.payload) == (b"1", b"2")
    assert replace(second, place=0, payload=b"1", error=first.error, failed_at=first.failed_at) == first
