"""What was counted, what should have been there, and what is the difference as it is known now?

Expected is the fold of the movements before a line's own instant, computed when someone asks: a sale that arrives late changes what was
expected of the count, and so its variance, and never the present stock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, select, text

from events.stock import StockCounted
from infra import event_log
from infra.database import json_rows
from schemas.envelope import Recorded
from stock.counting import Found, findings
from stock.tables import product, stock_level
from stock.words import search_form

_COUNTS = text("""
    SELECT event_id, seq, occurred_at, recorded_at, business_date, actor, payload FROM event_log
    WHERE store_id = :store_id AND type = 'stock.counted' AND (CAST(:seq AS bigint) IS NULL OR seq < CAST(:seq AS bigint))
    ORDER BY seq DESC LIMIT :limit
""")
_EXPECTED = text("""
    SELECT cell.sku, coalesce(base.counted, 0) + coalesce(moved.units, 0) AS expected
    FROM json_to_recordset(CAST(:rows AS json)) AS cell(sku text, at timestamptz)
    LEFT JOIN LATERAL (
        SELECT m.effective_at, m.counted FROM stock_movement m
        WHERE m.store_id = :store_id AND m.sku = cell.sku AND m.counted IS NOT NULL
          AND (m.effective_at, m.event_id) < (cell.at, CAST(:count_id AS uuid))
        ORDER BY m.effective_at DESC, m.event_id DESC LIMIT 1
    ) AS base ON true
    LEFT JOIN LATERAL (
        SELECT sum(m.delta) AS units FROM stock_movement m
        WHERE m.store_id = :store_id AND m.sku = cell.sku AND m.effective_at <= cell.at
          AND (base.effective_at IS NULL OR m.effective_at > base.effective_at)
    ) AS moved ON true
""")
_NAMES = select(product.c.sku, product.c.name_fr, product.c.name_en)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a counting sheet lists: words that its products hold, their category's name in either language; None doesn't matter."""

    store_id: str
    search: str | None = None
    category: str | None = None
    blind: bool = False


def counts(connection: Connection, store_id: str, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
    """The counts of a store, the last one recorded first."""
    rows = connection.execute(_COUNTS, {"store_id": store_id, "seq": after[0] if after else None, "limit": limit})
    return [_count(row.event_id, row, row.payload) for row in rows]


def count(connection: Connection, store_id: str, count_id: UUID, *, may_know: bool) -> dict[str, Any] | None:
    """One count with its lines and their totals; None when the store has no such count.

    Unless the caller `may_know`, a blind count doesn't tell what was expected.
    """
    found = event_log.known(connection, [count_id])[0].get(count_id)
    if found is None or (found[0].store_id, found[0].type) != (store_id, StockCounted.type):
        return None
    event = found[0]
    content = StockCounted.model_validate(event.data)
    lines = _lines(connection, event, findings(content, event), told=may_know or not content.blind)
    return {**_count(event.event_id, event, event.data), "lines": lines, "totals": _totals(lines)}


def sheet(connection: Connection, wanted: Sheet, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """The SKUs that a store holds or has held, by SKU, and how many should be there unless whoever counts isn't to know."""
    level, of = stock_level.c, product.c
    statement: Select[Any] = (
        select(level.sku, level.on_hand, of.name_fr, of.name_en, of.category_fr, of.category_en, of.barcode)
        .outerjoin_from(stock_level, product, of.sku == level.sku)
        .where(level.store_id == wanted.store_id, *(of.search_text.contains(word, autoescape=True) for word in _words(wanted.search)))
        .order_by(level.sku)
        .limit(limit)
    )
    if wanted.category is not None:
        statement = statement.where((of.category_fr == wanted.category) | (of.category_en == wanted.category))
    if after:
        statement = statement.where(level.sku > after[0])
    return [_sheet_line(row, blind=wanted.blind) for row in connection.execute(statement)]


def expected(connection: Connection, store_id: str, count_id: UUID, found: Sequence[Found]) -> dict[str, int]:
    """How many units of each SKU should have been there when it was counted, by what is known now."""
    rows = json_rows([{"sku": each.sku, "at": each.at} for each in found])
    asked = {**rows, "store_id": store_id, "count_id": count_id}
    return {row.sku: int(row.expected) for row in connection.execute(_EXPECTED, asked)}


def _lines(connection: Connection, event: Recorded, found: Sequence[Found], *, told: bool) -> list[dict[str, Any]]:
    names = {
        row.sku: {"fr": row.name_fr, "en": row.name_en}
        for row in connection.execute(_NAMES.where(product.c.sku.in_([each.sku for each in found])))
    }
    lines: list[dict[str, Any]] = [
        {"sku": each.sku, "name": names.get(each.sku), "counted": each.quantity, "counted_at": each.at} for each in found
    ]
    if not told:
        return lines
    should = expected(connection, event.store_id, event.event_id, found)
    return [line | {"expected": should[line["sku"]], "variance": line["counted"] - should[line["sku"]]} for line in lines]


def _totals(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Sums over the lines; `missing` and `surplus` are the variances of either sign, which a sum would hide from each other."""
    totals = {"lines": len(lines), "counted": sum(line["counted"] for line in lines)}
    if any("expected" not in line for line in lines):
        return totals
    variances = [line["variance"] for line in lines]
    return totals | {
        "expected": sum(line["expected"] for line in lines),
        "variance": sum(variances),
        "missing": -sum(each for each in variances if each < 0),
        "surplus": sum(each for each in variances if each > 0),
    }


def _count(count_id: UUID, event: Row[Any] | Recorded, content: dict[str, Any]) -> dict[str, Any]:
    lines = content["lines"]
    return {
        "count_id": count_id,
        "seq": event.seq,
        "counted_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "business_date": event.business_date,
        "actor": event.actor,
        "note": content.get("note"),
        "blind": content.get("blind", False),
        "skus": len({line["sku"] for line in lines}),
        "units": sum(line["counted"] for line in lines),
    }


def _sheet_line(row: Row[Any], *, blind: bool) -> dict[str, Any]:
    known = row.name_fr is not None
    line = {
        "sku": row.sku,
        "name": {"fr": row.name_fr, "en": row.name_en} if known else None,
        "category": {"fr": row.category_fr, "en": row.category_en} if known else None,
        "barcode": row.barcode,
    }
    return line if blind else line | {"expected": row.on_hand}


def _words(search: str | None) -> list[str]:
    return search_form(search or "").split()
