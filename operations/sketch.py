"""Are two sets of cells the same, when neither fits into memory?

Both are added up, each amount times a number that its cell's name makes, the one with a plus and the other with a minus sign: equal sets
come to 0. The sums are kept in buckets by name. A bucket that isn't 0 holds a cell that differs, and a second reading that keeps the cells
of such buckets alone names it. One changed amount is always found, since no such number is 0; two that cancel each other out would have
to hit one sum of more than 60 bits, made of a secret of this process.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

Key = tuple[Any, ...]
Amounts = Sequence[int]
BUCKETS: Final = 1_024
AMOUNT_BITS: Final = 66
"""The amounts of one cell make one number, each in a place of its own; the database takes 64 bits of each."""


def bucket_of(key: Key) -> int:
    """Where a cell belongs; the same as long as this process lives."""
    return hash(key) & (BUCKETS - 1)


class Sketch:
    """The difference of two sets of cells for each of several tables: `BUCKETS` numbers a table, however many cells there are."""

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}
        self._suspects: dict[str, set[int]] = {}
        self.cells = 0
        """How many were found."""

    def takes(self, table: str) -> bool:
        """Every table."""
        del table
        return True

    def expect(self, table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        """Add amounts that should be there, in any number of parts."""
        self._add(table, cells, 1)

    def find(self, table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        """Add amounts that are there."""
        self.cells += self._add(table, cells, -1)

    def suspect(self, table: str, key: Key) -> None:
        """Have a cell looked at in any case."""
        self._suspects.setdefault(table, set()).add(bucket_of(key))

    def suspects(self) -> dict[str, list[int]]:
        """The buckets that hold a cell which differs, by table; tables where all is well are absent."""
        found: dict[str, set[int]] = {table: set(buckets) for table, buckets in self._suspects.items()}
        for table, sums in self._sums.items():
            differ = {bucket for bucket, total in enumerate(sums) if total}
            if differ:
                found.setdefault(table, set()).update(differ)
        return {table: sorted(buckets) for table, buckets in found.items()}

    def _add(self, table: str, cells: Iterable[tuple[Key, Amounts]], sign: int) -> int:
        sums = self._sums.setdefault(table, [0] * BUCKETS)
        count = 0
        for key, amounts in cells:
            count += 1
            name, packed = hash(key), 0
            for amount in amounts:
                packed = (packed << AMOUNT_BITS) + amount
            sums[name & (BUCKETS - 1)] += (name | 1) * packed * sign
        return count


class Sieve:
    """The cells of some buckets, as they should be and as they are."""

    def __init__(self, wanted: Mapping[str, Collection[int]]) -> None:
        self._wanted = {table: frozenset(buckets) for table, buckets in wanted.items()}
        self.expected: dict[str, dict[Key, list[int]]] = {table: {} for table in wanted}
        self.found: dict[str, dict[Key, list[int]]] = {table: {} for table in wanted}

    def takes(self, table: str) -> bool:
        """Whether some of its buckets are wanted."""
        return table in self._wanted

    def wants(self, table: str, key: Key) -> bool:
        """Whether the cell is one of those."""
        return table in self._wanted and bucket_of(key) in self._wanted[table]

    def expect(self, table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        """Add amounts that should be there, in any number of parts."""
        self._keep(self.expected, table, cells)

    def find(self, table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        """Keep amounts that are there."""
        self._keep(self.found, table, cells)

    def _keep(self, side: dict[str, dict[Key, list[int]]], table: str, cells: Iterable[tuple[Key, Amounts]]) -> None:
        if table not in self._wanted:
            return
        kept, buckets = side[table], self._wanted[table]
        for key, amounts in cells:
            if bucket_of(key) in buckets:
                before = kept.get(key)
                kept[key] = list(amounts) if before is None else [one + other for one, other in zip(before, amounts, strict=True)]
