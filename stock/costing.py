"""What does a unit of a product cost a store, from each delivery to the next?

    average = (units on hand before × average before + quantity × unit cost) / (units on hand before + quantity)

The moving average after each delivery, in the order in which deliveries are recorded. What had left the shelf before a delivery no longer
counts from then on. A level below zero weighs nothing. Lines whose cost nobody knows change nothing: their units weigh in the next
delivery, at the average that they met.

What the units on hand cost is rounded half up to the whole cent at each delivery, and that can't add up: an average that is at most half a
cent off is so after the next delivery, too, since (units × 0.5 + 0.5) / (units + quantity) ≤ 0.5. Usually it is far less.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from events.fields import Sku
from events.stock import DeliveryLine, DeliveryReceived
from schemas.envelope import Recorded

LEFT: Final = "left"
"""The member of a delivery's effect that tells what no longer counts, SKU by SKU."""


class Cost(NamedTuple):
    """So many units for so many cents. Of a state, the cents divided by the units are the average."""

    units: int
    cents: int


NOTHING: Final = Cost(0, 0)


def bought(lines: Iterable[DeliveryLine]) -> dict[Sku, Cost]:
    """What a delivery brings of each SKU and what it cost, without the lines whose cost nobody knows."""
    found: dict[Sku, Cost] = {}
    for line in lines:
        if line.unit_cost is not None:
            units, cents = found.get(line.sku, NOTHING)
            found[line.sku] = Cost(units + line.quantity, cents + line.quantity * in_cents(line.unit_cost))
    return found


def averaged(before: Cost | None, on_hand: int, paid: Cost) -> tuple[Cost, Cost]:
    """The state after a delivery, and what of the state before no longer counts (below zero where more lies there than was delivered).

    `before` is None when no cost was known: what lies there then takes the cost of this delivery.
    """
    if before is None:
        return paid, NOTHING
    held = max(0, on_hand)
    cents = (2 * held * before.cents + before.units) // (2 * before.units)
    return Cost(held + paid.units, cents + paid.cents), Cost(before.units - held, before.cents - cents)


def effect_of(left: Mapping[Sku, Cost]) -> dict[str, Any] | None:
    """The effect of a delivery; None when all that was delivered before is still there."""
    gone = {sku: cost._asdict() for sku, cost in left.items() if any(cost)}
    return {LEFT: gone} if gone else None


def added(event: Recorded) -> dict[Sku, Cost]:
    """What a recorded delivery adds to the state of each SKU, as its effect was told then; nothing for any other event."""
    if event.type != DeliveryReceived.type or event.outcome != "recorded":
        return {}
    found = bought(DeliveryReceived.model_validate(event.data).lines)
    for sku, gone in (event.effect or {}).get(LEFT, {}).items():
        units, cents = found[sku]
        found[sku] = Cost(units - gone["units"], cents - gone["cents"])
    return found


def in_cents(amount: Decimal) -> int:
    """An exact amount with two decimals in hundredths."""
    return int(amount.scaleb(2))
