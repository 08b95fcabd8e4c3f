"""How are a shop, a product, and a product in a shop from now on?"""

from typing import Annotated, Literal

from pydantic import Field

from events.base import Event, Shape
from events.fields import Barcode, Currency, DayEnds, Money, Oversell, SkuField, StoreIdField, Text, Timezone

Threshold = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]


class Bilingual(Shape):
    """The same text in French, which the shops read first, and English."""

    fr: Text
    en: Text


class StoreDetails(Shape):
    """A shop or a logistics centre.

    `centre` is where a shop asks for restocks; `oversell` what happens when stock runs short; `day_ends` how long after midnight a sale
    still belongs to the day before.
    """

    name: Text
    kind: Literal["store", "centre"] = "store"
    timezone: Timezone = "America/Toronto"
    currency: Currency = "CAD"
    centre: StoreIdField | None = None
    oversell: Oversell = "allow"
    day_ends: DayEnds = "00:00"


class StoreDefined(StoreDetails, Event, type="store.defined"):
    """A shop opened, or its description changed."""


class ProductDetails(Shape):
    """A product as every shop of the chain knows it."""

    name: Bilingual
    category: Bilingual
    price: Money
    barcode: Barcode | None = None
    active: bool = Field(default=True, strict=True)


class ProductDefined(ProductDetails, Event, type="product.defined"):
    """A product entered the catalogue, or its description changed."""

    sku: SkuField


class StockedDetails(Shape):
    """What one shop wants of one product: below `reorder_point` it asks for more, up to `target_level`; `price` overrides the chain's."""

    reorder_point: Threshold | None = None
    target_level: Threshold | None = None
    price: Money | None = None


class ProductStocked(StockedDetails, Event, type="product.stocked"):
    """A shop set its own limits and price for a product."""

    sku: SkuField
