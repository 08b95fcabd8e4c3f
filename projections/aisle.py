"""How much did each category sell, day by day and store by store?

What an article's category is, the catalogue says, and it may say something else tomorrow; a projection knows nothing but its events. So
sales by category are no projection: whoever asks writes them down, from the increments of `daily-sales` itself, in each store as far as
that has come. What was recorded since is laid beside what is written; nothing has to be invalidated, nothing shown is old, and recording a
sale costs nothing more. Where something that was sold has come into another category, all is added up again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from sqlalchemy import Column, Connection, Index, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.exc import DBAPIError

from infra import event_log
from infra.database import metadata, together
from infra.event_log import Stretch
from projections.base import PROJECTIONS, Cells, add_statement, bump, cell_table, columns_of
from projections.checkpoint import LIVE
from projections.epoch import EPOCH
from projections.facts import Batch
from projections.generations import of_one_build
from projections.question import Question
from projections.source import Late, Stored
from schemas.envelope import CATALOGUE_STREAM

SALES: Final = "daily-sales"
SOLD: Final = "daily_sales.sku_day"
AMOUNTS: Final = ("sales", "units", "returned_units", "revenue_cents")
LOCK: Final = 7_316_407_120
"""Of `pg_try_advisory_xact_lock`: one writes at a time, and nobody waits."""
MOST_EVENTS: Final = 10_000
"""Beyond that, adding up all cells is faster than reading what happened since."""
SOMEBODY_WAS_FASTER: Final = frozenset({"40001", "40P01", "23505"})
"""What PostgreSQL says to whoever writes what another one has just written."""

store_day = cell_table("aisle", "store_day", ("business_date", "store_id", "category"), AMOUNTS)
store_month = cell_table("aisle", "store_month", ("month", "store_id", "category"), AMOUNTS)
day = cell_table("aisle", "day", ("business_date", "category"), AMOUNTS)
month = cell_table("aisle", "month", ("month", "category"), AMOUNTS)
Index("ix_store_day_category_business_date_store_id", store_day.c.category, store_day.c.business_date, store_day.c.store_id)
Index("ix_store_day_store_id_business_date", store_day.c.store_id, store_day.c.business_date)
TABLES: Final = (month, store_month, day, store_day)
"""From the coarsest to the finest."""

seen = Table(
    "seen",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("position", Text, nullable=False),
    PrimaryKeyConstraint("store_id"),
    schema="aisle",
)
"""How far each store's log is in the cells; of the catalogue's stream: where the catalogue was, and which build of `daily-sales` it is."""
named = Table(
    "named",
    metadata,
    Column("sku", Text, nullable=False),
    Column("category", Text, nullable=False),
    PrimaryKeyConstraint("sku"),
    schema="aisle",
)
"""The category that the sales of a SKU were added to."""

# The stores whose logs have gone on.
_AHEAD: Final = """
    SELECT store_id, place.seq, seen.position FROM checkpoint place LEFT JOIN aisle.seen USING (store_id)
    WHERE place.projection = :projection AND place.generation = :live AND store_id <> :catalogue
      AND place.seq::text IS DISTINCT FROM seen.position
"""
_PLACES = text(f"""
    SELECT ahead.store_id, ahead.seq, coalesce(CAST(ahead.position AS bigint), 0) AS position,
           basis.position AS basis, concat_ws(':', head.seq, build.epoch) AS basis_now
    FROM (SELECT {EPOCH.format(projection=":projection")} AS epoch) AS build
    LEFT JOIN store_head head ON head.store_id = :catalogue
    LEFT JOIN aisle.seen basis ON basis.store_id = :catalogue
    LEFT JOIN ({_AHEAD}) AS ahead ON true
""")  # noqa: S608 - put together from constants
# The snapshot that all of it is of, for what is written as for what is read.
_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL jit = off")
_MINE = text("SELECT NOT pg_is_in_recovery() AND pg_try_advisory_xact_lock(:key)")
_RENAMED = text("""
    SELECT EXISTS (SELECT FROM aisle.named LEFT JOIN product USING (sku) WHERE named.category <> coalesce(product.category_fr, ''))
""")
_CATEGORIES = text("SELECT sku, category_fr FROM product WHERE sku = ANY(CAST(:skus AS text[]))")
_SUMS: Final = ", ".join(f"sum({amount})::bigint" for amount in AMOUNTS)
_AGAIN = (
    *(text(f"DELETE FROM aisle.{table.name}") for table in (*TABLES, seen, named)),  # noqa: S608 - names of ours, here and below
    text(f"""
        INSERT INTO aisle.store_day SELECT business_date, store_id, coalesce(category_fr, ''), {_SUMS}
        FROM {SOLD} LEFT JOIN product USING (sku) GROUP BY 1, 2, 3
    """),  # noqa: S608
    text(f"""
        INSERT INTO aisle.store_month SELECT date_trunc('month', business_date)::date, store_id, category, {_SUMS}
        FROM aisle.store_day GROUP BY 1, 2, 3
    """),  # noqa: S608
    text(f"INSERT INTO aisle.day SELECT business_date, category, {_SUMS} FROM aisle.store_day GROUP BY 1, 2"),  # noqa: S608
    text(f"INSERT INTO aisle.month SELECT month, category, {_SUMS} FROM aisle.store_month GROUP BY 1, 2"),  # noqa: S608
    text(f"""
        INSERT INTO aisle.named SELECT sku, coalesce(category_fr, '')
        FROM (SELECT DISTINCT sku FROM {SOLD}) AS sold LEFT JOIN product USING (sku)
    """),  # noqa: S608
)
_NAME = text("""
    INSERT INTO aisle.named (sku, category) SELECT * FROM unnest(CAST(:skus AS text[]), CAST(:categories AS text[])) ON CONFLICT DO NOTHING
""")
_SEE = text(f"""
    INSERT INTO aisle.seen (store_id, position) SELECT store_id, seq::text FROM ({_AHEAD}) AS ahead UNION ALL SELECT :catalogue, :basis
    ON CONFLICT (store_id) DO UPDATE SET position = excluded.position
""")  # noqa: S608 - put together from constants
_ASKED: Final = {"projection": SALES, "live": LIVE, "catalogue": CATALOGUE_STREAM}


@dataclass(frozen=True, slots=True)
class _State:
    """What is written and what is not: `basis` is where catalogue and build are now, `lacking` the events that aren't in the cells."""

    basis: str
    lacking: tuple[Stretch, ...]
    again: bool
    moved: bool


@dataclass(frozen=True, slots=True)
class _Since:
    """What happened since, by store, day and category, and the categories of the SKUs in it."""

    cells: Cells
    names: dict[str, str]


def serves(question: Question) -> bool:
    """Whether a question about sales is one of categories, and not of what is in them."""
    named_by = "category" in question.group_by or question.category is not None
    return named_by and "sku" not in question.group_by and question.sku is None


def write(connection: Connection) -> Iterator[None]:
    """Write down what was sold since somebody did it last; at each step the caller commits. Nobody waits for somebody else."""
    state = _state(connection)
    connection.rollback()
    if not (state.again or state.moved or state.lacking):
        return
    try:
        mine = of_one_build(connection, lambda: _written(connection))
    except (DBAPIError, psycopg.Error) as error:
        # What goes `together` fails as the driver says it.
        said = error.orig if isinstance(error, DBAPIError) else error
        if getattr(said, "sqlstate", None) not in SOMEBODY_WAS_FASTER:
            raise
        mine = False
    if mine:
        yield
    else:
        connection.rollback()


def stored(connection: Connection) -> Stored | None:
    """The cells by category, and beside them what isn't in them yet; None where they have to be added up again first.

    The connection should be in one snapshot.
    """
    state = _state(connection)
    return None if state.again else Stored(TABLES, _late(_since(connection, state.lacking).cells))


def _written(connection: Connection) -> bool:
    """Whether it was us who wrote."""
    connection.execute(_SNAPSHOT)
    if not connection.execute(_MINE, {"key": LOCK}).scalar_one():
        return False
    state = _state(connection)
    if state.again:
        for statement in _AGAIN:
            connection.execute(statement)
    else:
        _add(connection, _since(connection, state.lacking))
    connection.execute(_SEE, {**_ASKED, "basis": state.basis})
    return True


def _state(connection: Connection) -> _State:
    rows = connection.execute(_PLACES, _ASKED).all()
    basis, now = rows[0].basis, rows[0].basis_now
    lacking = tuple(Stretch(row.store_id, row.position, row.seq) for row in rows if row.seq not in {None, row.position})
    build_changed = basis is None or basis.partition(":")[2] != now.partition(":")[2]
    backwards = any(each.through < each.after for each in lacking)
    again = build_changed or backwards or sum(each.through - each.after for each in lacking) > MOST_EVENTS
    moved = basis != now
    if moved and not again:
        again = connection.execute(_RENAMED).scalar_one()
    return _State(now, lacking, again, moved)


def _since(connection: Connection, lacking: Sequence[Stretch]) -> _Since:
    sold: Cells = {}
    sales = PROJECTIONS[SALES]
    for events in event_log.stretches(connection, lacking, sales.event_types) if lacking else ():
        for table, cells in sales.increments(Batch(events)).items():
            if table.fullname == SOLD:
                for key, amounts in cells.items():
                    bump(sold, key, *amounts)
    names = dict.fromkeys((sku for _, _, sku in sold), "")
    if names:
        names |= {row.sku: row.category_fr for row in connection.execute(_CATEGORIES, {"skus": list(names)})}
    found: Cells = {}
    for (store_id, business_date, sku), amounts in sold.items():
        bump(found, (business_date, store_id, names[sku]), *amounts)
    return _Since(found, names)


def _add(connection: Connection, since: _Since) -> None:
    coarse: dict[Table, Cells] = {store_day: since.cells, store_month: {}, day: {}, month: {}}
    for (business_date, store_id, category), amounts in since.cells.items():
        begins = business_date.replace(day=1)
        bump(coarse[store_month], (begins, store_id, category), *amounts)
        bump(coarse[day], (business_date, category), *amounts)
        bump(coarse[month], (begins, category), *amounts)
    added = add_statement(coarse)
    if added is not None:
        together(connection, [added])
        connection.execute(_NAME, {"skus": list(since.names), "categories": list(since.names.values())})


def _late(cells: Cells) -> Late | None:
    if not cells:
        return None
    names = [column.name for column in store_day.columns]
    types = [str(column.type.compile()) for column in store_day.columns]
    return Late(tuple(zip(names, types, columns_of(cells), strict=True)))
