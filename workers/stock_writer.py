"""How do accepted events become recorded ones?

A batch is settled in one transaction, then published, then acknowledged. Until the acknowledgement the message itself is the outbox: a
crash anywhere before it means redelivery, the log says "already recorded", and the batch is published again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import time
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import Engine

from events.base import UnknownEventType
from infra.consumer import Delivery
from infra.database import brief_transaction
from infra.dead_letters import Letter, park
from infra.faults import is_transient
from infra.publisher import ConfirmingPublisher
from infra.topology import EVENTS, INTAKE, INTAKE_KEY, RECORDED_KEY
from infra.traces import traces
from schemas import parcel
from schemas.envelope import BATCH_CONTENT_TYPE, MalformedEvent, Recorded, decode_accepted, encode_recorded, join, split
from stock.chapter import Incoming
from stock.counting import USUAL, Tolerance
from stock.record import NotAllowed, Result, UnknownStore, check, record
from workers import metrics
from workers.letters import letter, note_redriven

NAME = "stock-writer"
MESSAGE_BYTES = 1_048_576
"""500 sales of 500 lines are 25 MB: more than a broker takes (16 MiB), and it would be the same batch each time it came again."""
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Settled:
    """What one batch of deliveries came to: events to publish, the outcomes that someone waits for, and what is left of parcels.

    `conflicts` are ids under which something else came than what the log has.
    """

    published: list[Recorded] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    rests: list[bytes] = field(default_factory=list)
    conflicts: set[UUID] = field(default_factory=set)


class StockWriter:
    """Settles deliveries of `magasin.intake`.

    `now` is the clock; `attempts` bounds the tries of one event before it is parked; `tolerance` says how far a count may be off.
    """

    def __init__(  # noqa: PLR0913 - its parts and bounds, by name
        self,
        engine: Engine,
        publisher: ConfirmingPublisher,
        *,
        batch_events: int,
        attempts: int,
        now: Callable[[], datetime],
        tolerance: Tolerance = USUAL,
    ) -> None:
        self._engine = engine
        self._publisher = publisher
        self._batch_events = batch_events
        self._attempts = attempts
        self._now = now
        self._tolerance = tolerance

    async def handle(self, deliveries: list[Delivery]) -> None:
        """Settle, publish; the caller acknowledges afterwards. Raises while the database or the broker is away.

        Of a parcel the first batch is settled, and the rest goes back to the end of the queue: whatever waits comes before it.
        """
        settled = await asyncio.to_thread(self.settle, deliveries)
        for body in messages(settled.published, self._batch_events):
            await self._publisher.publish(
                EVENTS,
                RECORDED_KEY,
                body,
                content_type=BATCH_CONTENT_TYPE,
                type="recorded",
                app_id=NAME,
            )
        if settled.outcomes:
            body = to_json({"outcomes": settled.outcomes})
            await self._publisher.announce(body, content_type="application/json", type="outcomes", app_id=NAME)
        for rest in settled.rests:
            await self._publisher.publish(
                INTAKE,
                INTAKE_KEY,
                rest,
                content_type=parcel.CONTENT_TYPE,
                type="accepted",
                app_id=NAME,
                timeout_seconds=parcel.PUBLISH_SECONDS,
            )

    def settle(self, deliveries: Sequence[Delivery]) -> Settled:
        """Everything that happens in the database, in transactions of at most `batch_events` events."""
        first, rests = unpacked(deliveries)
        incoming, letters = _opened(first)
        self._park(letters)
        settled = Settled(rests=rests)
        for chunk in chunks(incoming, self._batch_events):
            self._settle_chunk(chunk, settled)
        note_redriven(self._engine, deliveries, settled.conflicts)
        return settled

    def _settle_chunk(self, chunk: Sequence["Opened"], settled: Settled) -> None:
        try:
            result = self._record([each.incoming for each in chunk])
        except Exception as error:
            if is_transient(error):
                raise
            log.warning("batch_failed", error=f"{type(error).__name__}: {error}", events=len(chunk))
            for each in chunk:
                self._settle_alone(each, settled)
            return
        _take(settled, result, [each.incoming for each in chunk])

    def _settle_alone(self, opened: "Opened", settled: Settled) -> None:
        """One event in its own transaction; what fails each time is parked, and its neighbours never notice."""
        for attempt in range(1, self._attempts + 1):
            try:
                result = self._record([opened.incoming])
            except Exception as error:
                if is_transient(error):
                    raise
                if attempt == self._attempts or isinstance(error, UnknownStore):
                    reason = "unknown_store" if isinstance(error, UnknownStore) else "failed"
                    self._park([opened.letter(reason, error, attempt)])
                    return
            else:
                _take(settled, result, [opened.incoming])
                return

    def _record(self, incoming: Sequence[Incoming]) -> Result:
        with brief_transaction(self._engine) as connection:
            return record(connection, incoming, self._now(), tolerance=self._tolerance, commit=True)

    def _park(self, letters: Sequence[Letter]) -> None:
        if letters:
            with self._engine.begin() as connection:
                parked = park(connection, letters)
            metrics.dead_lettered_total.labels(NAME).inc(parked)
            for each in letters:
                log.error("dead_lettered", reason=each.reason, event_id=str(each.event_id), error=str(each.error)[:500])


@dataclass(frozen=True, slots=True)
class Opened:
    """An event taken out of its message, and where it lay."""

    incoming: Incoming
    delivery: Delivery
    place: int
    wire: Any

    def letter(self, reason: str, error: BaseException, attempts: int) -> Letter:
        """The event as a dead letter."""
        return letter(self.delivery, NAME, reason, error, place=self.place, wire=self.wire, attempts=attempts)


def messages(events: Sequence[Recorded], most_events: int, most_bytes: int = MESSAGE_BYTES) -> Iterator[bytes]:
    """The events as batch messages of bounded count and size; one event that is larger goes alone."""
    waiting: list[bytes] = []
    size = 0
    for event in events:
        item = encode_recorded(event)
        if waiting and (len(waiting) == most_events or size + len(item) > most_bytes):
            yield join(waiting)
            waiting, size = [], 0
        waiting.append(item)
        size += len(item)
    if waiting:
        yield join(waiting)


def unpacked(deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[bytes]]:
    """The deliveries with the first batch in place of each parcel, and the rests. What can't be unpacked stays: it is no batch either."""
    first: list[Delivery] = []
    rests: list[bytes] = []
    for delivery in deliveries:
        try:
            batch, rest = parcel.opened(delivery.body) if parcel.is_parcel(delivery.body) else (delivery.body, None)
        except MalformedEvent:
            batch, rest = delivery.body, None
        first.append(delivery if batch is delivery.body else replace(delivery, body=batch))
        if rest is not None:
            rests.append(rest)
    return first, rests


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """The items in stretches of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _opened(deliveries: Sequence[Delivery]) -> tuple[list[Opened], list[Letter]]:
    """The events of the messages; what can't be read becomes a letter, alone."""
    opened: list[Opened] = []
    letters: list[Letter] = []
    for delivery in deliveries:
        try:
            wires = split(delivery.body)
        except MalformedEvent as error:
            letters.append(letter(delivery, NAME, "malformed_message", error))
            continue
        for place, wire in enumerate(wires):
            try:
                opened.append(Opened(check(decode_accepted(wire)), delivery, place, wire))
            except (MalformedEvent, UnknownEventType, ValidationError, NotAllowed) as error:
                letters.append(letter(delivery, NAME, _REASONS.get(type(error), "malformed_event"), error, place=place, wire=wire))
    return opened, letters


_REASONS: dict[type[BaseException], str] = {UnknownEventType: "unknown_type", ValidationError: "invalid_content", NotAllowed: "not_allowed"}


def _take(settled: Settled, result: Result, incoming: Sequence[Incoming]) -> None:
    """Publish what is new, and again what was there (the crash may have come between commit and publish); answer who waits."""
    settled.published += result.recorded
    settled.published += result.repeated
    settled.published += result.reopened
    settled.conflicts.update(head.event_id for head in result.conflicts)
    counted: dict[str, int] = {"repeated": len(result.repeated), "conflict": len(result.conflicts)}
    for event in result.recorded:
        counted[event.outcome] = counted.get(event.outcome, 0) + 1
    for outcome, count in counted.items():
        metrics.events_total.labels(outcome).inc(count)
    metrics.batch_events.labels(NAME).observe(len(incoming))
    waiting = [each.head for each in incoming if each.head.reply_to is not None]
    if waiting:
        ends = {event.event_id: event for event in (*result.repeated, *result.recorded)}
        conflicts = {id(head) for head in result.conflicts}
        settled.outcomes += [
            _outcome(head.event_id, head.reply_to, None if id(head) in conflicts else ends.get(head.event_id)) for head in waiting
        ]
    if traces.on:
        ended = time()
        for event in result.recorded:
            traces.tell(event.outcome, began=event.received_at.timestamp(), ended=ended, parent=event.traceparent)
    log.info(
        "settled",
        **counted,
        events=[str(event.event_id) for event in result.recorded],
        traces=[event.traceparent[3:35] for event in result.recorded if event.traceparent],
    )


def _outcome(event_id: UUID, reply_to: str | None, event: Recorded | None) -> dict[str, Any]:
    if event is None:
        return {"event_id": str(event_id), "reply_to": reply_to, "outcome": "conflict"}
    return {
        "event_id": str(event_id),
        "reply_to": reply_to,
        "outcome": event.outcome,
        "seq": event.seq,
        "reason": event.reason,
        "effect": event.effect,
    }


def utc_now() -> datetime:
    """The worker's clock."""
    return datetime.now(UTC)
