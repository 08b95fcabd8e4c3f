"""Which levels does a batch move, and what are they afterwards?"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from events.base import Event
from infra.database import Statement
from schemas.envelope import Recorded
from stock.book import Book
from stock.chapter import Incoming
from stock.rules import Level

_CELLS = """
    SELECT cell.store_id, cell.sku, l.on_hand, l.counted_at, l.count_id, p.sku IS NULL AS unknown
    FROM json_to_recordset(%(cells)s::json) AS cell(store_id text, sku text)
    LEFT JOIN stock_level l ON l.store_id = cell.store_id AND l.sku = cell.sku
    LEFT JOIN product p ON p.sku = cell.sku
"""


class Cells:
    """The levels of the SKUs that the events name. They are saved with the log itself (`stock.store.save_statement`)."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """The levels, as far as there are any, and which SKUs the catalogue doesn't have."""
        named = {(each.head.store_id, sku) for each in batch for sku in _skus(each.event)}
        return cells_statement(named) if named else None

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """Levels and unknown SKUs."""
        fill_cells(book, rows)

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """Nothing more."""
        del book, events
        return ()


def cells_statement(cells: Iterable[tuple[str, str]]) -> Statement:
    """Read the levels of these (store, SKU) cells."""
    return Statement(_CELLS, {"cells": to_json([{"store_id": store_id, "sku": sku} for store_id, sku in cells]).decode()})


def fill_cells(book: Book, rows: Sequence[Any]) -> None:
    """Put the rows of `cells_statement` into the book."""
    for store_id, sku, on_hand, counted_at, count_id, unknown in rows:
        if on_hand is not None:
            book.levels[store_id, sku] = Level(on_hand, counted_at, count_id)
        if unknown:
            book.unknown_skus.add(sku)


def _skus(event: Event) -> Iterable[str]:
    lines: Sequence[Any] = getattr(event, "lines", None) or ()
    return (line.sku for line in lines)
