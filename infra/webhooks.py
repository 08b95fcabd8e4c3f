"""Which addresses outside want to be told, of what, and what became of each telling?

A delivery is one event for one webhook; its id is made of the two, so it is the same for every attempt and after every crash. The secret
lies here readable, because signing needs it; it is shown once and never again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    Uuid,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from infra.database import json_rows, metadata
from infra.event_log import store_head

Status = Literal["waiting", "delivered", "failed", "skipped"]
CHANNEL: Final = "magasin_webhooks"
"""Of NOTIFY: what the API changed, for the worker that delivers. Sent with the change, or not at all."""
DELIVERIES: Final = UUID("5a3f5d0e-9c57-5d5e-8a43-0f6c7f0a2c11")

webhook = Table(
    "webhook",
    metadata,
    Column("webhook_id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("types", ARRAY(Text), nullable=False),
    Column("stores", ARRAY(Text), nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("removed", Boolean, nullable=False, server_default=text("false")),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("delivery_id", Uuid, nullable=False),
    Column("webhook_id", Uuid, ForeignKey("webhook.webhook_id"), nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_attempt_at", DateTime(timezone=True), nullable=False),
    Column("last_attempt_at", DateTime(timezone=True), nullable=False),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("delivered_at", DateTime(timezone=True)),
    Column("last_status", Integer),
    Column("last_error", Text),
    PrimaryKeyConstraint("delivery_id"),
    CheckConstraint("status IN ('waiting', 'delivered', 'failed', 'skipped')", name="status"),
)
Index("ix_webhook_delivery_webhook", webhook_delivery.c.webhook_id, webhook_delivery.c.first_attempt_at, webhook_delivery.c.delivery_id)
Index("ix_webhook_delivery_waiting", webhook_delivery.c.webhook_id, postgresql_where=text("status = 'waiting'"))
Index("ix_webhook_delivery_first_attempt_at", webhook_delivery.c.first_attempt_at)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One subscription. `types` and `stores` are ``("*",)`` for all of them. A pause keeps its places, a removal doesn't."""

    webhook_id: UUID
    url: str
    secret: str = field(repr=False)
    types: tuple[str, ...]
    stores: tuple[str, ...]
    description: str
    active: bool
    removed: bool
    created_by: str
    created_at: datetime
    updated_at: datetime

    def wants(self, type_: str) -> bool:
        """Whether it asked for events of that type."""
        return "*" in self.types or type_ in self.types

    def covers(self, store_id: str) -> bool:
        """Whether it asked for events of that store."""
        return "*" in self.stores or store_id in self.stores

    @property
    def only_stores(self) -> tuple[str, ...] | None:
        """The stores that it is limited to; None for no limit."""
        return None if "*" in self.stores else self.stores


@dataclass(slots=True)
class Delivery:
    """One event for one webhook, as the log of deliveries has it."""

    delivery_id: UUID
    webhook_id: UUID
    event_id: UUID
    type: str
    store_id: str
    seq: int
    status: Status
    attempts: int
    first_attempt_at: datetime
    last_attempt_at: datetime
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None


_FIELDS: Final = tuple(webhook_delivery.c[name] for name in Delivery.__slots__)
# What a person has skipped stays skipped, unless the attempt under way at that moment arrived after all.
_KEEP = text("""
    INSERT INTO webhook_delivery (delivery_id, webhook_id, event_id, type, store_id, seq, status, attempts, first_attempt_at,
                                  last_attempt_at, next_attempt_at, delivered_at, last_status, last_error)
    SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row(
        delivery_id uuid, webhook_id uuid, event_id uuid, type text, store_id text, seq bigint, status text, attempts integer,
        first_attempt_at timestamptz, last_attempt_at timestamptz, next_attempt_at timestamptz, delivered_at timestamptz,
        last_status integer, last_error text)
    ORDER BY delivery_id
    ON CONFLICT (delivery_id) DO UPDATE SET
        status = excluded.status, attempts = excluded.attempts, last_attempt_at = excluded.last_attempt_at,
        next_attempt_at = excluded.next_attempt_at, delivered_at = excluded.delivered_at, last_status = excluded.last_status,
        last_error = excluded.last_error
    WHERE webhook_delivery.status <> 'skipped' OR excluded.status = 'delivered'
""")
_PURGE = text("""
    DELETE FROM webhook_delivery WHERE delivery_id IN (
        SELECT delivery_id FROM webhook_delivery
        WHERE first_attempt_at < now() - make_interval(days => :days) AND status <> 'waiting' LIMIT :most)
""")
_NOTIFY = text("SELECT pg_notify(:channel, :what)")


def delivery_id_of(webhook_id: UUID, event_id: UUID) -> UUID:
    """The id of the delivery of that event to that webhook."""
    return uuid5(DELIVERIES, f"{webhook_id} {event_id}")


def find(connection: Connection, webhook_id: UUID, *, lock: bool = False) -> Webhook | None:
    """The webhook of that id."""
    query = select(webhook).where(webhook.c.webhook_id == webhook_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else _webhook(row)


def page(connection: Connection, *, after: UUID | None, limit: int) -> list[Webhook]:
    """At most `limit` webhooks by id (they are UUIDv7: the oldest first), those after `after`."""
    query = select(webhook).order_by(webhook.c.webhook_id).limit(limit)
    return [_webhook(row) for row in connection.execute(query if after is None else query.where(webhook.c.webhook_id > after))]


def active(connection: Connection) -> list[Webhook]:
    """Every webhook that is told of events."""
    return [_webhook(row) for row in connection.execute(select(webhook).where(webhook.c.active).order_by(webhook.c.webhook_id))]


def count_active(connection: Connection) -> int:
    """How many those are, with the door shut: nobody adds one before this transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": CHANNEL})
    return int(connection.scalar(select(func.count()).select_from(webhook).where(webhook.c.active)) or 0)


def add(connection: Connection, values: Mapping[str, Any]) -> Webhook:
    """Make a webhook."""
    return _webhook(connection.execute(insert(webhook).values(**values).returning(*webhook.c)).one())


def change(connection: Connection, webhook_id: UUID, changes: Mapping[str, Any]) -> Webhook:
    """Change columns of a webhook that is there."""
    query = update(webhook).where(webhook.c.webhook_id == webhook_id).values(**changes, updated_at=func.now())
    return _webhook(connection.execute(query.returning(*webhook.c)).one())


def covered(connection: Connection, which: Webhook) -> list[str]:
    """The stores that there are and that the webhook follows."""
    return [store_id for store_id in connection.scalars(select(store_head.c.store_id)) if which.covers(store_id)]


def notify(connection: Connection, what: str) -> None:
    """Tell the worker, when this transaction commits. `what` is ``webhooks``, or ``retry`` or ``skip`` with a delivery's id."""
    connection.execute(_NOTIFY, {"channel": CHANNEL, "what": what})


def keep(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Write how these deliveries stand."""
    if deliveries:
        connection.execute(_KEEP, json_rows([{name: getattr(each, name) for name in Delivery.__slots__} for each in deliveries]))


def waiting(connection: Connection, webhook_id: UUID) -> list[Delivery]:
    """The deliveries of a webhook that are to be tried again, in order of store and number."""
    place = webhook_delivery.c
    query = select(*_FIELDS).where(place.webhook_id == webhook_id, place.status == "waiting").order_by(place.store_id, place.seq)
    return [Delivery(*row) for row in connection.execute(query)]


def delivery(connection: Connection, delivery_id: UUID, *, lock: bool = False) -> Delivery | None:
    """The delivery of that id."""
    query = select(*_FIELDS).where(webhook_delivery.c.delivery_id == delivery_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return None if row is None else Delivery(*row)


def decide(connection: Connection, delivery_id: UUID, changes: Mapping[str, Any]) -> Delivery:
    """Change a delivery that the caller has locked."""
    query = update(webhook_delivery).where(webhook_delivery.c.delivery_id == delivery_id).values(**changes).returning(*_FIELDS)
    return Delivery(*connection.execute(query).one())


def hurry(connection: Connection, webhook_id: UUID) -> None:
    """Let everything that waits be due now."""
    waits = (webhook_delivery.c.webhook_id == webhook_id) & (webhook_delivery.c.status == "waiting")
    connection.execute(update(webhook_delivery).where(waits).values(next_attempt_at=func.now()))


def skip_all(connection: Connection, webhook_id: UUID) -> None:
    """Give up everything that waits."""
    waits = (webhook_delivery.c.webhook_id == webhook_id) & (webhook_delivery.c.status == "waiting")
    connection.execute(update(webhook_delivery).where(waits).values(status="skipped", next_attempt_at=None))


def deliveries(  # noqa: PLR0913 - what a reader may ask for, each by its name
    connection: Connection,
    webhook_id: UUID,
    *,
    status: Status | None,
    store_id: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Delivery]:
    """At most `limit` deliveries of a webhook, begun last first, those after the place `after`."""
    place = webhook_delivery.c
    query = select(*_FIELDS).where(place.webhook_id == webhook_id)
    if status is not None:
        query = query.where(place.status == status)
    if store_id is not None:
        query = query.where(place.store_id == store_id)
    if after is not None:
        query = query.where(tuple_(place.first_attempt_at, place.delivery_id) < tuple_(*after))
    query = query.order_by(place.first_attempt_at.desc(), place.delivery_id.desc()).limit(limit)
    return [Delivery(*row) for row in connection.execute(query)]


def purge(connection: Connection, *, days: int, most: int) -> int:
    """Drop at most `most` deliveries that are settled and older than that; answers how many."""
    return connection.execute(_PURGE, {"days": days, "most": most}).rowcount


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        webhook_id=row.webhook_id,
        url=row.url,
        secret=row.secret,
        types=tuple(row.types),
        stores=tuple(row.stores),
        description=row.description,
        active=row.active,
        removed=row.removed,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
