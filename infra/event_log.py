"""What is the truth, in which order, and how is it appended and read back?

One row an event, contiguous `seq` per store, append-only (a trigger refuses UPDATE, DELETE and TRUNCATE). Whoever appends holds the
lock on the store's row in `store_head`; that lock is what makes the sequence gapless and in commit order.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Date,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from infra.database import Statement, metadata, streamed, together
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
    Column("business_date", Date, nullable=False),
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
Index("ix_event_log_days", event_log.c.store_id, event_log.c.business_date, event_log.c.local_at, event_log.c.event_id)
Index("ix_event_log_cases", event_log.c.store_id, event_log.c.seq, postgresql_where=text("type = 'case.opened'"))
Index("ix_event_log_counts", event_log.c.store_id, event_log.c.seq, postgresql_where=text("type = 'stock.counted'"))
Index("ix_event_log_variances", event_log.c.store_id, event_log.c.seq, postgresql_where=text("effect ? 'variances'"))


class Stretch(NamedTuple):
    """A stretch of one store's log: after < seq ≤ through."""

    store_id: str
    after: int
    through: int


store_head = Table(
    "store_head",
    metadata,
    Column("store_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("recorded_at", Instant),
    # What the rules need of the shop lies under the same lock, so that one statement reads it as it is once the lock is held.
    Column("timezone", Text),
    Column("oversell", Text),
    Column("day_ends", Text, nullable=False, server_default="00:00"),
    postgresql_with={"fillfactor": "50"},
)

APPEND_SQL = """
    INSERT INTO event_log (store_id, seq, event_id, type, version, source, subject, occurred_at, received_at, effective_at,
                           recorded_at, local_at, business_date, outcome, reason, payload, effect, actor, traceparent, fingerprint)
    SELECT * FROM json_to_recordset(%(events)s::json) AS row(
        store_id text, seq bigint, event_id uuid, type text, version smallint, source text, subject uuid, occurred_at timestamptz,
        received_at timestamptz, effective_at timestamptz, recorded_at timestamptz, local_at timestamp, business_date date,
        outcome text, reason text, payload jsonb, effect jsonb, actor text, traceparent text, fingerprint text)
"""
"""Appends events; a part of the one statement with which the stock store writes a batch."""
MOVE_HEADS_SQL = """
    UPDATE store_head SET seq = row.seq, recorded_at = row.recorded_at
    FROM json_to_recordset(%(heads)s::json) AS row(store_id text, seq bigint, recorded_at timestamptz)
    WHERE store_head.store_id = row.store_id
"""
"""Moves the heads that the caller has locked; the other part."""
_FOUND = "SELECT e.*, false AS about FROM event_log e WHERE e.event_id = ANY(%(ids)s::uuid[])"
_ABOUT = "SELECT e.*, true AS about FROM event_log e WHERE e.subject = ANY(%(ids)s::uuid[]) AND e.outcome = 'recorded'"
_KNOWN = f"{_FOUND} UNION ALL {_ABOUT}"
PLAIN_SALE = "type = 'sale.recorded' AND outcome = 'recorded' AND effect IS NULL"
"""A sale that was nothing but recorded: no void or return that came earlier waited for it. Nearly every event of a shop is one."""
# What an event is made of, in its own order; JSON as text, because pydantic's parser takes half the time of the driver's.
_STRETCHES = f"""
    SELECT e.event_id, e.type, e.version, e.store_id, e.source, e.occurred_at, e.received_at, e.effective_at, e.recorded_at, e.local_at,
           e.business_date, e.payload::text, e.actor, e.seq, e.outcome, e.subject, e.traceparent, e.reason, e.effect::text
    FROM json_to_recordset(%(wanted)s::json) AS wanted(store_id text, after bigint, through bigint)
    CROSS JOIN LATERAL (
        SELECT * FROM event_log own
        WHERE own.store_id = wanted.store_id AND own.seq > wanted.after AND own.seq <= wanted.through
          AND (%(types)s::text[] IS NULL OR own.type = ANY(%(types)s::text[])) AND (%(plain_sales)s OR NOT ({PLAIN_SALE}))
        ORDER BY own.seq
    ) AS e
"""  # noqa: S608 - two constants
_PAYLOAD, _EFFECT = 11, 18
"""Their places among the parts."""
_SEQUELS = text("""
    SELECT sequel.*
    FROM unnest(CAST(:store_id AS text[]), CAST(:seq AS bigint[])) AS place(store_id, seq)
    CROSS JOIN LATERAL (
        SELECT min(e.seq) AS seq FROM event_log e WHERE e.store_id = place.store_id AND e.seq > place.seq AND e.type <> :type
    ) AS following
    JOIN event_log sequel ON sequel.store_id = place.store_id AND sequel.seq > place.seq
        AND sequel.seq < coalesce(following.seq, 9223372036854775807) AND sequel.type = :type
""")


def known_statement(event_ids: Iterable[UUID]) -> Statement:
    """Read those of the ids that the log has, and the recorded events about them: a sale's void and its returns."""
    # As PostgreSQL writes an array: psycopg would write it element by element.
    return Statement(_KNOWN, {"ids": "{" + ",".join(map(str, event_ids)) + "}"})


def known_of(rows: Iterable[Any]) -> tuple[dict[UUID, tuple[Recorded, str]], list[Recorded]]:
    """The rows of `known_statement`: each event that is there with the fingerprint of its content, and those about them in log order."""
    found: dict[UUID, tuple[Recorded, str]] = {}
    about: list[Recorded] = []
    for row in rows:
        if row.about:
            about.append(recorded(row))
        else:
            found[row.event_id] = (recorded(row), row.fingerprint)
    return found, sorted(about, key=lambda event: (event.store_id, event.seq))


def known(connection: Connection, event_ids: Iterable[UUID]) -> tuple[dict[UUID, tuple[Recorded, str]], list[Recorded]]:
    """Both at once, for those who ask for nothing else."""
    return known_of(*together(connection, [known_statement(event_ids)]))


def events_rows(events: Sequence[Recorded], fingerprints: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of `APPEND_SQL`."""
    return [_row(event, print_) for event, print_ in zip(events, fingerprints, strict=True)]


def heads_rows(events: Sequence[Recorded]) -> list[dict[str, Any]]:
    """The rows of `MOVE_HEADS_SQL`: each store's last event."""
    last = {event.store_id: event for event in events}
    return [{"store_id": each.store_id, "seq": each.seq, "recorded_at": each.recorded_at} for each in last.values()]


def read(connection: Connection, store_id: str, *, after: int, through: int) -> list[Recorded]:
    """The events of a store with after < seq ≤ through, in order. The caller bounds the stretch."""
    rows = connection.execute(
        select(event_log)
        .where(event_log.c.store_id == store_id, event_log.c.seq > after, event_log.c.seq <= through)
        .order_by(event_log.c.seq)
    )
    return [recorded(row) for row in rows]


def stretches(
    connection: Connection, wanted: Sequence[Stretch], types: Iterable[str] | None = None, *, plain_sales: bool = True
) -> Iterator[list[Recorded]]:
    """The events (of some types, or all) of several stores' logs, a few megabytes at once: for whoever reads the log from its beginning.

    `plain_sales` False: without those, for whoever has them added up where they lie.
    One store after the other, each in order. A store that wasn't there when its stretch was asked for has no events.
    """
    rows = [each._asdict() for each in wanted]
    asked = {"wanted": to_json(rows).decode(), "types": None if types is None else sorted(types), "plain_sales": plain_sales}
    for found in streamed(connection, Statement(_STRETCHES, asked)):
        yield [_read(row) for row in found]


def sequels(connection: Connection, events: Sequence[Recorded], type_: str) -> list[Recorded]:
    """The events of a type that stand directly after these in their stores' logs: the cases that were opened with them."""
    if not events:
        return []
    asked = {"store_id": [each.store_id for each in events], "seq": [each.seq for each in events], "type": type_}
    return [recorded(row) for row in connection.execute(_SEQUELS, asked)]


def recorded(row: Any) -> Recorded:  # noqa: ANN401 - of SQLAlchemy or of psycopg
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
        business_date=row.business_date,
        data=row.payload,
        actor=row.actor,
        seq=row.seq,
        outcome=row.outcome,
        subject=row.subject,
        traceparent=row.traceparent,
        reason=row.reason,
        effect=row.effect,
    )


def _read(row: tuple[Any, ...]) -> Recorded:
    """A row of `_STRETCHES`; by their places the parts take half the time that names take."""
    effect = row[_EFFECT]
    return Recorded(
        *(*row[:_PAYLOAD], from_json(row[_PAYLOAD]), *row[_PAYLOAD + 1 : _EFFECT], None if effect is None else from_json(effect))
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
        "business_date": event.business_date,
        "outcome": event.outcome,
        "reason": event.reason,
        "payload": event.data,
        "effect": event.effect,
        "actor": event.actor,
        "traceparent": event.traceparent,
        "fingerprint": print_,
    }
