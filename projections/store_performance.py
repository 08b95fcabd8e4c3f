"""How well does each store do: what it sells, what comes back, what it had to undo, what it has run out of?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, Index

from projections import query, shelf
from projections.base import Projection, cell_table
from projections.facts import SALE_TYPES
from projections.measures import (
    AVERAGE_BASKET,
    REFUNDED,
    RETURNED,
    RETURNS,
    REVENUE,
    SALES,
    STOCK_OUTS,
    UNITS,
    VOIDED,
    VOIDS,
    change,
    previous,
)
from projections.question import Question
from projections.report import Found, one_more, page
from projections.tally import CENT, EARNED, FACT, SOLD, UNIT, Amount, OfTallies, Tally

AMOUNTS = (
    Amount("sales", FACT, SOLD),
    Amount("units", UNIT, SOLD),
    Amount("returns", FACT, {"return": 1}),
    Amount("returned_units", UNIT, {"return": 1}),
    Amount("voids", FACT, {"void": 1}),
    Amount("revenue_cents", CENT, EARNED),
    Amount("refunded_cents", CENT, {"return": 1, "refund": 1}),
    Amount("voided_cents", CENT, {"void": 1}),
    Amount("voided_units", UNIT, {"void": 1}),
)
COMPARED: Final = (REVENUE, SALES, AVERAGE_BASKET, UNITS, RETURNS)
TIMES: Final = {"business_date", "week", "month"}
COLUMNS: Final = [each.name for each in AMOUNTS]
store_day = cell_table("store_performance", "store_day", ("store_id", "business_date"), COLUMNS)
# For long periods: a sixteenth of the cells.
store_month = cell_table("store_performance", "store_month", ("store_id", "month"), COLUMNS, of=store_day)
# For pages of all stores day by day: the first days alone are read.
Index("ix_store_day_business_date_store_id", store_day.c.business_date, store_day.c.store_id)


class StorePerformance(OfTallies, Projection):
    """Sales, average basket, returns and voids of each store and business day; its stock-outs now.

    With `from` and `to`, and not grouped by time, each row also has the figures of as many days before, and how much they changed.
    """

    name = "store-performance"
    title_fr, title_en = "Performance des magasins", "Store performance"
    question = "How well does each store do: what it sells, what comes back, what it had to undo?"
    tables = (store_month, store_day)
    event_types = SALE_TYPES
    tallies = (Tally(store_day, AMOUNTS),)
    derived = (STOCK_OUTS, *(previous(each) for each in COMPARED), *(change(each) for each in COMPARED))
    measures = (REVENUE, SALES, AVERAGE_BASKET, UNITS, RETURNS, RETURNED, REFUNDED, VOIDS, VOIDED, *derived)
    group_by = ("store_id",)
    also_follows = (shelf.COSTS,)
    reads_stock = True

    def prepare(self, connection: Connection, question: Question) -> Iterator[None]:
        """Count the shelves that something has happened to, where stock-outs are shown."""
        return iter(()) if TIMES & set(question.group_by) else shelf.count(connection, question.stores)

    def find(self, connection: Connection, question: Question) -> Found:
        """A page of rows. Stock-outs are of now, so no day has any; a comparison needs both ends of a period, and rows that aren't days."""
        if TIMES & set(question.group_by):
            return super().find(connection, question)
        whole = replace(question, limit=None, after=None)
        rows = {_key(row, question): row for row in query.answer(connection, self, whole)}
        before = _before(question)
        if before is not None:
            earlier = {_key(row, question): row for row in query.answer(connection, self, before)}
            (nothing,) = query.answer(connection, self, Question((), stores=()))
            rows = {key: _compared(key, rows.get(key), earlier.get(key, nothing), nothing, question) for key in {**rows, **earlier}}
        outs = {_key(row, question): row for row in shelf.figures(connection, (STOCK_OUTS,), replace(whole, since=None, through=None))}
        told = [{**row, STOCK_OUTS.name: outs.get(key, {}).get(STOCK_OUTS.name, 0)} for key, row in sorted(rows.items())]
        return page([row for row in told if _follows(row, question)][: one_more(question).limit], question)


def _key(row: Mapping[str, Any], question: Question) -> tuple[str, ...]:
    return tuple(row[name] for name in question.group_by)


def _follows(row: Mapping[str, Any], question: Question) -> bool:
    """Whether the row comes after the page before."""
    return question.after is None or _key(row, question) > tuple(question.after)


def _before(question: Question) -> Question | None:
    """The same question about as many days just before; None when a period without a beginning or an end is asked for."""
    if question.since is None or question.through is None:
        return None
    length = question.through - question.since
    through = question.since - query.ONE_DAY
    return replace(question, since=through - length, through=through, limit=None, after=None)


def _compared(
    key: tuple[str, ...], now: Mapping[str, Any] | None, before: Mapping[str, Any], nothing: Mapping[str, Any], question: Question
) -> dict[str, Any]:
    row = dict(zip(question.group_by, key, strict=True)) | dict(now or nothing)
    for each in COMPARED:
        row[previous(each).name] = before[each.name]
    for each in COMPARED:
        row[change(each).name] = _change(row[each.name], before[each.name])
    return row


def _change(now: str | int | None, before: str | int | None) -> float | None:
    """In percent, to one decimal; None where there was nothing to compare with."""
    if now is None or before is None or not Decimal(before):
        return None
    return float(round(100 * (Decimal(now) - Decimal(before)) / abs(Decimal(before)), 1))
