"""How long does stock of a past instant take with ten million movements? ``python -m bench.clocks``, in a database of its own.

Needs MAGASIN_DATABASE_URL to name a server on which it may make a database (about 4 GB), and five minutes. Prints the time of one page by
kind of question: every second product is counted now and then, the others never, so that their whole history is folded each time.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from bench.search import own_database
from events.fields import Sku
from stock import clocks
from stock.clocks import NOW, Clocks, Stretch
from stock.holdings import Wanted
from stock.rules import Movement, fold

MOVEMENTS: Final = 10_000_000
HOT_MOVEMENTS: Final = 100_000
STORES: Final = 20
PRODUCTS: Final = 1_000
"""20,000 cells, so 500 movements in each on average, and 3,500 in the busiest."""
YEAR: Final = timedelta(days=365)
ROUNDS: Final = 300
CHECKED: Final = 50
MOST_MILLISECONDS: Final = 100.0
HOT_STORE, HOT_SKU = "t-hot", "P-hot"

Question = Callable[[Connection], object]

_LEDGER = text("""
    INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, counted, recorded_at)
    SELECT 't-' || n % :stores,
           'P-' || article,
           at,
           gen_random_uuid(),
           0,
           n,
           CASE WHEN counts THEN 'stock.counted' ELSE 'sale.recorded' END,
           CASE WHEN counts THEN NULL WHEN n % 30 = 0 THEN 40 ELSE -1 - n % 2 END,
           CASE WHEN counts THEN 20 END,
           at + late
    FROM (
        SELECT n, article, at, late, article % 2 = 0 AND luck < 0.02 AS counts
        FROM (
            SELECT n,
                   floor(random() * random() * :products)::int AS article,
                   :begin + n * :step AS at,
                   -- Most are recorded at once, some by a till that was away for days.
                   interval '1 second' + CASE WHEN random() < 0.05 THEN random() * interval '5 days' ELSE interval '0' END AS late,
                   random() AS luck
            FROM generate_series(1, :movements) AS n
        ) AS drawn
    ) AS made
""")
_HOT = text("""
    INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, recorded_at)
    SELECT :store, :sku, :begin + n * :step, gen_random_uuid(), 0, n, 'sale.recorded', -1, :begin + n * :step
    FROM generate_series(1, :movements) AS n
""")
_LEVELS = text("""
    INSERT INTO stock_level (store_id, sku, on_hand, counted_at)
    SELECT store_id, sku, 0, max(effective_at) FILTER (WHERE counted IS NOT NULL) FROM stock_movement GROUP BY store_id, sku
""")
_KEY = text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'pk_stock_movement'")
_SIZES = text("SELECT pg_relation_size('stock_movement') / 1000000 AS ledger, pg_relation_size('pk_stock_movement') / 1000000 AS key")


def fill(engine: Engine, begin: datetime) -> None:
    """The ledger of a year, in the order in which it happened; the key is made afterwards, as the migrations made it."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        key = connection.execute(_KEY).scalar_one()
        connection.execute(text("ALTER TABLE stock_movement DROP CONSTRAINT pk_stock_movement"))
        shape = {"movements": MOVEMENTS, "step": YEAR / MOVEMENTS, "begin": begin, "stores": STORES, "products": PRODUCTS}
        connection.execute(_LEDGER, shape)
        hot = {"movements": HOT_MOVEMENTS, "step": YEAR / HOT_MOVEMENTS, "begin": begin, "store": HOT_STORE, "sku": HOT_SKU}
        connection.execute(_HOT, hot)
        connection.execute(text(f"ALTER TABLE stock_movement ADD CONSTRAINT pk_stock_movement {key}"))
        connection.execute(_LEVELS)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE stock_movement, stock_level"))
        sizes = connection.execute(_SIZES).one()
    sys.stdout.write(f"{MOVEMENTS:,} movements in {STORES * PRODUCTS:,} cells: table {sizes.ledger:,} MB, key {sizes.key:,} MB\n")


class Drawn:
    """Questions drawn by chance, the same in every run."""

    def __init__(self, begin: datetime) -> None:
        self._chance = random.Random(1)  # noqa: S311 - draws questions, keeps no secret
        self._begin = begin

    def instant(self) -> datetime:
        """Some time in the year."""
        return self._begin + YEAR * self._chance.random()

    def both(self) -> Clocks:
        """What had happened by one instant, as it was known a little later."""
        as_of = self.instant()
        return Clocks(as_of, as_of + timedelta(days=self._chance.randint(0, 7)))

    def cell(self) -> tuple[str, str]:
        """Some product of some store; those with many movements as often as the others."""
        return f"t-{self._chance.randrange(STORES)}", f"P-{self._chance.randrange(PRODUCTS)}"

    def page(self, limit: int, at: Clocks, status: str | None = None, *, everywhere: bool = False) -> Question:
        """A page of stock, beginning anywhere in a store or in all of them."""
        cell = self.cell()
        wanted = Wanted(stores=None if everywhere else {cell[0]}, status=status)
        return lambda connection: clocks.levels(connection, wanted, at, after=cell, limit=limit)

    def one(self, at: Clocks, cell: tuple[str, str]) -> Question:
        """One cell of stock."""
        wanted = Wanted(stores={cell[0]}, skus={cell[1]})
        return lambda connection: clocks.levels(connection, wanted, at, after=None, limit=1)

    def ledger(self, at: Clocks, cell: tuple[str, str]) -> Question:
        """A page of one cell's movements."""
        return lambda connection: clocks.movements(connection, *cell, at, Stretch(), after=None, limit=51)


def questions(begin: datetime) -> Mapping[str, Callable[[], Question]]:
    """What people ask, by kind."""
    drawn, hot = Drawn(begin), (HOT_STORE, HOT_SKU)
    return {
        "one cell, both clocks": lambda: drawn.one(drawn.both(), drawn.cell()),
        "50 cells, as_of": lambda: drawn.page(50, Clocks(as_of=drawn.instant())),
        "50 cells, known_at": lambda: drawn.page(50, Clocks(known_at=drawn.instant())),
        "50 cells, both clocks": lambda: drawn.page(50, drawn.both()),
        "50 cells of all stores, both clocks": lambda: drawn.page(50, drawn.both(), everywhere=True),
        "500 cells, both clocks": lambda: drawn.page(500, drawn.both(), everywhere=True),
        "50 negative ones, both clocks": lambda: drawn.page(50, drawn.both(), "negative", everywhere=True),
        "movements, now": lambda: drawn.ledger(NOW, drawn.cell()),
        "movements, both clocks": lambda: drawn.ledger(drawn.both(), drawn.cell()),
        f"one cell of {HOT_MOVEMENTS:,} movements, both clocks": lambda: drawn.one(drawn.both(), hot),
        "its movements, both clocks": lambda: drawn.ledger(drawn.both(), hot),
    }


def timed(connection: Connection, asked: list[Question]) -> list[float]:
    """Milliseconds of each, sorted."""
    spent = []
    for question in asked:
        began = time.perf_counter()
        question(connection)
        spent.append((time.perf_counter() - began) * 1_000)
    return sorted(spent)


def wrong(engine: Engine, begin: datetime) -> int:
    """How many of some cells are not the fold of the rules."""
    drawn, off = Drawn(begin), 0
    history = text(
        "SELECT * FROM stock_movement WHERE store_id = :store AND sku = :sku AND effective_at <= :as_of AND recorded_at <= :known_at"
    )
    with engine.connect() as connection:
        for _ in range(CHECKED):
            (store, sku), at = drawn.cell(), drawn.both()
            rows = connection.execute(history, {"store": store, "sku": sku, "as_of": at.as_of, "known_at": at.known_at})
            moved = [Movement(Sku(sku), row.effective_at, UUID(str(row.event_id)), row.line, row.delta, row.counted) for row in rows]
            found, _ = clocks.levels(connection, Wanted(stores={store}, skus={sku}), at, after=None, limit=1)
            off += sum(row["on_hand"] for row in found) != fold(moved).on_hand
    return off


def main() -> int:
    """Print the table; 1 when a page takes longer than it may, or tells something else than the rules."""
    begin = datetime.now(UTC) - YEAR
    with own_database() as engine:
        fill(engine, begin)
        worst = 0.0
        for kind, draw in questions(begin).items():
            with engine.connect() as connection:
                timed(connection, [draw() for _ in range(ROUNDS // 10)])
                spent = timed(connection, [draw() for _ in range(ROUNDS)])
            p99 = spent[int(len(spent) * 0.99)]
            worst = max(worst, p99)
            sys.stdout.write(f"{kind:52} p50 {statistics.median(spent):7.2f} ms  p99 {p99:7.2f} ms\n")
        off = wrong(engine, begin)
    sys.stdout.write(f"{CHECKED - off} of {CHECKED} cells as the rules fold them\n")
    sys.stdout.write(f"worst p99 {worst:.2f} ms of {MOST_MILLISECONDS:.0f} ms\n")
    return int(worst > MOST_MILLISECONDS or off > 0)


if __name__ == "__main__":
    sys.exit(main())
