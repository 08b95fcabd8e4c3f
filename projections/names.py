"""What are the products of a few rows called?"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from infra.database import array_text

# Plain SQL over the stock writer's `product`: names are shown as they are now.
_NAMES = text("SELECT sku, name_fr, name_en FROM product WHERE sku = ANY(CAST(:skus AS text[]))")


def with_names(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows with the `name` of their product after its SKU, in both languages; None when the catalogue doesn't have it."""
    if not rows or "sku" not in rows[0]:
        return list(rows)
    skus = [row["sku"] for row in rows]
    names = {sku: {"fr": french, "en": english} for sku, french, english in connection.execute(_NAMES, {"skus": array_text(skus)}).all()}
    members = list(rows[0])
    # The name after the SKU: first the places in order, then what stands in them.
    before = members[: members.index("sku") + 1]
    return [{**{member: row[member] for member in before}, "name": names.get(row["sku"]), **row} for row in rows]
