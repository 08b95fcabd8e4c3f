"""How far was a count from what was expected, and what of that does a late event explain?

Of each event and SKU: what the level really changed by, less what the movements of the event say. A count's movements say nothing, so of a
count it is the variance. What happened before a count and is recorded after it changes no level: it is then the part of that count's
variance which the event explains. All of them together are on_hand less the sum of all deltas, in whatever order things are recorded.

Nothing is said of what is as it should be, so an ordinary sale has no effect.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from events.fields import Sku
from stock.rules import Level, Movement

Reason = Literal["stock_count", "explained_later", "opening_stock"]
COUNTED: Final[Reason] = "stock_count"
EXPLAINED: Final[Reason] = "explained_later"
OPENING: Final[Reason] = "opening_stock"
Cell = tuple[str, str]
"""A store and a SKU."""


class Count(NamedTuple):
    """A count that changed the level of a SKU, by its place among such; `reason` is None of one of the time before variances were told."""

    at: datetime
    event_id: UUID
    reason: Reason | None


class Late(NamedTuple):
    """Units that moved before a count and are recorded after it; `of` is the one of the same batch that they concern, if any."""

    sku: Sku
    at: datetime
    units: int
    of: Count | None


class Variance(NamedTuple):
    """Units by which a count changed the level."""

    sku: Sku
    units: int
    of: Count


@dataclass(slots=True)
class Variances:
    """What the events of one batch have to say: by the event that says it, and its store."""

    late: dict[tuple[str, UUID], list[Late]] = field(default_factory=dict)
    counted: dict[tuple[str, UUID], list[Variance]] = field(default_factory=dict)
    _counts: dict[Cell, list[Count]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is to be said."""
        return bool(self.late or self.counted)

    def note(self, cell: Cell, writer: UUID, known: Level | None, after: Level, movement: Movement) -> None:
        """Take a movement that is a count, or that left the level as it was; `known` is the level before, None when there was none.

        A count that is older than the latest changes nothing and says nothing: what it would have found stays with the later one. The
        first that is ever known of a SKU in a store is what the store began with, and no variance.
        """
        at, place = movement.effective_at, (cell[0], writer)
        if movement.counted is None:
            next_ones = [count for count in self._counts.get(cell, ()) if count.at >= at]
            self.late.setdefault(place, []).append(Late(movement.sku, at, -(movement.delta or 0), first_of(next_ones)))
        elif after is not known:
            count = Count(at, movement.event_id, OPENING if known is None else COUNTED)
            self._counts.setdefault(cell, []).append(count)
            variance = Variance(movement.sku, after.on_hand - (known or Level()).on_hand, count)
            self.counted.setdefault(place, []).append(variance)

    def concerned(self, place: tuple[str, UUID], ledger: Mapping[tuple[str, str, datetime], Count]) -> Sequence[Variance]:
        """What late movements of an event explain, SKU by SKU; `ledger` has the next count by (store, SKU, instant) where there is one."""
        found: dict[Sku, Variance] = {}
        for each in self.late.get(place, ()):
            counts = [count for count in (each.of, ledger.get((place[0], each.sku, each.at))) if count is not None]
            count = first_of(counts)
            if count is not None and count.reason is not None:
                before = found[each.sku].units if each.sku in found else 0
                found[each.sku] = Variance(each.sku, before + each.units, count)
        # A sale that comes after its void moves nothing.
        return [each._replace(of=_explaining(each.of)) for each in found.values() if each.units]


def first_of(counts: Sequence[Count]) -> Count | None:
    """The one that comes first in time."""
    return min(counts, key=lambda count: (count.at, count.event_id), default=None)


def _explaining(count: Count) -> Count:
    return count._replace(reason=OPENING if count.reason == OPENING else EXPLAINED)
