"""How does a fact travel between our processes?

As CloudEvents 1.0, many in one message (``application/cloudevents-batch+json``): that is what makes group commit possible. Extension
attributes are strings or integers, as CloudEvents demands; ``effect`` is JSON in a string for that reason.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from pydantic_core import from_json, to_json

BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
CATALOGUE_STREAM = "siege"
SCHEMA_PREFIX = "urn:magasin:schema:"
MOST_TEXT = 500
MOST_SEQ = 2**63 - 1
YEARS = range(1970, 3000)
"""No till has lived before or after; further out, the shop's wall clock can't be written down."""

_STORE_ID = re.compile(r"[a-z0-9-]{1,32}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VERSION = re.compile(r"[1-9][0-9]{0,3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_BLANK = re.compile(r"[ \t\n\r]*")
# Numbers stay text: only the places where events begin and end matter.
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)

Outcome = Literal["recorded", "refused"]


class MalformedEvent(ValueError):
    """A message, or one event of it, isn't what `decode` reads."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in a message where an event should be and can't be read, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A fact that was accepted and waits for its place in the log. `effective_at` = min(occurred_at, received_at), fixed once."""

    event_id: UUID
    type: str
    version: int
    store_id: str
    source: str
    occurred_at: datetime
    received_at: datetime
    data: dict[str, Any]
    fingerprint: str
    actor: str
    subject: UUID | None = None
    traceparent: str | None = None
    reply_to: str | None = None

    @property
    def effective_at(self) -> datetime:
        """The instant that counts for stock and business day: a till's clock that runs ahead can't reach into the future."""
        return min(self.occurred_at, self.received_at)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact with its place in the log: `seq` is contiguous per store; `local_at` is the shop's wall clock, `business_date` its day."""

    event_id: UUID
    type: str
    version: int
    store_id: str
    source: str
    occurred_at: datetime
    received_at: datetime
    effective_at: datetime
    recorded_at: datetime
    local_at: datetime
    business_date: date
    data: dict[str, Any]
    actor: str
    seq: int
    outcome: Outcome
    subject: UUID | None = None
    traceparent: str | None = None
    reason: str | None = None
    effect: dict[str, Any] | None = None


def instant_text(instant: datetime) -> str:
    """RFC 3339 in UTC with ``Z``."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def fingerprint(type_: str, store_id: str, occurred_at: datetime | None, data: bytes) -> str:
    """128 bits that differ when the content differs. `data` is canonical JSON; `occurred_at` is None when the sender gave none.

    Two requests with one id are the same request when their fingerprints are equal, so nothing that the server chooses may go in.
    """
    told = b"" if occurred_at is None else instant_text(occurred_at).encode()
    return blake2b(b"\x00".join((type_.encode(), store_id.encode(), told, data)), digest_size=16).hexdigest()


def dataschema(type_: str, version: int) -> str:
    """The name of a type's JSON Schema, ``urn:magasin:schema:sale.recorded:1``."""
    return f"{SCHEMA_PREFIX}{type_}:{version}"


def encode_accepted(event: Accepted, data: bytes) -> bytes:
    """One accepted event as JSON; `data` is its content already written (measured: 3 µs instead of 9 µs for the whole dump)."""
    head = {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": event.source,
        "type": event.type,
        "time": instant_text(event.occurred_at),
        "dataschema": dataschema(event.type, event.version),
        "storeid": event.store_id,
        "receivedat": instant_text(event.received_at),
        "fingerprint": event.fingerprint,
        "actor": event.actor,
    }
    if event.subject is not None:
        head["subject"] = str(event.subject)
    if event.traceparent is not None:
        head["traceparent"] = event.traceparent
    if event.reply_to is not None:
        head["replyto"] = event.reply_to
    return to_json(head)[:-1] + b',"data":' + data + b"}"


def join(items: Iterable[bytes]) -> bytes:
    """Events already written, as one batch message."""
    return b"[" + b",".join(items) + b"]"


def split(body: bytes) -> list[Any]:
    """The events of one message, undecoded. Raises MalformedEvent when it is no JSON array.

    An event that no parser takes (a lone surrogate, a number of 5,000 digits) is `Unreadable` alone: its neighbours can't help it.
    """
    try:
        found = from_json(body)
    except ValueError:
        return [_parsed(piece) for piece in pieces(body)]
    if not isinstance(found, list):
        raise MalformedEvent("not a JSON array of events")
    return found


def pieces(body: bytes) -> tuple[bytes, ...]:
    """The events of one message byte for byte as they were sent. Raises MalformedEvent when it is no JSON array."""
    try:
        return tuple(_cut(body.decode()))
    except (ValueError, RecursionError) as error:
        message = f"not a JSON array of events: {type(error).__name__}"
        raise MalformedEvent(message) from error


def decode_accepted(wire: Any) -> Accepted:  # noqa: ANN401 - JSON border: anything may have been sent
    """One event of an intake message. Raises MalformedEvent naming what is wrong.

    What a foreign publisher may leave out is filled in: the actor is its source, the fingerprint is computed from the content.
    """
    try:
        type_, version, store_id, data = _content_of(wire)
        occurred_at, source = _instant(wire["time"]), _text(wire["source"])
        return Accepted(
            event_id=UUID(wire["id"]),
            type=type_,
            version=version,
            store_id=store_id,
            source=source,
            occurred_at=occurred_at,
            received_at=_instant(wire.get("receivedat") or wire["time"]),
            data=data,
            fingerprint=_optional(wire.get("fingerprint")) or fingerprint(type_, store_id, occurred_at, canonical(data)),
            actor=_optional(wire.get("actor")) or source,
            subject=_uuid(wire.get("subject")),
            traceparent=_traceparent(wire.get("traceparent")),
            reply_to=_optional(wire.get("replyto")),
        )
    except _FAULTS as error:
        raise _malformed(error) from error


def encode_recorded(event: Recorded) -> bytes:
    """One recorded event as JSON."""
    return to_json(_recorded_wire(event))


def decode_recorded(wire: Any) -> Recorded:  # noqa: ANN401 - JSON border: anything may have been sent
    """One event of a message that our own stock writer made. Raises MalformedEvent naming what is wrong."""
    try:
        type_, version, store_id, data = _content_of(wire)
        return Recorded(
            event_id=UUID(wire["id"]),
            type=type_,
            version=version,
            store_id=store_id,
            source=_text(wire["source"]),
            occurred_at=_instant(wire["time"]),
            received_at=_instant(wire["receivedat"]),
            effective_at=_instant(wire["effectiveat"]),
            recorded_at=_instant(wire["recordedat"]),
            local_at=_wall_clock(wire["localat"]),
            business_date=date.fromisoformat(wire["businessdate"]),
            data=data,
            actor=_text(wire["actor"]),
            seq=_seq(wire["seq"]),
            outcome=_outcome(wire["outcome"]),
            subject=_uuid(wire.get("subject")),
            traceparent=_traceparent(wire.get("traceparent")),
            reason=_optional(wire.get("reason")),
            effect=_effect(wire.get("effect")),
        )
    except _FAULTS as error:
        raise _malformed(error) from error


def canonical(content: object) -> bytes:
    """JSON with sorted keys and no spaces: equal contents have equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _recorded_wire(event: Recorded) -> dict[str, Any]:
    # Ids and instants as they are: `to_json` writes them as RFC 9562 and 3339 want it, in a third of the time.
    wire: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": event.source,
        "type": event.type,
        "time": event.occurred_at,
        "dataschema": dataschema(event.type, event.version),
        "storeid": event.store_id,
        "actor": event.actor,
        "seq": event.seq,
        "outcome": event.outcome,
        "receivedat": event.received_at,
        "effectiveat": event.effective_at,
        "recordedat": event.recorded_at,
        "localat": event.local_at,
        "businessdate": event.business_date,
        "data": event.data,
    }
    if event.subject is not None:
        wire["subject"] = event.subject
    if event.traceparent is not None:
        wire["traceparent"] = event.traceparent
    if event.reason is not None:
        wire["reason"] = event.reason
    if event.effect is not None:
        wire["effect"] = json.dumps(event.effect, separators=(",", ":"))
    return wire


_FAULTS = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def _malformed(error: BaseException) -> MalformedEvent:
    return error if isinstance(error, MalformedEvent) else MalformedEvent(f"{type(error).__name__}: {error}"[:MOST_TEXT])


def _cut(message: str) -> Iterable[bytes]:
    at = _past_blank(message, 0)
    if message[at : at + 1] != "[":
        raise ValueError("it begins with something else")
    at = _past_blank(message, at + 1)
    more = message[at : at + 1] != "]"
    while more:
        _, end = _SCANNER.raw_decode(message, at)
        yield message[at:end].encode()
        at = _past_blank(message, end)
        more = message[at : at + 1] == ","
        if more:
            at = _past_blank(message, at + 1)
    if message[at : at + 1] != "]" or _past_blank(message, at + 1) != len(message):
        raise ValueError("it ends with something else")


def _past_blank(message: str, at: int) -> int:
    blank = _BLANK.match(message, at)
    return at if blank is None else blank.end()


def _parsed(piece: bytes) -> Any:  # noqa: ANN401 - JSON border
    try:
        return from_json(piece)
    except ValueError as error:
        return Unreadable(f"not JSON: {error}")


def _content_of(wire: Any) -> tuple[str, int, str, dict[str, Any]]:  # noqa: ANN401 - JSON border
    if isinstance(wire, Unreadable):
        raise MalformedEvent(wire.reason)
    if not isinstance(wire, dict):
        raise MalformedEvent("an event is a JSON object")
    type_, data = _text(wire["type"]), wire["data"]
    if not isinstance(data, dict):
        raise MalformedEvent("data is no object")
    return type_, _version_of(wire.get("dataschema"), type_), _store_id(wire["storeid"]), data


def _version_of(schema: object, type_: str) -> int:
    if schema is None:
        return 1
    version = schema.removeprefix(dataschema(type_, 0)[:-1]) if isinstance(schema, str) else ""
    if not _VERSION.fullmatch(version):
        raise MalformedEvent("dataschema is none of that type's")
    return int(version)


def _store_id(value: object) -> str:
    if not isinstance(value, str) or not _STORE_ID.fullmatch(value):
        raise MalformedEvent("storeid is no store's id")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or _CONTROL.search(value):
        raise MalformedEvent("an attribute is no text, is too long or has control characters")
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _uuid(value: Any) -> UUID | None:  # noqa: ANN401 - JSON border
    return None if value is None else UUID(value)


def _traceparent(value: object) -> str | None:
    # A trace that can't be read ends there, as W3C wants it; the fact is worth more.
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def _seq(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_SEQ:
        raise MalformedEvent("seq is no place in a log")
    return value


def _outcome(value: object) -> Outcome:
    match value:
        case "recorded":
            return "recorded"
        case "refused":
            return "refused"
        case _:
            raise MalformedEvent("outcome is neither recorded nor refused")


def _effect(value: Any) -> dict[str, Any] | None:  # noqa: ANN401 - JSON border
    effect = None if value is None else from_json(value)
    if effect is not None and not isinstance(effect, dict):
        raise MalformedEvent("effect is no object")
    return effect


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None or instant.year not in YEARS:
        raise MalformedEvent("an instant without an offset, or far away")
    return instant.astimezone(UTC)


def _wall_clock(text: str) -> datetime:
    clock = datetime.fromisoformat(text)
    if clock.tzinfo is not None:
        raise MalformedEvent("a wall clock has no offset")
    return clock
