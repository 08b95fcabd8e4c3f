"""What moves stock without a customer? An adjustment, a count, a delivery."""

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from events.base import Event, Shape
from events.fields import MAX_LINES, Counted, Delta, Instant, Money, Note, Quantity, SkuField, Text

AdjustmentReason = Literal["correction", "damaged", "theft", "expired", "promotion", "supplier_return", "found", "other"]


class AdjustmentLine(Shape):
    """`delta` units more (or, negative, fewer) of one SKU."""

    sku: SkuField
    delta: Delta

    @field_validator("delta")
    @classmethod
    def _moves_something(cls, delta: int) -> int:
        if delta == 0:
            kind = "zero_delta"
            raise PydanticCustomError(kind, "a change of nothing")
        return delta


class AdjustmentDetails(Shape):
    """Why stock changed, and by how much."""

    reason: AdjustmentReason
    note: Note | None = None
    lines: Annotated[tuple[AdjustmentLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class StockAdjusted(AdjustmentDetails, Event, type="stock.adjusted"):
    """Someone found that stock had changed outside of sales and deliveries."""


class CountLine(Shape):
    """How many units of one SKU were on the shelf, at an instant of its own when the shop went on selling meanwhile."""

    sku: SkuField
    counted: Counted
    counted_at: Instant | None = None


class CountDetails(Shape):
    """What was found on the shelves. `blind`: whoever counted wasn't told what was expected."""

    note: Note | None = None
    blind: Annotated[bool, Field(strict=True)] = False
    lines: Annotated[tuple[CountLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class StockCounted(CountDetails, Event, type="stock.counted"):
    """Someone counted: from that instant on the count is the truth."""


class DeliveryLine(Shape):
    """Units of one SKU that a supplier brought, and what one unit cost."""

    sku: SkuField
    quantity: Quantity
    unit_cost: Money | None = None


class DeliveryDetails(Shape):
    """Who delivered what, on which document."""

    supplier: Text
    document: Text | None = None
    lines: Annotated[tuple[DeliveryLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class DeliveryReceived(DeliveryDetails, Event, type="delivery.received"):
    """Goods arrived from outside the chain."""
