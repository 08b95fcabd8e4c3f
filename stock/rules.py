"""How many units are on hand, whatever the order in which facts arrive?

    on_hand = quantity of the latest count + the deltas that occurred after it        (no count: all deltas)

Order is (effective_at, 0 for a movement | 1 for a count, event_id): a movement of the same instant as a count was on the shelf
when it was counted. Everything here is pure; `fold` says what is true, `Level` keeps the same figure incrementally.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from events.fields import Sku


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of the ledger of one store and SKU: either `delta` units, or `counted` units on the shelf."""

    sku: Sku
    effective_at: datetime
    event_id: UUID
    line: int
    delta: int | None = None
    counted: int | None = None

    @property
    def order(self) -> tuple[datetime, int, UUID, int]:
        """The place of the movement in the history of its store and SKU."""
        return self.effective_at, 0 if self.counted is None else 1, self.event_id, self.line


@dataclass(frozen=True, slots=True)
class Level:
    """What is known now of one store and SKU: units on hand, and the latest count (its instant and event)."""

    on_hand: int = 0
    counted_at: datetime | None = None
    count_id: UUID | None = None

    def moved(self, delta: int, at: datetime) -> "Level":
        """The level after `delta` units at `at`. What occurred up to the latest count is already in it: nothing changes."""
        if self.counted_at is not None and at <= self.counted_at:
            return self
        return Level(self.on_hand + delta, self.counted_at, self.count_id)

    def counted(self, quantity: int, at: datetime, event_id: UUID, later_deltas: int) -> "Level":
        """The level after a count. `later_deltas` is the sum of all deltas after `at`; a count older than the latest changes nothing."""
        if self.counted_at is not None and self.count_id is not None and (at, event_id) < (self.counted_at, self.count_id):
            return self
        return Level(on_hand=quantity + later_deltas, counted_at=at, count_id=event_id)


def fold(movements: Iterable[Movement]) -> Level:
    """The level that a set of movements of one store and SKU makes, by the definition itself."""
    level = Level()
    for movement in sorted(movements, key=lambda each: each.order):
        if movement.counted is not None:
            level = Level(on_hand=movement.counted, counted_at=movement.effective_at, count_id=movement.event_id)
        else:
            level = replace(level, on_hand=level.on_hand + (movement.delta or 0))
    return level
