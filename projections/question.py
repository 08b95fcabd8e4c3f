"""What may be asked of a report?"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

GROUPS: Final = {
    "day": "business_date",
    "business_date": "business_date",
    "week": "week",
    "month": "month",
    "hour": "hour",
    "store": "store_id",
    "store_id": "store_id",
    "category": "category",
    "reason": "reason",
    "status": "status",
    "till": "till_id",
    "till_id": "till_id",
    "product": "sku",
    "sku": "sku",
}
"""The names that a grouping goes by, and the column of the answer that it makes; rows are in the order of these."""
NEEDS: Final = {"week": "business_date", "month": "business_date", "category": "sku"}
"""What a cell must have so that it can be grouped like that."""
_PLACES: Final = {dimension: place for place, dimension in enumerate(dict.fromkeys(GROUPS.values()))}


class NoSuchGroup(ValueError):
    """The report can't be grouped by that."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a report. Dates are business days, both ends included; None asks for everything.

    `after` are the values of the grouping in the last row of the page before; a report that is sorted by a figure goes on at `offset`.
    `options` are what some reports are asked besides.
    """

    group_by: Sequence[str]
    since: date | None = None
    through: date | None = None
    stores: Collection[str] | None = None
    sku: str | None = None
    category: str | None = None
    hour: int | None = None
    offset: int = 0
    limit: int | None = None
    after: Sequence[Any] | None = None
    sort: str | None = None
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str | None:
        """What was asked under that name."""
        return dict(self.options).get(name)


def in_order(dimensions: Iterable[str]) -> list[str]:
    """Each dimension once, in the order of the rows: time first, the product last."""
    return sorted(dict.fromkeys(dimensions), key=lambda name: (_PLACES.get(name, len(_PLACES)), name))


def grouped(asked: Sequence[str], possible: Collection[str], otherwise: Sequence[str]) -> list[str]:
    """The dimensions for the names asked; `otherwise` when none are. Raises NoSuchGroup with the first that isn't possible."""
    for name in asked:
        if name not in possible:
            raise NoSuchGroup(name)
    return in_order(GROUPS[name] for name in asked) if asked else list(otherwise)
