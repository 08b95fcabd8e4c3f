"""What may a client ask? The bodies of the commands: the details of a fact, plus its own id and instant."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from events.base import Shape
from events.cases import ResolutionDetails
from events.catalogue import ProductDetails, StockedDetails, StoreDetails
from events.fields import MAX_LINES, Instant, StoreIdField
from events.restocks import ApprovedDetails, AskedDetails, GrantedLine, ReasonDetails, ReceivedDetails
from events.sales import ReturnDetails, SaleDetails, VoidDetails
from events.stock import AdjustmentDetails, CountDetails, DeliveryDetails
from events.tills import WaiverDetails

MAX_BATCH = 500


class RecordSale(SaleDetails):
    """A sale that happened. Without `sale_id` the Idempotency-Key names it; without `occurred_at` it happened now."""

    sale_id: UUID | None = None
    occurred_at: Instant | None = None


class RecordSales(Shape):
    """Many sales at once; each is checked by itself, and the valid ones are taken."""

    sales: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH)]


class ReturnGoods(ReturnDetails):
    """Goods that came back. With `occurred_at` it is reported afterwards: then more than was sold is recorded and opens a case."""

    return_id: UUID | None = None
    occurred_at: Instant | None = None


class VoidSale(VoidDetails):
    """A sale that never happened."""

    void_id: UUID | None = None
    occurred_at: Instant | None = None


class AdjustStock(AdjustmentDetails):
    """Stock that was found to have changed."""

    change_id: UUID | None = None
    occurred_at: Instant | None = None


class CountStock(CountDetails):
    """What lay on the shelves at `counted_at` (now, when it isn't given); a line may tell its own instant."""

    count_id: UUID | None = None
    counted_at: Instant | None = None


class ReceiveDelivery(DeliveryDetails):
    """Goods that a supplier brought."""

    delivery_id: UUID | None = None
    occurred_at: Instant | None = None


class ResolveCase(ResolutionDetails):
    """How a case is settled. Without `resolution_id` the Idempotency-Key names it."""

    resolution_id: UUID | None = None


class WaiveNumbers(WaiverDetails):
    """Numbers of a till for which nobody waits any more. Without `waiver_id` the Idempotency-Key names it."""

    waiver_id: UUID | None = None


class RequestRestock(AskedDetails):
    """What a shop asks of another store; without `from_store`, of its logistics centre. The `restock_id` names it from then on."""

    restock_id: UUID | None = None
    occurred_at: Instant | None = None
    to_store: StoreIdField
    from_store: StoreIdField | None = None


class ApproveRestock(ApprovedDetails):
    """How much is granted: without `lines`, and for each SKU that they don't name, what was asked for."""

    occurred_at: Instant | None = None


class RejectRestock(ReasonDetails):
    """Why nothing will be sent."""

    occurred_at: Instant | None = None


class CancelRestock(ReasonDetails):
    """Why nothing is wanted any more."""

    occurred_at: Instant | None = None


class ShipRestock(Shape):
    """What left: without `lines` all that was approved, else only what they name."""

    occurred_at: Instant | None = None
    lines: Annotated[tuple[GrantedLine, ...] | None, Field(min_length=1, max_length=MAX_LINES)] = None


class ReceiveRestock(ReceivedDetails):
    """What arrived this time. With `close` nothing more is expected: the rest is missing."""

    receipt_id: UUID | None = None
    occurred_at: Instant | None = None


class DefineStore(StoreDetails):
    """How a shop is from now on."""


class DefineProduct(ProductDetails):
    """How a product is from now on."""


class StockProduct(StockedDetails):
    """A shop's own limits and price for a product from now on."""
