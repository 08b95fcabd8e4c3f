"""Builds of a projection: the live one, the one that is being made, the one that is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A row for each build; none for a projection that was never built again."""
    op.create_table(
        "generation",
        sa.Column("projection", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state IN ('building', 'live', 'kept')", name=op.f("ck_generation_state")),
        sa.PrimaryKeyConstraint("projection", "number", name=op.f("pk_generation")),
        sa.UniqueConstraint("projection", "state", name=op.f("uq_generation_projection_state"), deferrable=True, initially="IMMEDIATE"),
    )


def downgrade() -> None:
    """Builds that aren't live stay in their schemas, which nothing names any more."""
    op.drop_table("generation")
