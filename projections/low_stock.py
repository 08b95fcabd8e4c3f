"""What is running out, or has run out, and how long will it last?"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from infra.database import array_text, dicts
from projections import shelf
from projections.categories import called
from projections.daily_sales import DailySales
from projections.measures import DAYS_LEFT, LOW, NEGATIVE, ON_HAND, RECENT_UNITS, REORDER_POINT, STOCK_OUTS, TARGET_LEVEL
from projections.names import with_names
from projections.query import stretches
from projections.question import Question
from projections.report import Found, Report, one_more, page

DAYS: Final = 28
MOST_LOOKED_UP: Final = 100
"""Products a store: a product is in nine stores, and a store has 1,500 of them."""
PRODUCTS: Final = ("store_id", "sku")
BOUNDS: Final[Mapping[str | None, tuple[int | None, int | None]]] = {
    "negative": (None, -1),
    "out": (0, 0),
    "low": (1, None),
    None: (None, None),
}
"""Units on hand, from and to, of each status among those that are listed."""
LISTED: Final[Mapping[str | None, Callable[[Mapping[str, Any]], int]]] = {
    "negative": lambda row: int(row[NEGATIVE.name]),
    "out": lambda row: int(row[STOCK_OUTS.name] - row[NEGATIVE.name]),
    "low": lambda row: int(row[LOW.name]),
    None: lambda row: int(row[STOCK_OUTS.name] + row[LOW.name]),
}
"""How many products of each status are listed, by the counts of a store."""

# Plain SQL over the stock writer's tables, as in `shelf`, which tells in which stores there is something to find.
_LEVEL: Final = """
    SELECT l.store_id, l.sku, l.on_hand, w.reorder_point, w.target_level,
           CASE WHEN l.on_hand < 0 THEN 'negative' WHEN l.on_hand = 0 THEN 'out' ELSE 'low' END AS status
"""
_WANTED: Final = "LEFT JOIN store_product w ON w.store_id = l.store_id AND w.sku = l.sku"
_BOUNDS: Final = "(CAST(:least AS bigint) IS NULL OR l.on_hand >= :least) AND (CAST(:most AS bigint) IS NULL OR l.on_hand <= :most)"
_SHORT: Final = f"""
    {_LEVEL} FROM {{levels}} {_WANTED} WHERE {{where}} AND (l.on_hand <= 0 OR l.on_hand <= w.reorder_point)
      AND (CAST(:after AS text) IS NULL OR (l.store_id, l.sku) > (:after, :after_sku)) AND {_BOUNDS}
"""
_WITH_CATEGORY: Final = "LEFT JOIN product p ON p.sku = l.sku"
_AMONG: Final = """
    (CAST(:skus AS text[]) IS NULL OR l.sku = ANY(CAST(:skus AS text[])))
    AND (CAST(:categories AS text[]) IS NULL OR p.category_fr = ANY(CAST(:categories AS text[])))
"""
_OF_STORE: Final = _SHORT.format(levels=f"stock_level AS l {_WITH_CATEGORY}", where=f"l.store_id = place.store_id AND {_AMONG}")
_PLACES: Final = "(SELECT unnest(CAST(:stores AS text[])) AS store_id ORDER BY 1) AS place"
_TODAY: Final = """
    SELECT store_id, coalesce(CAST(:through AS date), (timezone(timezone, now()) - CAST(day_ends AS interval))::date) AS today
    FROM store WHERE store_id = ANY(CAST(:stores AS text[]))
"""
_PACE_DAYS: Final = "cell.store_id = place.store_id AND cell.business_date > place.today - :days AND cell.business_date <= place.today"
_ROWS = text(f"""
    SELECT level.* FROM {_PLACES} CROSS JOIN LATERAL ({_OF_STORE} ORDER BY l.sku LIMIT :limit) AS level ORDER BY 1, 2 LIMIT :limit
""")  # noqa: S608 - put together from the constants above
# Product by product, each in all stores at once: for those of one category, when many stores have a few of them.
_OF_ALL: Final = _SHORT.format(
    levels="""unnest(CAST(:skus AS text[])) AS listed(sku) CROSS JOIN LATERAL (
        SELECT * FROM stock_level WHERE sku = listed.sku AND store_id >= (SELECT min(name) FROM unnest(CAST(:stores AS text[])) AS name)
        AND store_id <= (SELECT max(name) FROM unnest(CAST(:stores AS text[])) AS name) OFFSET 0
    ) AS l""",
    where="l.store_id = ANY(CAST(:stores AS text[]))",
)
_OF_PRODUCTS = text(f"{_OF_ALL} ORDER BY 1, 2 LIMIT :limit")
_OF_CATEGORIES = text("SELECT sku FROM product WHERE category_fr = ANY(CAST(:categories AS text[])) LIMIT :limit")
# The days of the page's stores, store by store, each cell looked up in the page, as IS TRUE has it: left to choose, PostgreSQL reads the
# days of all stores, or those of one store for each of its products.
_LISTED: Final = "SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:skus AS text[]))"
_SOLD = text(f"""
    SELECT place.store_id, cell.sku, sum(cell.units) AS units FROM ({_TODAY}) AS place CROSS JOIN LATERAL (
        SELECT * FROM daily_sales.sku_day cell WHERE {_PACE_DAYS} AND ((cell.store_id, cell.sku) IN ({_LISTED})) IS TRUE OFFSET 0
    ) AS cell GROUP BY 1, 2
""")  # noqa: S608 - the same
# What is gone and was sold comes first, the best sold before all others; that these fill the page is likely.
_GONE = text(f"""
    {_LEVEL}, l.sold_units FROM (
        SELECT l.store_id, l.sku, l.on_hand, sum(cell.units)::bigint AS sold_units FROM ({_TODAY}) AS place
        JOIN stock_level l ON l.store_id = place.store_id {_WITH_CATEGORY}
        JOIN daily_sales.sku_day cell ON cell.sku = l.sku AND {_PACE_DAYS}
          AND cell.business_date >= coalesce(CAST(:through AS date), current_date - 1) - :days
        WHERE l.on_hand <= 0 AND {_AMONG} AND {_BOUNDS}
        GROUP BY 1, 2, 3 HAVING sum(cell.units) > 0 ORDER BY 4 DESC, 1, 2 LIMIT :limit
    ) AS l {_WANTED} ORDER BY l.sold_units DESC, 1, 2
""")  # noqa: S608 - the same
# All that is short is looked at: what will be missed first, and of what is gone already what sold most, can be known no other way.
_URGENT = text(f"""
    WITH short AS MATERIALIZED (SELECT level.* FROM {_PLACES} CROSS JOIN LATERAL ({_OF_STORE}) AS level),
    sold AS MATERIALIZED (
        SELECT cell.store_id, cell.sku, sum(cell.units) AS units FROM ({_TODAY}) AS place
        JOIN daily_sales.sku_day cell ON {_PACE_DAYS} GROUP BY cell.store_id, cell.sku
    )
    SELECT short.*, coalesce(sold.units, 0)::bigint AS sold_units FROM short LEFT JOIN sold USING (store_id, sku)
    ORDER BY greatest(short.on_hand, 0)::numeric / CASE WHEN sold.units > 0 THEN sold.units END NULLS LAST,
             coalesce(sold.units, 0) DESC, 1, 2
    LIMIT :limit
""")  # noqa: S608 - the same


class LowStock(Report):
    """The SKUs of each store below zero, at zero, or up to the store's reorder point; or, by store or category, how many there are.

    The pace is that of 28 business days, through the day `to` or, when none is given, the store's own today. With `sort=urgency` come the
    `limit` most urgent products alone: those with the fewest days left, the best sold ones first; what isn't sold is last.
    """

    name = "low-stock"
    title_fr, title_en = "Stocks bas et ruptures", "Low stock"
    question = "What is running out, or has run out, and how long will it last?"
    measures = (ON_HAND, REORDER_POINT, TARGET_LEVEL, RECENT_UNITS, DAYS_LEFT, STOCK_OUTS, NEGATIVE, LOW)
    group_by = PRODUCTS
    follows = (DailySales.name, shelf.COSTS)
    reads_stock = True
    by_the_clock = True
    options = (("status", ("low", "out", "negative")), ("sort", ("store", "urgency")))
    beside = ("name.fr", "name.en", "status")

    def dimensions(self) -> list[str]:
        """Products are always listed store by store."""
        return ["store", "store_id", "category", "product", "sku"]

    def grouping(self, asked: Sequence[str]) -> list[str]:
        """A product brings its store along."""
        found = super().grouping(asked)
        return list(PRODUCTS) if "sku" in found else found

    def answerable(self, question: Question) -> bool:
        """No period, it is what is on hand now: `to` ends the days that the pace is taken from. A status or an order asks for products."""
        of_products = question.sku or question.option("status") or question.option("sort")
        return question.hour is None and question.since is None and ("sku" in question.group_by or of_products is None)

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Count the shelves that something has happened to."""
        return shelf.count(connection, question.stores)

    def find(self, connection: Connection, question: Question) -> Found:
        """A page of products, or the counts."""
        if "sku" not in question.group_by:
            return page(shelf.figures(connection, (STOCK_OUTS, NEGATIVE, LOW), one_more(question)), question)
        if question.option("sort") == "urgency":
            asked = replace(question, after=None)
            urgent = _products(connection, _GONE, asked)
            if len(urgent) != question.limit:
                urgent = _products(connection, _URGENT, asked)
            return Found(with_names(connection, [_paced(row, row.pop("sold_units")) for row in urgent]))
        return listed(connection, question)


def listed(connection: Connection, question: Question, moved: Collection[str] | None = None) -> Found:
    """A page of products, store by store. `moved` are the stores that `shelf.changed`, where somebody asked already."""
    found = page(_products(connection, _ROWS, one_more(question), moved), question)
    return replace(found, rows=with_names(connection, _with_pace(connection, found.rows, question)))


def _products(
    connection: Connection, statement: TextClause, question: Question, moved: Collection[str] | None = None
) -> list[dict[str, Any]]:
    place = question.after or (None, None)
    least, most = BOUNDS[question.option("status")]
    categories = None if question.category is None else called(connection, question.category)
    stores = _concerned(connection, question, moved)
    skus = [question.sku] if question.sku is not None else _few(connection, categories, MOST_LOOKED_UP * len(stores))
    rows = connection.execute(
        _OF_PRODUCTS if skus is not None and statement is _ROWS else statement,
        {
            "stores": stores,
            "skus": None if skus is None else array_text(skus),
            "categories": categories,
            "least": least,
            "most": most,
            "after": place[0],
            "after_sku": place[1],
            "limit": question.limit,
            "through": question.through,
            "days": DAYS,
        },
    )
    return dicts(rows)


def _few(connection: Connection, categories: Sequence[str] | None, most: int) -> list[str] | None:
    """The products of categories, where those are fewer than the levels of the stores: then they are looked up. None otherwise."""
    if categories is None:
        return None
    found = connection.execute(_OF_CATEGORIES, {"categories": categories, "limit": most + 1}).scalars().all()
    return list(found) if len(found) <= most else None


def _concerned(connection: Connection, question: Question, moved: Collection[str] | None) -> list[str]:
    """The stores that have something to list; of those of one page no more than fill it."""
    counts = replace(question, group_by=("store_id",), sku=None, limit=None, after=None, offset=0, sort=None)
    listed = LISTED[question.option("status")]
    begins = None if question.after is None else question.after[0]
    rows = shelf.figures(connection, (STOCK_OUTS, NEGATIVE, LOW), counts, moved)
    counted = sorted((row["store_id"], listed(row)) for row in rows)
    due = [(store_id, count) for store_id, count in counted if count and (begins is None or store_id >= begins)]
    if question.limit is None or question.sku is not None or question.option("sort") == "urgency":
        return [store_id for store_id, _ in due]
    # How much is left of the store that the page goes on in, nobody knows.
    before = accumulate((count if store_id != begins else 0 for store_id, count in due), initial=0)
    return [store_id for (store_id, _), lines in zip(due, before, strict=False) if lines < question.limit]


def _with_pace(connection: Connection, rows: Sequence[Mapping[str, Any]], question: Question) -> list[dict[str, Any]]:
    asked = {name: array_text([row[column] for row in rows]) for name, column in (("stores", "store_id"), ("skus", "sku"))}
    with stretches(connection):
        cells = connection.execute(_SOLD, asked | {"through": question.through, "days": DAYS}).all()
    sold = {(cell.store_id, cell.sku): int(cell.units) for cell in cells}
    return [_paced(row, sold.get((row["store_id"], row["sku"]), 0)) for row in rows]


def _paced(row: Mapping[str, Any], units: int) -> dict[str, Any]:
    left = round(max(0, row["on_hand"]) * DAYS / units, 1) if units > 0 else None
    return {**row, RECENT_UNITS.name: units, DAYS_LEFT.name: left}
