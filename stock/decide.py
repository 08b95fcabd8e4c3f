"""What does each kind of event do to stock, and which ones contradict what is known?

One pure function a type. What happened is recorded even when it contradicts the book: goods that left are gone, and a case says so.
Refused is only what asks to be refused (`if_insufficient`, `enforce`), and a second void of one sale. Voids and returns may arrive
before their sale: they wait in the book, and the sale settles them when it comes, so any order of arrival ends the same.
"""

from collections import Counter
from datetime import date, datetime
from functools import singledispatch
from typing import Any
from uuid import UUID

from events.base import Event
from events.catalogue import ProductDefined, ProductStocked, StoreDefined
from events.fields import Sku
from events.sales import SaleLine, SaleRecorded, SaleReturned, SaleVoided
from events.stock import DeliveryReceived, StockAdjusted, StockCounted
from schemas.envelope import Accepted, instant_text
from stock.book import Book, Case, Decision, Sale, Shop, SoldLine, Unpriced
from stock.costing import Cost, averaged, bought, effect_of, in_cents
from stock.counting import Found, findings
from stock.moves import moves, undone
from stock.numbering import same_number
from stock.rules import Movement

NOTHING_TO_DO = Decision()


class NoRule(LookupError):
    """An event type reached the writer that no rule knows."""


@singledispatch
def decide(event: Event, head: Accepted, book: Book) -> Decision:
    """The decision about one event. Sales and shops in the book are kept current; `Book.apply` moves the levels afterwards."""
    del head, book
    message = f"no rule for {type(event).__name__}"
    raise NoRule(message)


@decide.register
def record_sale(event: SaleRecorded, head: Accepted, book: Book) -> Decision:
    """Goods left. Only a sale (or a shop) that asks for it is refused for want of stock."""
    sale = book.sale(head.store_id, head.event_id)
    if sale.voided_by is None and (event.if_insufficient or book.shops[head.store_id].oversell) == "refuse":
        short = _short(event, head, book)
        if short:
            return Decision(outcome="refused", reason="insufficient_stock", effect={"available": short})
    sale.effective_at = head.effective_at
    sale.local_at, sale.business_date = _clock(head, book)
    sale.lines = sold_lines(event.lines)
    movements = moves(event, head)
    effect = _settled(sale)
    if sale.voided_by is not None:
        movements += _undone(sale, sale.voided_by)
    cases = (*_over_returned(sale, head.event_id, (head.event_id,)), *same_number(event, head, book))
    return Decision(movements=movements, effect=effect, cases=cases)


@decide.register
def void_sale(event: SaleVoided, head: Accepted, book: Book) -> Decision:
    """The sale never happened: its goods are back at the instant they left."""
    sale = book.sale(head.store_id, event.sale_id)
    if sale.voided_by is not None:
        return Decision(outcome="refused", reason="already_voided")
    if event.enforce and any(sale.returned.values()):
        return Decision(outcome="refused", reason="already_returned")
    sale.voided_by = head.event_id
    cases = _over_returned(sale, event.sale_id, (event.sale_id, head.event_id))
    if sale.lines is None or sale.local_at is None or sale.business_date is None:
        return Decision(cases=cases)
    lines = [{"sku": line.sku, "quantity": line.quantity, "total_cents": line.total_cents} for line in sale.lines]
    clock = {"local_at": sale.local_at.isoformat(), "business_date": sale.business_date.isoformat()}
    return Decision(movements=_undone(sale, head.event_id), effect={"sale": {**clock, "lines": lines}}, cases=cases)


@decide.register
def return_goods(event: SaleReturned, head: Accepted, book: Book) -> Decision:
    """Goods came back: resellable ones are on hand again, at the instant of the return."""
    sale = book.sale(head.store_id, event.sale_id)
    wanted = Counter[Sku]()
    for line in event.lines:
        wanted[line.sku] += line.quantity
    if event.enforce and sale.lines is not None:
        left = _returnable(sale)
        if any(quantity > left.get(sku, 0) for sku, quantity in wanted.items()):
            return Decision(outcome="refused", reason="over_return", effect={"returnable": {sku: left.get(sku, 0) for sku in wanted}})
    for sku, quantity in wanted.items():
        sale.returned[sku] += quantity
    lines: list[dict[str, Any]] = [
        {"sku": line.sku, "quantity": line.quantity, "refund_cents": None if line.refund is None else in_cents(line.refund)}
        for line in event.lines
    ]
    if sale.lines is None:
        sale.unpriced.append(Unpriced(head.event_id, *_clock(head, book), lines))
    else:
        lines = _priced(sale, lines)
    cases = _over_returned(sale, event.sale_id, (event.sale_id, head.event_id))
    return Decision(movements=moves(event, head), effect={"lines": lines}, cases=cases)


@decide.register
def adjust_stock(event: StockAdjusted, head: Accepted, book: Book) -> Decision:
    """Stock changed by what was found."""
    del book
    return Decision(movements=moves(event, head))


@decide.register
def receive_delivery(event: DeliveryReceived, head: Accepted, book: Book) -> Decision:
    """Goods arrived. What of the deliveries before them has left the shelf no longer counts in what a unit costs."""
    left: dict[Sku, Cost] = {}
    for sku, paid in bought(event.lines).items():
        cell = (head.store_id, sku)
        book.costs[cell], left[sku] = averaged(book.costs.get(cell), book.level(*cell).on_hand, paid)
    return Decision(movements=moves(event, head), effect=effect_of(left))


@decide.register
def count_stock(event: StockCounted, head: Accepted, book: Book) -> Decision:
    """What was counted is on hand from then on, each SKU from its own instant. Far from what was expected, it is a case."""
    found = findings(event, head)
    return Decision(movements=moves(event, head), cases=tuple(case for each in found for case in _off(each, head, book)))


@decide.register
def define_store(event: StoreDefined, head: Accepted, book: Book) -> Decision:
    """The shop is like this from now on."""
    book.shops[head.store_id] = Shop.of(event.timezone, event.oversell, event.day_ends)
    return NOTHING_TO_DO


@decide.register
def define_product(event: ProductDefined, head: Accepted, book: Book) -> Decision:
    """Nothing moves; the product is known to what follows in the batch."""
    del head
    book.unknown_skus.discard(event.sku)
    return NOTHING_TO_DO


@decide.register
def stock_product(event: ProductStocked, head: Accepted, book: Book) -> Decision:
    """Nothing moves: the shop has other limits from now on."""
    del event, head, book
    return NOTHING_TO_DO


def sold_lines(lines: tuple[SaleLine, ...]) -> list[SoldLine]:
    """The lines of a sale with what was paid for each, in cents."""
    return [SoldLine(line.sku, line.quantity, in_cents(line.total)) for line in lines]


def _clock(head: Accepted, book: Book) -> tuple[datetime, date]:
    shop = book.shops[head.store_id]
    local_at = shop.local(head.effective_at)
    return local_at, shop.business_date(local_at)


def _short(event: SaleRecorded, head: Accepted, book: Book) -> dict[Sku, int]:
    wanted = Counter[Sku]()
    for line in event.lines:
        wanted[line.sku] += line.quantity
    on_hand = {sku: book.level(head.store_id, sku).on_hand for sku in wanted}
    return {sku: on_hand[sku] for sku, quantity in wanted.items() if on_hand[sku] < quantity}


def _undone(sale: Sale, void_id: UUID) -> tuple[Movement, ...]:
    at = sale.effective_at
    if at is None or sale.lines is None:
        return ()
    return undone(((line.sku, line.quantity) for line in sale.lines), at, void_id)


def _off(found: Found, head: Accepted, book: Book) -> tuple[Case, ...]:
    """One case a count and SKU, with what was expected when the count was recorded; sales that come later may explain it."""
    expected = book.expected((head.store_id, found.sku), found.at, head.event_id)
    if expected is None or not book.tolerance.exceeded(expected, found.quantity):
        return ()
    figures = {"expected": expected, "counted": found.quantity, "variance": found.quantity - expected}
    details = {**figures, "counted_at": instant_text(found.at)}
    return (Case("count_variance", f"{head.event_id}|count_variance|{found.sku}", (head.event_id,), found.sku, details),)


def _sold(sale: Sale) -> tuple[Counter[Sku], Counter[Sku]]:
    units, paid = Counter[Sku](), Counter[Sku]()
    for line in sale.lines or ():
        units[line.sku] += line.quantity
        paid[line.sku] += line.total_cents
    return units, paid


def _returnable(sale: Sale) -> dict[Sku, int]:
    if sale.voided_by is not None:
        return {}
    return {sku: max(0, sold - sale.returned.get(sku, 0)) for sku, sold in _sold(sale)[0].items()}


def _priced(sale: Sale, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each line with its refund: what was given back, else its share of what was paid, rounded half up to the cent."""
    units, paid = _sold(sale)

    def share(sku: Sku, quantity: int) -> int:
        sold = units.get(sku, 0)
        return (2 * paid[sku] * quantity + sold) // (2 * sold) if sold else 0

    return [line if line["refund_cents"] is not None else {**line, "refund_cents": share(line["sku"], line["quantity"])} for line in lines]


def _settled(sale: Sale) -> dict[str, Any] | None:
    """What a sale that arrives late settles: the void that waited for it, and refunds whose price only the sale tells."""
    effect: dict[str, Any] = {}
    if sale.voided_by is not None:
        effect["voided_by"] = str(sale.voided_by)
    refunds = []
    for return_id, local_at, business_date, lines in sale.unpriced:
        priced = [
            {"sku": after["sku"], "refund_cents": after["refund_cents"]}
            for before, after in zip(lines, _priced(sale, lines), strict=True)
            if before["refund_cents"] is None
        ]
        if priced:
            clock = {"local_at": local_at.isoformat(), "business_date": business_date.isoformat()}
            refunds.append({"return_id": str(return_id), **clock, "lines": priced})
    if refunds:
        effect["refunds"] = refunds
    return effect or None


def _over_returned(sale: Sale, sale_id: UUID, events: tuple[UUID, ...]) -> tuple[Case, ...]:
    """More came back than was sold (or anything of a voided sale). One case a sale and SKU."""
    if sale.lines is None or not sale.returned:
        return ()
    sold = Counter[Sku]() if sale.voided_by is not None else _sold(sale)[0]
    return tuple(
        Case("over_return", f"{sale_id}|over_return|{sku}", events, sku, {"sold": sold.get(sku, 0), "returned": returned})
        for sku, returned in sale.returned.items()
        if returned > sold.get(sku, 0)
    )
