"""An index on the events that say how far counts were off, or what explains it: few of them, and never an ordinary sale."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NAME = "ix_event_log_variances"


def upgrade() -> None:
    """One reading of the log; none of the events that are there says anything of the kind."""
    op.create_index(NAME, "event_log", ["store_id", "seq"], unique=False, postgresql_where=sa.text("effect ? 'variances'"))


def downgrade() -> None:
    """Nothing is lost."""
    op.drop_index(NAME, table_name="event_log")
