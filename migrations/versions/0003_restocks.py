"""Restocks and transfers; what is in transit follows from them."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATUSES = ("requested", "approved", "rejected", "cancelled", "shipped", "partially_received", "received")
OPEN = "status IN ('requested', 'approved', 'shipped', 'partially_received')"
UNITS = ("requested", "approved", "shipped", "received", "damaged", "missing")


def upgrade() -> None:
    """Nothing was ever in transit before."""
    op.drop_column("stock_level", "in_transit")
    op.create_table(
        "restock",
        sa.Column("restock_id", sa.Uuid(), nullable=False),
        sa.Column("from_store", sa.Text(), nullable=False),
        sa.Column("to_store", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"status IN ({', '.join(map(repr, STATUSES))})", name=op.f("ck_restock_status")),
        sa.PrimaryKeyConstraint("restock_id", name=op.f("pk_restock")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_index("ix_restock_to_store", "restock", ["to_store", "requested_at", "restock_id"], unique=False)
    op.create_index("ix_restock_from_store", "restock", ["from_store", "requested_at", "restock_id"], unique=False)
    op.create_index("ix_restock_open", "restock", ["to_store"], unique=False, postgresql_where=sa.text(OPEN))
    op.create_table(
        "restock_line",
        sa.Column("restock_id", sa.Uuid(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in UNITS),
        sa.PrimaryKeyConstraint("restock_id", "sku", name=op.f("pk_restock_line")),
        postgresql_with={"fillfactor": "70"},
    )


def downgrade() -> None:
    """Without restocks nothing is in transit."""
    op.drop_table("restock_line")
    op.drop_table("restock")
    op.add_column("stock_level", sa.Column("in_transit", sa.BigInteger(), server_default="0", nullable=False))
