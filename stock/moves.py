"""Which units does a recorded fact move, from which instant on?

The one place that says so: the rules take it when they decide, and verification takes it when it reads the log again. What is refused moves
nothing, and a void moves the lines of its sale: that is said by whoever knows the outcome, or the sale.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import singledispatch
from uuid import UUID

from events.base import Event
from events.fields import Sku
from events.restocks import RestockReceived, RestockShipped
from events.sales import SaleRecorded, SaleReturned
from events.stock import DeliveryReceived, StockAdjusted, StockCounted
from schemas.envelope import Accepted, Recorded
from stock.counting import findings
from stock.rules import Movement

Head = Accepted | Recorded


@singledispatch
def moves(event: Event, head: Head) -> tuple[Movement, ...]:
    """The movements of an event, line by line; most types have none."""
    del event, head
    return ()


@moves.register
def _sold(event: SaleRecorded, head: Head) -> tuple[Movement, ...]:
    return tuple(Movement(line.sku, head.effective_at, head.event_id, n, delta=-line.quantity) for n, line in enumerate(event.lines))


@moves.register
def _returned(event: SaleReturned, head: Head) -> tuple[Movement, ...]:
    """What can be sold again is on hand again, at the instant of the return."""
    return tuple(
        Movement(line.sku, head.effective_at, head.event_id, n, delta=line.quantity)
        for n, line in enumerate(event.lines)
        if line.condition == "resellable"
    )


@moves.register
def _adjusted(event: StockAdjusted, head: Head) -> tuple[Movement, ...]:
    return tuple(Movement(line.sku, head.effective_at, head.event_id, n, delta=line.delta) for n, line in enumerate(event.lines))


@moves.register
def _delivered(event: DeliveryReceived, head: Head) -> tuple[Movement, ...]:
    return tuple(Movement(line.sku, head.effective_at, head.event_id, n, delta=line.quantity) for n, line in enumerate(event.lines))


@moves.register
def _counted(event: StockCounted, head: Head) -> tuple[Movement, ...]:
    """Each SKU from its own instant."""
    found = findings(event, head)
    return tuple(Movement(each.sku, each.at, head.event_id, n, counted=each.quantity) for n, each in enumerate(found))


@moves.register
def _shipped(event: RestockShipped, head: Head) -> tuple[Movement, ...]:
    return _of_restock(head, ((each.sku, -each.quantity) for each in event.lines))


@moves.register
def _received(event: RestockReceived, head: Head) -> tuple[Movement, ...]:
    """Damaged goods are on nobody's shelf."""
    return _of_restock(head, ((each.sku, each.received) for each in event.lines))


def undone(lines: Iterable[tuple[Sku, int]], sold_at: datetime, void_id: UUID) -> tuple[Movement, ...]:
    """What a void moves: the (SKU, units) of its sale are back at the instant at which they left."""
    return tuple(Movement(sku, sold_at, void_id, n, delta=units) for n, (sku, units) in enumerate(lines))


def _of_restock(head: Head, deltas: Iterable[tuple[Sku, int]]) -> tuple[Movement, ...]:
    return tuple(Movement(sku, head.effective_at, head.event_id, n, delta=delta) for n, (sku, delta) in enumerate(deltas) if delta)
