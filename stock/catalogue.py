"""Which stores and products are there?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from stock.store import search_form
from stock.tables import product, store


@dataclass(frozen=True, slots=True)
class Wanted:
    """What products are looked for by; None doesn't matter. Every word of `search` must be found somewhere in the product."""

    search: str | None = None
    category: str | None = None
    barcode: str | None = None
    sku: str | None = None


def stores(connection: Connection, only: Collection[str] | None, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Stores by id; `only` None means all."""
    statement = select(store).order_by(store.c.store_id).limit(limit)
    if only is not None:
        statement = statement.where(store.c.store_id.in_(sorted(only)))
    if after:
        statement = statement.where(store.c.store_id > after[0])
    return [dict(row) for row in connection.execute(statement).mappings()]


def products(connection: Connection, wanted: Wanted, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Products by SKU."""
    statement = select(product).order_by(product.c.sku).limit(limit)
    for word in search_form(wanted.search or "").split():
        statement = statement.where(product.c.search_text.contains(word, autoescape=True))
    if wanted.category is not None:
        category = wanted.category.casefold()
        statement = statement.where(
            product.c.search_text.contains(search_form(category), autoescape=True),
            (product.c.category_fr.icontains(category, autoescape=True)) | (product.c.category_en.icontains(category, autoescape=True)),
        )
    if wanted.barcode is not None:
        statement = statement.where(product.c.barcode == wanted.barcode)
    if wanted.sku is not None:
        statement = statement.where(product.c.sku == wanted.sku)
    if after:
        statement = statement.where(product.c.sku > after[0])
    return [_product(row) for row in connection.execute(statement)]


def _product(row: Row[Any]) -> dict[str, Any]:
    return {
        "sku": row.sku,
        "name": {"fr": row.name_fr, "en": row.name_en},
        "category": {"fr": row.category_fr, "en": row.category_en},
        "price": f"{row.price:.2f}",
        "barcode": row.barcode,
        "active": row.active,
    }
