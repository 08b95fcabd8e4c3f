"""Sales by category, written down by whoever asks for them; indexes for pages of all stores, day by day."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

AMOUNTS: Final = ("sales", "units", "returned_units", "revenue_cents")
BY_DAY: Final = (("daily_sales", "store_day"), ("hourly_sales", "store_hour"), ("store_performance", "store_day"))


def upgrade() -> None:
    """Empty tables: the first question fills them. The indexes are of small tables."""
    for schema, table in BY_DAY:
        op.create_index(f"ix_{table}_business_date_store_id", table, ["business_date", "store_id"], unique=False, schema=schema)
    op.execute("CREATE SCHEMA aisle")
    _cells("store_day", sa.Column("business_date", sa.Date(), nullable=False), _text("store_id"), _text("category"))
    _cells("store_month", sa.Column("month", sa.Date(), nullable=False), _text("store_id"), _text("category"))
    _cells("day", sa.Column("business_date", sa.Date(), nullable=False), _text("category"))
    _cells("month", sa.Column("month", sa.Date(), nullable=False), _text("category"))
    for columns in (["category", "business_date", "store_id"], ["store_id", "business_date"]):
        op.create_index(f"ix_store_day_{'_'.join(columns)}", "store_day", columns, unique=False, schema="aisle")
    _pairs("seen", "store_id", "position")
    _pairs("named", "sku", "category")


def downgrade() -> None:
    """Nothing is lost: it can be added up again."""
    op.execute("DROP SCHEMA aisle CASCADE")
    for schema, table in BY_DAY:
        op.drop_index(f"ix_{table}_business_date_store_id", table_name=table, schema=schema)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _cells(name: str, *keys: sa.Column[Any]) -> None:
    op.create_table(
        name,
        *keys,
        *(sa.Column(amount, sa.BigInteger(), nullable=False) for amount in AMOUNTS),
        sa.PrimaryKeyConstraint(*(key.name for key in keys), name=op.f(f"pk_{name}")),
        schema="aisle",
        postgresql_with={"fillfactor": "80"},
    )


def _pairs(name: str, key: str, value: str) -> None:
    op.create_table(name, _text(key), _text(value), sa.PrimaryKeyConstraint(key, name=op.f(f"pk_{name}")), schema="aisle")
