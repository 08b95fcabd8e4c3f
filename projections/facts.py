"""What did customers take, give back and pay, event by event?

One reading of the sales events for all projections: a void counts on the business day of its sale (it never happened), a return on its
own day. A sale that arrived after its void or return settles them itself; that is what `effect` tells.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from schemas.envelope import Recorded

Line = tuple[str, int, int]
Kind = Literal["sale", "void", "return", "refund"]
LONGEST_PLAIN = 15
KNOWN_PRICES = 20_000
"""Amounts whose hundredths are remembered: a chain has some thousand prices."""


class SaleFact(NamedTuple):
    """`lines` are (sku, units, cents), `units` and `cents` their sums; `refund` facts complete an earlier return and have no units.

    `sold` is 1 for a sale, -1 for its void and 0 otherwise; `sign` is the sign of its money.
    """

    kind: Kind
    store_id: str
    local_at: datetime
    business_date: date
    lines: list[Line]
    units: int
    cents: int

    @property
    def sold(self) -> int:
        """How many sales there are more by it."""
        return _SOLD[self.kind]

    @property
    def sign(self) -> int:
        """What its money is multiplied by."""
        return 1 if self.kind == "sale" else -1


class Batch(list[Recorded]):
    """Events that several projections read one after the other: what they say of sales is read once for all of them."""

    sales: Sequence[SaleFact] | None = None


def sale_facts(events: Iterable[Recorded]) -> Sequence[SaleFact]:
    """The facts about sales in these events, in order; other events and refused ones say nothing."""
    if not isinstance(events, Batch):
        return list(_read(events))
    if events.sales is None:
        events.sales = list(_read(events))
    return events.sales


def recorded(events: Iterable[Recorded], type_: str) -> Iterator[Recorded]:
    """Those of one type that were not refused."""
    return (event for event in events if event.type == type_ and event.outcome == "recorded")


@lru_cache(KNOWN_PRICES)
def cents(amount: object) -> int:
    """Money as it stands in an event (``"12.50"``) in hundredths."""
    # The usual case first: plain digits with a point before the last two. Decimal takes four times as long.
    if isinstance(amount, str) and amount[-3:-2] == "." and len(amount) <= LONGEST_PLAIN:
        digits = amount[:-3] + amount[-2:]
        if digits.isdecimal():
            return int(digits)
    return int(Decimal(str(amount)).scaleb(2))


def _read(events: Iterable[Recorded]) -> Iterator[SaleFact]:
    for event in events:
        if event.outcome == "recorded" and event.type in _READERS:
            yield from _READERS[event.type](event)


def _sale(event: Recorded) -> Iterator[SaleFact]:
    # A year has ten times as many lines as sales, and all of a rebuild goes through here: one loop, nothing called that is known.
    lines: list[Line] = []
    units = paid = 0
    for line in event.data["lines"]:
        quantity, total = line["quantity"], line.get("line_total")
        amount = quantity * cents(line["unit_price"]) if total is None else cents(total)
        lines.append((line["sku"], quantity, amount))
        units += quantity
        paid += amount
    fact = SaleFact("sale", event.store_id, event.local_at, event.business_date, lines, units, paid)
    yield fact
    if event.effect is None:
        return
    if "voided_by" in event.effect:
        yield fact._replace(kind="void")
    for refund in event.effect.get("refunds", ()):
        yield _fact("refund", event.store_id, *_clock(refund), [(line["sku"], 0, line["refund_cents"]) for line in refund["lines"]])


def _void(event: Recorded) -> Iterator[SaleFact]:
    if event.effect is not None:
        sale = event.effect["sale"]
        yield _fact("void", event.store_id, *_clock(sale), [(line["sku"], line["quantity"], line["total_cents"]) for line in sale["lines"]])


def _return(event: Recorded) -> Iterator[SaleFact]:
    lines = [(line["sku"], line["quantity"], line["refund_cents"] or 0) for line in (event.effect or {})["lines"]]
    yield _fact("return", event.store_id, event.local_at, event.business_date, lines)


def _fact(kind: Kind, store_id: str, local_at: datetime, business_date: date, lines: list[Line]) -> SaleFact:
    units = paid = 0
    for _, quantity, amount in lines:
        units += quantity
        paid += amount
    return SaleFact(kind, store_id, local_at, business_date, lines, units, paid)


def _clock(effect: dict[str, Any]) -> tuple[datetime, date]:
    # Before shops told when their day ends, it ended at midnight.
    return datetime.fromisoformat(effect["local_at"]), date.fromisoformat(effect.get("business_date") or effect["local_at"][:10])


_READERS = {"sale.recorded": _sale, "sale.voided": _void, "sale.returned": _return}
SALE_TYPES = frozenset(_READERS)
"""The events that anything is said of sales by."""
_SOLD = {"sale": 1, "void": -1, "return": 0, "refund": 0}
