"""How are the cells of a report read: which figures, grouped by what, in which order?

One query builder for all reports; `source` chooses the tables, and each measure's formula is the one in the dictionary of measures. Rows
are in the order of their dimensions, time first, the product last, so that a page goes on after the last row of the one before.
"""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from projections import source
from projections.categories import called
from projections.measures import Measure
from projections.question import GROUPS, NEEDS, NoSuchGroup, Question
from projections.source import Parameters, keys_of
from projections.statement import UNNAMED, Cellular, Frame, Statement, expression

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
    return rows_of(connection, Statement(report, question, plan, categories), Parameters())


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
