"""How does the stock store load what a batch touches, and save what the rules decided?

Called with the heads of the batch's stores locked, so what is loaded can't change before it is saved.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unicodedata import combining, normalize
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from events.catalogue import ProductDefined, ProductStocked, StoreDefined
from events.sales import SaleRecorded, SaleVoided
from infra import event_log
from infra.database import json_rows
from schemas.envelope import Recorded
from stock import tables
from stock.book import Book, Shop
from stock.decide import sold_lines
from stock.rules import Level, Movement


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a store's log, locked: its last sequence number and instant, and its shop (None for the catalogue's stream)."""

    seq: int
    recorded_at: datetime | None
    shop: Shop | None


_LOCK = text("""
    SELECT store_id, seq, recorded_at FROM store_head
    WHERE store_id = ANY(CAST(:stores AS text[]))
    ORDER BY store_id
    FOR UPDATE
""")
_SHOPS = text("SELECT store_id, timezone, oversell FROM store WHERE store_id = ANY(CAST(:stores AS text[]))")
_OPEN = text("INSERT INTO store_head (store_id) SELECT unnest(CAST(:stores AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING")
_LEVELS = text("""
    SELECT l.store_id, l.sku, l.on_hand, l.counted_at, l.count_id
    FROM json_to_recordset(CAST(:rows AS json)) AS row(store_id text, sku text)
    JOIN stock_level l USING (store_id, sku)
""")
_LATER = text("""
    SELECT cell.store_id, cell.sku, cell.at, later.units
    FROM json_to_recordset(CAST(:rows AS json)) AS cell(store_id text, sku text, at timestamptz)
    CROSS JOIN LATERAL (
        SELECT sum(delta) AS units FROM stock_movement m
        WHERE m.store_id = cell.store_id AND m.sku = cell.sku AND m.effective_at > cell.at
    ) AS later
    WHERE later.units IS NOT NULL
""")
_MOVEMENTS = text("""
    INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, counted, recorded_at)
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row(
        store_id text, sku text, effective_at timestamptz, event_id uuid, line smallint, seq bigint, type text, delta integer,
        counted integer, recorded_at timestamptz)
""")
_SAVE_LEVELS = text("""
    INSERT INTO stock_level (store_id, sku, on_hand, counted_at, count_id)
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row(
        store_id text, sku text, on_hand bigint, counted_at timestamptz, count_id uuid)
    ON CONFLICT (store_id, sku) DO UPDATE
    SET on_hand = excluded.on_hand, counted_at = excluded.counted_at, count_id = excluded.count_id
""")


def open_stores(connection: Connection, store_ids: Iterable[str]) -> None:
    """Give new stores the head of their log."""
    connection.execute(_OPEN, {"stores": sorted(set(store_ids))})


def lock_heads(connection: Connection, store_ids: Iterable[str]) -> dict[str, Head]:
    """Lock the heads of these stores, always in the same order (unsorted, four writers had 7 deadlocks in 5 s). Unknown ones are absent.

    The shops are read in a second statement: the first one sees the store as it was before it waited for the lock.
    """
    wanted = {"stores": sorted(set(store_ids))}
    locked = connection.execute(_LOCK, wanted).all()
    shops = {row.store_id: Shop(ZoneInfo(row.timezone), row.oversell) for row in connection.execute(_SHOPS, wanted)}
    return {row.store_id: Head(row.seq, row.recorded_at, shops.get(row.store_id)) for row in locked}


def levels(connection: Connection, cells: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Level]:
    """The levels of these (store, SKU) cells, as far as there are any."""
    rows = connection.execute(_LEVELS, json_rows([{"store_id": store_id, "sku": sku} for store_id, sku in cells]))
    return {(row.store_id, row.sku): Level(row.on_hand, row.counted_at, row.count_id) for row in rows}


def later_deltas(connection: Connection, counted: Iterable[tuple[str, str, datetime]]) -> dict[tuple[str, str, datetime], int]:
    """Units that moved after each (store, SKU, instant), by the ledger; those after which nothing moved are absent. Only counts ask."""
    cells = sorted(set(counted))
    if not cells:
        return {}
    rows = connection.execute(_LATER, json_rows([{"store_id": store_id, "sku": sku, "at": at} for store_id, sku, at in cells]))
    return {(row.store_id, row.sku, row.at): int(row.units) for row in rows}


def unknown_skus(connection: Connection, skus: Iterable[str]) -> set[str]:
    """Those of the SKUs that the catalogue doesn't have."""
    wanted = set(skus)
    rows = connection.execute(text("SELECT sku FROM product WHERE sku = ANY(CAST(:skus AS text[]))"), {"skus": list(wanted)})
    return wanted - {row.sku for row in rows}


def load_sales(connection: Connection, book: Book, *, arriving: Iterable[UUID], spoken_of: Iterable[UUID]) -> None:
    """Put into the book what the log knows of the sales in a batch: those that arrive, and those that voids and returns speak of."""
    spoken = list(spoken_of)
    if spoken:
        for event, _ in event_log.found(connection, spoken).values():
            _remember_sale(book, event)
    for event in sorted(event_log.about(connection, {*spoken, *arriving}), key=lambda each: (each.store_id, each.seq)):
        _remember_dependent(book, event)


def save(connection: Connection, book: Book, recorded: Mapping[UUID, Recorded]) -> None:
    """Write the movements of the batch and the levels that they made. `recorded` finds the event that wrote a movement."""
    if not book.moved:
        return
    cells = sorted(book.moved)
    moved = ((store_id, writer, each) for store_id, sku in cells for writer, each in book.moved[store_id, sku])
    connection.execute(_MOVEMENTS, json_rows([_movement_row(store_id, recorded[writer], each) for store_id, writer, each in moved]))
    connection.execute(_SAVE_LEVELS, json_rows([_level_row(store_id, sku, book.levels[store_id, sku]) for store_id, sku in cells]))


def save_store(connection: Connection, store_id: str, event: StoreDefined) -> None:
    """The store as it is from now on."""
    row = event.model_dump()
    connection.execute(insert(tables.store).values(store_id=store_id, **row).on_conflict_do_update(index_elements=["store_id"], set_=row))


def save_products(connection: Connection, events: Sequence[ProductDefined]) -> None:
    """The products as they are from now on; the last of several descriptions of one SKU counts."""
    if not events:
        return
    rows = sorted({event.sku: _product_row(event) for event in events}.values(), key=lambda row: row["sku"])
    statement = insert(tables.product)
    changed = {name: statement.excluded[name] for name in rows[0] if name != "sku"}
    connection.execute(statement.on_conflict_do_update(index_elements=["sku"], set_=changed), rows)


def save_stocked(connection: Connection, store_id: str, event: ProductStocked) -> None:
    """One shop's own limits and price for a product."""
    row = event.model_dump(exclude={"sku"})
    connection.execute(
        insert(tables.store_product)
        .values(store_id=store_id, sku=event.sku, **row)
        .on_conflict_do_update(index_elements=["store_id", "sku"], set_=row)
    )


def search_form(words: str) -> str:
    """Text as it is searched: lower case, without accents. ``"Épicerie"`` and ``"epicerie"`` are the same."""
    return "".join(letter for letter in normalize("NFKD", words.casefold()) if not combining(letter))


def count_stores(connection: Connection) -> int:
    """How many stores there are."""
    return connection.execute(select(func.count()).select_from(tables.store)).scalar_one()


def _movement_row(store_id: str, writer: Recorded, movement: Movement) -> dict[str, Any]:
    return {
        "store_id": store_id,
        "sku": movement.sku,
        "effective_at": movement.effective_at,
        "event_id": movement.event_id,
        "line": movement.line,
        "seq": writer.seq,
        # A sale that settles a void which waited for it writes the void's movements too.
        "type": writer.type if writer.event_id == movement.event_id else SaleVoided.type,
        "delta": movement.delta,
        "counted": movement.counted,
        "recorded_at": writer.recorded_at,
    }


def _level_row(store_id: str, sku: str, level: Level) -> dict[str, Any]:
    return {
        "store_id": store_id,
        "sku": sku,
        "on_hand": level.on_hand,
        "counted_at": level.counted_at,
        "count_id": level.count_id,
    }


def _product_row(event: ProductDefined) -> dict[str, Any]:
    words = (event.sku, event.name.fr, event.name.en, event.category.fr, event.category.en, event.barcode or "")
    return {
        "sku": event.sku,
        "name_fr": event.name.fr,
        "name_en": event.name.en,
        "category_fr": event.category.fr,
        "category_en": event.category.en,
        "price": event.price,
        "barcode": event.barcode,
        "active": event.active,
        "search_text": search_form(" ".join(words)),
    }


def _remember_sale(book: Book, event: Recorded) -> None:
    if event.type == SaleRecorded.type and event.outcome == "recorded":
        sale = book.sale(event.store_id, event.event_id)
        sale.effective_at, sale.local_at = event.effective_at, event.local_at
        sale.lines = sold_lines(SaleRecorded.model_validate(event.data).lines)


def _remember_dependent(book: Book, event: Recorded) -> None:
    if event.subject is None:
        return
    sale = book.sale(event.store_id, event.subject)
    if event.type == "sale.voided":
        sale.voided_by = event.event_id
    elif event.type == "sale.returned":
        lines = (event.effect or {})["lines"]
        for line in lines:
            sale.returned[line["sku"]] += line["quantity"]
        if any(line["refund_cents"] is None for line in lines):
            sale.unpriced.append((event.event_id, event.local_at, lines))
