"""What could not be handled, why, and what is known of it besides?

A dead letter is never removed. It waits; it is sent back (`redriving`, then `redriven`, or it waits again); it is set aside (`parked`)
until somebody restores it; or what it should have said takes its place (`edited`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by

from infra.audit import audit_log
from infra.dead_letters import dead_letter
from infra.event_log import event_log
from infra.redriven import redrive_item
from operations.deed import Refused
from operations.edits import dead_letter_edit
from operations.letter_query import COLUMNS, Group, Query
from operations.sentences import readable, sentence

SHOWN_BYTES: Final = 16_384
"""In a list a payload is shown up to that size; of one letter always."""
MOST_GROUPS: Final = 500
MOST_RELATED: Final = 100
NAMED: Final = 20
ERROR_CHARACTERS: Final = 500
_PLAIN: Final = ("id", "message_id", "event_id", "type", "store_id", "consumer", "reason", "error", "stack", "attempts", "fingerprint")
_STORY: Final = ("failed_at", "status", "status_at", "status_by", "status_reason", "redrive_id", "redrives", "original_id", "edited_id")
_EVENT: Final = ("event_id", "type", "store_id", "seq", "outcome", "reason", "occurred_at", "recorded_at")


def page(connection: Connection, query: Query, *, before: tuple[datetime, UUID] | None, limit: int) -> list[dict[str, Any]]:
    """At most `limit` letters, those that failed last first, behind the place where the last page ended."""
    column = dead_letter.c
    found = select(dead_letter).where(*query.conditions()).order_by(column.failed_at.desc(), column.id.desc()).limit(limit)
    if before is not None:
        found = found.where(tuple_(column.failed_at, column.id) < before)
    return [_told(row) for row in connection.execute(found)]


def groups(connection: Connection, query: Query, by: Group) -> list[dict[str, Any]]:
    """The letters by what they have in common, the largest groups first; `error` and `summary` are those of the latest one."""
    column = dead_letter.c
    key = column[COLUMNS[by]]
    counted = (
        select(
            key.label("key"),
            func.count().label("count"),
            func.min(column.failed_at).label("first_failed_at"),
            func.max(column.failed_at).label("last_failed_at"),
            func.max(column.attempts).label("most_attempts"),
            *(func.array_agg(column[name].distinct()).label(f"{name}s") for name in ("type", "store_id", "consumer", "reason", "status")),
            func.array_agg(aggregate_order_by(column.id, column.failed_at.desc(), column.id))[1].label("latest_id"),
        )
        .where(*query.conditions())
        .group_by(key)
        .order_by(func.count().desc(), key)
        .limit(MOST_GROUPS)
    )
    rows = connection.execute(counted).all()
    latest = {row.id: row for row in connection.execute(select(dead_letter).where(column.id.in_([row.latest_id for row in rows])))}
    return [_group(row, by, latest[row.latest_id]) for row in rows]


def one(connection: Connection, letter_id: UUID) -> dict[str, Any]:
    """Everything that is known of a letter. Raises Refused (unknown_dead_letter)."""
    row = connection.execute(select(dead_letter).where(dead_letter.c.id == letter_id)).first()
    if row is None:
        raise Refused("unknown_dead_letter")
    return {
        **_told(row, whole=True),
        "headers": row.headers,
        "exchange": row.exchange,
        "routing_key": row.routing_key,
        "raw": row.payload.decode("utf-8", "replace"),
        "earlier": row.earlier,
        "traces": _traces(connection, row),
    }


def _told(row: Row[Any], *, whole: bool = False) -> dict[str, Any]:
    found = readable(row.payload)
    shown = whole or len(row.payload) <= SHOWN_BYTES
    return {
        **{name: getattr(row, name) for name in (*_PLAIN, *_STORY)},
        "trace_id": trace_id(row.traceparent),
        "summary": sentence(row.payload, found),
        "payload": found if shown else None,
        "payload_bytes": len(row.payload),
    }


def trace_id(traceparent: str | None) -> str | None:
    """The trace of a ``traceparent``."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None  # noqa: PLR2004 - version, trace, parent, flags


def _group(row: Row[Any], by: Group, latest: Row[Any]) -> dict[str, Any]:
    return {
        by: row.key,
        "count": row.count,
        "first_failed_at": row.first_failed_at,
        "last_failed_at": row.last_failed_at,
        "most_attempts": row.most_attempts,
        "types": _named(row.types),
        "stores": _named(row.store_ids),
        "consumers": _named(row.consumers),
        "reasons": _named(row.reasons),
        "statuses": _named(row.statuss),
        "error": latest.error[:ERROR_CHARACTERS],
        "summary": sentence(latest.payload, readable(latest.payload)),
        "latest_id": latest.id,
    }


def _named(values: list[str | None]) -> list[str]:
    return sorted(value for value in values if value is not None)[:NAMED]


def _traces(connection: Connection, row: Row[Any]) -> Mapping[str, Any]:
    """Where else the event, or this letter, left a trace."""
    column, item, edit = dead_letter.c, redrive_item.c, dead_letter_edit.c
    event = None if row.event_id is None else connection.execute(select(event_log).where(event_log.c.event_id == row.event_id)).first()
    same = [] if row.event_id is None else [column.event_id == row.event_id]
    others = select(*(column[name] for name in (*_PLAIN[:-2], "failed_at", "status"))).where(column.id != row.id, *same).limit(MOST_RELATED)
    return {
        "event": None if event is None else {name: getattr(event, name) for name in _EVENT},
        "letters": [dict(found) for found in connection.execute(others.order_by(column.failed_at)).mappings()] if same else [],
        "redrives": [
            dict(found)
            for found in connection.execute(
                select(item.redrive_id, item.state, item.outcome, item.detail, item.sent_at, item.settled_at)
                .where(item.letter_id == row.id)
                .order_by(item.sent_at.desc().nulls_first())
                .limit(MOST_RELATED)
            ).mappings()
        ],
        "edits": [
            dict(found)
            for found in connection.execute(
                select(*(each for each in edit if each.name != "payload"))
                .where((edit.letter_id == row.id) | (edit.new_letter_id == row.id))
                .order_by(edit.proposed_at)
                .limit(MOST_RELATED)
            ).mappings()
        ],
        "audit": [
            dict(found)
            for found in connection.execute(
                select(audit_log).where(audit_log.c.target == str(row.id)).order_by(audit_log.c.id).limit(MOST_RELATED)
            ).mappings()
        ],
    }
