"""How are the cells of a report read: which figures, grouped by what, in which order?

One query builder for all reports; `source` chooses the tables, and each measure's formula is the one in the dictionary of measures. Rows
are in the order of their dimensions, time first, the product last, so that a page goes on after the last row of the one before.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from projections import source
from projections.categories import called
from projections.facts import cents
from projections.question import GROUPS, NEEDS, NoSuchGroup, Question
from projections.source import Parameters, Plan, keys_of
from projections.statement import UNNAMED, Cellular, Frame, Statement, expression

MOST_FOUND: Final = 5_000
LESS_THAN_LIKELY: Final = 0.5
"""A guess that is too high is made twice. One that is too low tells more of those that may be the best, so that fewer are asked for."""
HARDLY_LESS: Final = 0.8
"""For a guess that tells nothing of them: the lower it is, the more are asked for."""
MOST_GUESSES: Final = 3
ONE_DAY: Final = timedelta(days=1)
_OF_CATEGORIES: Final = text("SELECT sku FROM product WHERE category_fr = ANY(CAST(:names AS text[])) LIMIT :most")

__all__ = [
    "ONE_DAY",
    "NoSuchGroup",
    "Question",
    "answer",
    "answerable",
    "dimensions",
    "expression",
    "figure",
    "money_text",
    "plan_of",
    "rows_of",
    "stretches",
    "without",
]


def dimensions(report: Cellular) -> list[str]:
    """What a report can be grouped by, in the words of the request."""
    columns = {name for table in report.tables for name in keys_of(table)}
    return [name for name, dimension in GROUPS.items() if NEEDS.get(dimension, dimension) in columns]


def answerable(report: Cellular, question: Question) -> bool:
    """Whether some table of the report has all that the question groups and filters by."""
    try:
        source.table_for(report.tables, question)
    except NoSuchGroup:
        return False
    return True


def answer(connection: Connection, report: Cellular, question: Question) -> list[dict[str, Any]]:
    """The rows of a report: the dimensions grouped by, then every measure; money as decimal strings.

    The connection should be in one snapshot: a plan is made of what the database knows of days.
    """
    plan = plan_of(connection, report, question)
    categories = None if question.category is None else called(connection, question.category)
    statement = Statement(report, question, plan, categories)
    if question.limit is None or not statement.lists_products():
        return rows_of(connection, statement, Parameters())
    return _in_order(connection, statement, question.limit) if question.sort is None else _best(connection, statement, question.limit)


def plan_of(connection: Connection, report: Cellular, question: Question) -> Plan:
    """Which tables a question is answered from, as far as the days in them go."""
    stored = report.stored(connection, question)
    known = source.with_late(stored, _known(connection, source.table_for(stored.tables, question)))
    return source.plan(stored, question, known)


def _in_order(connection: Connection, statement: Statement, limit: int) -> list[dict[str, Any]]:
    """A page of products in their order: no more of them are added up than fill it."""
    found: list[dict[str, Any]] = []
    question, ahead = statement.question, 2 * limit
    while True:
        parameters = Parameters()
        until = connection.execute(text(statement.ahead(question, ahead, parameters)), parameters.values).scalar()
        asked = replace(question, limit=limit - len(found))
        found += rows_of(connection, replace(statement, question=asked, until=until), Parameters())
        if until is None or len(found) == limit:
            return found
        question, ahead = replace(question, after=(until,)), 4 * ahead


def _best(connection: Connection, statement: Statement, limit: int) -> list[dict[str, Any]]:
    """The best products: those that may be among the best are added up, and all of them when that can't be told."""
    found = _of_categories(connection, statement)
    if found is not None:
        return _of_products(connection, statement, found)
    guessed = _guessed(connection, statement, limit)
    if guessed is not None:
        return guessed
    with stretches(connection):
        return rows_of(connection, statement, Parameters())


def _of_products(connection: Connection, statement: Statement, skus: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of these products alone."""
    picked = any(len(skus) > source.MOST_CHOSEN[span.grain] for span in statement.plan.spans)
    with stretches(connection) if picked else nullcontext():
        return rows_of(connection, replace(statement, skus=skus, categories=None), Parameters())


def stretches(connection: Connection) -> AbstractContextManager[None]:
    """Reads stretches of time by bitmap.

    Where cells lie in the order of their days, PostgreSQL expects to follow the index at the same price; that takes up to twice as long.
    """
    return without(connection, "indexscan")


@contextmanager
def without(connection: Connection, way: str) -> Iterator[None]:
    """Keeps PostgreSQL from one of its ways (`indexscan`, `mergejoin`) in this transaction."""
    connection.execute(text(f"SET LOCAL enable_{way} = off"))
    yield
    connection.execute(text(f"SET LOCAL enable_{way} = on"))


def _of_categories(connection: Connection, statement: Statement) -> Sequence[str] | None:
    """The products of the categories asked for, where they are few enough to be named."""
    if statement.categories is None:
        return None
    asked = {"names": list(statement.categories), "most": MOST_FOUND + 1}
    found = connection.execute(_OF_CATEGORIES, asked).scalars().all()
    return found if len(found) <= MOST_FOUND else None


def _guessed(connection: Connection, statement: Statement, limit: int) -> list[dict[str, Any]] | None:
    """The page, found by guessing what its last row comes to; None when no guess was any good.

    Whoever comes to the guess is among those who have a fair share of it somewhere. So when the page's last row comes to it, and to the
    line that the others can't come to, nobody is missing. When it doesn't, so many products come to what that row does, and with this for
    the line the page is found.
    """
    place = statement.question.offset + limit
    least, line = _likely(connection, statement, place), None
    for _ in range(MOST_GUESSES):
        parameters = Parameters()
        sql = statement.possible(place, least, parameters, line)
        with stretches(connection):
            found = connection.execute(text(sql), parameters.values).all() if least > 0 else []
        if not found or len(found) > MOST_FOUND:
            return None
        rows = _of_products(connection, statement, [each.sku for each in found])
        line = _amount(statement, rows[-1]) if len(rows) == limit else None
        if line is not None and line >= max(least, found[0].line or 0):
            return rows
        least = least // 2 if line is None else min(least, line // 2)
    return None


def _likely(connection: Connection, statement: Statement, place: int) -> int:
    """What the product at this place will come to, by the longest stretch alone: by a sample of it, where it is large enough for one.

    0 when there is none.
    """
    for sample in (True, False):
        parameters = Parameters()
        found = connection.execute(text(statement.at_place(place, parameters, sample=sample)), parameters.values).scalar()
        if found is not None:
            return int(found * statement.times_as_long() * (LESS_THAN_LIKELY if statement.adds_only else HARDLY_LESS))
    return 0


def _amount(statement: Statement, row: Mapping[str, Any]) -> int:
    """What the row of an answer is sorted by: hundredths, or a number."""
    (measure,) = (each for each in statement.measures if each.name == statement.question.sort)
    return cents(row[measure.name]) if measure.unit == "money" else int(row[measure.name])


def rows_of(connection: Connection, statement: Statement | Frame, parameters: Parameters) -> list[dict[str, Any]]:
    """The rows of a statement, as an answer has them."""
    found = connection.execute(text(statement.sql(parameters)), parameters.values)
    names = list(found.keys())
    writers = {measure.name: money_text if measure.unit == "money" else _whole for measure in statement.measures}
    # Column by column: one call for each cell of a page, and nothing else, is a third of the time.
    columns = [map(writers.get(name, _named), column) for name, column in zip(names, zip(*found.all(), strict=True), strict=False)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def money_text(hundredths: float | Decimal | None) -> str | None:
    """Hundredths as ``"12.50"``."""
    if hundredths is None:
        return None
    whole = int(hundredths)
    if whole < 0:
        return f"-{-whole // 100}.{-whole % 100:02d}"
    return f"{whole // 100}.{whole % 100:02d}"


def figure(value: Any, *, money: bool) -> Any:  # noqa: ANN401 - any column
    """A value of the database as an answer has it: money as text, whole numbers whole."""
    return money_text(value) if money else _whole(value)


def _whole(value: Any) -> Any:  # noqa: ANN401 - any column
    return int(value) if isinstance(value, float | Decimal) else value


def _named(value: Any) -> Any:  # noqa: ANN401 - any column
    return None if value == UNNAMED else value


def _known(connection: Connection, table: Table) -> tuple[date, date] | None:
    """The first and the last day of which there are cells, where an index tells; None otherwise."""
    first = [next(iter(columns)).name for columns in (table.primary_key.columns, *(index.columns for index in table.indexes))]
    if "business_date" not in first:
        return None
    statement = f"SELECT min(business_date) AS first, max(business_date) AS last FROM {table.schema}.{table.name}"  # noqa: S608 - a table of ours
    row = connection.execute(text(statement)).one()
    return (row.first, row.last) if row.first else None
