"""Which restocks are there, how far is each, and how did it come to that?"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, or_, select, text

from events.restocks import RestockRequested
from stock.restock import Status
from stock.restocks import UNITS, restock, restock_line
from stock.tables import product

_HISTORY = text("""
    SELECT store_id, seq, event_id, type, occurred_at, recorded_at, actor, outcome, reason, payload, effect
    FROM event_log WHERE event_id = :id OR subject = :id
    ORDER BY recorded_at, store_id, seq
""")
MOST_HISTORY = 1_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which restocks; None doesn't matter. One of `stores` sends or receives."""

    stores: Collection[str] | None = None
    status: Status | None = None


def restocks(connection: Connection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
    """Restocks with their lines, the latest request first; `requested_at` and `restock_id` are the place of a row."""
    kept = restock.c
    statement = select(restock).order_by(kept.requested_at.desc(), kept.restock_id.desc()).limit(limit)
    if wanted.stores is not None:
        stores = sorted(wanted.stores)
        statement = statement.where(or_(kept.to_store.in_(stores), kept.from_store.in_(stores)))
    if wanted.status is not None:
        statement = statement.where(kept.status == wanted.status)
    if after:
        at, restock_id = after
        statement = statement.where(or_(kept.requested_at < at, (kept.requested_at == at) & (kept.restock_id < restock_id)))
    rows = connection.execute(statement).all()
    lines = _lines(connection, [row.restock_id for row in rows])
    return [{**row._mapping, "lines": lines.get(row.restock_id, [])} for row in rows]  # noqa: SLF001 - SQLAlchemy's documented name


def one(connection: Connection, restock_id: UUID) -> dict[str, Any] | None:
    """A restock with its lines; None when there is none."""
    row = connection.execute(select(restock).where(restock.c.restock_id == restock_id)).mappings().first()
    return None if row is None else {**row, "lines": _lines(connection, [restock_id]).get(restock_id, [])}


def history(connection: Connection, restock_id: UUID) -> list[dict[str, Any]]:
    """Every event about a restock, refused ones too, as they were recorded: who took which step when, and with what."""
    rows = connection.execute(_HISTORY, {"id": restock_id}).fetchmany(MOST_HISTORY)
    return [_step(row) for row in rows]


def _step(row: Row[Any]) -> dict[str, Any]:
    return {
        "event_id": row.event_id,
        "type": row.type,
        "store_id": row.store_id,
        "seq": row.seq,
        "occurred_at": row.occurred_at,
        "recorded_at": row.recorded_at,
        "actor": row.actor,
        "outcome": row.outcome,
        "reason": row.reason or row.payload.get("reason"),
        "note": row.payload.get("note") if row.type != RestockRequested.type else None,
        "lines": row.payload.get("lines", []),
        "state": (row.effect or {}).get("state"),
    }


def _lines(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """The lines of some restocks by SKU, with the products' names; `in_transit` doesn't look at whether a restock is closed."""
    line = restock_line.c
    statement = (
        select(restock_line, product.c.name_fr, product.c.name_en)
        .outerjoin(product, product.c.sku == line.sku)
        .where(line.restock_id.in_(ids))
        .order_by(line.restock_id, line.sku)
    )
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in connection.execute(statement):
        name = None if row.name_fr is None else {"fr": row.name_fr, "en": row.name_en}
        told = {"sku": row.sku, "name": name, **{unit: getattr(row, unit) for unit in UNITS}}
        found.setdefault(row.restock_id, []).append(told)
    return found
