"""What is the truth, in which order, and how is it appended and read back?

One row an event, contiguous `seq` per store, append-only (a trigger refuses UPDATE, DELETE and TRUNCATE). Whoever appends holds the
lock on the store's row in `store_head`; that lock is what makes the sequence gapless and in commit order.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    Row,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from infra.database import json_rows, metadata
from schemas.envelope import Recorded

Instant = DateTime(timezone=True)

event_log = Table(
    "event_log",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("version", SmallInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("subject", Uuid),
    Column("occurred_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("local_at", DateTime(timezone=False), nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("payload", JSONB, nullable=False),
    Column("effect", JSONB(none_as_null=True)),
    Column("actor", Text, nullable=False),
    Column("traceparent", Text),
    Column("fingerprint", Text, nullable=False),
    PrimaryKeyConstraint("store_id", "seq"),
    UniqueConstraint("event_id"),
    CheckConstraint("outcome IN ('recorded', 'refused')", name="outcome"),
    CheckConstraint("seq > 0", name="seq"),
)
Index("ix_event_log_subject", event_log.c.subject, postgresql_where=event_log.c.subject.is_not(None))
Index(
    "ix_event_log_sales",
    event_log.c.store_id,
    event_log.c.local_at,
    event_log.c.event_id,
    postgresql_where=text("type = 'sale.recorded' AND outcome = 'recorded'"),
)
Index("ix_event_log_cases", event_log.c.store_id, event_log.c.seq, postgresql_where=text("type = 'case.opened'"))

store_head = Table(
    "store_head",
    metadata,
    Column("store_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("recorded_at", Instant),
    postgresql_with={"fillfactor": "50"},
)

_APPEND = text("""
    INSERT INTO event_log (store_id, seq, event_id, type, version, source, subject, occurred_at, received_at, effective_at,
                           recorded_at, local_at, outcome, reason, payload, effect, actor, traceparent, fingerprint)
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row(
        store_id text, seq bigint, event_id uuid, type text, version smallint, source text, subject uuid, occurred_at timestamptz,
        received_at timestamptz, effective_at timestamptz, recorded_at timestamptz, local_at timestamp, outcome text, reason text,
        payload jsonb, effect jsonb, actor text, traceparent text, fingerprint text)
""")
_SEQUELS = text("""
    SELECT sequel.*
    FROM unnest(CAST(:store_id AS text[]), CAST(:seq AS bigint[])) AS place(store_id, seq)
    CROSS JOIN LATERAL (
        SELECT min(e.seq) AS seq FROM event_log e WHERE e.store_id = place.store_id AND e.seq > place.seq AND e.type <> :type
    ) AS following
    JOIN event_log sequel ON sequel.store_id = place.store_id AND sequel.seq > place.seq
        AND sequel.seq < coalesce(following.seq, 9223372036854775807) AND sequel.type = :type
""")
_MOVE_HEADS = text("""
    UPDATE store_head SET seq = row.seq, recorded_at = row.recorded_at
    FROM json_to_recordset(CAST(:rows AS json)) AS row(store_id text, seq bigint, recorded_at timestamptz)
    WHERE store_head.store_id = row.store_id
""")


def append(connection: Connection, events: Sequence[Recorded], fingerprints: Sequence[str]) -> None:
    """Append events whose sequence numbers follow the heads that the caller has locked, and move those heads."""
    if not events:
        return
    connection.execute(_APPEND, json_rows([_row(event, print_) for event, print_ in zip(events, fingerprints, strict=True)]))
    last = {event.store_id: event for event in events}
    connection.execute(
        _MOVE_HEADS, json_rows([{"store_id": each.store_id, "seq": each.seq, "recorded_at": each.recorded_at} for each in last.values()])
    )


def found(connection: Connection, event_ids: Iterable[UUID]) -> dict[UUID, tuple[Recorded, str]]:
    """Those of the ids that the log has, each with its event and the fingerprint of its content."""
    rows = connection.execute(select(event_log).where(event_log.c.event_id == _any(event_ids)))
    return {row.event_id: (recorded(row), row.fingerprint) for row in rows}


def read(connection: Connection, store_id: str, *, after: int, through: int) -> list[Recorded]:
    """The events of a store with after < seq ≤ through, in order. The caller bounds the stretch."""
    rows = connection.execute(
        select(event_log)
        .where(event_log.c.store_id == store_id, event_log.c.seq > after, event_log.c.seq <= through)
        .order_by(event_log.c.seq)
    )
    return [recorded(row) for row in rows]


def about(connection: Connection, subjects: Iterable[UUID]) -> list[Recorded]:
    """The recorded events that name one of these subjects: the voids and returns of these sales, in no particular order."""
    rows = connection.execute(select(event_log).where(event_log.c.subject == _any(subjects), event_log.c.outcome == "recorded"))
    return [recorded(row) for row in rows]


def sequels(connection: Connection, events: Sequence[Recorded], type_: str) -> list[Recorded]:
    """The events of a type that stand directly after these in their stores' logs: the cases that were opened with them."""
    if not events:
        return []
    asked = {"store_id": [each.store_id for each in events], "seq": [each.seq for each in events], "type": type_}
    return [recorded(row) for row in connection.execute(_SEQUELS, asked)]


def recorded(row: Row[Any]) -> Recorded:
    """A row of `event_log` as the event it holds."""
    return Recorded(
        event_id=row.event_id,
        type=row.type,
        version=row.version,
        store_id=row.store_id,
        source=row.source,
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        effective_at=row.effective_at,
        recorded_at=row.recorded_at,
        local_at=row.local_at,
        data=row.payload,
        actor=row.actor,
        seq=row.seq,
        outcome=row.outcome,
        subject=row.subject,
        traceparent=row.traceparent,
        reason=row.reason,
        effect=row.effect,
    )


def _row(event: Recorded, print_: str) -> dict[str, Any]:
    return {
        "store_id": event.store_id,
        "seq": event.seq,
        "event_id": event.event_id,
        "type": event.type,
        "version": event.version,
        "source": event.source,
        "subject": event.subject,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "effective_at": event.effective_at,
        "recorded_at": event.recorded_at,
        "local_at": event.local_at,
        "outcome": event.outcome,
        "reason": event.reason,
        "payload": event.data,
        "effect": event.effect,
        "actor": event.actor,
        "traceparent": event.traceparent,
        "fingerprint": print_,
    }


def heads(connection: Connection) -> dict[str, tuple[int, datetime | None]]:
    """The last sequence number of every store, and when it was recorded."""
    return {row.store_id: (row.seq, row.recorded_at) for row in connection.execute(select(store_head))}


def _any(ids: Iterable[UUID]) -> Any:  # noqa: ANN401 - SQLAlchemy's any_() has no useful type
    return text("ANY(CAST(:ids AS uuid[]))").bindparams(ids=list(ids))
