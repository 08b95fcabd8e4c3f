"""Where does the stock store keep what the rules need?"""

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, Numeric, PrimaryKeyConstraint, SmallInteger, Table, Text, Uuid

from infra.database import metadata

Instant = DateTime(timezone=True)

store = Table(
    "store",
    metadata,
    Column("store_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("centre", Text),
    Column("oversell", Text, nullable=False),
    Column("day_ends", Text, nullable=False, server_default="00:00"),
)

product = Table(
    "product",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("name_fr", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("category_fr", Text, nullable=False),
    Column("category_en", Text, nullable=False),
    Column("price", Numeric(12, 2), nullable=False),
    Column("barcode", Text),
    Column("active", Boolean, nullable=False),
    Column("search_text", Text, nullable=False),
    Column("defined_at", Instant, nullable=False, server_default="1970-01-01 00:00:00+00"),
)
# A short list of pending entries, 512 KB: after an import of 10,000 products PostgreSQL read all of them (12 ms) rather than the usual 4 MB
# and the index (0.5 ms). Without any list an import costs PostgreSQL seven times as much.
Index(
    "ix_product_search",
    product.c.search_text,
    postgresql_using="gin",
    postgresql_ops={"search_text": "gin_trgm_ops"},
    postgresql_with={"gin_pending_list_limit": "512"},
)
Index("ix_product_barcode", product.c.barcode)
Index("ix_product_category_fr", product.c.category_fr, product.c.sku)

store_product = Table(
    "store_product",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("reorder_point", Integer),
    Column("target_level", Integer),
    Column("price", Numeric(12, 2)),
    PrimaryKeyConstraint("store_id", "sku"),
)

stock_movement = Table(
    "stock_movement",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("delta", Integer),
    Column("counted", Integer),
    Column("recorded_at", Instant, nullable=False),
    # What a fold needs lies beside the key (see `stock.clocks`): without it each movement of a cell is read from another page of the table.
    PrimaryKeyConstraint("store_id", "sku", "effective_at", "event_id", "line", postgresql_include=["delta", "counted", "recorded_at"]),
    # And the index alone is enough only where the vacuum has been; by default it comes when a fifth of the table is new.
    postgresql_with={"autovacuum_vacuum_insert_scale_factor": "0.01"},
)

stock_level = Table(
    "stock_level",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("on_hand", BigInteger, nullable=False),
    Column("counted_at", Instant),
    Column("count_id", Uuid),
    PrimaryKeyConstraint("store_id", "sku"),
    postgresql_with={"fillfactor": "70"},
)
# Where is there any of this? Neither column ever changes, so that moving a level costs nothing more.
Index("ix_stock_level_sku", stock_level.c.sku, stock_level.c.store_id)
