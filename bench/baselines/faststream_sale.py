"""What do the two halves of the FastStream baseline tell each other? One message a sale, in FastStream's own manner: a Pydantic model."""

from datetime import datetime
from typing import Any
from uuid import UUID

from faststream.rabbit import RabbitQueue
from pydantic import BaseModel

from schemas.envelope import Accepted

QUEUE = RabbitQueue("bench-sales", durable=True)
"""Durable, and messages are persistent: an accepted sale must survive the broker, here as there. All else is FastStream's default."""


class AcceptedSale(BaseModel):
    """A sale on its way to the worker."""

    event_id: UUID
    type: str
    version: int
    store_id: str
    source: str
    occurred_at: datetime
    received_at: datetime
    fingerprint: str
    actor: str
    traceparent: str | None
    data: dict[str, Any]

    @property
    def event(self) -> Accepted:
        """The same as the transaction takes it."""
        return Accepted(**self.model_dump())
