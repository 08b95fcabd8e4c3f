"""How does a delivery, or one event of it, become a dead letter that tells all that is known, and what becomes of one that comes back?"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from infra.consumer import Delivery
from infra.dead_letters import Letter
from infra.faults import printable
from infra.redriven import mark_of, settle
from schemas.envelope import pieces

WHOLE_MESSAGE = -1
MOST_TEXT = 200

# All the letters of one message come one after the other: it is cut up once.
_pieces = lru_cache(maxsize=1)(pieces)


def letter(  # noqa: PLR0913 - what is known of a failure, each part by its name
    delivery: Delivery,
    consumer: str,
    reason: str,
    error: BaseException,
    *,
    place: int = WHOLE_MESSAGE,
    wire: Any = None,  # noqa: ANN401 - anything may have been sent
    attempts: int = 1,
) -> Letter:
    """The letter of a whole message, or of the event at `place` in it. `wire` is that event read, for what can be known of it."""
    known: dict[str, Any] = wire if isinstance(wire, dict) else {}
    return Letter(
        message_id=delivery.message_id or "",
        place=place,
        consumer=consumer,
        exchange=delivery.exchange,
        routing_key=delivery.routing_key,
        headers=delivery.headers,
        reason=reason,
        error=error,
        attempts=attempts + delivery.delivery_count,
        failed_at=datetime.now(UTC),
        payload=delivery.body if place == WHOLE_MESSAGE else _pieces(delivery.body)[place],
        event_id=_uuid(known.get("id")),
        type=_text(known.get("type")),
        store_id=_text(known.get("storeid")),
        traceparent=_text(known.get("traceparent")),
        version=(_text(known.get("dataschema")) or "").rpartition(":")[2] or None,
    )


def note_redriven(engine: Engine, deliveries: Sequence[Delivery], conflicts: Collection[UUID] = ()) -> None:
    """Note what became of those deliveries that were dead letters and were sent back. Called when all of them are settled or parked."""
    handled = [(mark, delivery.body) for delivery in deliveries if (mark := mark_of(delivery.headers)) is not None]
    if handled:
        with engine.begin() as connection:
            settle(connection, handled, conflicts)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return printable(value, MOST_TEXT) if isinstance(value, str) else None
