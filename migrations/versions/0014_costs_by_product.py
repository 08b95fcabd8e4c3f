"""An index by product on what deliveries cost: a page of products finds the costs of all its stores beside each other."""

from typing import Final

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NAME: Final = "ix_store_sku_sku_store_id"


def upgrade() -> None:
    """Half a second for 600,000 cells."""
    op.create_index(
        NAME, "store_sku", ["sku", "store_id"], unique=False, schema="stock_valuation", postgresql_include=["units", "cost_cents"]
    )


def downgrade() -> None:
    """Nothing is lost."""
    op.drop_index(NAME, table_name="store_sku", schema="stock_valuation")
