"""Does the ledger of a store hold what its log wrote, and does each level equal the fold of its movements?"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Final

from operations.mismatch import Mismatch, between
from operations.sketch import Sieve, Sketch
from stock.refold import Entry
from stock.rules import Level, fold
from stock.tables import stock_level, stock_movement

LEDGER: Final = stock_movement.name
LEVELS: Final = stock_level.name
KEY: Final = ("effective_at", "event_id", "line")
COLUMNS: Final = ("delta", "counted", "type", "seq", "recorded_at")


class SketchLedger:
    """Both sides added up, SKU by SKU. A level that isn't the fold of the movements that are there makes its SKU suspect."""

    def __init__(self, sketch: Sketch) -> None:
        self._sketch = sketch
        self.rows = 0
        """Movements and levels that were found."""

    def expect(self, written: Sequence[Entry]) -> None:
        """Rows that should be there."""
        self._sketch.expect(LEDGER, (((each.sku,), (hash(each),)) for each in written))

    def find(self, sku: str, there: Iterator[Entry], level: Level | None) -> None:
        """The rows of one SKU that are there, in the order of their key, and its level."""
        total = count = 0
        folded = Level()
        for each in there:
            count += 1
            total += hash(each)
            folded = each.onto(folded)
        self.rows += count + (level is not None)
        self._sketch.find(LEDGER, [((sku,), (total,))])
        if level != (folded if count else None):
            self._sketch.suspect(LEDGER, (sku,))


class SieveLedger:
    """Both sides of the SKUs in question. What a level should be is folded from what the log says, not from what the ledger holds."""

    def __init__(self, sieve: Sieve) -> None:
        self._sieve = sieve
        self._expected: dict[str, list[Entry]] = defaultdict(list)
        self._found: dict[str, list[Entry]] = defaultdict(list)
        self._levels: dict[str, Level | None] = {}

    def expect(self, written: Sequence[Entry]) -> None:
        """Rows that should be there."""
        for each in written:
            if self._sieve.wants(LEDGER, (each.sku,)):
                self._expected[each.sku].append(each)

    def find(self, sku: str, there: Iterator[Entry], level: Level | None) -> None:
        """The rows of one SKU that are there, and its level."""
        if self._sieve.wants(LEDGER, (sku,)):
            self._found[sku].extend(there)
            self._levels[sku] = level

    def mismatches(self, store_id: str) -> Iterator[Mismatch]:
        """What differs, SKU by SKU: its level first, for that is what people see."""
        for sku in sorted({*self._expected, *self._found, *self._levels}):
            yield from self._level(store_id, sku)
            yield from self._rows(store_id, sku)

    def _level(self, store_id: str, sku: str) -> Iterator[Mismatch]:
        written, level = self._expected[sku], self._levels.get(sku)
        wanted = fold(each.movement for each in written) if written else None
        yield from between((LEVELS, store_id, sku), None if wanted is None else asdict(wanted), None if level is None else asdict(level))

    def _rows(self, store_id: str, sku: str) -> Iterator[Mismatch]:
        expected, found = (
            {tuple(getattr(each, name) for name in KEY): each for each in side} for side in (self._expected[sku], self._found[sku])
        )
        for key in dict.fromkeys(chain(expected, found)):
            yield from between((LEDGER, store_id, sku, *key), _figures(expected.get(key)), _figures(found.get(key)))


def _figures(entry: Entry | None) -> dict[str, object] | None:
    return None if entry is None else {name: getattr(entry, name) for name in COLUMNS}
