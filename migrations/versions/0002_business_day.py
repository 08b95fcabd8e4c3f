"""The shop's business day beside its wall clock."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SALES = "type = 'sale.recorded' AND outcome = 'recorded'"


def upgrade() -> None:
    """Until now a business day ended at midnight."""
    op.add_column("store", sa.Column("day_ends", sa.Text(), server_default="00:00", nullable=False))
    op.add_column("store_head", sa.Column("day_ends", sa.Text(), server_default="00:00", nullable=False))
    op.add_column("event_log", sa.Column("business_date", sa.Date(), nullable=True))
    op.execute("ALTER TABLE event_log DISABLE TRIGGER event_log_rows")
    op.execute("UPDATE event_log SET business_date = local_at::date")
    op.execute("ALTER TABLE event_log ENABLE TRIGGER event_log_rows")
    op.alter_column("event_log", "business_date", nullable=False)
    op.drop_index("ix_event_log_sales", table_name="event_log", postgresql_where=sa.text(SALES))
    op.create_index("ix_event_log_days", "event_log", ["store_id", "business_date", "local_at", "event_id"], unique=False)


def downgrade() -> None:
    """Back to midnight."""
    op.drop_index("ix_event_log_days", table_name="event_log")
    op.create_index("ix_event_log_sales", "event_log", ["store_id", "local_at", "event_id"], unique=False, postgresql_where=sa.text(SALES))
    op.drop_column("event_log", "business_date")
    op.drop_column("store_head", "day_ends")
    op.drop_column("store", "day_ends")
