"""What is the stock of each store worth?"""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, Index, Table

from projections import shelf
from projections.base import Cells, Projection, bump, cell_table
from projections.facts import cents, recorded
from projections.measures import ON_HAND, SKUS, STOCK_OUTS, UNKNOWN_COST, VALUE
from projections.names import with_names
from projections.question import Question
from projections.report import Found, one_more, page
from schemas.envelope import Recorded

store_sku = cell_table("stock_valuation", "store_sku", ("store_id", "sku"), ("units", "cost_cents"))
# For pages of products: the costs of one in all stores, without a look at the table itself.
Index(
    "ix_store_sku_sku_store_id",
    store_sku.c.sku,
    store_sku.c.store_id,
    postgresql_include=["units", "cost_cents"],
)


class StockValuation(Projection):
    """Units on hand and what they cost. The cells are those of the costs; what is on hand is the stock writer's."""

    name = "stock-valuation"
    title_fr, title_en = "Valeur du stock", "Stock valuation"
    question = "What is the stock of each store worth?"
    tables = (store_sku,)
    event_types = frozenset({"delivery.received"})
    measures = derived = (ON_HAND, VALUE, UNKNOWN_COST, SKUS, STOCK_OUTS)
    group_by = ("store_id",)
    reads_stock = True
    beside = ("name.fr", "name.en")

    def increments(self, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        """Units and cost of every delivery line whose cost is known, less what no longer counted when it was recorded.

        That is what the stock writer told: the units that had left by then, and what they had cost by the average of that moment. What is
        left, cents by units, is the moving average. A delivery that was recorded before the writer told it only adds.
        """
        cells: Cells = {}
        for event in recorded(events, "delivery.received"):
            for line in event.data["lines"]:
                if line.get("unit_cost") is not None:
                    bump(cells, (event.store_id, line["sku"]), line["quantity"], line["quantity"] * cents(line["unit_cost"]))
            for sku, gone in (event.effect or {}).get("left", {}).items():
                bump(cells, (event.store_id, sku), -gone["units"], -gone["cents"])
        return {store_sku: cells}

    def dimensions(self) -> list[str]:
        """No time: it is what is on hand now."""
        return ["store", "store_id", "category", "product", "sku"]

    def answerable(self, question: Question) -> bool:
        """Everything but a period: the stock of another day is asked of /stock with `as_of`."""
        return question.since is None and question.through is None and question.hour is None

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Count the shelves that something has happened to."""
        return shelf.count(connection, question.stores)

    def find(self, connection: Connection, question: Question) -> Found:
        """By store and category from the counted shelves; by product from the levels themselves."""
        found = page(shelf.figures(connection, self.measures, one_more(question)), question)
        return Found(with_names(connection, found.rows), found.after)
