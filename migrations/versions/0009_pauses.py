"""Consumers and projections that were told to wait, and the pulse of every worker."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two small tables."""
    op.create_table(
        "pause",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("store_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('consumer', 'projection')", name=op.f("ck_pause_kind")),
        sa.CheckConstraint("kind = 'projection' OR store_id = ''", name=op.f("ck_pause_store_id")),
        sa.PrimaryKeyConstraint("kind", "name", "store_id", name=op.f("pk_pause")),
    )
    op.create_table(
        "consumer",
        sa.Column("instance", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("oldest_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("consumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'paused', 'waiting', 'stuck', 'standby', 'stopped')", name=op.f("ck_consumer_state")),
        sa.PrimaryKeyConstraint("instance", name=op.f("pk_consumer")),
        postgresql_with={"fillfactor": "50"},
    )


def downgrade() -> None:
    """The pauses are over: what waited goes on."""
    op.execute("UPDATE checkpoint SET state = 'live' WHERE state = 'paused'")
    op.drop_table("consumer")
    op.drop_table("pause")
