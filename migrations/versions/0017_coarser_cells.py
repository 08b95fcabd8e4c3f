"""Sums for long periods: hours by day and by month, and what each store did by month."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

HOURS: Final = ("sales", "units", "revenue_cents")
PERFORMED: Final = (
    "sales", "units", "returns", "returned_units", "voids", "revenue_cents", "refunded_cents", "voided_cents", "voided_units",
)  # fmt: skip
DAY, MONTH = ("business_date", sa.Date()), ("month", sa.Date())
HOUR: Final = ("hour", sa.SmallInteger())


def upgrade() -> None:
    """New tables, filled from the finer ones: a second for a year of 433 stores.

    No projector of the older version may write meanwhile or later: it knows nothing of these tables.
    """
    op.execute("LOCK TABLE hourly_sales.store_hour, store_performance.store_day IN SHARE MODE")
    _sums("hourly_sales", "store_day", [DAY], HOURS, "store_hour")
    _sums("hourly_sales", "store_month", [MONTH, HOUR], HOURS, "store_hour")
    _sums("store_performance", "store_month", [MONTH], PERFORMED, "store_day")


def downgrade() -> None:
    """Nothing is lost: they are sums."""
    op.drop_table("store_month", schema="store_performance")
    op.drop_table("store_month", schema="hourly_sales")
    op.drop_table("store_day", schema="hourly_sales")


def _sums(schema: str, name: str, keys: Sequence[tuple[str, sa.types.TypeEngine[Any]]], amounts: Sequence[str], finer: str) -> None:
    names = ["store_id", *(key for key, _ in keys)]
    op.create_table(
        name,
        sa.Column("store_id", sa.Text(), nullable=False),
        *(sa.Column(key, kind, nullable=False) for key, kind in keys),
        *(sa.Column(amount, sa.BigInteger(), nullable=False) for amount in amounts),
        sa.PrimaryKeyConstraint(*names, name=op.f(f"pk_{name}")),
        schema=schema,
        postgresql_with={"fillfactor": "80"},
    )
    sources = ["date_trunc('month', business_date::timestamp)::date" if key == "month" else key for key in names]
    sums = [f"sum({amount})::bigint" for amount in amounts]
    groups = ", ".join(str(place + 1) for place in range(len(names)))
    picked = ", ".join([*sources, *sums])
    op.execute(f"INSERT INTO {schema}.{name} SELECT {picked} FROM {schema}.{finer} GROUP BY {groups}")  # noqa: S608 - names of ours
