"""What lies on the shelves of each store, category by category?

Adding up 628,000 levels takes half a second, so it is written down: a store is counted again when something has happened to it since, by
whoever asks next. What was counted carries the position that it was counted at, and what isn't current is counted on the spot: nothing
has to be invalidated, nothing shown is old, and recording a sale costs nothing more. Where nothing can be written (a replica), everything
is counted on the spot.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, PrimaryKeyConstraint, Table, Text, text

from infra.database import metadata
from projections.categories import called
from projections.checkpoint import LIVE
from projections.epoch import EPOCH
from projections.measures import AVERAGE_COST_CENTS, Measure
from projections.query import rows_of, without
from projections.question import Question
from projections.source import Parameters
from projections.statement import Frame
from schemas.envelope import CATALOGUE_STREAM

COSTS: Final = "stock-valuation"
AMOUNTS: Final = ("skus", "on_hand", "out", "negative", "low", "value_cents", "unknown_cost_units")
AT_ONCE: Final = 40
"""Stores counted in one transaction: what was counted stays, and no statement takes long."""
LOCK: Final = 7_316_407_119
"""Of `pg_advisory_xact_lock`: one counts at a time, and who has waited finds it done."""

seen = Table(
    "seen",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("position", Text, nullable=False),
    PrimaryKeyConstraint("store_id"),
    schema="shelf",
)
category = Table(
    "category",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("category", Text, nullable=False),
    *(Column(amount, BigInteger, nullable=False) for amount in AMOUNTS),
    PrimaryKeyConstraint("store_id", "category"),
    schema="shelf",
)

_COSTS: Final = "SELECT cost.units, cost.cost_cents FROM stock_valuation.store_sku cost WHERE"
# Of many cells by the whole page (`chosen`), not cell by cell: a third less time.
_COSTS_OF_PAGE: Final = """
    (SELECT cost.* FROM chosen JOIN stock_valuation.store_sku cost USING ({keys})) AS own_cost
    ON own_cost.store_id = level.store_id AND own_cost.sku = level.sku
"""


def costs_beside(cell: str) -> str:
    """SQL that lays the costs of a cell's SKU beside it: its store's own, and those of the store's logistics centre.

    Looked up cell by cell: left to choose, PostgreSQL reads the costs of all stores for those of a few cells.
    """
    return _beside(cell, f"LATERAL ({_COSTS} cost.sku = {cell}.sku AND cost.store_id = {cell}.store_id OFFSET 0) AS own_cost ON true")


def _beside(cell: str, own_cost: str) -> str:
    of_centre = f"cost.sku = {cell}.sku AND own_cost.units IS NULL AND cost.store_id = store.centre"
    return f"""
        LEFT JOIN store ON store.store_id = {cell}.store_id
        LEFT JOIN {own_cost}
        LEFT JOIN LATERAL ({_COSTS} {of_centre} OFFSET 0) AS centre_cost ON true
    """


# Plain SQL over the stock writer's tables: what a level means for a report is said here and nowhere else, and projections may not import
# the stock store, whose rules must not know of reports.
_LEVELS: Final = f"""
    SELECT level.store_id, level.sku, coalesce(product.category_fr, '') AS category, 1 AS skus, level.on_hand,
           (level.on_hand = 0)::int AS out, (level.on_hand < 0)::int AS negative,
           coalesce(level.on_hand > 0 AND level.on_hand <= wanted.reorder_point, false)::int AS low,
           coalesce(round(level.on_hand * {AVERAGE_COST_CENTS}), 0) AS value_cents,
           CASE WHEN own_cost.units IS NULL AND centre_cost.units IS NULL THEN greatest(level.on_hand, 0) ELSE 0 END AS unknown_cost_units
    FROM {{levels}} AS level
    LEFT JOIN product ON product.sku = level.sku
    LEFT JOIN {{wanted}} AS wanted ON wanted.store_id = level.store_id AND wanted.sku = level.sku
    {{costs}}
"""  # noqa: S608 - put together from constants; what was asked travels as parameters


def _whole(stores: str) -> str:
    """The levels of whole stores, `stores` being where their list stands: what lies beside them is read in one go, of these alone."""
    scope = f"WHERE store_id = ANY(CAST({stores} AS text[]))"
    costs = f"(SELECT * FROM stock_valuation.store_sku {scope}) AS own_cost"  # noqa: S608 - names of ours
    beside = f"""
        LEFT JOIN store ON store.store_id = level.store_id
        LEFT JOIN {costs} ON own_cost.store_id = level.store_id AND own_cost.sku = level.sku
        LEFT JOIN stock_valuation.store_sku centre_cost ON centre_cost.store_id = store.centre AND centre_cost.sku = level.sku
    """
    levels, wanted = f"(SELECT * FROM stock_level {scope})", f"(SELECT * FROM store_product {scope})"  # noqa: S608 - names of ours
    return _LEVELS.format(levels=levels, wanted=wanted, costs=beside)


# Whatever changes what a store's shelves hold or are worth moves one of these numbers.
_CHANGED = text(f"""
    SELECT store_id, position FROM (
        SELECT head.store_id, concat_ws(':', head.seq, own.seq, store.centre, centre.seq,
                                        (SELECT seq FROM store_head WHERE store_id = :catalogue),
                                        {EPOCH.format(projection=":costs")}) AS position
        FROM store_head head
        LEFT JOIN store ON store.store_id = head.store_id
        LEFT JOIN checkpoint own ON own.store_id = head.store_id AND own.projection = :costs AND own.generation = :live
        LEFT JOIN checkpoint centre ON centre.store_id = store.centre AND centre.projection = :costs AND centre.generation = :live
        WHERE head.store_id <> :catalogue AND (CAST(:stores AS text[]) IS NULL OR head.store_id = ANY(CAST(:stores AS text[])))
    ) AS place
    WHERE NOT EXISTS (SELECT FROM shelf.seen WHERE seen.store_id = place.store_id AND seen.position = place.position)
    ORDER BY store_id
""")  # noqa: S608 - put together from constants
_FORGET = text("DELETE FROM shelf.category WHERE store_id = ANY(CAST(:stores AS text[]))")
_COUNT = text(f"""
    INSERT INTO shelf.category (store_id, category, {", ".join(AMOUNTS)})
    SELECT store_id, category, {", ".join(f"sum({amount})" for amount in AMOUNTS)}
    FROM ({_whole(":stores")}) AS counted GROUP BY store_id, category
""")  # noqa: S608 - put together from the constants above
_SEE = text("""
    INSERT INTO shelf.seen (store_id, position)
    SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:positions AS text[]))
    ON CONFLICT (store_id) DO UPDATE SET position = excluded.position
""")


def count(connection: Connection, stores: Collection[str] | None) -> Iterator[None]:
    """Write down what has changed in these stores since it was counted, some stores at a time; at each step the caller commits.

    None means all stores.
    """
    moved = list(changed(connection, stores))
    if not moved or connection.execute(text("SELECT pg_is_in_recovery()")).scalar_one():
        return
    for start in range(0, len(moved), AT_ONCE):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        # The positions first: what happens in between is counted once more, and not missed.
        now = changed(connection, moved[start : start + AT_ONCE])
        if now:
            connection.execute(_FORGET, {"stores": list(now)})
            connection.execute(_COUNT, {"stores": list(now)})
            connection.execute(_SEE, {"stores": list(now), "positions": list(now.values())})
        yield


def changed(connection: Connection, stores: Collection[str] | None) -> dict[str, str]:
    """The stores to which something has happened since they were counted, with their positions now. None means all stores."""
    asked = {"catalogue": CATALOGUE_STREAM, "costs": COSTS, "live": LIVE, "stores": None if stores is None else sorted(stores)}
    return {row.store_id: row.position for row in connection.execute(_CHANGED, asked).all()}


def figures(
    connection: Connection, measures: Sequence[Measure], question: Question, moved: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Figures of the shelves, grouped by store, category or product; `connection` sees one moment, whose `changed` stores are `moved`."""
    parameters = Parameters()
    categories = None if question.category is None else called(connection, question.category)
    by_product = "sku" in question.group_by or question.sku is not None
    source = _levels(question, categories, parameters) if by_product else _shelves(connection, question, moved, parameters)
    if categories is not None and not by_product:
        source = f"SELECT * FROM ({source}) AS every WHERE category = ANY(CAST({parameters.add(categories)} AS text[]))"  # noqa: S608 - see below
    # The products of a page are in order, and what lies beside them, too: PostgreSQL would merge each product's stores with each other.
    with without(connection, "mergejoin") if by_product else nullcontext():
        return rows_of(connection, Frame(measures, question, source), parameters)


def _levels(question: Question, categories: Sequence[str] | None, parameters: Parameters) -> str:
    """The levels themselves, no more than the page needs: those of its products are picked before anything is laid beside them."""
    where = []
    if question.stores is not None:
        where.append(f"store_id = ANY(CAST({parameters.add(sorted(question.stores))} AS text[]))")
    if question.sku is not None:
        where.append(f"sku = {parameters.add(question.sku)}")
    if categories is not None:
        within = f"ANY(CAST({parameters.add(list(categories))} AS text[]))"
        where.append(f"sku IN (SELECT sku FROM product WHERE category_fr = {within})")  # noqa: S608 - names of ours
    levels = f"SELECT * FROM stock_level{_where(where)}"  # noqa: S608 - names of ours; what was asked travels as parameters
    keys = list(question.group_by)
    if keys in (["sku"], ["store_id", "sku"]) and question.limit is not None:
        if question.after is not None:
            place = ", ".join(parameters.add(value) for value in question.after)
            where.append(f"({', '.join(keys)}) > ({place})")
        picked = f"SELECT DISTINCT {', '.join(keys)} FROM stock_level{_where(where)} ORDER BY {', '.join(keys)}"  # noqa: S608 - the same
        chosen = f"{picked} LIMIT {parameters.add(question.limit)}"
        levels = f"SELECT every.* FROM chosen JOIN ({levels}) AS every USING ({', '.join(keys)})"  # noqa: S608 - names of ours
        costs = _beside("level", _COSTS_OF_PAGE.format(keys=", ".join(keys)))
        return f"WITH chosen AS MATERIALIZED ({chosen}) {_LEVELS.format(levels=f'({levels})', wanted='store_product', costs=costs)}"
    return _LEVELS.format(levels=f"({levels})", wanted="store_product", costs=costs_beside("level"))


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _shelves(connection: Connection, question: Question, moved: Collection[str] | None, parameters: Parameters) -> str:
    """What was counted, and on the spot what wasn't since."""
    moved = sorted(changed(connection, question.stores) if moved is None else moved)
    late = parameters.add(moved)
    chosen = "" if question.stores is None else f" AND store_id = ANY(CAST({parameters.add(sorted(question.stores))} AS text[]))"
    columns = ", ".join(("store_id", "category", *AMOUNTS))
    counted = f"SELECT {columns} FROM shelf.category WHERE store_id <> ALL(CAST({late} AS text[])){chosen}"  # noqa: S608 - see above
    if not moved:
        return counted
    return f"{counted} UNION ALL SELECT {columns} FROM ({_whole(late)}) AS now"  # noqa: S608 - see above
