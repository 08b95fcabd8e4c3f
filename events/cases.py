"""What contradicts reality? A case says so, names the events that made it, and waits for someone to resolve it."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from events.base import Event, Shape
from events.fields import Note, SkuField

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
Resolution = Literal["recount", "write_off", "transfer", "accept"]


class CaseOpened(Event, type="case.opened"):
    """Two facts can't both be true as they stand, or one fact names something unknown. `details` are figures of that kind of case."""

    kind: CaseKind
    sku: SkuField | None = None
    events: tuple[UUID, ...]
    details: dict[str, Any] = Field(default_factory=dict)


class ResolutionDetails(Shape):
    """How a contradiction was settled, and why. `action_event_id` is the count, adjustment or restock that was made for it."""

    resolution: Resolution
    note: Note | None = None
    action_event_id: UUID | None = None


class CaseResolved(ResolutionDetails, Event, type="case.resolved"):
    """Someone settled a case. It moves no stock itself: what was counted or written off is an event of its own."""

    case_id: UUID
