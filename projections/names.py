"""What are the products of a few rows called?"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

# Plain SQL over the stock writer's `product`: names are shown as they are now.
_NAMES = text("SELECT sku, name_fr, name_en FROM product WHERE sku = ANY(CAST(:skus AS text[]))")


def with_names(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows with the `name` of their product after its SKU, in both languages; None when the catalogue doesn't have it."""
    skus = [row["sku"] for row in rows if "sku" in row]
    if not skus:
        return list(rows)
    names = {row.sku: {"fr": row.name_fr, "en": row.name_en} for row in connection.execute(_NAMES, {"skus": skus})}
    return [_named(row, names.get(row["sku"])) for row in rows]


def _named(row: Mapping[str, Any], name: Mapping[str, str] | None) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for member, value in row.items():
        named[member] = value
        if member == "sku":
            named["name"] = name
    return named
