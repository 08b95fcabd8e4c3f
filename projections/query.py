"""How are the cells of a report read: which figures, grouped by what, in which order?

One query builder for all reports; `source` chooses the tables, and each measure's formula is the one in the dictionary of measures. Rows
are in the order of their dimensions, time first, the product last, so that a page goes on after the last row of the one before.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from projections import source
from projections.categories import called
from projections.measures import Measure
from projections.question import GROUPS, NEEDS, NoSuchGroup, Question
from projections.source import Parameters, few, keys_of
from projections.statement import UNNAMED, Cellular, Frame, Statement, expression

MOST_CANDIDATES: Final = 1_600
"""Products times stretches of time of which they are the best: beyond that, adding up everything is as fast."""
MOST_FOUND: Final = 5_000
ONE_DAY: Final = timedelta(days=1)

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
    "rows_of",
    "table_for",
]


def dimensions(report: Cellular) -> list[str]:
    """What a report can be grouped by, in the words of the request."""
    columns = {name for table in report.tables for name in keys_of(table)}
    return [name for name, dimension in GROUPS.items() if NEEDS.get(dimension, dimension) in columns]


def answerable(report: Cellular, question: Question) -> bool:
    """Whether some table of the report has all that the question groups and filters by."""
    try:
        table_for(report, question)
    except NoSuchGroup:
        return False
    return True


def table_for(report: Cellular, question: Question) -> Table:
    """The coarsest table by the day that has all that the question groups and filters by. Raises NoSuchGroup with what no table has."""
    return source.table_for(report.tables, question)


def answer(connection: Connection, report: Cellular, question: Question) -> list[dict[str, Any]]:
    """The rows of a report: the dimensions grouped by, then every measure; money as decimal strings.

    The connection should be in one snapshot: a plan is made of what the database knows of days.
    """
    stored = report.stored(connection, question)
    known = source.with_late(stored, _known(connection, source.table_for(stored.tables, question)))
    plan = source.plan(stored, question, known)
    categories = None if question.category is None else called(connection, question.category)
    statement = Statement(report, question, plan, categories)
    if question.limit is None or not statement.lists_products():
        return rows_of(connection, statement, Parameters())
    return _in_order(connection, statement, question.limit) if question.sort is None else _best(connection, statement, question.limit)


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
    """The best products: all are added up by the one figure that they are sorted by, and only those of the page by the others."""
    found = _candidates(connection, statement, limit)
    if found is not None:
        return rows_of(connection, replace(statement, skus=found, categories=None), Parameters())
    parameters = Parameters()
    first = replace(statement, only=statement.question.sort)
    chosen = connection.execute(text(first.sql(parameters)), parameters.values).all()
    # What comes to nothing by this figure isn't in the list, but may come to something by another.
    if len(chosen) < limit or chosen[-1][1] <= 0 or not few(statement.plan.spans, limit):
        return rows_of(connection, statement, Parameters())
    question = replace(statement.question, offset=0, limit=limit)
    return rows_of(connection, replace(statement, question=question, categories=None, skus=[row.sku for row in chosen]), Parameters())


def _candidates(connection: Connection, statement: Statement, limit: int) -> list[str] | None:
    """Products among which the page must be; None when these can't be told from the others at a lower cost than adding up everything.

    The best of each month or year show how much the page's last one comes to at least. Who comes to that has a fair share of it in some
    stretch of what is read: in the others he can't make up for it.
    """
    spans, asked = statement.plan.spans, statement.question
    end = asked.offset + limit
    if len(spans) * end > MOST_CANDIDATES:
        return None
    some = _skus(connection, statement.best_of_each, end)
    if not few(spans, len(some)):
        return None
    parameters = Parameters()
    last = replace(statement, only=asked.sort, skus=some, categories=None, question=replace(asked, limit=1, offset=end - 1))
    least = connection.execute(text(last.sql(parameters)), parameters.values).one_or_none()
    if least is None or least[1] <= 0:
        return None
    found = _skus(connection, statement.with_at_least, int(least[1]))
    return found if len(found) <= MOST_FOUND and few(spans, len(found)) else None


def _skus(connection: Connection, statement: Callable[[int, Parameters], str], number: int) -> list[str]:
    parameters = Parameters()
    sql = statement(number, parameters)
    return list(connection.execute(text(sql), parameters.values).scalars())


def rows_of(connection: Connection, statement: Statement | Frame, parameters: Parameters) -> list[dict[str, Any]]:
    """The rows of a statement, as an answer has them."""
    found = connection.execute(text(statement.sql(parameters)), parameters.values)
    names = list(found.keys())
    writers = [_writer(statement.measures, name) for name in names]
    return [dict(zip(names, [write(value) for write, value in zip(writers, row, strict=True)], strict=True)) for row in found]


def money_text(cents: int | Decimal | None) -> str | None:
    """Hundredths as ``"12.50"``."""
    if cents is None:
        return None
    whole = int(cents)
    return f"{'-' if whole < 0 else ''}{abs(whole) // 100}.{abs(whole) % 100:02d}"


def figure(value: Any, *, money: bool) -> Any:  # noqa: ANN401 - any column
    """A value of the database as an answer has it: money as text, whole numbers whole."""
    if money:
        return money_text(value)
    return int(value) if isinstance(value, Decimal | float) else value


def _writer(measures: Iterable[Measure], name: str) -> Callable[[Any], Any]:
    for measure in measures:
        if measure.name == name:
            money = measure.unit == "money"
            return lambda value: figure(value, money=money)
    return lambda value: value if value != UNNAMED else None


def _known(connection: Connection, table: Table) -> tuple[date, date] | None:
    """The first and the last day of which there are cells, where an index tells; None otherwise."""
    first = [next(iter(columns)).name for columns in (table.primary_key.columns, *(index.columns for index in table.indexes))]
    if "business_date" not in first:
        return None
    statement = f"SELECT min(business_date) AS first, max(business_date) AS last FROM {table.schema}.{table.name}"  # noqa: S608 - a table of ours
    row = connection.execute(text(statement)).one()
    return (row.first, row.last) if row.first else None
