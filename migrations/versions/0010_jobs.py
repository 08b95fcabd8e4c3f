"""What is mended in the background, which dead letters were chosen for it, what became of each, and how one was put right."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATES = "'running', 'paused', 'cancelled', 'done', 'failed', 'stopped', 'ready', 'promoted', 'rolled_back'"


def upgrade() -> None:
    """The jobs, and the dead letters' own story."""
    _jobs()
    _selections()
    _edits()
    op.add_column("dead_letter", sa.Column("status_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("dead_letter", sa.Column("status_by", sa.Text(), nullable=True))
    op.add_column("dead_letter", sa.Column("status_reason", sa.Text(), nullable=True))
    op.add_column("dead_letter", sa.Column("redrive_id", sa.Uuid(), nullable=True))
    op.add_column("dead_letter", sa.Column("redrives", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("dead_letter", sa.Column("earlier", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False))
    op.add_column("dead_letter", sa.Column("original_id", sa.Uuid(), nullable=True))
    op.add_column("dead_letter", sa.Column("edited_id", sa.Uuid(), nullable=True))
    op.create_index("ix_dead_letter_failed_at", "dead_letter", ["failed_at", "id"])


def downgrade() -> None:
    """What was under way waits again: nobody would tell what became of it."""
    op.execute("UPDATE dead_letter SET status = 'waiting' WHERE status = 'redriving'")
    op.drop_index("ix_dead_letter_failed_at", table_name="dead_letter")
    for name in ("edited_id", "original_id", "earlier", "redrives", "redrive_id", "status_reason", "status_by", "status_at"):
        op.drop_column("dead_letter", name)
    for name in ("dead_letter_edit", "selection_item", "selection", "redrive_item", "job"):
        op.drop_table(name)


def _jobs() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'running'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(), nullable=False),
        sa.Column("place", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("done", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rate", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("dry_run", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("max_per_second", sa.Double(), nullable=True),
        sa.Column("step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"state IN ({STATES})", name=op.f("ck_job_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ix_job_kind", "job", ["kind", "created_at"])
    op.create_index("ix_job_running", "job", ["created_at"], postgresql_where=sa.text("state = 'running'"))


def _selections() -> None:
    op.create_table(
        "selection",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("query", postgresql.JSONB(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_selection")),
    )
    op.create_index("ix_selection_created_at", "selection", ["created_at"])
    op.create_table(
        "selection_item",
        sa.Column("selection_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("selection_id", "place", name=op.f("pk_selection_item")),
    )
    op.create_table(
        "redrive_item",
        sa.Column("redrive_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'settled') = (outcome IS NOT NULL)", name=op.f("ck_redrive_item_outcome")),
        sa.CheckConstraint("state IN ('waiting', 'sending', 'sent', 'settled')", name=op.f("ck_redrive_item_state")),
        sa.PrimaryKeyConstraint("redrive_id", "place", name=op.f("pk_redrive_item")),
    )
    op.create_index("ix_redrive_item_letter", "redrive_item", ["letter_id", "redrive_id"])
    op.create_index("ix_redrive_item_open", "redrive_item", ["redrive_id", "state"], postgresql_where=sa.text("state != 'settled'"))


def _edits() -> None:
    op.create_table(
        "dead_letter_edit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("letter_id", sa.Uuid(), nullable=False),
        sa.Column("patch", postgresql.JSONB(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision_reason", sa.Text(), nullable=True),
        sa.Column("new_letter_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name=op.f("ck_dead_letter_edit_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter_edit")),
    )
    op.create_index("ix_dead_letter_edit_letter", "dead_letter_edit", ["letter_id", "proposed_at"])
    op.create_index(
        "uq_dead_letter_edit_proposed", "dead_letter_edit", ["letter_id"], unique=True, postgresql_where=sa.text("state = 'proposed'")
    )
