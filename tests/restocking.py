"""What do two stores tell of one restock, in as few words as a test needs?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict
from uuid import UUID, uuid4

from hypothesis import strategies as st

from events.base import Event
from events.fields import Sku, StoreId
from events.restocks import (
    AskedLine,
    GrantedLine,
    OfRestock,
    ReceivedLine,
    RestockApproved,
    RestockCancelled,
    RestockReceived,
    RestockRejected,
    RestockRequested,
    RestockShipped,
)
from schemas.envelope import Accepted
from stock.restock import Restock
from tests.telling import NOON, SHOP, adjusted, counted, delivered, minutes, sale, told

CENTRE = "centre-logistique"


class _Way(TypedDict):
    restock_id: UUID
    from_store: StoreId
    to_store: StoreId


@dataclass(frozen=True)
class Transfer:
    """One restock between two stores; each step is told by the store that takes it."""

    from_store: str = CENTRE
    to_store: str = SHOP
    restock_id: UUID = field(default_factory=uuid4)

    def requested(self, at: datetime = NOON, /, **lines: int) -> Accepted:
        made = tuple(AskedLine(sku=Sku(sku), quantity=units) for sku, units in lines.items())
        return self._told(RestockRequested(**self._way, lines=made), at, self.restock_id)

    def approved(self, at: datetime = NOON, /, **lines: int) -> Accepted:
        return self._told(RestockApproved(**self._way, lines=_granted(lines)), at)

    def rejected(self, at: datetime = NOON) -> Accepted:
        return self._told(RestockRejected(**self._way, reason="vide"), at)

    def cancelled(self, at: datetime = NOON) -> Accepted:
        return self._told(RestockCancelled(**self._way, reason="erreur"), at)

    def shipped(self, at: datetime = NOON, /, **lines: int) -> Accepted:
        return self._told(RestockShipped(**self._way, lines=_granted(lines)), at)

    def received(
        self, lines: Mapping[str, int], at: datetime = NOON, *, close: bool = False, damaged: Mapping[str, int] | None = None
    ) -> Accepted:
        broken = damaged or {}
        made = tuple(
            ReceivedLine(sku=Sku(sku), received=lines.get(sku, 0), damaged=broken.get(sku, 0)) for sku in dict.fromkeys([*lines, *broken])
        )
        return self._told(RestockReceived(**self._way, lines=made, close=close), at)

    @property
    def _way(self) -> _Way:
        return {"restock_id": self.restock_id, "from_store": StoreId(self.from_store), "to_store": StoreId(self.to_store)}

    def _told(self, event: OfRestock, at: datetime, event_id: UUID | None = None) -> Accepted:
        sender = isinstance(event, RestockApproved | RestockRejected | RestockShipped)
        return told(event, store_id=self.from_store if sender else self.to_store, at=at, event_id=event_id)


def _granted(lines: Mapping[str, int]) -> tuple[GrantedLine, ...]:
    return tuple(GrantedLine(sku=Sku(sku), quantity=units) for sku, units in lines.items())


def lost(restock: Restock) -> int:
    """Units that left a store and are in none, and on no way: damaged and missing ones, less those that came from nowhere."""
    return sum(line.damaged + line.missing - line.surplus for line in restock.lines.values())


def on_the_way(restock: Restock) -> int:
    """Units in transit."""
    return sum(restock.in_transit(sku) for sku in restock.lines)


UNITS = st.integers(0, 9)
AMOUNTS = st.dictionaries(st.sampled_from(["apple", "pear", "plum"]), UNITS, max_size=3)


@st.composite
def stories(draw: st.DrawFn) -> list[Accepted]:
    """Steps of three restocks in any order, sensible or not, between them what else moves stock; time goes on."""
    ways = [Transfer(), Transfer(from_store=SHOP, to_store=CENTRE), Transfer()]
    # Most begin in earnest, so that there is something to receive.
    story: list[Accepted] = []
    for way in ways:
        if draw(st.booleans()):
            lines = {"apple": draw(UNITS) + 1, "pear": 9}
            story += [way.requested(**lines), way.approved(), way.shipped(**lines)]
    for place in range(draw(st.integers(1, 20))):
        story.append(draw(_facts(draw(st.sampled_from(ways)), minutes(place))))
    return story


@st.composite
def _facts(draw: st.DrawFn, way: Transfer, at: datetime) -> Accepted:
    """One step of a restock, or another fact of one of its stores."""
    amounts, damaged, close = draw(AMOUNTS), draw(AMOUNTS), draw(st.booleans())
    some = {sku: units for sku, units in amounts.items() if units} or {"apple": 1}

    def there(event: Event) -> Accepted:
        return told(event, store_id=draw(st.sampled_from([SHOP, CENTRE])), at=at)

    kinds: dict[str, Callable[[], Accepted]] = {
        "request": lambda: way.requested(at, **some),
        "approve": lambda: way.approved(at, **{sku: units for sku, units in amounts.items() if units < 3}),
        "ship": lambda: way.shipped(at, **some),
        "receive": lambda: way.received(amounts, at, close=close or not (amounts or damaged), damaged=damaged),
        "close": lambda: way.received({}, at, close=True),
        "reject": lambda: way.rejected(at),
        "cancel": lambda: way.cancelled(at),
        "sale": lambda: there(sale(*some.items())),
        "count": lambda: there(counted(*some.items())),
        "delivery": lambda: there(delivered(*some.items())),
        "adjustment": lambda: there(adjusted(*((sku, -units) for sku, units in some.items()))),
    }
    return kinds[draw(st.sampled_from(["request", "approve", "ship", "receive", "receive", *kinds]))]()
