"""Which stores and products are there?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select, text

from stock.store import search_form
from stock.tables import product, store

TRIGRAM = 3
FIRST_LOOK = 3_000
# From one category to the next by the index: 20 probes for 68,509 products.
_EVERY_CATEGORY = text("""
    WITH RECURSIVE category AS (
        (SELECT category_fr AS fr, category_en AS en FROM product ORDER BY category_fr LIMIT 1)
        UNION ALL
        SELECT following.fr, following.en
        FROM category CROSS JOIN LATERAL (
            SELECT category_fr AS fr, category_en AS en FROM product WHERE category_fr > category.fr ORDER BY category_fr LIMIT 1
        ) AS following
    )
    SELECT fr, en FROM category
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What products are looked for by; None doesn't matter.

    `category` is its whole name, French or English. Every word of `search` must be found in the product (see `holding`).
    """

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


def holding(words: str | None, text_column: ColumnElement[str] = product.c.search_text) -> list[ColumnElement[bool]]:
    """The conditions for products that hold every one of these words, anywhere in their own.

    One or two letters or digits must begin a word: in the middle of words they would say little, and have no trigram for the index
    (200 ms). The point of ``3.2`` ends a run of digits there.
    """
    found = search_form(words or "").split()
    return [text_column.contains(word if max(map(len, word.split("."))) >= TRIGRAM else f" {word}", autoescape=True) for word in found]


def products(connection: Connection, wanted: Wanted, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Products by SKU.

    Words that are in many products are found among the first ones; if there aren't enough, the words are rare, and the index finds all
    that there are. Left to choose between the two by its statistics, PostgreSQL took 60 ms for a rare word of 68,509 products.
    """
    conditions = _conditions(connection, wanted)
    if after:
        conditions.append(product.c.sku > after[0])
    if not search_form(wanted.search or ""):
        return _found(connection, select(product).where(*conditions).order_by(product.c.sku).limit(limit))
    first = select(product).where(*conditions).order_by(product.c.sku).limit(FIRST_LOOK).subquery()
    rows = _found(connection, select(first).where(*holding(wanted.search, first.c.search_text)).order_by(first.c.sku).limit(limit))
    if len(rows) == limit:
        return rows
    # Not by `sku` itself: the planner would walk through all products in that order.
    return _found(connection, select(product).where(*conditions, *holding(wanted.search)).order_by(product.c.sku + "").limit(limit))


def _found(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    return [_product(row) for row in connection.execute(statement)]


def _conditions(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.category is not None:
        conditions.append(product.c.category_fr.in_(_categories(connection, wanted.category)))
    if wanted.barcode is not None:
        conditions.append(product.c.barcode == wanted.barcode)
    if wanted.sku is not None:
        conditions.append(product.c.sku == wanted.sku)
    return conditions


def _categories(connection: Connection, asked: str) -> list[str]:
    """The French names of the categories that are called that in either language, whatever the case and accents."""
    wanted = search_form(asked)
    return [row.fr for row in connection.execute(_EVERY_CATEGORY) if wanted in {search_form(row.fr), search_form(row.en)}]


def _product(row: Row[Any]) -> dict[str, Any]:
    return {
        "sku": row.sku,
        "name": {"fr": row.name_fr, "en": row.name_en},
        "category": {"fr": row.category_fr, "en": row.category_en},
        "price": f"{row.price:.2f}",
        "barcode": row.barcode,
        "active": row.active,
    }
