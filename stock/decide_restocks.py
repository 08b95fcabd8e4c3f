"""Which step may a restock take next, and what does it move?

    requested → approved → shipped → partially_received → received        requested → rejected        requested, approved → cancelled

Who decides first wins: any step that the status doesn't allow is refused as `wrong_state`, with the state. Goods are another matter:
what arrives is on hand, even after closing or beyond what was shipped, and a case says so.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from events.fields import Sku
from events.restocks import (
    GrantedLine,
    OfRestock,
    RestockApproved,
    RestockCancelled,
    RestockReceived,
    RestockRejected,
    RestockRequested,
    RestockShipped,
)
from schemas.envelope import Accepted
from stock.book import Book, Case, Decision
from stock.decide import decide
from stock.moves import moves
from stock.restock import Line, Restock, Status
from stock.rules import Movement


@decide.register
def request_restock(event: RestockRequested, head: Accepted, book: Book) -> Decision:
    """A shop asks; nothing moves."""
    if event.restock_id in book.restocks:
        return _wrong_state(book.restocks[event.restock_id])
    if head.store_id != event.to_store:
        return Decision(outcome="refused", reason="wrong_store")
    restock = Restock(event.restock_id, event.from_store, event.to_store, head.actor, head.effective_at, note=event.note, is_new=True)
    for asked in event.lines:
        restock.lines.setdefault(asked.sku, Line()).requested += asked.quantity
    book.restocks[event.restock_id] = restock
    return _moved_on(restock, head, "requested")


@decide.register
def approve_restock(event: RestockApproved, head: Accepted, book: Book) -> Decision:
    """As many as asked for, or fewer; nothing moves."""
    refusal = _refusal(event, head, book, acting=event.from_store, allowed=("requested",))
    if refusal:
        return refusal
    restock = book.restocks[event.restock_id]
    granted = _units(event.lines)
    beyond = _beyond(granted, {sku: line.requested for sku, line in restock.lines.items()})
    if beyond:
        return _exceeds(restock, beyond)
    for sku, line in restock.lines.items():
        line.approved = granted.get(sku, line.requested)
    return _moved_on(restock, head, "approved")


@decide.register
def reject_restock(event: RestockRejected, head: Accepted, book: Book) -> Decision:
    """Nothing will be sent."""
    refusal = _refusal(event, head, book, acting=event.from_store, allowed=("requested",))
    if refusal:
        return refusal
    restock = book.restocks[event.restock_id]
    restock.reason = event.reason
    return _moved_on(restock, head, "rejected")


@decide.register
def cancel_restock(event: RestockCancelled, head: Accepted, book: Book) -> Decision:
    """The shop wants nothing any more; too late once goods have left."""
    refusal = _refusal(event, head, book, acting=event.to_store, allowed=("requested", "approved"))
    if refusal:
        return refusal
    restock = book.restocks[event.restock_id]
    restock.reason = event.reason
    return _moved_on(restock, head, "cancelled")


@decide.register
def ship_restock(event: RestockShipped, head: Accepted, book: Book) -> Decision:
    """Goods leave the sender, whatever it has by the book, and are in transit."""
    refusal = _refusal(event, head, book, acting=event.from_store, allowed=("approved",))
    if refusal:
        return refusal
    restock = book.restocks[event.restock_id]
    shipped = _units(event.lines)
    beyond = _beyond(shipped, {sku: line.approved for sku, line in restock.lines.items()})
    if beyond:
        return _exceeds(restock, beyond)
    if not any(shipped.values()):
        return Decision(outcome="refused", reason="nothing_to_ship", effect={"state": restock.status})
    for sku, units in shipped.items():
        restock.lines[sku].shipped = units
    return _moved_on(restock, head, "shipped", movements=moves(event, head))


@decide.register
def receive_restock(event: RestockReceived, head: Accepted, book: Book) -> Decision:
    """Goods arrive: what is in good order is on hand. Damaged, missing, surplus and late ones become cases."""
    goods = any(each.received or each.damaged for each in event.lines)
    allowed: tuple[Status, ...] = ("shipped", "partially_received", "received") if goods else ("shipped", "partially_received")
    refusal = _refusal(event, head, book, acting=event.to_store, allowed=allowed)
    if refusal:
        return refusal
    restock = book.restocks[event.restock_id]
    late = restock.closed
    missing = restock.arrive(((each.sku, each.received, each.damaged) for each in event.lines), close=event.close)
    return _moved_on(
        restock,
        head,
        restock.status,
        movements=moves(event, head),
        missing=missing,
        cases=_receipt_cases(event, restock, head.event_id, late=late),
    )


def _refusal(event: OfRestock, head: Accepted, book: Book, *, acting: str, allowed: tuple[Status, ...]) -> Decision | None:
    """Why this step can't be taken; None when it can."""
    restock = book.restocks.get(event.restock_id)
    if restock is None:
        return Decision(outcome="refused", reason="unknown_restock")
    if head.store_id != acting or (event.from_store, event.to_store) != (restock.from_store, restock.to_store):
        return Decision(outcome="refused", reason="wrong_store")
    return None if restock.status in allowed else _wrong_state(restock)


def _wrong_state(restock: Restock) -> Decision:
    return Decision(outcome="refused", reason="wrong_state", effect={"state": restock.status})


def _exceeds(restock: Restock, most: Mapping[Sku, int]) -> Decision:
    return Decision(outcome="refused", reason="exceeds_restock", effect={"state": restock.status, "most": dict(most)})


def _moved_on(  # noqa: PLR0913 - what a step leaves behind, in one place
    restock: Restock,
    head: Accepted,
    status: Status,
    *,
    movements: tuple[Movement, ...] = (),
    missing: Mapping[Sku, int] | None = None,
    cases: tuple[Case, ...] = (),
) -> Decision:
    restock.status = status
    restock.changed_by = head.event_id
    effect = {"state": status, "missing": dict(missing)} if missing else {"state": status}
    return Decision(movements=movements, effect=effect, cases=cases)


def _units(lines: Iterable[GrantedLine]) -> Counter[Sku]:
    units = Counter[Sku]()
    for line in lines:
        units[line.sku] += line.quantity
    return units


def _beyond(wanted: Mapping[Sku, int], most: Mapping[Sku, int]) -> dict[Sku, int]:
    """The most that there may be of those SKUs of which more is wanted; 0 of one that isn't in the restock."""
    return {sku: most.get(sku, 0) for sku, units in wanted.items() if sku not in most or units > most[sku]}


def _receipt_cases(event: RestockReceived, restock: Restock, receipt_id: UUID, *, late: bool) -> tuple[Case, ...]:
    """What is wrong with a receipt, SKU by SKU. More than was shipped is as late as what comes after closing: it was complete before."""
    events = (restock.restock_id, receipt_id)
    arrived, damaged = Counter[Sku](), Counter[Sku]()
    for each in event.lines:
        arrived[each.sku] += each.received + each.damaged
        damaged[each.sku] += each.damaged
    cases = []
    for sku, line in restock.lines.items():
        details = _details(restock, line) | {"arrived": arrived[sku]}
        if damaged[sku]:
            cases.append(Case("damaged_receipt", f"{receipt_id}|damaged_receipt|{sku}", events, sku, details | {"broken": damaged[sku]}))
        if arrived[sku] and (late or line.surplus):
            cases.append(Case("late_receipt", f"{receipt_id}|late_receipt|{sku}", events, sku, details))
        if line.missing and not late:
            cases.append(Case("short_receipt", f"{restock.restock_id}|short_receipt|{sku}", events, sku, details))
    return tuple(cases)


def _details(restock: Restock, line: Line) -> dict[str, str | int]:
    told = {"shipped": line.shipped, "received": line.received, "damaged": line.damaged, "missing": line.missing, "surplus": line.surplus}
    return {"restock_id": str(restock.restock_id), "from_store": restock.from_store, **told}
