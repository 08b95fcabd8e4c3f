"""How long does the product search take in the whole catalogue? ``python -m bench.search``: 68,509 products, in a database of its own.

Needs MAGASIN_DATABASE_URL to name a server on which it may make a database. Prints the time of one page of results by kind of search,
and whether PostgreSQL used an index.
"""

import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, event, make_url, text

from events.catalogue import Bilingual, ProductDefined
from events.fields import Sku
from infra.database import engine_for, together
from infra.settings import settings
from magasin import demo_data
from magasin.migrate import migrate
from stock.assortment import statements
from stock.catalogue import Wanted, products

PRODUCTS = 68_509
ROUNDS = 400
LIMIT = 51
MISSPELT = ("one word", "three words of a name", "a word and a category")
NAME = "magasin_search_bench"
MOST_MILLISECONDS = 50.0


@contextmanager
def own_database() -> Iterator[Engine]:
    """A migrated, empty database, dropped afterwards."""
    url = make_url(settings().database_url).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(NAME)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
        mine = url.set(database=NAME).render_as_string(hide_password=False)
        migrate(mine)
        engine = engine_for(settings().model_copy(update={"database_url": mine}), name="bench-search", same_plans=False)
        try:
            yield engine
        finally:
            engine.dispose()
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))


def fill(engine: Engine) -> None:
    """The demonstration's products, again and again under other SKUs and sizes until there are as many as in the whole catalogue."""
    known = [ProductDefined.model_validate_json(_defined(product)) for product in demo_data.products()]
    rows = [_again(known[number % len(known)], number // len(known)) for number in range(PRODUCTS)]
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for start in range(0, len(rows), 1_000):
            together(connection, statements((row.model_dump(mode="json"), now) for row in rows[start : start + 1_000]))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE product"))


def _defined(product: demo_data.Product) -> bytes:
    return demo_data.product_body(product)[:-1] + b',"sku":"%b"}' % product.sku.encode()


def _again(product: ProductDefined, copy: int) -> ProductDefined:
    if copy == 0:
        return product
    name = Bilingual(fr=f"{product.name.fr} lot {copy}", en=f"{product.name.en} pack {copy}")
    return product.model_copy(update={"sku": Sku(f"{product.sku}-{copy}"), "name": name})


def questions(engine: Engine) -> dict[str, list[Wanted]]:
    """What people type, by kind: `ROUNDS` of each, drawn from the names that there are."""
    chance = random.Random(1)  # noqa: S311 - draws words, keeps no secret
    with engine.connect() as connection:
        names = list(connection.execute(text("SELECT name_fr FROM product")).scalars())
        barcodes = list(connection.execute(text("SELECT barcode FROM product WHERE barcode IS NOT NULL LIMIT 5000")).scalars())
        categories = list(connection.execute(text("SELECT DISTINCT category_fr FROM product")).scalars())
    words = sorted({word for name in names for word in name.split() if len(word) > 2})  # noqa: PLR2004 - a trigram
    drawn = {
        "one word": [Wanted(search=chance.choice(words)) for _ in range(ROUNDS)],
        "as typed (3 to 5 letters)": [Wanted(search=chance.choice(words)[: chance.randint(3, 5)]) for _ in range(ROUNDS)],
        "one or two letters": [Wanted(search=chance.choice(words)[: chance.randint(1, 2)]) for _ in range(ROUNDS)],
        "three words of a name": [Wanted(search=" ".join(chance.choice(names).split()[:3])) for _ in range(ROUNDS)],
        "nothing like it": [Wanted(search=f"zq{number}xw") for number in range(ROUNDS)],
        "a short nothing": [Wanted(search=chance.choice(("zq", "qj", "xk"))) for _ in range(ROUNDS)],
        "a word and a category": [Wanted(search=chance.choice(words), category=chance.choice(categories)) for _ in range(ROUNDS)],
        "category": [Wanted(category=chance.choice(categories)) for _ in range(ROUNDS)],
    }
    drawn |= {f"{kind} misspelt": [Wanted(search=_misspelt(chance, each.search or "")) for each in drawn[kind]] for kind in MISSPELT}
    drawn["words that nobody has"] = [
        Wanted(search="".join(chance.choices("aeiourstlnqxz", k=chance.randint(5, 12)))) for _ in range(ROUNDS)
    ]
    if barcodes:
        drawn["barcode as words"] = [Wanted(search=chance.choice(barcodes)) for _ in range(ROUNDS)]
        drawn["barcode"] = [Wanted(barcode=chance.choice(barcodes)) for _ in range(ROUNDS)]
    return drawn


def _misspelt(chance: random.Random, words: str) -> str:
    """The words with one letter of the longest dropped, doubled, changed or swapped with the next."""
    word = max(words.split(), key=len)
    at = chance.randrange(len(word) - 1)
    wrong = chance.choice(("", word[at] * 2, chance.choice("aeiourst")))
    return words.replace(word, chance.choice((word[:at] + wrong + word[at + 1 :], word[:at] + word[at + 1] + word[at] + word[at + 2 :])))


def timed(connection: Connection, wanted: list[Wanted]) -> list[float]:
    """Milliseconds of each."""
    spent = []
    for each in wanted:
        began = time.perf_counter()
        products(connection, each, after=None, limit=LIMIT)
        spent.append((time.perf_counter() - began) * 1_000)
    return sorted(spent)


def plan(engine: Engine, wanted: Wanted) -> str:
    """The scan that PostgreSQL chooses for a question."""
    asked: list[tuple[str, Any]] = []
    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", lambda _c, _u, statement, values, *_: asked.append((statement, values)))
        products(connection, wanted, after=None, limit=LIMIT)
        statement, values = asked[-1]
        lines = connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars().all()
    return next((line.strip(" ->").split("  (")[0] for line in reversed(lines) if "Scan" in line), "?")


def main() -> int:
    """Print the table; 1 when a page takes longer than it may."""
    with own_database() as engine:
        fill(engine)
        worst = 0.0
        for kind, wanted in questions(engine).items():
            with engine.connect() as connection:
                timed(connection, wanted[:20])
                spent = timed(connection, wanted)
            p99 = spent[int(len(spent) * 0.99)]
            worst = max(worst, p99)
            sys.stdout.write(f"{kind:28} p50 {statistics.median(spent):6.2f} ms  p99 {p99:6.2f} ms  {plan(engine, wanted[0])}\n")
    sys.stdout.write(f"worst p99 {worst:.2f} ms of {MOST_MILLISECONDS:.0f} ms\n")
    return int(worst > MOST_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main())
