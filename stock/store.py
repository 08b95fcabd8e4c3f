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
from schemas.envelope import Recorded
from stock import tables
from stock.book import Book, Sale, Shop
from stock.decide import sold_lines
from stock.rules import Level, Movement


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a store's log, locked: its last sequence number and instant, and its shop (None for the catalogue's stream)."""

    seq: int
    recorded_at: datetime | None
    shop: Shop | None


_LOCK = text("""
    SELECT h.store_id, h.seq, h.recorded_at, s.timezone, s.oversell
    FROM store_head h LEFT JOIN store s USING (store_id)
    WHERE h.store_id = ANY(CAST(:stores AS text[]))
    ORDER BY h.store_id
    FOR UPDATE OF h
""")
_OPEN = text("INSERT INTO store_head (store_id) SELECT unnest(CAST(:stores AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING")
_LEVELS = text("""
    SELECT l.store_id, l.sku, l.on_hand, l.counted_at, l.count_id
    FROM unnest(CAST(:store_id AS text[]), CAST(:sku AS text[])) AS row(store_id, sku)
    JOIN stock_level l USING (store_id, sku)
""")
_LATER = text("""
    SELECT coalesce(sum(delta), 0) FROM stock_movement
    WHERE store_id = :store_id AND sku = :sku AND effective_at > :at AND delta IS NOT NULL
""")
_MOVEMENTS = text("""
    INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, counted, recorded_at)
    SELECT * FROM unnest(CAST(:store_id AS text[]), CAST(:sku AS text[]), CAST(:effective_at AS timestamptz[]),
                         CAST(:event_id AS uuid[]), CAST(:line AS smallint[]), CAST(:seq AS bigint[]), CAST(:type AS text[]),
                         CAST(:delta AS integer[]), CAST(:counted AS integer[]), CAST(:recorded_at AS timestamptz[]))
""")
_SAVE_LEVELS = text("""
    INSERT INTO stock_level (store_id, sku, on_hand, counted_at, count_id)
    SELECT * FROM unnest(CAST(:store_id AS text[]), CAST(:sku AS text[]), CAST(:on_hand AS bigint[]),
                         CAST(:counted_at AS timestamptz[]), CAST(:count_id AS uuid[]))
    ON CONFLICT (store_id, sku) DO UPDATE
    SET on_hand = excluded.on_hand, counted_at = excluded.counted_at, count_id = excluded.count_id
""")


def open_stores(connection: Connection, store_ids: Iterable[str]) -> None:
    """Give new stores the head of their log."""
    connection.execute(_OPEN, {"stores": sorted(set(store_ids))})


def lock_heads(connection: Connection, store_ids: Iterable[str]) -> dict[str, Head]:
    """Lock the heads of these stores, always in the same order (unsorted, four writers had 7 deadlocks in 5 s). Unknown ones are absent."""
    rows = connection.execute(_LOCK, {"stores": sorted(set(store_ids))})
    return {
        row.store_id: Head(row.seq, row.recorded_at, None if row.timezone is None else Shop(ZoneInfo(row.timezone), row.oversell))
        for row in rows
    }


def levels(connection: Connection, cells: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Level]:
    """The levels of these (store, SKU) cells, as far as there are any."""
    wanted = list(cells)
    rows = connection.execute(_LEVELS, {"store_id": [store for store, _ in wanted], "sku": [sku for _, sku in wanted]})
    return {(row.store_id, row.sku): Level(row.on_hand, row.counted_at, row.count_id) for row in rows}


def later_deltas(connection: Connection, store_id: str, sku: str, at: datetime) -> int:
    """Units that moved after an instant, by the ledger. Only counts ask."""
    return int(connection.execute(_LATER, {"store_id": store_id, "sku": sku, "at": at}).scalar_one())


def unknown_skus(connection: Connection, skus: Iterable[str]) -> frozenset[str]:
    """Those of the SKUs that the catalogue doesn't have."""
    wanted = set(skus)
    rows = connection.execute(text("SELECT sku FROM product WHERE sku = ANY(CAST(:skus AS text[]))"), {"skus": list(wanted)})
    return frozenset(wanted - {row.sku for row in rows})


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
    rows: dict[str, list[Any]] = {name: [getattr(each, name) for _, _, each in book.moved] for name in _MOVEMENT_FIELDS}
    writers = [recorded[writer] for _, writer, _ in book.moved]
    rows |= {
        "store_id": [store_id for store_id, _, _ in book.moved],
        "seq": [event.seq for event in writers],
        # A sale that settles a void which waited for it writes the void's movements too.
        "type": [
            event.type if event.event_id == each.event_id else SaleVoided.type
            for event, (_, _, each) in zip(writers, book.moved, strict=True)
        ],
        "recorded_at": [event.recorded_at for event in writers],
    }
    connection.execute(_MOVEMENTS, rows)
    cells = sorted({(store_id, each.sku) for store_id, _, each in book.moved})
    after = [book.levels[cell] for cell in cells]
    connection.execute(
        _SAVE_LEVELS,
        {
            "store_id": [store_id for store_id, _ in cells],
            "sku": [sku for _, sku in cells],
            "on_hand": [level.on_hand for level in after],
            "counted_at": [level.counted_at for level in after],
            "count_id": [level.count_id for level in after],
        },
    )


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


_MOVEMENT_FIELDS = ("sku", "effective_at", "event_id", "line", "delta", "counted")


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
