"""What does an outsider see of a recorded event?

One event a message, as CloudEvents 1.0: in binary mode on `magasin.feed` (attributes as ``ce-`` headers, the body is the data), in
structured mode to webhooks (one JSON object, signed). Our own book-keeping (who was signed in, fingerprints, effects) stays inside.
"""

import hashlib
import hmac
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json

from schemas.envelope import Recorded, dataschema, instant_text

DATA_CONTENT_TYPE: Final = "application/json"
STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json"
PREFIX: Final = "ce-"
USER_AGENT: Final = "Magasin-Webhook/1"
REPLAY_HEADER: Final = "magasin-replay"
"""Marks a message as a replay of the log, and names it."""
KEY_HEADER: Final = "magasin-routing-key"
"""The key under which a replayed event was on the feed."""


def attributes(event: Recorded) -> dict[str, str | int]:
    """The CloudEvents attributes of an event; `seq` is contiguous per store, so an outsider can tell that it missed nothing."""
    found: dict[str, str | int | None] = {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": event.source,
        "type": event.type,
        "time": instant_text(event.occurred_at),
        "subject": None if event.subject is None else str(event.subject),
        "dataschema": dataschema(event.type, event.version),
        "storeid": event.store_id,
        "seq": event.seq,
        "outcome": event.outcome,
        "reason": event.reason,
        "recordedat": instant_text(event.recorded_at),
        "businessdate": event.business_date.isoformat(),
        "traceparent": event.traceparent,
    }
    return {name: value for name, value in found.items() if value is not None}


def headers(event: Recorded) -> dict[str, str | int]:
    """The headers of its message on the feed."""
    return {PREFIX + name: value for name, value in attributes(event).items()}


def routing_key(event: Recorded) -> str:
    """What outsiders bind by: ``sale.recorded.v1.plateau``."""
    return f"{event.type}.v{event.version}.{event.store_id}"


def data(event: Recorded) -> bytes:
    """The body of its message on the feed."""
    return to_json(event.data)


def structured(event: Recorded) -> bytes:
    """The body of a webhook's request."""
    return written({**attributes(event), "datacontenttype": DATA_CONTENT_TYPE, "data": event.data})


def written(content: dict[str, Any]) -> bytes:
    """A structured event as bytes, which are what is signed."""
    return to_json(content)


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of ``Magasin-Signature``: the second of sending, and the HMAC-SHA256 of ``<second>.<body>`` in hexadecimal."""
    made = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


def request_headers(secret: str, at: int, body: bytes, type_: str, delivery_id: UUID) -> dict[str, str]:
    """The headers of a webhook's request. The delivery's id is the same at every attempt: by it a subscriber knows what it has."""
    return {
        "Content-Type": STRUCTURED_CONTENT_TYPE,
        "User-Agent": USER_AGENT,
        "Magasin-Signature": signature(secret, at, body),
        "Magasin-Event": type_,
        "Magasin-Delivery": str(delivery_id),
    }
