"""What happens to a message that killed its worker, or that a worker could not park?

The broker moved it to `magasin.dead` when its deliveries ran out. Here it is copied into PostgreSQL like any other dead letter.
"""

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy import Engine

from infra.consumer import Delivery
from infra.dead_letters import Letter, park
from schemas.envelope import MalformedEvent, split
from workers import metrics
from workers.letters import letter

NAME = "dead-letters"
log = structlog.get_logger(__name__)


class GaveUp(Exception):
    """The broker gave up delivering a message."""


class DeadLetters:
    """Parks whatever arrives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def handle(self, deliveries: list[Delivery]) -> None:
        """Park; the caller acknowledges afterwards. Raises while the database is away."""
        await asyncio.to_thread(self.keep, deliveries)

    def keep(self, deliveries: Sequence[Delivery]) -> None:
        """One letter an event where the message can be read, else one a message."""
        letters = [each for delivery in deliveries for each in _letters(delivery)]
        with self._engine.begin() as connection:
            metrics.dead_lettered_total.labels(NAME).inc(park(connection, letters))
        log.error("dead_lettered", reason="gave_up", count=len(letters))


def _letters(delivery: Delivery) -> list[Letter]:
    consumer = delivery.routing_key or NAME
    error = GaveUp(f"the broker gave up delivering this to {consumer}: {delivery.headers.get('x-first-death-reason', 'unknown reason')}")
    try:
        wires = split(delivery.body)
    except MalformedEvent:
        wires = []
    if not wires:
        return [letter(delivery, consumer, "gave_up", error)]
    return [letter(delivery, consumer, "gave_up", error, place=place, wire=wire) for place, wire in enumerate(wires)]
