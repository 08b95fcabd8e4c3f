"""How is a projection's report read: which table, which figures, grouped by what?

One query builder for all reports: it takes the coarsest table that has every dimension asked for, and each measure's formula is the one in
the dictionary of measures.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Table, text

from projections.base import Measure, Projection

GROUPS = {
    "day": "business_date",
    "business_date": "business_date",
    "week": "week",
    "month": "month",
    "hour": "hour",
    "store": "store_id",
    "store_id": "store_id",
    "product": "sku",
    "sku": "sku",
    "category": "category",
}
NEEDS = {"week": "business_date", "month": "business_date", "category": "sku"}
EXPRESSIONS = {
    "week": "date_trunc('week', cell.business_date)::date",
    "month": "date_trunc('month', cell.business_date)::date",
    "category": "product.category_fr",
}


class NoSuchGroup(ValueError):
    """The report can't be grouped by that."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a report. Dates are business days, both ends included; None asks for everything."""

    group_by: Sequence[str]
    since: date | None = None
    through: date | None = None
    stores: Collection[str] | None = None
    sku: str | None = None
    category: str | None = None
    hour: int | None = None
    offset: int = 0
    limit: int | None = None


def dimensions(projection: Projection) -> list[str]:
    """What a report can be grouped by."""
    columns = {column.name for table in projection.tables for column in table.primary_key.columns}
    return [name for name, dimension in GROUPS.items() if NEEDS.get(dimension, dimension) in columns]


def grouping(projection: Projection, asked: Sequence[str]) -> list[str]:
    """The dimensions for the names asked (the report's own when none are). Raises NoSuchGroup with the name."""
    possible = dimensions(projection)
    for name in asked:
        if name not in possible:
            raise NoSuchGroup(name)
    return list(dict.fromkeys(GROUPS[name] for name in asked)) or list(projection.group_by)


def answerable(projection: Projection, question: Question) -> bool:
    """Whether some table of the projection has all that the question groups and filters by."""
    try:
        table_for(projection, question)
    except NoSuchGroup:
        return False
    return True


def answer(connection: Connection, projection: Projection, question: Question) -> list[dict[str, Any]]:
    """The rows of a report: the dimensions grouped by, then every measure; money as decimal strings."""
    table = table_for(projection, question)
    terms = [(name, EXPRESSIONS.get(name, f"cell.{name}")) for name in question.group_by]
    figures = ", ".join(f"{expression(measure)} AS {measure.name}" for measure in projection.measures)
    picked = "".join(f"{term} AS {name}, " for name, term in terms)
    order = ", ".join(str(place + 1) for place in range(len(terms)))
    joined = " LEFT JOIN product ON product.sku = cell.sku" if _by_category(question) else ""
    # Every name here comes from the tables and measures that the code declares; what was asked travels as parameters.
    statement = (
        f"SELECT {picked}{figures} FROM {table.schema}.{table.name} cell{joined}"  # noqa: S608
        f"{_where(table, question)}{f' GROUP BY {order} ORDER BY {order}' if order else ''} LIMIT :limit OFFSET :offset"
    )
    rows = connection.execute(text(statement), _parameters(question)).mappings()
    money = {measure.name for measure in projection.measures if measure.unit == "money"}
    return [{name: figure(value, money=name in money) for name, value in row.items()} for row in rows]


def money_text(cents: int | Decimal | None) -> str | None:
    """Hundredths as ``"12.50"``."""
    return None if cents is None else f"{Decimal(cents).scaleb(-2):.2f}"


def figure(value: Any, *, money: bool) -> Any:  # noqa: ANN401 - any column
    """A value of the database as an answer has it: money as text, whole numbers whole."""
    if money:
        return money_text(value)
    return int(value) if isinstance(value, Decimal) else value


def table_for(projection: Projection, question: Question) -> Table:
    """The coarsest table that has all that the question groups and filters by. Raises NoSuchGroup with what no table has."""
    wanted = {NEEDS.get(name, name) for name in question.group_by}
    if question.sku or question.category:
        wanted.add("sku")
    if question.hour is not None:
        wanted.add("hour")
    if question.since or question.through:
        wanted.add("business_date")
    for table in projection.tables:
        if wanted <= {column.name for column in table.primary_key.columns}:
            return table
    raise NoSuchGroup(", ".join(sorted(wanted)))


def expression(measure: Measure) -> str:
    """A measure's formula as SQL; what nothing was added to is 0."""
    return f"coalesce({measure.formula}, 0)" if measure.formula.startswith("sum(") else measure.formula


def _by_category(question: Question) -> bool:
    return question.category is not None or "category" in question.group_by


def _where(table: Table, question: Question) -> str:
    columns = {column.name for column in table.columns}
    terms = []
    if question.since is not None:
        terms.append("cell.business_date >= :since")
    if question.through is not None:
        terms.append("cell.business_date <= :through")
    if question.stores is not None and "store_id" in columns:
        terms.append("cell.store_id = ANY(CAST(:stores AS text[]))")
    if question.sku is not None:
        terms.append("cell.sku = :sku")
    if question.hour is not None:
        terms.append("cell.hour = :hour")
    if question.category is not None:
        terms.append("(product.category_fr = :category OR product.category_en = :category)")
    return f" WHERE {' AND '.join(terms)}" if terms else ""


def _parameters(question: Question) -> dict[str, Any]:
    return {
        "since": question.since,
        "through": question.through,
        "stores": None if question.stores is None else sorted(question.stores),
        "sku": question.sku,
        "category": question.category,
        "hour": question.hour,
        "limit": question.limit,
        "offset": question.offset,
    }
