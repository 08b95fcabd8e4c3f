"""How does a batch of accepted events become part of the truth, in one transaction?

`record` runs inside a transaction that its caller opens and commits: it locks the heads of the batch's stores, drops what the log
already has, lets the rules decide, gives every event the next sequence number of its store, and writes log, ledger and levels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from events.base import Event, event_type
from events.cases import CaseOpened
from events.catalogue import ProductDefined, ProductStocked, StoreDefined
from events.restocks import OfRestock
from events.sales import SaleReturned, SaleVoided
from infra import event_log
from infra.database import together
from schemas.envelope import CATALOGUE_STREAM, Accepted, Recorded, canonical, fingerprint
from stock import store
from stock.assortment import Assortment
from stock.book import Book, Case, Decision, Shop, case_id_of
from stock.cases import Cases
from stock.cells import Cells, cells_statement, fill_cells
from stock.chapter import Chapter, Incoming
from stock.costs import Costs
from stock.counted import Counted
from stock.counting import USUAL, Tolerance
from stock.decide import decide
from stock.explained import effects
from stock.restocks import RestockLines, Restocks
from stock.tills import Tills

WRITER = "/stock-writer"
FORBIDDEN_FROM_OUTSIDE = frozenset({CaseOpened.type})
NOWHERE = Shop(zone=ZoneInfo("UTC"))
CHAPTERS: tuple[Chapter, ...] = (Assortment(), Cells(), Costs(), Counted(), Restocks(), RestockLines(), Tills(), Cases())


class UnknownStore(LookupError):
    """An event for a store that was never defined reached the writer."""


class NotAllowed(ValueError):
    """An event that only the system itself makes was published to it."""


@dataclass(slots=True)
class Result:
    """What became of a batch.

    `recorded` has every event that is new in the log (cases included), in order; `repeated` what was there already, and `reopened` the
    cases that were opened with those: the crash that made them come again may have come before anything of them was published.
    """

    recorded: list[Recorded] = field(default_factory=list)
    repeated: list[Recorded] = field(default_factory=list)
    reopened: list[Recorded] = field(default_factory=list)
    conflicts: list[Accepted] = field(default_factory=list)


def check(head: Accepted) -> Incoming:
    """The event of a head. Raises UnknownEventType, pydantic.ValidationError, NotAllowed."""
    if head.type in FORBIDDEN_FROM_OUTSIDE:
        message = f"{head.type} is made by the stock writer alone"
        raise NotAllowed(message)
    event = event_type(head.type, head.version).model_validate(head.data)
    subject = _subject(event, head.event_id)
    if head.subject != subject:  # whatever a foreign publisher writes there
        head = replace(head, subject=subject)
    return Incoming(head, event)


def _subject(event: Event, event_id: UUID) -> UUID | None:
    """What the event speaks of: the sale of a void or a return, the restock of a step; None for what speaks of itself."""
    if isinstance(event, SaleVoided | SaleReturned):
        return event.sale_id
    return event.restock_id if isinstance(event, OfRestock) and event.restock_id != event_id else None


def record(
    connection: Connection, batch: Sequence[Incoming], now: datetime, *, tolerance: Tolerance = USUAL, commit: bool = False
) -> Result:
    """Record a batch (see the module), and commit with the last statement if told so.

    `tolerance` says how far a count may be off. Raises UnknownStore, NoRule, psycopg.Error and SQLAlchemyError; whatever it raises,
    nothing may be committed.
    """
    read = _Read(connection, batch)
    read.book.tolerance = tolerance
    result, fresh, reused = _sort_out(batch, read.known)
    decided = [_settle(each, read.book) for each in fresh]
    if read.book.variances:
        more = effects(connection, read.book)
        decided = [replace(each, decision=each.decision.saying(more.get(each.incoming.head.event_id))) for each in decided]
    _write(connection, read, decided, reused=reused, now=now, result=result, commit=commit)
    return result


class _Read:
    """What the database knows that these events touch: the locked heads, the events it has already, and the book."""

    def __init__(self, connection: Connection, batch: Sequence[Incoming]) -> None:
        spoken_of = {each.event.sale_id for each in batch if isinstance(each.event, SaleVoided | SaleReturned)}
        stores = {each.head.store_id for each in batch}
        asked = [(chapter, statement) for chapter in CHAPTERS if (statement := chapter.reads(batch)) is not None]
        heads, known, *rows = together(
            connection,
            [
                store.heads_statement(stores),
                event_log.known_statement({each.head.event_id for each in batch} | spoken_of),
                *(statement for _, statement in asked),
            ],
        )
        self.heads = self._heads(connection, batch, store.heads_of(heads))
        self.known, about = event_log.known_of(known)
        self.book = Book(shops={store_id: head.shop for store_id, head in self.heads.items() if head.shop is not None})
        for (chapter, _), found in zip(asked, rows, strict=True):
            chapter.fill(self.book, found)
        store.remember(self.book, [*(self.known[sale_id][0] for sale_id in spoken_of & self.known.keys()), *about])
        # A void names no SKU: what it moves are the lines of its sale.
        undone = {(store_id, line.sku) for (store_id, _), sale in self.book.sales.items() for line in sale.lines or ()}
        if undone:
            fill_cells(self.book, *together(connection, [cells_statement(undone)]))

    def _heads(self, connection: Connection, batch: Sequence[Incoming], heads: dict[str, store.Head]) -> dict[str, store.Head]:
        """The heads. A definition opens its own store; any other event of an unknown store is an error of its sender."""
        opening = {each.head.store_id for each in batch if isinstance(each.event, StoreDefined)}
        if opening - heads.keys():
            store.open_stores(connection, opening - heads.keys())
            heads = store.heads_of(*together(connection, [store.heads_statement({each.head.store_id for each in batch})]))
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
            reused.append((head, print_, case_id_of(f"{head.event_id}|id_reuse|{head.fingerprint}")))
        elif before:
            result.repeated.append(before[0])
    return result, list(fresh.values()), reused


@dataclass(frozen=True, slots=True)
class _Decided:
    """One event, what the rules say of it, every case that it opens, and its shop as it was then."""

    incoming: Incoming
    decision: Decision
    cases: Sequence[Case]
    shop: Shop


def _settle(each: Incoming, book: Book) -> _Decided:
    """Decide about one event and move the book."""
    head = each.head
    decision = decide(each.event, head, book)
    cases = list(decision.cases)
    for sku, before, after in book.apply(head.store_id, head.event_id, decision.movements):
        if before >= 0 > after:
            cases.append(Case("oversell", f"{head.event_id}|oversell|{sku}", (head.event_id,), sku, {"on_hand": after}))
        if sku in book.unknown_skus:
            cases.append(Case("unknown_product", f"{head.store_id}|unknown_product|{sku}", (head.event_id,), sku))
    return _Decided(each, decision, cases, _shop(book, head.store_id))


def _shop(book: Book, store_id: str) -> Shop:
    """The shop; the catalogue's stream, which is none, goes by UTC."""
    return book.shops.get(store_id) or NOWHERE


def _write(  # noqa: PLR0913 - the parts of one batch, put together once
    connection: Connection,
    read: _Read,
    decided: Sequence[_Decided],
    *,
    reused: Sequence[tuple[Accepted, str, UUID]],
    now: datetime,
    result: Result,
    commit: bool,
) -> None:
    book = read.book
    scribe = _Scribe(read.heads, now)
    candidates = {case_id_of(case.key) for each in decided for case in each.cases} | {case_id for _, _, case_id in reused}
    there = event_log.known(connection, candidates)[0] if candidates else {}
    scribe.cases.update(there)
    for each in decided:
        scribe.put(each.incoming.head, each.decision, each.shop)
        for case in each.cases:
            scribe.open_case(each.incoming.head.store_id, case, each.shop)
    for head, first, case_id in reused:
        details = {"first": first, "second": head.fingerprint, "type": head.type, "refused": head.data}
        case = Case("id_reuse", "", (head.event_id,), None, details)
        scribe.open_case(head.store_id, case, _shop(book, head.store_id), case_id)
        if case_id in there:
            result.reopened.append(there[case_id][0])
    result.recorded = scribe.events
    result.reopened += event_log.sequels(connection, result.repeated, CaseOpened.type)
    _save_definitions(connection, [each.incoming for each in decided if each.decision.outcome == "recorded"])
    by_id = {event.event_id: event for event in scribe.events}
    changed = [statement for chapter in CHAPTERS for statement in chapter.writes(book, by_id)]
    if scribe.events:
        changed.insert(0, store.save_statement(book, scribe.events, scribe.fingerprints))
    if changed or commit:
        together(connection, changed, commit=commit)


class _Scribe:
    """Gives each event the next sequence number of its store and its place in time."""

    def __init__(self, heads: dict[str, store.Head], now: datetime) -> None:
        self.events: list[Recorded] = []
        self.fingerprints: list[str] = []
        self.cases: set[UUID] = set()
        self._seq = {store_id: head.seq for store_id, head in heads.items()}
        # A store's instants of recording never run backwards, whichever writer's clock they come from.
        self._now = {store_id: max(now, head.recorded_at or now) for store_id, head in heads.items()}

    def put(self, head: Accepted, decision: Decision, shop: Shop) -> None:
        self._seq[head.store_id] += 1
        self.fingerprints.append(head.fingerprint)
        local_at = shop.local(head.effective_at)
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
                local_at=local_at,
                business_date=shop.business_date(local_at),
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

    def open_case(self, store_id: str, case: Case, shop: Shop, case_id: UUID | None = None) -> None:
        """Append the case unless the log or this batch has it already."""
        event_id = case_id or case_id_of(case.key)
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
            shop,
        )


def _save_definitions(connection: Connection, recorded: Iterable[Incoming]) -> None:
    for each in recorded:
        if isinstance(each.event, StoreDefined):
            store.save_store(connection, each.head.store_id, each.event)
        elif isinstance(each.event, ProductStocked):
            store.save_stocked(connection, each.head.store_id, each.event)
