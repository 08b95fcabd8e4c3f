"""How is what a dead letter says put right, by whom, and who agreed?

The letter stays as it came. What it should have said becomes a letter of its own, with an id of its own, and each names the other.
"""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, LargeBinary, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB

from infra.database import metadata

dead_letter_edit = Table(
    "dead_letter_edit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("letter_id", Uuid, nullable=False),
    Column("patch", JSONB, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("decision_reason", Text),
    Column("new_letter_id", Uuid),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name="state"),
)
Index("ix_dead_letter_edit_letter", dead_letter_edit.c.letter_id, dead_letter_edit.c.proposed_at)
Index(
    "uq_dead_letter_edit_proposed",
    dead_letter_edit.c.letter_id,
    unique=True,
    postgresql_where=text("state = 'proposed'"),
)
