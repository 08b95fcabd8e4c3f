"""The first tables: the event log and its heads, the stock store, the projections, dead letters, accounts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMAS = ("daily_sales", "hourly_sales", "store_performance")
APPEND_ONLY = """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
    END $$;
    CREATE TRIGGER event_log_rows BEFORE UPDATE OR DELETE ON event_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER event_log_whole BEFORE TRUNCATE ON event_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""


def upgrade() -> None:
    """Make every table; the log refuses to be changed."""
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
    op.create_table(
        "account",
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("stores", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("disabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("role IN ('caissier', 'gestionnaire', 'operateur', 'admin')", name=op.f("ck_account_role")),
        sa.PrimaryKeyConstraint("username", name=op.f("pk_account")),
    )
    op.create_table(
        "checkpoint",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("failed_seq", sa.BigInteger(), nullable=True),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('live', 'stalled', 'paused')", name=op.f("ck_checkpoint_state")),
        sa.PrimaryKeyConstraint("projection", "generation", "store_id", name=op.f("pk_checkpoint")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "sku_day",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("returned_units", sa.BigInteger(), nullable=False),
        sa.Column("revenue_cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "business_date", "sku", name=op.f("pk_sku_day")),
        schema="daily_sales",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "store_day",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("returned_units", sa.BigInteger(), nullable=False),
        sa.Column("revenue_cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "business_date", name=op.f("pk_store_day")),
        schema="daily_sales",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("store_id", sa.Text(), nullable=True),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("stack", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("status IN ('waiting', 'redriving', 'redriven', 'parked', 'edited')", name=op.f("ck_dead_letter_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
    )
    op.create_index("ix_dead_letter_event_id", "dead_letter", ["event_id"], unique=False)
    op.create_index("ix_dead_letter_status", "dead_letter", ["status", "fingerprint"], unique=False)
    op.create_table(
        "event_log",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("local_at", sa.DateTime(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("effect", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('recorded', 'refused')", name=op.f("ck_event_log_outcome")),
        sa.CheckConstraint("seq > 0", name=op.f("ck_event_log_seq")),
        sa.PrimaryKeyConstraint("store_id", "seq", name=op.f("pk_event_log")),
        sa.UniqueConstraint("event_id", name=op.f("uq_event_log_event_id")),
    )
    op.create_index("ix_event_log_cases", "event_log", ["store_id", "seq"], unique=False, postgresql_where=sa.text("type = 'case.opened'"))
    op.create_index(
        "ix_event_log_sales",
        "event_log",
        ["store_id", "local_at", "event_id"],
        unique=False,
        postgresql_where=sa.text("type = 'sale.recorded' AND outcome = 'recorded'"),
    )
    op.create_index("ix_event_log_subject", "event_log", ["subject"], unique=False, postgresql_where=sa.text("subject IS NOT NULL"))
    op.create_table(
        "store_hour",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("hour", sa.SmallInteger(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("revenue_cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "business_date", "hour", name=op.f("pk_store_hour")),
        schema="hourly_sales",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "product",
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("name_fr", sa.Text(), nullable=False),
        sa.Column("name_en", sa.Text(), nullable=False),
        sa.Column("category_fr", sa.Text(), nullable=False),
        sa.Column("category_en", sa.Text(), nullable=False),
        sa.Column("price", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("barcode", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_product")),
    )
    op.create_index("ix_product_barcode", "product", ["barcode"], unique=False)
    op.create_index("ix_product_category_fr", "product", ["category_fr", "sku"], unique=False)
    op.create_index(
        "ix_product_search",
        "product",
        ["search_text"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"search_text": "gin_trgm_ops"},
    )
    op.create_table(
        "stock_level",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("on_hand", sa.BigInteger(), nullable=False),
        sa.Column("in_transit", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("count_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("store_id", "sku", name=op.f("pk_stock_level")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "stock_movement",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=True),
        sa.Column("counted", sa.Integer(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "sku", "effective_at", "event_id", "line", name=op.f("pk_stock_movement")),
    )
    op.create_table(
        "store",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=True),
        sa.Column("oversell", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", name=op.f("pk_store")),
    )
    op.create_table(
        "store_head",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("oversell", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("store_id", name=op.f("pk_store_head")),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "store_day",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("business_date", sa.Date(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("returns", sa.BigInteger(), nullable=False),
        sa.Column("returned_units", sa.BigInteger(), nullable=False),
        sa.Column("voids", sa.BigInteger(), nullable=False),
        sa.Column("revenue_cents", sa.BigInteger(), nullable=False),
        sa.Column("refunded_cents", sa.BigInteger(), nullable=False),
        sa.Column("voided_cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "business_date", name=op.f("pk_store_day")),
        schema="store_performance",
        postgresql_with={"fillfactor": "80"},
    )
    op.create_table(
        "store_product",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("reorder_point", sa.Integer(), nullable=True),
        sa.Column("target_level", sa.Integer(), nullable=True),
        sa.Column("price", sa.Numeric(precision=12, scale=2), nullable=True),
        sa.PrimaryKeyConstraint("store_id", "sku", name=op.f("pk_store_product")),
    )
    op.create_table(
        "refresh_token",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("family_id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("spent_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["username"], ["account.username"], name=op.f("fk_refresh_token_username"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_token")),
    )
    op.create_index("ix_refresh_token_family_id", "refresh_token", ["family_id"], unique=False)
    op.create_index("ix_refresh_token_username", "refresh_token", ["username", "issued_at"], unique=False)
    op.execute(APPEND_ONLY)
    op.execute("INSERT INTO store_head (store_id) VALUES ('siege')")


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_refresh_token_username", table_name="refresh_token")
    op.drop_index("ix_refresh_token_family_id", table_name="refresh_token")
    op.drop_table("refresh_token")
    op.drop_table("store_product")
    op.drop_table("store_day", schema="store_performance")
    op.drop_table("store_head")
    op.drop_table("store")
    op.drop_table("stock_movement")
    op.drop_table("stock_level")
    op.drop_index("ix_product_search", table_name="product", postgresql_using="gin", postgresql_ops={"search_text": "gin_trgm_ops"})
    op.drop_index("ix_product_category_fr", table_name="product")
    op.drop_index("ix_product_barcode", table_name="product")
    op.drop_table("product")
    op.drop_table("store_hour", schema="hourly_sales")
    op.drop_index("ix_event_log_subject", table_name="event_log", postgresql_where=sa.text("subject IS NOT NULL"))
    op.drop_index("ix_event_log_sales", table_name="event_log", postgresql_where=sa.text("type = 'sale.recorded' AND outcome = 'recorded'"))
    op.drop_index("ix_event_log_cases", table_name="event_log", postgresql_where=sa.text("type = 'case.opened'"))
    op.drop_table("event_log")
    op.drop_index("ix_dead_letter_status", table_name="dead_letter")
    op.drop_index("ix_dead_letter_event_id", table_name="dead_letter")
    op.drop_table("dead_letter")
    op.drop_table("store_day", schema="daily_sales")
    op.drop_table("sku_day", schema="daily_sales")
    op.drop_table("checkpoint")
    op.drop_table("account")
    op.execute("DROP FUNCTION refuse_change")
    for schema in SCHEMAS:
        op.execute(f"DROP SCHEMA {schema}")
