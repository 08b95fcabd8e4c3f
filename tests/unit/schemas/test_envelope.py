"""Does a fact come out of a message as it went in, and can nothing else come out of it?"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import (
    Accepted,
    MalformedEvent,
    Recorded,
    Unreadable,
    canonical,
    dataschema,
    decode_accepted,
    decode_recorded,
    encode_accepted,
    encode_recorded,
    fingerprint,
    instant_text,
    join,
    pieces,
    split,
)
from tests.telling import NOON, SHOP, logged, minutes, sale, told, wire

PRINTED = st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs"]), min_size=1, max_size=30)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis wants bare bounds
WALL_CLOCKS = st.datetimes(datetime(1971, 1, 1), datetime(2998, 1, 1))  # noqa: DTZ001 - the same
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3), max_leaves=8)
CONTENTS = st.dictionaries(ANY_TEXT, JSON, max_size=4)
TRACES = st.none() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", fullmatch=True)
STORES = st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True)
TYPES = st.from_regex(r"[a-z]{1,10}\.[a-z]{1,10}", fullmatch=True)
ODD: tuple[object, ...] = (
    "\x00",
    "a\x00b",
    "\ud800",
    "",
    0,
    -1,
    1.5,
    10**30,
    True,
    None,
    [],
    {},
    [[]],
    float("nan"),
    float("inf"),
    "x" * 10_000,
)
INSTANT_LIKE = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-14T12:00:00", "2026-03-14", "2026-W11-6", "now")
SCHEMA_LIKE = (
    "sale.recorded",
    "a:b",
    ":",
    "urn:magasin:schema:sale.recorded:",
    dataschema("sale.recorded", 10**20),
    dataschema("sale.voided", 1),
)
ID_LIKE = ("123", "urn:uuid:" + str(UUID(int=7)), "{" + str(UUID(int=7)) + "}", "g" * 32)
FEW = settings(max_examples=30)

ACCEPTED = st.builds(
    Accepted,
    event_id=st.uuids(),
    type=TYPES,
    version=st.integers(1, 9_999),
    store_id=STORES,
    source=PRINTED,
    occurred_at=INSTANTS,
    received_at=INSTANTS,
    data=CONTENTS,
    fingerprint=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    actor=PRINTED,
    subject=st.none() | st.uuids(),
    traceparent=TRACES,
    reply_to=st.none() | PRINTED,
)
RECORDED = st.builds(
    Recorded,
    event_id=st.uuids(),
    type=TYPES,
    version=st.integers(1, 9_999),
    store_id=STORES,
    source=PRINTED,
    occurred_at=INSTANTS,
    received_at=INSTANTS,
    effective_at=INSTANTS,
    recorded_at=INSTANTS,
    local_at=WALL_CLOCKS,
    business_date=st.dates(),
    data=CONTENTS,
    actor=PRINTED,
    seq=st.integers(1, 2**63 - 1),
    outcome=st.sampled_from(["recorded", "refused"]),
    subject=st.none() | st.uuids(),
    traceparent=TRACES,
    reason=st.none() | PRINTED,
    effect=st.none() | CONTENTS,
)


@FEW
@given(st.lists(ACCEPTED, max_size=3))
def test_what_was_accepted_comes_out_as_it_went_in(events: list[Accepted]) -> None:
    body = join(encode_accepted(event, canonical(event.data)) for event in events)
    assert [decode_accepted(each) for each in split(body)] == events


@FEW
@given(st.lists(RECORDED, max_size=3))
def test_what_was_recorded_comes_out_as_it_went_in(events: list[Recorded]) -> None:
    assert [decode_recorded(each) for each in split(join(map(encode_recorded, events)))] == events


def test_instants_travel_in_utc() -> None:
    montreal = NOON.astimezone(timezone(timedelta(hours=-4)))
    assert instant_text(montreal) == "2026-03-14T12:00:00Z"
    assert decode_accepted(json.loads(wire(told(sale(("apple", 1)), at=montreal)))).occurred_at == NOON


def test_a_tills_clock_that_runs_ahead_reaches_no_further_than_the_moment_of_acceptance() -> None:
    assert told(sale(("apple", 1)), at=minutes(5), received_at=NOON).effective_at == NOON
    assert told(sale(("apple", 1)), at=minutes(-5), received_at=NOON).effective_at == minutes(-5)


def sent(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - anything may be sent
    """A sound event of an intake message, with some attributes changed (`...`: left out)."""
    whole = {**json.loads(wire(told(sale(("apple", 1)), event_id=UUID(int=7), reply_to="api"))), **changed}
    return {name: value for name, value in whole.items() if value is not ...}


def placed(**changed: Any) -> dict[str, Any]:  # noqa: ANN401 - anything may be sent
    """A sound event of a message of recorded ones, with some attributes changed (`...`: left out)."""
    event = logged(told(sale(("apple", 1)), event_id=UUID(int=7)), effect={"voided_by": "x"})
    whole = {**json.loads(encode_recorded(event)), **changed}
    return {name: value for name, value in whole.items() if value is not ...}


REQUIRED = ("id", "source", "type", "time", "storeid", "data")
REQUIRED_WHEN_RECORDED = (*REQUIRED, "actor", "seq", "outcome", "receivedat", "effectiveat", "recordedat", "localat", "businessdate")


@pytest.mark.parametrize("name", REQUIRED)
def test_an_accepted_event_without_what_it_needs_is_malformed(name: str) -> None:
    with pytest.raises(MalformedEvent, match=name):
        decode_accepted(sent(**{name: ...}))


@pytest.mark.parametrize("name", REQUIRED_WHEN_RECORDED)
def test_a_recorded_event_without_what_it_needs_is_malformed(name: str) -> None:
    with pytest.raises(MalformedEvent, match=name):
        decode_recorded(placed(**{name: ...}))


def test_a_foreign_publisher_may_leave_out_what_can_be_told_from_the_rest() -> None:
    bare = sent(dataschema=..., receivedat=..., fingerprint=..., actor=..., replyto=...)
    event = decode_accepted(bare)
    assert (event.version, event.received_at, event.actor, event.reply_to) == (1, NOON, f"/stores/{SHOP}", None)
    assert event.fingerprint == told(sale(("apple", 1))).fingerprint


def test_ids_are_one_however_they_are_written() -> None:
    for written in (str(UUID(int=7)).upper(), UUID(int=7).urn, f"{{{UUID(int=7)}}}", UUID(int=7).hex):
        assert decode_accepted(sent(id=written)).event_id == UUID(int=7)


@pytest.mark.parametrize("trace", ["", "00-zz", 5, {"a": 1}, "00-" + "0" * 32 + "-" + "0" * 16 + "-01\n"])
def test_a_trace_that_can_not_be_read_ends_and_the_fact_goes_on(trace: object) -> None:
    assert decode_accepted(sent(traceparent=trace)).traceparent is None


ODD_ATTRIBUTES: dict[str, tuple[object, ...]] = {
    "id": (
        None,
        5,
        [],
        "123",
        "g" * 32,
    ),
    "type": (
        None,
        5,
        "",
        "a\x00",
        "x" * 501,
    ),
    "source": (
        None,
        {},
        "",
        "a\x00b",
        "x" * 501,
    ),
    "storeid": (
        None,
        5,
        "",
        "Centre",
        "a\x00",
        "a" * 33,
        "a\n",
        ["a"],
    ),
    "data": (
        None,
        [],
        "{}",
        5,
    ),
    "time": (
        None,
        5,
        True,
        *INSTANT_LIKE,
    ),
    "receivedat": (
        5,
        [1],
        *INSTANT_LIKE,
    ),
    "dataschema": (
        5,
        True,
        [],
        {},
        *SCHEMA_LIKE,
    ),
    "fingerprint": (
        5,
        [],
        "a\x00",
        "x" * 501,
    ),
    "actor": (
        5,
        {},
        "a\x1f",
    ),
    "subject": (
        5,
        "x",
        [],
    ),
    "replyto": (
        5,
        {},
        "\x00",
    ),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD_ATTRIBUTES.items() for value in values])
def test_an_attribute_of_another_kind_is_malformed_and_said_so(name: str, value: object) -> None:
    with pytest.raises(MalformedEvent):
        decode_accepted(sent(**{name: value}))


ODD_PLACES: dict[str, tuple[object, ...]] = {
    "seq": (
        None,
        0,
        -1,
        True,
        1.0,
        "1",
        2**63,
        [],
    ),
    "outcome": (
        None,
        "lost",
        5,
        ["recorded"],
    ),
    "localat": (
        None,
        5,
        "now",
        "2026-03-14T12:00:00Z",
    ),
    "businessdate": (
        None,
        5,
        "today",
        "2026-03-14T12:00:00",
    ),
    "effect": (
        5,
        "[]",
        "{",
        "5",
        "[" * 5_000,
        {},
    ),
    "effectiveat": (
        None,
        *INSTANT_LIKE,
    ),
    "reason": (
        5,
        {},
        "\x00",
    ),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD_PLACES.items() for value in values])
def test_a_place_in_the_log_of_another_kind_is_malformed_and_said_so(name: str, value: object) -> None:
    with pytest.raises(MalformedEvent):
        decode_recorded(placed(**{name: value}))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*ODD, *INSTANT_LIKE, *SCHEMA_LIKE, *ID_LIKE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CHANGES = st.dictionaries(
    st.sampled_from([*REQUIRED_WHEN_RECORDED, "dataschema", "fingerprint", "subject", "effect", "reason"]), ANYTHING, max_size=4
)


@given(CHANGES | ANYTHING)
def test_whatever_stands_in_a_message_is_an_event_or_malformed_and_nothing_else(odd: Any) -> None:  # noqa: ANN401 - anything at all
    for whole, decode in ((sent, decode_accepted), (placed, decode_recorded)):
        wires = [whole(**odd)] if isinstance(odd, dict) and odd.keys() <= {*whole(), "subject", "reason"} else [odd]
        for each in wires:
            try:
                decode(each)
            except MalformedEvent:
                continue


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_bytes_arrive_are_a_list_of_events_or_malformed(body: bytes) -> None:
    try:
        found = split(body)
    except MalformedEvent:
        return
    assert len(pieces(body)) == len(found)


@FEW
@given(st.lists(JSON, max_size=5), st.sampled_from([None, 1, "\t"]))
def test_pieces_are_the_bytes_of_each_event(items: list[Any], indent: int | str | None) -> None:
    body = json.dumps(items, indent=indent).encode()
    cut = pieces(body)
    assert [json.loads(each) for each in cut] == items
    assert all(each in body for each in cut)


def test_pieces_keep_what_a_parser_would_lose() -> None:
    odd = (b'{"a" : 1.50, "a":2}', b'"\\u00e9"', b"1e2", b"[ ]")
    assert pieces(b" [ " + b" ,\n".join(odd) + b" ]\r\n") == odd


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'"[]"',
        b"[",
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,1]",
        b"[] x",
        b"[1 2]",
        b"\xff",
        b"\xef\xbb\xbf[]",
        b"[" * 100_000,
        b"[\xff]",
    ],
)
def test_what_is_no_array_of_events_is_malformed_as_a_whole(body: bytes) -> None:
    for read in (split, pieces):
        with pytest.raises(MalformedEvent):
            read(body)


@pytest.mark.parametrize("bad", [b'{"a": "\\ud800"}', b"1" * 5_000, b"[" * 300 + b"]" * 300])
def test_one_event_that_no_parser_takes_leaves_its_neighbours_alone(bad: bytes) -> None:
    first, last = (wire(told(sale((sku, 1)))) for sku in ("apple", "pear"))
    wires = split(join((first, bad, last)))
    assert [decode_accepted(each).data["lines"][0]["sku"] for each in (wires[0], wires[2])] == ["apple", "pear"]
    assert isinstance(wires[1], Unreadable)
    with pytest.raises(MalformedEvent, match="not JSON"):
        decode_accepted(wires[1])
    assert pieces(join((first, bad, last)))[1] == bad


TOLD = ("sale.recorded", SHOP, NOON, b"{}")


@pytest.mark.parametrize(
    "other",
    [
        ("sale.voided", SHOP, NOON, b"{}"),
        ("sale.recorded", "vieux-port", NOON, b"{}"),
        ("sale.recorded", SHOP, minutes(1), b"{}"),
        ("sale.recorded", SHOP, None, b"{}"),
        ("sale.recorded", SHOP, NOON, b'{"a":1}'),
    ],
)
def test_other_content_has_another_fingerprint(other: tuple[str, str, datetime | None, bytes]) -> None:
    assert fingerprint(*other) != fingerprint(*TOLD)


@FEW
@given(CONTENTS)
def test_the_order_of_fields_and_the_spelling_of_an_instant_are_no_content(content: dict[str, Any]) -> None:
    turned = dict(reversed(content.items()))
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    assert fingerprint("t", SHOP, east, canonical(turned)) == fingerprint("t", SHOP, NOON, canonical(content))


def test_what_the_server_chose_is_no_content() -> None:
    event = told(sale(("apple", 1)))
    later = replace(event, received_at=minutes(999), traceparent="00-" + "1" * 32 + "-" + "1" * 16 + "-01", reply_to="api")
    assert decode_accepted(json.loads(wire(later))).fingerprint == event.fingerprint
