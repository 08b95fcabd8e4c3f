"""Which products, or which categories, sell best?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection

from projections import aisle, query
from projections.daily_sales import DailySales, OfCategories
from projections.measures import RETURNED, REVENUE, SALES, UNITS, share
from projections.names import with_names
from projections.question import Question
from projections.report import Found, one_more, page
from projections.source import Stored

SHARED: Final = (REVENUE, UNITS)


class TopProducts(OfCategories):
    """Products by revenue or by units, the best first, each with its share of all."""

    name = "top-products"
    title_fr, title_en = "Meilleures ventes", "Top products"
    question = "Which products, or which categories, sell best?"
    tables = DailySales.tables
    measures = (REVENUE, UNITS, RETURNED, SALES, *(share(measure) for measure in SHARED))
    derived = tuple(share(measure) for measure in SHARED)
    group_by = ("sku",)
    follows = (DailySales.name,)
    options = (("sort", ("revenue", "units")),)
    sorts = True
    beside = ("name.fr", "name.en")

    def dimensions(self) -> list[str]:
        """A product or a category; by day or store there is daily-sales."""
        return ["category", "product", "sku"]

    def stored(self, connection: Connection, question: Question) -> Stored:
        """The sum of all products is that of all categories."""
        whole = not question.group_by and question.stores is None and question.sku is None
        return (aisle.stored(connection) if whole else None) or super().stored(connection, question)

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Bring those up to date."""
        del question
        return aisle.write(connection)

    def find(self, connection: Connection, question: Question) -> Found:
        """A page of the best. Of equals the one comes first whose name does."""
        asked = replace(question, sort=question.option("sort") or "revenue")
        rows = page(query.answer(connection, self, one_more(asked)), asked)
        (total,) = query.answer(connection, self, replace(asked, group_by=(), sort=None, limit=None, offset=0)) if rows.rows else ({},)
        return replace(rows, rows=with_names(connection, _with_shares(rows.rows, total)))


def _with_shares(rows: Sequence[Mapping[str, Any]], total: Mapping[str, Any]) -> list[dict[str, Any]]:
    wholes = [(share(each).name, each.name, Decimal(total[each.name])) for each in SHARED if rows]
    return [{**row, **{name: _percent(row[of], whole) for name, of, whole in wholes}} for row in rows]


def _percent(part: str | int, whole: Decimal) -> float | None:
    """Two decimals, half up; None of nothing."""
    return float(round(100 * Decimal(part) / whole, 2)) if whole else None


def best(connection: Connection, question: Question, count: int) -> Sequence[Mapping[str, Any]]:
    """The first products of the report."""
    return TopProducts().find(connection, replace(question, group_by=TopProducts.group_by, limit=count, offset=0, after=None)).rows
