"""What became of a dead letter that was sent back to its queue?

Whoever sends it back writes down that it is under way, and puts two marks on the message: the letter and the redrive. The consumer that
handles the message says what came of it: in the transaction that parks it again, or in one between its commit and its acknowledgement.
Both can come twice; the first word counts.
"""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)

from infra.database import metadata

LETTER_HEADER: Final = "magasin-letter"
REDRIVE_HEADER: Final = "magasin-redrive"

redrive_item = Table(
    "redrive_item",
    metadata,
    Column("redrive_id", Uuid, nullable=False),
    Column("place", Integer, nullable=False),
    Column("letter_id", Uuid, nullable=False),
    # waiting: not sent; sending: sent perhaps; sent: the broker has it; settled: `outcome` says what came of it.
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("outcome", Text),
    Column("detail", Text),
    Column("sent_at", DateTime(timezone=True)),
    Column("settled_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("redrive_id", "place"),
    CheckConstraint("state IN ('waiting', 'sending', 'sent', 'settled')", name="state"),
    CheckConstraint("(state = 'settled') = (outcome IS NOT NULL)", name="outcome"),
)
Index("ix_redrive_item_letter", redrive_item.c.letter_id, redrive_item.c.redrive_id)
Index("ix_redrive_item_open", redrive_item.c.redrive_id, redrive_item.c.state, postgresql_where=redrive_item.c.state != "settled")
