"""Who did what that others may ask about later, and who tried and was not let?

Append-only like the event log: the database refuses to change or remove a line. Never in it: passwords, secrets, tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Identity,
    Index,
    Table,
    Text,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from infra.database import dicts, metadata
from infra.faults import printable

Outcome = Literal["done", "denied", "failed"]
MOST_NAME: Final = 200
MOST_REASON: Final = 1_000

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("reason", Text),
    Column("outcome", Text, nullable=False),
    Column("details", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint("outcome IN ('done', 'denied', 'failed')", name="outcome"),
)
Index("ix_audit_log_actor", audit_log.c.actor, audit_log.c.id)
Index("ix_audit_log_target", audit_log.c.target, audit_log.c.id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines a reader asks for; what is None doesn't matter. `since` ≤ at < `until`."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


def note(  # noqa: PLR0913 - the parts of a line, each by its name
    connection: Connection,
    *,
    actor: str,
    action: str,
    target: str,
    outcome: Outcome = "done",
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add a line in the caller's transaction, so that it is there exactly when the deed is.

    `action` reads ``user.create``; `target` names the thing; `reason` is what the actor gave, or the code of the refusal.
    """
    connection.execute(
        insert(audit_log).values(
            actor=printable(actor, MOST_NAME),
            action=action,
            target=printable(target, MOST_NAME),
            outcome=outcome,
            reason=None if reason is None else printable(reason, MOST_REASON),
            details=dict(details or {}),
        )
    )


def page(connection: Connection, wanted: Wanted, *, before: int | None, limit: int) -> list[dict[str, Any]]:
    """At most `limit` lines, the newest first, those older than the line `before`."""
    lines = audit_log.c
    query = select(audit_log).order_by(lines.id.desc()).limit(limit)
    for name in ("actor", "action", "target", "outcome"):
        if (value := getattr(wanted, name)) is not None:
            query = query.where(lines[name] == value)
    if wanted.since is not None:
        query = query.where(lines.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(lines.at < wanted.until)
    if before is not None:
        query = query.where(lines.id < before)
    return dicts(connection.execute(query))


def newest(connection: Connection) -> int:
    """The number of the newest line, 0 when there is none: what an answer made of the log depends on."""
    return int(connection.scalar(select(func.coalesce(func.max(audit_log.c.id), 0))) or 0)
