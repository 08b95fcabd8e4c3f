"""What did customers take, give back and pay, event by event?

One reading of the sales events for all projections: a void counts on the business day of its sale (it never happened), a return on its
own day. A sale that arrived after its void or return settles them itself; that is what `effect` tells.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from schemas.envelope import Recorded


@dataclass(frozen=True, slots=True)
class SaleFact:
    """`lines` are (sku, units, cents); `refund` facts complete the amounts of an earlier return and have no units."""

    kind: Literal["sale", "void", "return", "refund"]
    store_id: str
    local_at: datetime
    business_date: date
    lines: list[tuple[str, int, int]]


def sale_facts(events: Iterable[Recorded]) -> Iterator[SaleFact]:
    """The facts about sales in these events, in order; other events and refused ones say nothing."""
    for event in events:
        if event.outcome == "recorded" and event.type in _READERS:
            yield from _READERS[event.type](event)


def cents(amount: object) -> int:
    """Money as it stands in an event (``"12.50"``) in hundredths."""
    return int(Decimal(str(amount)).scaleb(2))


def _sale(event: Recorded) -> Iterator[SaleFact]:
    lines = [(line["sku"], line["quantity"], _paid(line)) for line in event.data["lines"]]
    yield SaleFact("sale", event.store_id, event.local_at, event.business_date, lines)
    effect = event.effect or {}
    if "voided_by" in effect:
        yield SaleFact("void", event.store_id, event.local_at, event.business_date, lines)
    for refund in effect.get("refunds", ()):
        priced = [(line["sku"], 0, line["refund_cents"]) for line in refund["lines"]]
        yield SaleFact("refund", event.store_id, *_clock(refund), priced)


def _void(event: Recorded) -> Iterator[SaleFact]:
    if event.effect is not None:
        sale = event.effect["sale"]
        lines = [(line["sku"], line["quantity"], line["total_cents"]) for line in sale["lines"]]
        yield SaleFact("void", event.store_id, *_clock(sale), lines)


def _return(event: Recorded) -> Iterator[SaleFact]:
    lines = (event.effect or {})["lines"]
    yield SaleFact(
        "return",
        event.store_id,
        event.local_at,
        event.business_date,
        [(each["sku"], each["quantity"], each["refund_cents"] or 0) for each in lines],
    )


def _clock(effect: dict[str, Any]) -> tuple[datetime, date]:
    # Before shops told when their day ends, it ended at midnight.
    return datetime.fromisoformat(effect["local_at"]), date.fromisoformat(effect.get("business_date") or effect["local_at"][:10])


def _paid(line: dict[str, Any]) -> int:
    total = line.get("line_total")
    return line["quantity"] * cents(line["unit_price"]) if total is None else cents(total)


_READERS = {"sale.recorded": _sale, "sale.voided": _void, "sale.returned": _return}
