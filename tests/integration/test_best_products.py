"""Are the best products found by a guess the ones that adding up everything finds?"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from projections import query
from projections.daily_sales import DailySales
from projections.question import Question
from projections.snapshot import SNAPSHOT
from projections.statement import Statement
from projections.top_products import TopProducts
from tests.services import Services
from tests.telling import own_engine

PRODUCTS = 6_000
FIGURES = ("revenue", "units")
PAGES = ((200, 0), (200, 350), (450, 0))
PERIODS: tuple[tuple[date | None, date | None], ...] = (
    (None, None),
    (date(2025, 2, 1), None),
    (date(2025, 1, 5), date(2026, 2, 20)),
    (date(2025, 2, 1), date(2025, 3, 16)),
)
"""Two years; years less a month; years less days; a month and days."""
# A product sells on one to three days of two years, much or little: a few of them make most of the revenue, as in a shop.
_PRODUCTS = text("""
    INSERT INTO product (sku, name_fr, name_en, category_fr, category_en, price, active, search_text)
    SELECT 'p' || n, 'p' || n, 'p' || n, CASE WHEN n % 3 = 0 THEN 'Maison' ELSE 'Fruits' END, '', 1, true, ''
    FROM generate_series(1, :products) AS n
""")
_DAYS = text("""
    INSERT INTO daily_sales.sku_day (store_id, business_date, sku, sales, units, returned_units, revenue_cents)
    SELECT 'east', date '2025-01-01' + ((n * 37 + time * 29) % 420), 'p' || n, 1, 1 + (n * 13) % 50, 0,
           (1 + (n * 7919 + time * 2711) % 4999) * (1 + (n % 17))
    FROM generate_series(1, :products) AS n CROSS JOIN generate_series(0, 2) AS time WHERE time <= n % 3
""")
# Some of them are given back in the year after, more than was sold: what is known of them before tells too much.
_GIVEN_BACK = text("""
    INSERT INTO daily_sales.sku_day (store_id, business_date, sku, sales, units, returned_units, revenue_cents)
    SELECT 'west', date '2026-01-01' + n % 40, sku, 0, -2 * sum(units), 3 * sum(units), -2 * sum(revenue_cents)
    FROM generate_series(40, :products, 40) AS n JOIN daily_sales.sku_day ON sku = 'p' || n GROUP BY n, sku
""")
_LONGER = text("""
    INSERT INTO daily_sales.sku_month (month, sku, sales, units, returned_units, revenue_cents)
    SELECT date_trunc('month', business_date), sku, sum(sales), sum(units), sum(returned_units), sum(revenue_cents)
    FROM daily_sales.sku_day GROUP BY 1, 2;
    INSERT INTO daily_sales.sku_year (year, sku, sales, units, returned_units, revenue_cents)
    SELECT date_trunc('year', month), sku, sum(sales), sum(units), sum(returned_units), sum(revenue_cents)
    FROM daily_sales.sku_month GROUP BY 1, 2;
    ANALYZE product, daily_sales.sku_day, daily_sales.sku_month, daily_sales.sku_year
""")
_EXPECTED = text("""
    SELECT sku, sum(revenue_cents)::bigint AS revenue, sum(units)::bigint AS units FROM daily_sales.sku_day JOIN product USING (sku)
    WHERE business_date BETWEEN coalesce(CAST(:since AS date), '-infinity') AND coalesce(CAST(:through AS date), 'infinity')
      AND (CAST(:category AS text) IS NULL OR category_fr = :category)
    GROUP BY sku
""")


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        with pool.begin() as connection:
            for statement in (_PRODUCTS, _DAYS, _GIVEN_BACK):
                connection.execute(statement, {"products": PRODUCTS})
            connection.execute(_LONGER)
        yield pool


@pytest.fixture
def guesses(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each page was found by a guess."""
    told: list[bool] = []
    guessed = query._guessed  # noqa: SLF001 - which way an answer was found shows nowhere else

    def noting(connection: Connection, statement: Statement, limit: int) -> list[dict[str, Any]] | None:
        found = guessed(connection, statement, limit)
        told.append(found is not None)
        return found

    monkeypatch.setattr(query, "_guessed", noting)
    return told


def found(engine: Engine, question: Question) -> list[tuple[str, str | int]]:
    with engine.connect() as connection:
        connection.execute(SNAPSHOT)
        return [(row["sku"], row[str(question.sort)]) for row in query.answer(connection, TopProducts(), question)]


def expected(engine: Engine, question: Question) -> list[tuple[str, str | int]]:
    with engine.connect() as connection:
        asked = {"since": question.since, "through": question.through, "category": question.category}
        rows = [row._mapping for row in connection.execute(_EXPECTED, asked)]  # noqa: SLF001 - how SQLAlchemy calls a row's members
    best = sorted(rows, key=lambda row: (-row[str(question.sort)], row["sku"]))
    amounts = [(row["sku"], query.money_text(row["revenue"]) or "" if question.sort == "revenue" else row["units"]) for row in best]
    return amounts[question.offset : question.offset + (question.limit or 0)]


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("category", [None, "Maison"])
def test_the_best_are_those_of_all(
    engine: Engine, guesses: list[bool], period: tuple[date | None, date | None], category: str | None
) -> None:
    for sort in FIGURES:
        for limit, offset in PAGES:
            question = Question(("sku",), since=period[0], through=period[1], category=category, sort=sort, limit=limit, offset=offset)
            assert found(engine, question) == expected(engine, question), (sort, limit, offset)
    if period == (None, None) and category is None:
        assert any(guesses)


@pytest.mark.parametrize(("less_than_likely", "in_the_end"), [(0.001, [True]), (2.0, [True]), (100_000.0, [False])])
def test_a_guess_that_is_no_good_costs_time_and_nothing_else(
    engine: Engine, guesses: list[bool], less_than_likely: float, in_the_end: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "LESS_THAN_LIKELY", less_than_likely)
    monkeypatch.setattr(query, "MOST_FOUND", 2_500)
    question = Question(("sku",), sort="revenue", limit=200)
    assert found(engine, question) == expected(engine, question)
    # Too high a guess finds a page that shows a better one; by one that is too low everything is known of all products.
    assert guesses == in_the_end


def test_the_shortest_pages_are_guessed_too(engine: Engine, guesses: list[bool]) -> None:
    question = Question(("sku",), sort="revenue", limit=10)
    assert found(engine, question) == expected(engine, question)
    assert guesses == [True]


def test_what_is_looked_at_is_there(engine: Engine) -> None:
    with engine.connect() as connection:
        counted = [connection.execute(text(f"SELECT count(*) FROM {table.fullname}")).scalar_one() for table in DailySales.tables]  # noqa: S608 - names of ours
    assert counted[0] == 0
    assert min(counted[1:]) >= PRODUCTS
