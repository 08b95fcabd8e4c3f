"""Stock at a past instant, as known at another."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = "store_id, sku, effective_at, event_id, line"
FOLDED = "delta, counted, recorded_at"


def upgrade() -> None:
    """The ledger's key carries what a fold reads, and the vacuum that makes the key enough comes earlier."""
    _key(f"({KEY}) INCLUDE ({FOLDED})")
    op.execute("ALTER TABLE stock_movement SET (autovacuum_vacuum_insert_scale_factor = 0.01)")


def downgrade() -> None:
    """The key alone."""
    op.execute("ALTER TABLE stock_movement RESET (autovacuum_vacuum_insert_scale_factor)")
    _key(f"({KEY})")


def _key(columns: str) -> None:
    op.execute(f"ALTER TABLE stock_movement DROP CONSTRAINT pk_stock_movement, ADD CONSTRAINT pk_stock_movement PRIMARY KEY {columns}")
