"""Which contradictions are open, and how were the others settled?

`case.opened` and `case.resolved` are events like any other; this table is what they say together, written with them. It is never the
truth: the log has every case, and its id, made of what contradicts, is why none opens twice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from events.cases import CaseOpened, CaseResolved
from infra.database import Statement, metadata
from schemas.envelope import Recorded
from stock.book import Book, Settlement
from stock.chapter import Incoming
from stock.decide_cases import resolve_case

__all__ = ["Cases", "resolve_case", "stock_case"]

stock_case = Table(
    "stock_case",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("store_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sku", Text),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("events", JSONB, nullable=False),
    Column("details", JSONB, nullable=False),
    Column("status", Text, nullable=False, server_default="open"),
    Column("resolution", JSONB(none_as_null=True)),
    CheckConstraint("status IN ('open', 'resolved')", name="status"),
)
Index("ix_stock_case_store", stock_case.c.store_id, stock_case.c.seq)
Index("ix_stock_case_open", stock_case.c.store_id, stock_case.c.seq, postgresql_where=stock_case.c.status == "open")

_FIND = "SELECT case_id, store_id, resolution FROM stock_case WHERE case_id = ANY(%(ids)s::uuid[])"
_OPEN = """
    INSERT INTO stock_case (case_id, store_id, seq, kind, sku, opened_at, events, details)
    SELECT * FROM json_to_recordset(%(opened)s::json) AS row(
        case_id uuid, store_id text, seq bigint, kind text, sku text, opened_at timestamptz, events jsonb, details jsonb)
    ON CONFLICT DO NOTHING
"""
_RESOLVE = """
    UPDATE stock_case SET status = 'resolved', resolution = row.resolution
    FROM json_to_recordset(%(resolved)s::json) AS row(case_id uuid, resolution jsonb)
    WHERE stock_case.case_id = row.case_id
"""


class Cases:
    """The cases that a batch opens or settles."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """The cases that someone wants to settle."""
        ids = sorted({str(each.event.case_id) for each in batch if isinstance(each.event, CaseResolved)})
        return Statement(_FIND, {"ids": ids}) if ids else None

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """Those that there are, with how they were settled."""
        for case_id, store_id, resolution in rows:
            book.settlements[store_id, case_id] = None if resolution is None else _settlement(resolution)

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """What was opened, and what was settled."""
        del book
        opened = [_opened(each) for each in events.values() if each.type == CaseOpened.type]
        resolved = [_resolved(each) for each in events.values() if each.type == CaseResolved.type and each.outcome == "recorded"]
        statements = []
        if opened:
            statements.append(Statement(_OPEN, {"opened": to_json(opened).decode()}))
        if resolved:
            statements.append(Statement(_RESOLVE, {"resolved": to_json(resolved).decode()}))
        return statements


def _opened(event: Recorded) -> dict[str, Any]:
    return {
        "case_id": event.event_id,
        "store_id": event.store_id,
        "seq": event.seq,
        "kind": event.data["kind"],
        "sku": event.data.get("sku"),
        "opened_at": event.recorded_at,
        "events": event.data["events"],
        "details": event.data.get("details", {}),
    }


def _resolved(event: Recorded) -> dict[str, Any]:
    told = {name: event.data.get(name) for name in ("resolution", "note", "action_event_id")}
    return {
        "case_id": event.data["case_id"],
        "resolution": {**told, "by": event.actor, "at": event.recorded_at, "event_id": event.event_id},
    }


def _settlement(resolution: Mapping[str, Any]) -> Settlement:
    return Settlement(UUID(resolution["event_id"]), resolution["resolution"], resolution["by"], datetime.fromisoformat(resolution["at"]))
