"""How does one part of the stock store come into the book, and how does it get out again?

What a batch needs of the database is read in one go and written in one go; each chapter adds its own statement to both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from events.base import Event
from infra.database import Statement
from schemas.envelope import Accepted, Recorded
from stock.book import Book


@dataclass(frozen=True, slots=True)
class Incoming:
    """An accepted event with its content checked against its type."""

    head: Accepted
    event: Event


class Chapter(Protocol):
    """One part of the book. A batch that has nothing of it must cost nothing."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """What the rules need to know for these events; None when that is nothing. Runs with the heads of their stores locked."""

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """Put what was read into the book."""

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """What the decisions changed; `events` are those that were recorded, by id."""
