"""Where are the restocks kept that the rules decide about, and how can two writers not decide about one at the same moment?

A restock belongs to two stores, so the lock on either's head isn't enough: its row is locked too, after the heads, sorted by id. Its
lines are read by a statement of their own: one that had waited for the lock would show them as they were before the wait.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, get_args
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, PrimaryKeyConstraint, Table, Text, Uuid, text

from events.restocks import OfRestock
from infra.database import Statement, metadata
from schemas.envelope import Recorded
from stock import decide_restocks
from stock.book import Book
from stock.chapter import Incoming
from stock.restock import Line, Restock, Status

__all__ = ["RestockLines", "Restocks", "decide_restocks", "restock", "restock_line"]  # with the rules, which register themselves

UNITS = tuple(unit.name for unit in fields(Line))

restock = Table(
    "restock",
    metadata,
    Column("restock_id", Uuid, primary_key=True),
    Column("from_store", Text, nullable=False),
    Column("to_store", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("note", Text),
    Column("reason", Text),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    CheckConstraint(f"status IN ({', '.join(map(repr, get_args(Status)))})", name="status"),
    postgresql_with={"fillfactor": "70"},
)
Index("ix_restock_to_store", restock.c.to_store, restock.c.requested_at, restock.c.restock_id)
Index("ix_restock_from_store", restock.c.from_store, restock.c.requested_at, restock.c.restock_id)
# What is under way: few rows of a table that grows for ever.
Index("ix_restock_open", restock.c.to_store, postgresql_where=text("status IN ('requested', 'approved', 'shipped', 'partially_received')"))

restock_line = Table(
    "restock_line",
    metadata,
    Column("restock_id", Uuid, nullable=False),
    Column("sku", Text, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in UNITS),
    PrimaryKeyConstraint("restock_id", "sku"),
    postgresql_with={"fillfactor": "70"},
)

_LOCK = "SELECT * FROM restock WHERE restock_id = ANY(%(ids)s::uuid[]) ORDER BY restock_id FOR UPDATE"
_LINES = "SELECT * FROM restock_line WHERE restock_id = ANY(%(ids)s::uuid[])"
_OPEN = """
    INSERT INTO restock (restock_id, from_store, to_store, status, note, reason, requested_by, requested_at, changed_at)
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row(
        restock_id uuid, from_store text, to_store text, status text, note text, reason text, requested_by text,
        requested_at timestamptz, changed_at timestamptz)
"""
_CHANGE = """
    UPDATE restock SET status = row.status, reason = row.reason, changed_at = row.changed_at
    FROM json_to_recordset(%(rows)s::json) AS row(restock_id uuid, status text, reason text, changed_at timestamptz)
    WHERE restock.restock_id = row.restock_id
"""
_SAVE_LINES = """
    INSERT INTO restock_line AS line (restock_id, sku, requested, approved, shipped, received, damaged, missing)
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row(
        restock_id uuid, sku text, requested bigint, approved bigint, shipped bigint, received bigint, damaged bigint, missing bigint)
    ON CONFLICT (restock_id, sku) DO UPDATE
    SET approved = excluded.approved, shipped = excluded.shipped, received = excluded.received, damaged = excluded.damaged,
        missing = excluded.missing
"""


class Restocks:
    """The restocks that the events speak of."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """Lock them and read where they stand."""
        return _about(_LOCK, batch)

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """The restocks, yet without their lines."""
        for row in rows:
            book.restocks[row.restock_id] = Restock(
                restock_id=row.restock_id,
                from_store=row.from_store,
                to_store=row.to_store,
                requested_by=row.requested_by,
                requested_at=row.requested_at,
                status=row.status,
                note=row.note,
                reason=row.reason,
            )

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """The restocks that a step was decided about. One id requested by two writers at once fails here, and is tried again alone."""
        changed = [(each, events[each.changed_by]) for each in book.restocks.values() if each.changed_by is not None]
        new = [_row(each, event) for each, event in changed if each.is_new]
        old = [_row(each, event) for each, event in changed if not each.is_new]
        return [Statement(sql, {"rows": to_json(rows).decode()}) for sql, rows in ((_OPEN, new), (_CHANGE, old)) if rows]


class RestockLines:
    """And how much of each SKU is where. Follows `Restocks`, which has locked what this reads and makes what this writes."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """The lines of the restocks."""
        return _about(_LINES, batch)

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """The lines."""
        for row in rows:
            kept = book.restocks.get(row.restock_id)
            if kept is not None:  # requested since the lock was asked for: too late for this batch
                kept.lines[row.sku] = Line(*(getattr(row, name) for name in UNITS))

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """The lines of what was changed."""
        del events
        changed = [each for each in book.restocks.values() if each.changed_by is not None]
        rows = [
            {"restock_id": each.restock_id, "sku": sku, **{name: getattr(line, name) for name in UNITS}}
            for each in changed
            for sku, line in each.lines.items()
        ]
        return [Statement(_SAVE_LINES, {"rows": to_json(rows).decode()})] if rows else ()


def _about(sql: str, batch: Sequence[Incoming]) -> Statement | None:
    ids: Iterable[UUID] = {each.event.restock_id for each in batch if isinstance(each.event, OfRestock)}
    return Statement(sql, {"ids": "{" + ",".join(map(str, ids)) + "}"}) if ids else None


def _row(kept: Restock, event: Recorded) -> dict[str, Any]:
    return {
        "restock_id": kept.restock_id,
        "from_store": kept.from_store,
        "to_store": kept.to_store,
        "status": kept.status,
        "note": kept.note,
        "reason": kept.reason,
        "requested_by": kept.requested_by,
        "requested_at": kept.requested_at,
        "changed_at": event.recorded_at,
    }
