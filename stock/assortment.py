"""How does a product come into the catalogue, and which of several descriptions of it counts?

The one that was given last, whichever is recorded last: an import is recorded batch by batch, and what someone says of one of its
products meanwhile must not be undone by it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from events.catalogue import ProductDefined
from infra.database import Statement
from schemas.envelope import Recorded
from stock.book import Book
from stock.chapter import Incoming
from stock.words import search_form, words_statement

Description = tuple[Mapping[str, Any], datetime]
"""A product as `ProductDefined` has it in JSON, and the instant at which it was so described."""

_SAVE = """
    INSERT INTO product AS known (sku, name_fr, name_en, category_fr, category_en, price, barcode, active, search_text, defined_at)
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row(
        sku text, name_fr text, name_en text, category_fr text, category_en text, price numeric, barcode text, active boolean,
        search_text text, defined_at timestamptz)
    ON CONFLICT (sku) DO UPDATE SET
        name_fr = excluded.name_fr, name_en = excluded.name_en, category_fr = excluded.category_fr, category_en = excluded.category_en,
        price = excluded.price, barcode = excluded.barcode, active = excluded.active, search_text = excluded.search_text,
        defined_at = excluded.defined_at
    WHERE known.defined_at <= excluded.defined_at
"""


class Assortment:
    """The products of the chain. The rules ask only which SKUs there are, and `stock.cells` tells them."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """Nothing."""
        del batch
        return None

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """Nothing."""
        del book, rows

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """The products that were described."""
        del book
        return statements((event.data, event.effective_at) for event in events.values() if event.type == ProductDefined.type)


def statements(described: Iterable[Description]) -> list[Statement]:
    """What saves these products and their words; none when there are none. Of several descriptions of one SKU the latest counts."""
    rows: dict[str, dict[str, Any]] = {}
    for product, defined_at in described:
        row = _row(product, defined_at)
        before = rows.get(row["sku"])
        if before is None or before["defined_at"] <= defined_at:
            rows[row["sku"]] = row
    if not rows:
        return []
    # In one order, or two writers would wait for each other.
    saved = [rows[sku] for sku in sorted(rows)]
    return [Statement(_SAVE, {"rows": to_json(saved).decode()}), words_statement(row["search_text"] for row in saved)]


def _row(product: Mapping[str, Any], defined_at: datetime) -> dict[str, Any]:
    name, category, barcode = product["name"], product["category"], product.get("barcode")
    told = (product["sku"], name["fr"], name["en"], category["fr"], category["en"], barcode or "")
    return {
        "sku": product["sku"],
        "name_fr": name["fr"],
        "name_en": name["en"],
        "category_fr": category["fr"],
        "category_en": category["en"],
        "price": product["price"],
        "barcode": barcode,
        "active": product.get("active", True),
        # The blank before the first word, too, lets a search ask for the beginning of a word.
        "search_text": f" {search_form(' '.join(told))}",
        "defined_at": defined_at,
    }
