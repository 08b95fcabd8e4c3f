"""Search that forgives a typo: the words of the catalogue. A product knows since when it is described as it is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# As `stock.words.may_be_misspelt` has it: letters only, and four of them.
WORDS = """
    INSERT INTO product_word
    SELECT DISTINCT word FROM product, unnest(string_to_array(search_text, ' ')) AS word WHERE length(word) >= 4 AND word !~ '[^[:alpha:]]'
"""


def upgrade() -> None:
    """Make the table and fill it from the products that there are. Any later description of them counts."""
    op.add_column("product", sa.Column("defined_at", sa.DateTime(timezone=True), server_default="1970-01-01 00:00:00+00", nullable=False))
    op.create_table(
        "product_word", sa.Column("word", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("word", name=op.f("pk_product_word"))
    )
    op.execute(WORDS)
    op.create_index(
        "ix_product_word_trigrams",
        "product_word",
        ["word"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"word": "gin_trgm_ops"},
        postgresql_with={"fastupdate": "off"},
    )
    op.execute("ALTER INDEX ix_product_search SET (gin_pending_list_limit = 512)")
    op.execute("SELECT gin_clean_pending_list('ix_product_search')")


def downgrade() -> None:
    """Take the table away again."""
    op.execute("ALTER INDEX ix_product_search RESET (gin_pending_list_limit)")
    op.drop_table("product_word")
    op.drop_column("product", "defined_at")
