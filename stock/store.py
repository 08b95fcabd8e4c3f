"""How does the stock store load what a batch touches, and save what the rules decided?

Called with the heads of the batch's stores locked, so what is loaded can't change before it is saved.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection, text, update
from sqlalchemy.dialects.postgresql import insert

from events.catalogue import ProductStocked, StoreDefined
from events.sales import SaleRecorded, SaleVoided
from infra import event_log
from infra.database import Statement
from schemas.envelope import Recorded
from stock import tables
from stock.book import Book, Shop, Unpriced
from stock.decide import sold_lines
from stock.rules import Level, Movement


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a store's log, locked: its last sequence number and instant, and its shop (None for the catalogue's stream)."""

    seq: int
    recorded_at: datetime | None
    shop: Shop | None


_LOCK = """
    SELECT store_id, seq, recorded_at, timezone, oversell, day_ends FROM store_head
    WHERE store_id = ANY(%(stores)s::text[])
    ORDER BY store_id
    FOR UPDATE
"""
_OPEN = text("INSERT INTO store_head (store_id) SELECT unnest(CAST(:stores AS text[])) ORDER BY 1 ON CONFLICT DO NOTHING")
_SAVE = f"""
    WITH appended AS ({event_log.APPEND_SQL}), moved_heads AS ({event_log.MOVE_HEADS_SQL}), moved AS (
        INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, counted, recorded_at)
        SELECT * FROM json_to_recordset(%(movements)s::json) AS row(
            store_id text, sku text, effective_at timestamptz, event_id uuid, line smallint, seq bigint, type text, delta integer,
            counted integer, recorded_at timestamptz)
    )
    INSERT INTO stock_level (store_id, sku, on_hand, counted_at, count_id)
    SELECT * FROM json_to_recordset(%(levels)s::json) AS row(
        store_id text, sku text, on_hand bigint, counted_at timestamptz, count_id uuid)
    ON CONFLICT (store_id, sku) DO UPDATE
    SET on_hand = excluded.on_hand, counted_at = excluded.counted_at, count_id = excluded.count_id
"""  # noqa: S608 - put together from constants


def open_stores(connection: Connection, store_ids: Iterable[str]) -> None:
    """Give new stores the head of their log."""
    connection.execute(_OPEN, {"stores": sorted(set(store_ids))})


def heads_statement(store_ids: Iterable[str]) -> Statement:
    """Lock the heads of these stores, always in the same order (unsorted, four writers had 7 deadlocks in 5 s)."""
    return Statement(_LOCK, {"stores": sorted(set(store_ids))})


def heads_of(rows: Iterable[Any]) -> dict[str, Head]:
    """The rows of `heads_statement`; unknown stores are absent."""
    return {
        store_id: Head(seq, recorded_at, None if timezone is None else Shop.of(timezone, oversell, day_ends))
        for store_id, seq, recorded_at, timezone, oversell, day_ends in rows
    }


def remember(book: Book, history: Iterable[Recorded]) -> None:
    """Put into the book what the log has of some sales: themselves, and their voids and returns in the order of the log."""
    for event in history:
        if event.subject is None:
            _remember_sale(book, event)
        else:
            _remember_dependent(book, event, event.subject)


def save_statement(book: Book, events: Sequence[Recorded], fingerprints: Sequence[str]) -> Statement:
    """Write a batch: append its events, move the heads, write the movements and the levels that they made.

    One statement for the four: each costs the process 0.2 ms of CPU and PostgreSQL a plan, whatever is in it.
    """
    by_id = {event.event_id: event for event in events}
    cells = sorted(book.moved)
    moved = ((store_id, writer, each) for store_id, sku in cells for writer, each in book.moved[store_id, sku])
    rows = {
        "events": event_log.events_rows(events, fingerprints),
        "heads": event_log.heads_rows(events),
        "movements": [_movement_row(store_id, by_id[writer], each) for store_id, writer, each in moved],
        "levels": [_level_row(store_id, sku, book.levels[store_id, sku]) for store_id, sku in cells],
    }
    return Statement(_SAVE, {name: to_json(each).decode() for name, each in rows.items()})


def save_store(connection: Connection, store_id: str, event: StoreDefined) -> None:
    """The store as it is from now on."""
    row = event.model_dump()
    connection.execute(insert(tables.store).values(store_id=store_id, **row).on_conflict_do_update(index_elements=["store_id"], set_=row))
    rules = {"timezone": event.timezone, "oversell": event.oversell, "day_ends": event.day_ends}
    connection.execute(update(event_log.store_head).where(event_log.store_head.c.store_id == store_id).values(rules))


def save_stocked(connection: Connection, store_id: str, event: ProductStocked) -> None:
    """One shop's own limits and price for a product."""
    row = event.model_dump(exclude={"sku"})
    connection.execute(
        insert(tables.store_product)
        .values(store_id=store_id, sku=event.sku, **row)
        .on_conflict_do_update(index_elements=["store_id", "sku"], set_=row)
    )


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


def _remember_sale(book: Book, event: Recorded) -> None:
    if event.type == SaleRecorded.type and event.outcome == "recorded":
        sale = book.sale(event.store_id, event.event_id)
        sale.effective_at, sale.local_at, sale.business_date = event.effective_at, event.local_at, event.business_date
        sale.lines = sold_lines(SaleRecorded.model_validate(event.data).lines)


def _remember_dependent(book: Book, event: Recorded, sale_id: UUID) -> None:
    sale = book.sale(event.store_id, sale_id)
    if event.type == "sale.voided":
        sale.voided_by = event.event_id
    elif event.type == "sale.returned":
        lines = (event.effect or {})["lines"]
        for line in lines:
            sale.returned[line["sku"]] += line["quantity"]
        if any(line["refund_cents"] is None for line in lines):
            sale.unpriced.append(Unpriced(event.event_id, event.local_at, event.business_date, lines))
