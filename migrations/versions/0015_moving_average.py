"""What the stock writer knows of costs, from one delivery to the next. No stock writer may run meanwhile."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Deliveries of old count as they did: with all their units. One reading of the log."""
    op.create_table(
        "stock_cost",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("cost_cents", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", "sku", name=op.f("pk_stock_cost")),
        postgresql_with={"fillfactor": "70"},
    )
    op.execute("""
        WITH delivery AS MATERIALIZED (
            SELECT store_id, payload, effect FROM event_log WHERE type = 'delivery.received' AND outcome = 'recorded'
        )
        INSERT INTO stock_cost (store_id, sku, units, cost_cents)
        SELECT store_id, sku, sum(units), sum(cents)
        FROM (
            SELECT store_id, line.sku, line.quantity AS units, line.quantity * (line.unit_cost * 100)::bigint AS cents
            FROM delivery CROSS JOIN LATERAL jsonb_to_recordset(payload -> 'lines') AS line(sku text, quantity bigint, unit_cost numeric)
            WHERE line.unit_cost IS NOT NULL
            UNION ALL
            SELECT store_id, gone.key, -(gone.value ->> 'units')::bigint, -(gone.value ->> 'cents')::bigint
            FROM delivery CROSS JOIN LATERAL jsonb_each(effect -> 'left') AS gone
        ) AS told
        GROUP BY store_id, sku ORDER BY store_id, sku
    """)


def downgrade() -> None:
    """Nothing is lost: the log tells it."""
    op.drop_table("stock_cost")
