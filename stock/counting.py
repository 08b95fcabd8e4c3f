"""What did a count find of each SKU, at which instant, and is that far from what was expected?"""

from dataclasses import dataclass
from datetime import datetime

from events.fields import Sku
from events.stock import StockCounted
from schemas.envelope import Accepted, Recorded


@dataclass(frozen=True, slots=True)
class Found:
    """Units of one SKU that lay on all its shelves together, at the instant of the last of them."""

    sku: Sku
    quantity: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A variance is a case when it reaches both: so many units, and so many percent of what was expected.

    Three units more or less of three hundred are everyday; of ten they are not. Of one single unit that is missing nobody counts again.
    """

    units: int = 3
    percent: int = 5

    def exceeded(self, expected: int, counted: int) -> bool:
        """Whether someone should look into it."""
        variance = abs(counted - expected)
        return variance >= self.units and 100 * variance >= self.percent * abs(expected)


USUAL = Tolerance()


def findings(event: StockCounted, head: Accepted | Recorded) -> list[Found]:
    """What each SKU's lines say together, in the order in which the SKUs appear.

    A line's own instant counts, else the count's; none lies behind the instant at which the system got the count. The same SKU on several
    lines lay on several shelves: their sum was counted, and it was there when the last shelf was.
    """
    found: dict[Sku, Found] = {}
    for line in event.lines:
        at = head.effective_at if line.counted_at is None else min(line.counted_at, head.received_at)
        before = found.get(line.sku)
        if before is None:
            found[line.sku] = Found(line.sku, line.counted, at)
        else:
            found[line.sku] = Found(line.sku, before.quantity + line.counted, max(before.at, at))
    return list(found.values())
