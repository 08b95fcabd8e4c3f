"""What are the products of a few rows called?"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from infra.database import array_text

# Plain SQL over the stock writer's `product`: names are shown as they are now.
_NAMES = text("SELECT sku, name_fr, name_en FROM product WHERE sku = ANY(CAST(:skus AS text[]))")


def with_names(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows with the `name` of their product after its SKU, in both languages; None when the catalogue doesn't have it."""
    skus = [row["sku"] for row in rows if "sku" in row]
    if not skus:
        return list(rows)
    names = {sku: {"fr": french, "en": english} for sku, french, english in connection.execute(_NAMES, {"skus": array_text(skus)}).all()}
    return [_named(row, names.get(row["sku"])) for row in rows]


def _named(row: Mapping[str, Any], name: Mapping[str, str] | None) -> dict[str, Any]:
    """The row, the name after the SKU: first the places in order, then what stands in them."""
    before = list(row).index("sku") + 1
    named = {member: row[member] for member in list(row)[:before]}
    return {**named, "name": name, **row}
