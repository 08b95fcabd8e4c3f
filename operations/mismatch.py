"""What differs from the log, said so that a person finds it: which figure of which cell, what it should be, what it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from schemas.envelope import instant_text

Value = str | int | None
SEPARATOR: Final = "/"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One figure that is wrong. `where` reads ``stock_level/centre-ville/P-1/on_hand``; None: there is no such row."""

    where: str
    expected: Value
    found: Value

    def told(self) -> dict[str, Any]:
        """As an answer shows it."""
        return {"where": self.where, "expected": self.expected, "found": self.found}


def between(place: Sequence[object], expected: Mapping[str, Any] | None, found: Mapping[str, Any] | None) -> Iterator[Mismatch]:
    """The figures of one row that differ. A row that is missing has None for each; what should be 0 may be missing."""
    for name in expected or found or {}:
        wanted = None if expected is None else plain(expected[name])
        there = None if found is None else plain(found[name])
        if wanted != there and (wanted or there):
            yield Mismatch(SEPARATOR.join([*(str(plain(part)) for part in place), name]), wanted, there)


def plain(value: object) -> Value:
    """As JSON has it."""
    match value:
        case None | str() | int():
            return value
        case datetime():
            return instant_text(value)
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
    message = f"no figure and no name: {type(value).__name__}"
    raise TypeError(message)
