"""What does each fact of a sale add to a table of cells, told once for Python and for PostgreSQL?

A `Tally` says for each amount what is counted (facts, units or cents) and with which sign for a sale, its void, its return and its refund.
Whoever has events adds them up in Python (`increments`); a rebuild has plain sales added up where they lie (see `plain_sales`). Both read
the same tally, so that a figure is defined in one place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, cast

from sqlalchemy import Table

from projections.base import Cells, Key, Projection, bump
from projections.facts import Kind, SaleFact, sale_facts
from schemas.envelope import Recorded

FACT, UNIT, CENT = range(3)
"""What can be counted."""
SKU: Final = "sku"
STORE: Final = "store_id"
KINDS: Final[tuple[Kind, ...]] = ("sale", "void", "return", "refund")
SOLD: Final[Mapping[Kind, int]] = {"sale": 1, "void": -1}
EARNED: Final[Mapping[Kind, int]] = {"sale": 1, "void": -1, "return": -1, "refund": -1}

Terms = tuple[tuple[int, int, int], ...]
"""What a fact adds to: the amount's place, what is counted, its sign."""

_PARTS: Final[Mapping[str, Callable[[SaleFact], Any]]] = {
    STORE: lambda fact: fact.store_id,
    "business_date": lambda fact: fact.business_date,
    "hour": lambda fact: fact.local_at.hour,
}
"""What a sale's part of a key is made of."""


class Amount(NamedTuple):
    """One amount of a table: `of` is what is counted (FACT, UNIT or CENT), `signs` which kinds of facts raise it (1) or lower it (-1)."""

    name: str
    of: int
    signs: Mapping[Kind, int]


class Tally:
    """What a table's cells are made of: by its keys, the store first, of which the SKU (the last) is each line's own.

    A SKU on several lines of a sale counts as one fact of it. Raises ValueError when the table's columns are others.
    """

    def __init__(self, table: Table, amounts: Sequence[Amount]) -> None:
        self.table = table
        self.amounts = tuple(amounts)
        self.keys = tuple(column.name for column in table.primary_key.columns)
        self.by_sku = self.keys[-1] == SKU
        of_sale = self.keys[: -1 if self.by_sku else None]
        if (
            self.keys[0] != STORE
            or not set(of_sale) <= set(_PARTS)
            or [*self.keys, *(each.name for each in amounts)] != list(table.columns.keys())
        ):
            message = f"{table.fullname} can't be told as a tally"
            raise ValueError(message)
        self._terms: dict[Kind, Terms] = {
            kind: tuple((place, each.of, each.signs[kind]) for place, each in enumerate(amounts) if kind in each.signs) for kind in KINDS
        }
        self._nothing = [0] * len(amounts)
        self._parts = tuple(_PARTS[key] for key in of_sale)

    def cells(self, facts: Iterable[SaleFact]) -> Cells:
        """What these facts add."""
        return self._of_lines(facts) if self.by_sku else self._of_facts(facts)

    def _of_facts(self, facts: Iterable[SaleFact]) -> Cells:
        cells: Cells = {}
        for fact in facts:
            added = self._nothing.copy()
            counted = (1, fact.units, fact.cents)
            for place, of, sign in self._terms[fact.kind]:
                added[place] = sign * counted[of]
            bump(cells, self._key(fact), *added)
        return cells

    def _of_lines(self, facts: Iterable[SaleFact]) -> Cells:
        # By the sale's keys first: a line then costs one look-up by its SKU alone, and most of the work goes into lines.
        shelves: dict[Key, dict[str, list[int]]] = {}
        for fact in facts:
            self._put(shelves.setdefault(self._key(fact), {}), fact)
        # In the order of the key, so that the index of a year of them is made of rows that are sorted already.
        return {(*place, sku): shelf[sku] for place, shelf in sorted(shelves.items()) for sku in sorted(shelf)}

    def _put(self, shelf: dict[str, list[int]], fact: SaleFact) -> None:
        terms = self._terms[fact.kind]
        seen: set[str] = set()
        for sku, units, paid in fact.lines:
            cell = shelf.get(sku)
            if cell is None:
                cell = shelf[sku] = self._nothing.copy()
            counted = (sku not in seen, units, paid)
            for place, of, sign in terms:
                cell[place] += sign * counted[of]
            seen.add(sku)

    def _key(self, fact: SaleFact) -> Key:
        return tuple([part(fact) for part in self._parts])


class OfTallies:
    """What a projection of nothing but sales is declared with: its tallies."""

    tallies: ClassVar[tuple[Tally, ...]]

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """A void on its sale's day, a return on its own."""
        facts = sale_facts(events)
        return {each.table: each.cells(facts) for each in self.tallies}


def tallies_of(projection: Projection) -> tuple[Tally, ...]:
    """Those that a projection's cells come from, all of them; none when it has `increments` of its own."""
    if isinstance(projection, OfTallies) and cast("object", type(projection).increments) is OfTallies.increments:
        return projection.tallies
    return ()
