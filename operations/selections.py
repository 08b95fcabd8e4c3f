"""Which dead letters does an operator mean, now and an hour later?

A query chooses, and what it chose is frozen: letters that come afterwards are not among them, whatever their kind. Number and digest tell
two people, or a page and a command line, that they speak of the same letters.
"""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, PrimaryKeyConstraint, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import JSONB

from infra.database import metadata

selection = Table(
    "selection",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("created_by", Text, nullable=False),
    Column("query", JSONB, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
)
Index("ix_selection_created_at", selection.c.created_at)

selection_item = Table(
    "selection_item",
    metadata,
    Column("selection_id", Uuid, nullable=False),
    Column("place", Integer, nullable=False),
    Column("letter_id", Uuid, nullable=False),
    PrimaryKeyConstraint("selection_id", "place"),
)
