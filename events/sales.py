"""What can happen to a sale? It is recorded at a till, voided (it never happened), or some of its goods come back."""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from events.base import Event, Shape
from events.fields import MAX_LINES, Money, Note, Oversell, Quantity, SkuField, Text, TillId, TillSequence


class SaleLine(Shape):
    """One SKU of a sale. `line_total` counts when it is given: real tills round it on their own."""

    sku: SkuField
    quantity: Quantity
    unit_price: Money
    line_total: Money | None = None

    @property
    def total(self) -> Decimal:
        """What the customer paid for the line, in the store's currency."""
        return self.quantity * self.unit_price if self.line_total is None else self.line_total


class Payment(Shape):
    """How the customer paid; `tendered` is the cash that was handed over."""

    method: Literal["cash", "card", "other"]
    tendered: Money | None = None


class SaleDetails(Shape):
    """What a till says of a sale, and what the log keeps of it."""

    till_id: TillId | None = None
    till_seq: TillSequence | None = None
    lines: Annotated[tuple[SaleLine, ...], Field(min_length=1, max_length=MAX_LINES)]
    payment: Payment | None = None
    if_insufficient: Oversell | None = None


class SaleRecorded(SaleDetails, Event, type="sale.recorded"):
    """Goods left the shop against payment."""


class VoidDetails(Shape):
    """Why a sale never happened."""

    reason: Text


class SaleVoided(VoidDetails, Event, type="sale.voided"):
    """A sale was undone at its own instant: it never happened."""

    sale_id: UUID
    enforce: bool = False


class ReturnLine(Shape):
    """Goods that came back. Without `refund` the price paid is given back."""

    sku: SkuField
    quantity: Quantity
    condition: Literal["resellable", "damaged"]
    refund: Money | None = None


class ReturnDetails(Shape):
    """What came back, and why."""

    reason: Text
    note: Note | None = None
    lines: Annotated[tuple[ReturnLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class SaleReturned(ReturnDetails, Event, type="sale.returned"):
    """Goods of an earlier sale came back, now. `enforce`: refuse what exceeds the sale (the customer is still there)."""

    sale_id: UUID
    enforce: bool = False
