"""How far is a restock, and how much of each SKU is where?

    shipped = received + damaged + missing + in_transit - surplus        (of each line, always)

A restock is closed when it is `received`. Only then can anything be missing, so late goods make less of it missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from events.fields import Sku

Status = Literal["requested", "approved", "rejected", "cancelled", "shipped", "partially_received", "received"]
ON_THE_WAY: tuple[Status, ...] = ("shipped", "partially_received")
"""What has left and isn't closed: the rest of it is in transit."""
PLANNED: tuple[Status, ...] = ("requested", "approved")
"""What may still leave."""


@dataclass(slots=True)
class Line:
    """Units of one SKU at each step; `damaged` and `missing` ones were shipped and are in no stock."""

    requested: int = 0
    approved: int = 0
    shipped: int = 0
    received: int = 0
    damaged: int = 0
    missing: int = 0

    @property
    def left(self) -> int:
        """Units that were shipped and haven't come; below zero when more came than was shipped."""
        return self.shipped - self.received - self.damaged

    @property
    def surplus(self) -> int:
        """Units that came and were never shipped."""
        return max(0, -self.left)


@dataclass(slots=True)
class Restock:
    """One restock as its facts so far have made it; `changed_by` is the latest of them in this batch, None when there is none."""

    restock_id: UUID
    from_store: str
    to_store: str
    requested_by: str
    requested_at: datetime
    status: Status = "requested"
    note: str | None = None
    reason: str | None = None
    lines: dict[Sku, Line] = field(default_factory=dict)
    is_new: bool = False
    changed_by: UUID | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing more is expected of what was shipped."""
        return self.status == "received"

    def arrive(self, lines: Iterable[tuple[Sku, int, int]], *, close: bool) -> dict[Sku, int]:
        """Take (SKU, received, damaged) units in; answers how many more (below zero: fewer) of each SKU are missing by that.

        Receiving everything closes by itself; what arrives after that is found again.
        """
        for sku, received, damaged in lines:
            line = self.lines.setdefault(sku, Line())
            line.received += received
            line.damaged += damaged
        if close or all(line.left <= 0 for line in self.lines.values()):
            self.status = "received"
        if not self.closed:
            self.status = "partially_received"
            return {}
        changes: dict[Sku, int] = {}
        for sku, line in self.lines.items():
            before, line.missing = line.missing, max(0, line.left)
            if line.missing != before:
                changes[sku] = line.missing - before
        return changes

    def in_transit(self, sku: Sku) -> int:
        """Units of a SKU that have left one store and aren't in the other."""
        return max(0, self.lines[sku].left) if self.status in ON_THE_WAY and sku in self.lines else 0
