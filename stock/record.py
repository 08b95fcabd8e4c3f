"""How does a batch of accepted events become part of the truth, in one transaction?

`record` runs inside a transaction that its caller opens and commits: it locks the heads of the batch's stores, drops what the log
already has, lets the rules decide, gives every event the next sequence number of its store, and writes log, ledger and levels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from events.base import Event, event_type
from events.cases import CaseOpened
from events.catalogue import ProductDefined, ProductStocked, StoreDefined
from events.sales import SaleRecorded, SaleReturned, SaleVoided
from infra import event_log
from schemas.envelope import CATALOGUE_STREAM, Accepted, Recorded, canonical, fingerprint
from stock import store
from stock.book import Book, Case, Decision, Shop
from stock.decide import decide

CASES = UUID("6a0c1d0e-6f0f-5d3b-9a44-8a2f0b7f3c11")
WRITER = "/stock-writer"
FORBIDDEN_FROM_OUTSIDE = frozenset({CaseOpened.type})


class UnknownStore(LookupError):
    """An event for a store that was never defined reached the writer."""


class NotAllowed(ValueError):
    """An event that only the system itself makes was published to it."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An accepted event with its content checked against its type."""

    head: Accepted
    event: Event


@dataclass(slots=True)
class Result:
    """What became of a batch. `recorded` has every event that is new in the log (cases included), in order; `repeated` what was there."""

    recorded: list[Recorded] = field(default_factory=list)
    repeated: list[Recorded] = field(default_factory=list)
    conflicts: list[Accepted] = field(default_factory=list)


def check(head: Accepted) -> Incoming:
    """The event of a head. Raises UnknownEventType, pydantic.ValidationError, NotAllowed."""
    if head.type in FORBIDDEN_FROM_OUTSIDE:
        message = f"{head.type} is made by the stock writer alone"
        raise NotAllowed(message)
    event = event_type(head.type, head.version).model_validate(head.data)
    if isinstance(event, SaleVoided | SaleReturned) and head.subject != event.sale_id:
        head = replace(head, subject=event.sale_id)
    return Incoming(head, event)


def record(connection: Connection, batch: Sequence[Incoming], now: datetime) -> Result:
    """Record a batch (see the module). Raises UnknownStore; whatever it raises, nothing may be committed."""
    heads = _heads(connection, batch)
    known = event_log.found(connection, {each.head.event_id for each in batch})
    result, fresh, reused = _sort_out(batch, known)
    book = _book(connection, heads, fresh)
    decided = [(each, *_settle(each, book)) for each in fresh]
    _write(connection, heads, decided, reused, book, now, result)
    return result


def _heads(connection: Connection, batch: Sequence[Incoming]) -> dict[str, store.Head]:
    """Lock the heads. A definition opens its own store; any other event of an unknown store is an error of its sender."""
    opening = {each.head.store_id for each in batch if isinstance(each.event, StoreDefined)}
    wanted = {each.head.store_id for each in batch}
    heads = store.lock_heads(connection, wanted)
    if opening - heads.keys():
        store.open_stores(connection, opening - heads.keys())
        heads = store.lock_heads(connection, wanted)
    for each in batch:
        head = heads.get(each.head.store_id)
        catalogue = isinstance(each.event, ProductDefined) and each.head.store_id == CATALOGUE_STREAM
        if head is None or (head.shop is None and not catalogue and each.head.store_id not in opening):
            raise UnknownStore(each.head.store_id)
    return heads


def _sort_out(
    batch: Sequence[Incoming], known: dict[UUID, tuple[Recorded, str]]
) -> tuple[Result, list[Incoming], list[tuple[Accepted, str, UUID]]]:
    """Split the batch: new events, repeats of what the log has, and ids used again for other content (the first one wins)."""
    result, fresh = Result(), dict[UUID, Incoming]()
    reused: list[tuple[Accepted, str, UUID]] = []
    for each in batch:
        head = each.head
        before = known.get(head.event_id)
        if before is None and head.event_id not in fresh:
            fresh[head.event_id] = each
            continue
        print_ = before[1] if before else fresh[head.event_id].head.fingerprint
        if print_ != head.fingerprint:
            result.conflicts.append(head)
            reused.append((head, print_, uuid5(CASES, f"{head.event_id}|id_reuse|{head.fingerprint}")))
        elif before:
            result.repeated.append(before[0])
    return result, list(fresh.values()), reused


def _book(connection: Connection, heads: dict[str, store.Head], fresh: Sequence[Incoming]) -> Book:
    """Everything that the rules will look at for these events."""
    cells = {(each.head.store_id, sku) for each in fresh for sku in _skus(each.event)}
    book = Book(
        shops={store_id: head.shop for store_id, head in heads.items() if head.shop is not None},
        levels=store.levels(connection, cells) if cells else {},
        unknown_skus=store.unknown_skus(connection, {sku for _, sku in cells}) if cells else frozenset(),
        later_deltas=lambda store_id, sku, at: store.later_deltas(connection, store_id, sku, at),
    )
    arriving = [each.head.event_id for each in fresh if isinstance(each.event, SaleRecorded)]
    spoken_of = [each.event.sale_id for each in fresh if isinstance(each.event, SaleVoided | SaleReturned)]
    if arriving or spoken_of:
        store.load_sales(connection, book, arriving=arriving, spoken_of=spoken_of)
    return book


def _settle(each: Incoming, book: Book) -> tuple[Decision, list[Case]]:
    """Decide about one event and move the book; answers the decision and every case that it opens."""
    head = each.head
    decision = decide(each.event, head, book)
    cases = list(decision.cases)
    for sku, before, after in book.apply(head.store_id, head.event_id, decision.movements):
        if before >= 0 > after:
            cases.append(Case("oversell", f"{head.event_id}|oversell|{sku}", (head.event_id,), sku, {"on_hand": after}))
        if sku in book.unknown_skus:
            cases.append(Case("unknown_product", f"{head.store_id}|unknown_product|{sku}", (head.event_id,), sku))
    return decision, cases


def _write(  # noqa: PLR0913 - the parts of one batch, put together once
    connection: Connection,
    heads: dict[str, store.Head],
    decided: Sequence[tuple[Incoming, Decision, list[Case]]],
    reused: Sequence[tuple[Accepted, str, UUID]],
    book: Book,
    now: datetime,
    result: Result,
) -> None:
    scribe = _Scribe(heads, book.shops, now)
    candidates = {uuid5(CASES, case.key) for _, _, cases in decided for case in cases} | {case_id for _, _, case_id in reused}
    scribe.cases.update(event_log.found(connection, candidates) if candidates else ())
    for each, decision, cases in decided:
        scribe.put(each.head, decision)
        for case in cases:
            scribe.open_case(each.head.store_id, case)
    for head, first, case_id in reused:
        details = {"first": first, "second": head.fingerprint, "type": head.type, "refused": head.data}
        scribe.open_case(head.store_id, Case("id_reuse", "", (head.event_id,), None, details), case_id)
    event_log.append(connection, scribe.events, scribe.fingerprints)
    store.save(connection, book, {event.event_id: event for event in scribe.events})
    _save_definitions(connection, [each for each, decision, _ in decided if decision.outcome == "recorded"])
    result.recorded = scribe.events


class _Scribe:
    """Gives each event the next sequence number of its store and its place in time."""

    def __init__(self, heads: dict[str, store.Head], shops: dict[str, Shop], now: datetime) -> None:
        self.events: list[Recorded] = []
        self.fingerprints: list[str] = []
        self.cases: set[UUID] = set()
        self._seq = {store_id: head.seq for store_id, head in heads.items()}
        # A store's instants of recording never run backwards, whichever writer's clock they come from.
        self._now = {store_id: max(now, head.recorded_at or now) for store_id, head in heads.items()}
        self._zone = {store_id: shop.zone for store_id, shop in shops.items()}

    def put(self, head: Accepted, decision: Decision) -> None:
        self._seq[head.store_id] += 1
        local = head.effective_at.astimezone(self._zone.get(head.store_id, UTC)).replace(tzinfo=None)
        self.fingerprints.append(head.fingerprint)
        self.events.append(
            Recorded(
                event_id=head.event_id,
                type=head.type,
                version=head.version,
                store_id=head.store_id,
                source=head.source,
                occurred_at=head.occurred_at,
                received_at=head.received_at,
                effective_at=head.effective_at,
                recorded_at=self._now[head.store_id],
                local_at=local,
                data=head.data,
                actor=head.actor,
                seq=self._seq[head.store_id],
                outcome=decision.outcome,
                subject=head.subject,
                traceparent=head.traceparent,
                reason=decision.reason,
                effect=decision.effect,
            )
        )

    def open_case(self, store_id: str, case: Case, case_id: UUID | None = None) -> None:
        """Append the case unless the log or this batch has it already."""
        event_id = case_id or uuid5(CASES, case.key)
        if event_id in self.cases:
            return
        self.cases.add(event_id)
        opened = CaseOpened(kind=case.kind, sku=case.sku, events=case.events, details=case.details).model_dump(
            mode="json", exclude_none=True
        )
        now = self._now[store_id]
        self.put(
            Accepted(
                event_id=event_id,
                type=CaseOpened.type,
                version=CaseOpened.version,
                store_id=store_id,
                source=WRITER,
                occurred_at=now,
                received_at=now,
                data=opened,
                fingerprint=fingerprint(CaseOpened.type, store_id, None, canonical(opened)),
                actor=WRITER,
            ),
            Decision(),
        )


def _save_definitions(connection: Connection, recorded: Iterable[Incoming]) -> None:
    products: list[ProductDefined] = []
    for each in recorded:
        if isinstance(each.event, StoreDefined):
            store.save_store(connection, each.head.store_id, each.event)
        elif isinstance(each.event, ProductDefined):
            products.append(each.event)
        elif isinstance(each.event, ProductStocked):
            store.save_stocked(connection, each.head.store_id, each.event)
    store.save_products(connection, products)


def _skus(event: Event) -> Iterable[str]:
    lines: Sequence[Any] = getattr(event, "lines", ())
    return (line.sku for line in lines)
