"""What an event says in the words of a shop, also when it is broken."""

import json
from typing import Any

import pytest

from events.base import TYPES
from operations.sentences import SENTENCES, readable, sentence

SALE: dict[str, Any] = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "type": "sale.recorded",
    "storeid": "367",
    "data": {"till_seq": 42, "lines": [{}, {}, {}]},
}


def said(event: object) -> dict[str, str]:
    payload = json.dumps(event).encode()
    return sentence(payload, readable(payload))


def test_a_sale_reads_as_a_cashier_would_say_it() -> None:
    assert said(SALE) == {"fr": "Vente 42, magasin 367, 3 lignes", "en": "Sale 42, store 367, 3 lines"}


def test_a_sale_without_a_number_bears_the_end_of_its_id_and_one_line_is_one() -> None:
    told = said({**SALE, "data": {"lines": [{}]}})
    assert told == {"fr": "Vente 099a8057, magasin 367, 1 ligne", "en": "Sale 099a8057, store 367, 1 line"}


@pytest.mark.parametrize("type_", sorted({type_ for type_, _ in TYPES}))
def test_every_type_has_a_sentence_and_none_needs_what_may_be_missing(type_: str) -> None:
    assert type_ in SENTENCES
    assert all("{" not in text for text in said({"type": type_, "data": {"name": {"fr": "Thé"}}}).values())


@pytest.mark.parametrize("data", [None, [], "x", {"lines": 3, "till_seq": {"a": 1}}])
def test_a_broken_event_is_told_as_far_as_it_goes(data: object) -> None:
    assert said({**SALE, "data": data})["en"].endswith("store 367, unreadable lines")


def test_what_is_no_event_says_how_much_of_it_there_is() -> None:
    assert sentence(b"\xff\xfe", readable(b"\xff\xfe")) == {"fr": "Message illisible (2 octets)", "en": "Unreadable message (2 bytes)"}


def test_a_message_of_several_events_is_told_by_the_first() -> None:
    assert said([SALE, SALE, SALE])["en"] == "Sale 42, store 367, 3 lines (and 2 more)"


def test_an_unknown_type_is_named() -> None:
    assert said({"type": "sale.dreamt\x00", "storeid": "367"})["en"] == "Event sale.dreamt�, store 367"
