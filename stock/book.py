"""What may the rules look at while they decide about one batch?

A `Book` holds the shops, levels, sales and counts that the batch touches. It is filled by `stock.store`, kept current as the events of
the batch are decided one after the other, and knows no database.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from events.cases import CaseKind
from events.fields import Sku
from schemas.envelope import Outcome, instant_text
from stock.costing import Cost
from stock.counting import USUAL, Tolerance
from stock.restock import Restock
from stock.rules import Level, Movement
from stock.variances import Variances

CASES = UUID("6a0c1d0e-6f0f-5d3b-9a44-8a2f0b7f3c11")


@dataclass(frozen=True, slots=True)
class Shop:
    """What the rules need to know of a store."""

    zone: ZoneInfo
    oversell: str = "allow"
    day_ends: timedelta = timedelta()

    @staticmethod
    def of(timezone: str, oversell: str, day_ends: str) -> "Shop":
        """A shop as it is stored; the day ends at ``"HH:MM"``."""
        hours, minutes = day_ends.split(":")
        return Shop(ZoneInfo(timezone), oversell, timedelta(hours=int(hours), minutes=int(minutes)))

    def local(self, at: datetime) -> datetime:
        """The shop's wall clock at an instant."""
        return at.astimezone(self.zone).replace(tzinfo=None)

    def business_date(self, local_at: datetime) -> date:
        """The day on which a sale at that wall clock counts: until the day ends, after midnight, it is still the day before."""
        return (local_at - self.day_ends).date()


@dataclass(frozen=True, slots=True)
class SoldLine:
    """One line of a recorded sale: units, and what was paid for all of them in cents."""

    sku: Sku
    quantity: int
    total_cents: int


class Unpriced(NamedTuple):
    """A return that came before its sale, whose price it has to wait for."""

    return_id: UUID
    local_at: datetime
    business_date: date
    lines: list[dict[str, Any]]


@dataclass(slots=True)
class Sale:
    """A recorded sale, or (with `lines` None) one that only a void or return has spoken of so far."""

    effective_at: datetime | None = None
    local_at: datetime | None = None
    business_date: date | None = None
    lines: list[SoldLine] | None = None
    voided_by: UUID | None = None
    returned: dict[Sku, int] = field(default_factory=lambda: defaultdict(int))
    unpriced: list[Unpriced] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    """A contradiction that a decision found. `key` makes its id: the same contradiction found again is the same case."""

    kind: CaseKind
    key: str
    events: tuple[UUID, ...]
    sku: Sku | None = None
    details: dict[str, Any] = field(default_factory=dict)


def case_id_of(key: str) -> UUID:
    """The id of the case with that key."""
    return uuid5(CASES, key)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of one event: its outcome, what it moves, what it means besides (`effect`), which cases it opens."""

    outcome: Outcome = "recorded"
    reason: str | None = None
    movements: tuple[Movement, ...] = ()
    effect: dict[str, Any] | None = None
    cases: tuple[Case, ...] = ()

    def saying(self, more: Mapping[str, Any] | None) -> "Decision":
        """The same with more in its effect."""
        return replace(self, effect={**(self.effect or {}), **more}) if more else self


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a case was resolved, by which event, by whom and when."""

    event_id: UUID
    resolution: str
    by: str
    at: datetime

    def told(self) -> dict[str, Any]:
        """The same for whoever comes second."""
        return {"event_id": str(self.event_id), "resolution": self.resolution, "by": self.by, "at": instant_text(self.at)}


@dataclass(slots=True)
class Book:
    """The state of every store that one batch touches.

    `later_deltas` has, for each (store, SKU, instant) that the batch counts, the units that the ledger moved after it. `moved` has
    what the batch itself moves: (the event that wrote it, the movement) by store and SKU. `numbers` has the sale that bears a number
    of a till (store, till, number), None when it can't be found any more; `settlements` the cases that the batch speaks of, by store;
    `restocks` the restocks that it speaks of, or begins; `costs` what is known of the costs of what it delivers;
    `variances` what its counts, and what it brings too late for a count, have to say.
    """

    shops: dict[str, Shop]
    levels: dict[tuple[str, str], Level] = field(default_factory=dict)
    unknown_skus: set[str] = field(default_factory=set)
    sales: dict[tuple[str, UUID], Sale] = field(default_factory=dict)
    later_deltas: Mapping[tuple[str, str, datetime], int] = field(default_factory=dict)
    moved: dict[tuple[str, str], list[tuple[UUID, Movement]]] = field(default_factory=dict)
    numbers: dict[tuple[str, str, int], UUID | None] = field(default_factory=dict)
    settlements: dict[tuple[str, UUID], Settlement | None] = field(default_factory=dict)
    tolerance: Tolerance = USUAL
    restocks: dict[UUID, Restock] = field(default_factory=dict)
    costs: dict[tuple[str, str], Cost] = field(default_factory=dict)
    variances: Variances = field(default_factory=Variances)

    def level(self, store_id: str, sku: str) -> Level:
        """The level of a SKU in a store; nothing at all is a level of 0."""
        return self.levels.get((store_id, sku)) or Level()

    def sale(self, store_id: str, sale_id: UUID) -> Sale:
        """What is known of a sale of that store."""
        return self.sales.setdefault((store_id, sale_id), Sale())

    def apply(self, store_id: str, writer: UUID, movements: Iterable[Movement]) -> list[tuple[Sku, int, int]]:
        """Move the levels for the event `writer`; answers (sku, on_hand before, on_hand after) for each SKU that it moves."""
        changes: dict[Sku, tuple[int, int]] = {}
        for movement in movements:
            cell = (store_id, movement.sku)
            known = self.levels.get(cell)
            before = known or Level()
            after = self.levels[cell] = self._after(cell, before, movement)
            if after is before or movement.counted is not None:
                self.variances.note(cell, writer, known, after, movement)
            self.moved.setdefault(cell, []).append((writer, movement))
            first, _ = changes.get(movement.sku, (before.on_hand, 0))
            changes[movement.sku] = (first, after.on_hand)
        return [(sku, before, after) for sku, (before, after) in changes.items()]

    def expected(self, cell: tuple[str, str], at: datetime, count_id: UUID) -> int | None:
        """How many units a count of that instant should find by what is known now.

        None when nothing of the SKU was ever known, so nothing could be expected, or when a later count has told already.
        """
        level = self.levels.get(cell)
        if level is None or (
            level.counted_at is not None and level.count_id is not None and (at, count_id) < (level.counted_at, level.count_id)
        ):
            return None
        return level.on_hand - self._later(cell, at)

    def _after(self, cell: tuple[str, str], level: Level, movement: Movement) -> Level:
        if movement.counted is None:
            return level.moved(movement.delta or 0, movement.effective_at)
        later = self._later(cell, movement.effective_at)
        return level.counted(movement.counted, movement.effective_at, movement.event_id, later)

    def _later(self, cell: tuple[str, str], at: datetime) -> int:
        """Units that moved after an instant which the batch counts: by the ledger, and by the batch so far."""
        moved = sum(each.delta or 0 for _, each in self.moved.get(cell, ()) if each.effective_at > at)
        return self.later_deltas.get((*cell, at), 0) + moved
