"""Cases, counts and tills."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CASES_SO_FAR = """
    INSERT INTO stock_case (case_id, store_id, seq, kind, sku, opened_at, events, details)
    SELECT event_id, store_id, seq, payload ->> 'kind', payload ->> 'sku', recorded_at, payload -> 'events',
           coalesce(payload -> 'details', '{}')
    FROM event_log WHERE type = 'case.opened'
"""
NUMBERS_SO_FAR = """
    INSERT INTO till (store_id, till_id, seen, last_sale_at, last_heard_at)
    SELECT store_id, payload ->> 'till_id',
           coalesce(range_agg(int8range((payload ->> 'till_seq')::bigint, (payload ->> 'till_seq')::bigint + 1))
                    FILTER (WHERE payload ->> 'till_seq' IS NOT NULL), '{}'),
           max(effective_at), max(recorded_at)
    FROM event_log WHERE type = 'sale.recorded' AND payload ->> 'till_id' IS NOT NULL
    GROUP BY store_id, payload ->> 'till_id'
"""
OWES = "NOT (seen + waived) @> range_merge(seen)"


def upgrade() -> None:
    """What the log holds of cases and tills is where they begin."""
    op.create_table(
        "stock_case",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("events", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("resolution", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("status IN ('open', 'resolved')", name=op.f("ck_stock_case_status")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_stock_case")),
    )
    op.create_index("ix_stock_case_store", "stock_case", ["store_id", "seq"], unique=False)
    op.create_index("ix_stock_case_open", "stock_case", ["store_id", "seq"], unique=False, postgresql_where=sa.text("status = 'open'"))
    op.create_table(
        "till",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("till_id", sa.Text(), nullable=False),
        sa.Column("seen", postgresql.INT8MULTIRANGE(), nullable=False),
        sa.Column("waived", postgresql.INT8MULTIRANGE(), server_default="{}", nullable=False),
        sa.Column("last_sale_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "till_id", name=op.f("pk_till")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_till_owing", "till", ["store_id", "till_id"], unique=False, postgresql_where=sa.text(OWES))
    op.create_index(
        "ix_event_log_counts", "event_log", ["store_id", "seq"], unique=False, postgresql_where=sa.text("type = 'stock.counted'")
    )
    op.execute(CASES_SO_FAR)
    op.execute(NUMBERS_SO_FAR)


def downgrade() -> None:
    """The log still has it all."""
    op.drop_index("ix_event_log_counts", table_name="event_log", postgresql_where=sa.text("type = 'stock.counted'"))
    op.drop_index("ix_till_owing", table_name="till", postgresql_where=sa.text(OWES))
    op.drop_table("till")
    op.drop_index("ix_stock_case_open", table_name="stock_case", postgresql_where=sa.text("status = 'open'"))
    op.drop_index("ix_stock_case_store", table_name="stock_case")
    op.drop_table("stock_case")
