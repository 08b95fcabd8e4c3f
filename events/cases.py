"""What contradicts reality? A case says so, names the events that made it, and waits for someone to resolve it."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from events.base import Event
from events.fields import SkuField

CaseKind = Literal[
    "oversell",
    "over_return",
    "short_receipt",
    "damaged_receipt",
    "late_receipt",
    "count_variance",
    "till_sequence",
    "id_reuse",
    "unknown_product",
]


class CaseOpened(Event, type="case.opened"):
    """Two facts can't both be true as they stand, or one fact names something unknown. `details` are figures of that kind of case."""

    kind: CaseKind
    sku: SkuField | None = None
    events: tuple[UUID, ...]
    details: dict[str, Any] = Field(default_factory=dict)
