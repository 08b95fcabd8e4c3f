"""Tables of the reports: products by month and year, voided units, shrinkage, what goods cost, what lies on the shelves.

Cells are made again from the log where their shape changes: their projection begins anew, and the projector catches up when it starts.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

AMOUNTS = ("sales", "units", "returned_units", "revenue_cents")
BEGIN_ANEW = """
    TRUNCATE daily_sales.store_day, daily_sales.sku_day, store_performance.store_day;
    DELETE FROM checkpoint WHERE projection IN ('daily-sales', 'store-performance');
"""
FORGET = "DELETE FROM checkpoint WHERE projection IN ('shrinkage', 'stock-valuation')"


def upgrade() -> None:
    """New tables, and two projections begin anew."""
    op.execute(BEGIN_ANEW)
    op.create_index("ix_sku_day_business_date_sku", "sku_day", ["business_date", "sku"], unique=False, schema="daily_sales")
    _cells("daily_sales", "sku_month", [sa.Column("month", sa.Date(), nullable=False), _text("sku")], AMOUNTS)
    _cells("daily_sales", "sku_year", [sa.Column("year", sa.Date(), nullable=False), _text("sku")], AMOUNTS)
    op.add_column("store_day", sa.Column("voided_units", sa.BigInteger(), nullable=False), schema="store_performance")
    op.create_index("ix_stock_level_sku", "stock_level", ["sku", "store_id"], unique=False)
    op.execute("CREATE SCHEMA shrinkage")
    day = sa.Column("business_date", sa.Date(), nullable=False)
    _cells("shrinkage", "reason_day", [_text("store_id"), day, _text("sku"), _text("reason")], ("lost_units", "found_units"))
    op.execute("CREATE SCHEMA stock_valuation")
    _cells("stock_valuation", "store_sku", [_text("store_id"), _text("sku")], ("units", "cost_cents"))
    op.execute("CREATE SCHEMA shelf")
    op.create_table(
        "seen",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", name=op.f("pk_seen")),
        schema="shelf",
    )
    _cells(
        "shelf",
        "category",
        [_text("store_id"), _text("category")],
        ("skus", "on_hand", "out", "negative", "low", "value_cents", "unknown_cost_units"),
        fillfactor=None,
    )


def downgrade() -> None:
    """Back to days, and both begin anew."""
    for schema in ("shelf", "stock_valuation", "shrinkage"):
        op.execute(f"DROP SCHEMA {schema} CASCADE")
    op.execute(FORGET)
    op.drop_index("ix_stock_level_sku", table_name="stock_level")
    op.drop_column("store_day", "voided_units", schema="store_performance")
    op.drop_table("sku_year", schema="daily_sales")
    op.drop_table("sku_month", schema="daily_sales")
    op.drop_index("ix_sku_day_business_date_sku", table_name="sku_day", schema="daily_sales")
    op.execute(BEGIN_ANEW)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _cells(schema: str, name: str, keys: list[sa.Column[Any]], amounts: tuple[str, ...], fillfactor: int | None = 80) -> None:
    op.create_table(
        name,
        *keys,
        *(sa.Column(amount, sa.BigInteger(), nullable=False) for amount in amounts),
        sa.PrimaryKeyConstraint(*(key.name for key in keys), name=op.f(f"pk_{name}")),
        schema=schema,
        postgresql_with={} if fillfactor is None else {"fillfactor": str(fillfactor)},
    )
