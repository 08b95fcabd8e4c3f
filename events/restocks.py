"""What happens to goods that one shop asks of another? They are asked for, granted or not, shipped, and received in one go or in several.

Every fact names the restock and both stores. It belongs to the store that acts: who asks, cancels and receives is `to_store`, who
approves, rejects and ships is `from_store`.
"""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from events.base import Event, Shape
from events.fields import MAX_LINES, Counted, Note, Quantity, SkuField, StoreIdField, Text


class AskedLine(Shape):
    """Units of one SKU that a shop asks for. A SKU on several lines is asked for in the sum of them, here and in all that follows."""

    sku: SkuField
    quantity: Quantity


class GrantedLine(Shape):
    """Units of one SKU that are approved or shipped: as many as asked for, fewer, or none."""

    sku: SkuField
    quantity: Counted


class ReceivedLine(Shape):
    """Units of one SKU that arrived: `received` in good order, and `damaged` ones besides."""

    sku: SkuField
    received: Counted
    damaged: Counted = 0


class AskedDetails(Shape):
    """What is wanted, and why."""

    note: Note | None = None
    lines: Annotated[tuple[AskedLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class ApprovedDetails(Shape):
    """How much is granted. A SKU that isn't named is granted as it was asked for."""

    lines: Annotated[tuple[GrantedLine, ...], Field(max_length=MAX_LINES)] = ()


class ReasonDetails(Shape):
    """Why nothing comes of it."""

    reason: Text


class ShippedDetails(Shape):
    """What left. A SKU that isn't named stayed."""

    lines: Annotated[tuple[GrantedLine, ...], Field(min_length=1, max_length=MAX_LINES)]


class ReceivedDetails(Shape):
    """What arrived. With `close` nothing more is expected: the rest is missing."""

    note: Note | None = None
    lines: Annotated[tuple[ReceivedLine, ...], Field(max_length=MAX_LINES)] = ()
    close: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.lines and not self.close:
            kind = "empty_receipt"
            raise PydanticCustomError(kind, "neither goods nor an end")
        return self


class Way(Shape):
    """Which restock, and its way."""

    restock_id: UUID
    from_store: StoreIdField
    to_store: StoreIdField

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if self.from_store == self.to_store:
            kind = "same_store"
            raise PydanticCustomError(kind, "a store can't send to itself")
        return self


class RestockRequested(Way, AskedDetails, Event, type="restock.requested"):
    """A shop asked another store, usually its logistics centre, for goods."""


class RestockApproved(Way, ApprovedDetails, Event, type="restock.approved"):
    """The other store will send them, or some of them."""


class RestockRejected(Way, ReasonDetails, Event, type="restock.rejected"):
    """The other store won't send anything."""


class RestockCancelled(Way, ReasonDetails, Event, type="restock.cancelled"):
    """The shop wants nothing any more; nothing had left yet."""


class RestockShipped(Way, ShippedDetails, Event, type="restock.shipped"):
    """Goods left the other store and are in transit."""


class RestockReceived(Way, ReceivedDetails, Event, type="restock.received"):
    """Goods of a restock arrived."""


OfRestock = RestockRequested | RestockApproved | RestockRejected | RestockCancelled | RestockShipped | RestockReceived
"""Any fact about a restock."""
