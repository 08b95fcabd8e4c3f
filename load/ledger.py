"""What must the stock be after all that was posted, and where is it something else?

Pure: it is told what was accepted and what the system says of its stock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Cell = tuple[str, str]
"""A store and a SKU."""
Moves = Mapping[Cell, int]
"""Units that come (positive) or go (negative)."""


@dataclass(frozen=True)
class Difference:
    """A shelf that doesn't hold what it should, in units."""

    store_id: str
    sku: str
    expected: int
    found: int


@dataclass
class Ledger:
    """Every movement that the system has accepted, and those of which nobody knows: their answer never came."""

    moved: Counter[Cell] = field(default_factory=Counter)
    facts: Counter[str] = field(default_factory=Counter)
    doubtful: dict[str, tuple[str, str, Moves]] = field(default_factory=dict)

    def doubt(self, kind: str, store_id: str, event_id: str, moves: Moves) -> None:
        """Nobody knows whether the system has this event."""
        self.doubtful[event_id] = (kind, store_id, moves)

    def unanswered(self) -> list[tuple[str, str]]:
        """Event and store of everything that nobody knows about."""
        return [(event_id, store_id) for event_id, (_, store_id, _) in self.doubtful.items()]

    def learn(self, event_id: str, *, happened: bool) -> None:
        """Now one knows. What happened counts: sales, and the units that they moved."""
        kind, _, moves = self.doubtful.pop(event_id)
        if happened:
            self.facts[kind] += 1
            for cell, units in moves.items():
                self.moved[cell] += units

    def differences(self, before: Mapping[Cell, int], after: Mapping[Cell, int]) -> list[Difference]:
        """Every shelf that holds something else than before plus what moved. Shelves that a snapshot doesn't name hold nothing."""
        cells: Iterable[Cell] = sorted({*before, *after, *self.moved})
        pairs = ((cell, before.get(cell, 0) + self.moved[cell], after.get(cell, 0)) for cell in cells)
        return [Difference(*cell, expected, found) for cell, expected, found in pairs if expected != found]
