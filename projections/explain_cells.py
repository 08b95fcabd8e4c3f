"""Which events make a figure that cells add up to, and what do they come to?

The log is read anew: the events of the figure's business days, what was told about those (the void of a sale, whenever it came), what
those are about (a sale that came after its return and told its price), and what came too late for a count of those days. Each event goes
alone through the projection's own `increments`; what it adds to the cells asked for is its part of the figure. The stored cells serve for
`reported` and for nothing else, and the log is read as far as the projection has come, so that the two must agree however far behind it is.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from infra import event_log
from infra.database import json_rows
from projections import explanation, source
from projections.base import PROJECTIONS, Projection, finer_than
from projections.categories import called
from projections.checkpoint import LIVE
from projections.explanation import GRACE, RECORDED_ON, Explanation, Listing, Part, TooMuchToExplain, is_late
from projections.measures import Measure
from projections.query import answer, expression, figure
from projections.question import Question
from projections.report import CellReport
from projections.source import keys_of
from schemas.envelope import CATALOGUE_STREAM, Recorded

QUOTIENT: Final = "/ nullif(sum("
"""What stands in the formula of a quotient of two sums."""
TYPES: Final = {"business_date": "date", "hour": "smallint"}

_CANDIDATES = text("""
    WITH place AS (
        SELECT store_id, seq FROM checkpoint
        WHERE projection = :projection AND generation = :generation AND store_id <> :catalogue
          AND (CAST(:stores AS text[]) IS NULL OR store_id = ANY(CAST(:stores AS text[])))
    ), day AS MATERIALIZED (
        SELECT e.store_id, e.seq, e.event_id, e.subject
        FROM place JOIN event_log e ON e.store_id = place.store_id AND e.seq <= place.seq
        WHERE (CAST(:since AS date) IS NULL OR e.business_date >= CAST(:since AS date))
          AND (CAST(:through AS date) IS NULL OR e.business_date <= CAST(:through AS date))
          AND (CAST(:mark AS text) IS NULL OR position(:mark IN e.payload::text || coalesce(e.effect::text, '')) > 0)
        LIMIT :most
    )
    SELECT store_id, seq FROM (
        SELECT store_id, seq FROM day
        UNION
        SELECT e.store_id, e.seq
        FROM day JOIN event_log e ON e.subject = day.event_id AND e.store_id = day.store_id
        JOIN place ON place.store_id = e.store_id AND e.seq <= place.seq
        UNION
        SELECT e.store_id, e.seq
        FROM day JOIN event_log e ON e.event_id = day.subject AND e.store_id = day.store_id
        JOIN place ON place.store_id = e.store_id AND e.seq <= place.seq
        UNION
        SELECT e.store_id, e.seq
        FROM place JOIN event_log e ON e.store_id = place.store_id AND e.seq <= place.seq
        WHERE CAST(:of_counts AS boolean) AND e.effect ? 'variances' AND EXISTS (
            SELECT FROM jsonb_each(e.effect -> 'variances') AS told
            WHERE (CAST(:since AS date) IS NULL OR CAST(told.value ->> 'day' AS date) >= CAST(:since AS date))
              AND (CAST(:through AS date) IS NULL OR CAST(told.value ->> 'day' AS date) <= CAST(:through AS date))
              AND (CAST(:sku AS text) IS NULL OR told.key = :sku)
        )
    ) AS found
    ORDER BY store_id, seq LIMIT :most
""")
_EVENTS = text(f"""
    SELECT e.*, {RECORDED_ON}
    FROM json_to_recordset(CAST(:rows AS json)) AS place(store_id text, seq bigint)
    JOIN event_log e ON e.store_id = place.store_id AND e.seq = place.seq
    LEFT JOIN store s ON s.store_id = e.store_id
    ORDER BY e.store_id, e.seq
""")  # noqa: S608 - put together from constants

Amounts = dict[tuple[Any, ...], dict[str, int]]
"""What was added, by what must be told apart: nothing, unless something lies beside each cell."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The cells of one table that a question asks for. `skus` are those of its category, when it names one."""

    report: CellReport
    projection: Projection
    table: Table
    columns: tuple[str, ...]
    question: Question
    skus: frozenset[str] | None = None

    @property
    def keys(self) -> list[str]:
        """What must be told apart for the formula: the whole cell where it looks beside it."""
        return keys_of(self.table) if self.report.joined else []

    def amounts(self, event: Recorded) -> tuple[Amounts, date] | None:
        """What this event adds to the cells, and the last of their days; None when it adds nothing to them."""
        names = keys_of(self.table)
        values = [column.name for column in self.table.columns if not column.primary_key]
        last, found = date.min, Amounts()
        for key, added in self.projection.increments([event]).get(self.table, {}).items():
            named = dict(zip(names, key, strict=True))
            if self._holds(named):
                last = max(last, named.get("business_date", event.business_date))
                amounts = {name: amount for name, amount in zip(values, added, strict=True) if name in self.columns}
                _add(found, tuple(named[each] for each in self.keys), amounts)
        return (found, last) if any(amount for amounts in found.values() for amount in amounts.values()) else None

    def _holds(self, key: Mapping[str, Any]) -> bool:
        asked = self.question
        day = key.get("business_date")
        return (
            (asked.stores is None or key["store_id"] in asked.stores)
            and (day is None or ((asked.since is None or day >= asked.since) and (asked.through is None or day <= asked.through)))
            and (asked.sku is None or key["sku"] == asked.sku)
            and (self.skus is None or key["sku"] in self.skus)
            and (asked.hour is None or key["hour"] == asked.hour)
            and all(key[name] == value for name, value in asked.options)
        )


def is_sum(measure: Measure) -> bool:
    """Whether the figure is the sum of what its events add. A quotient isn't: the average of averages is another figure."""
    return QUOTIENT not in measure.formula


def explain(connection: Connection, report: CellReport, measure: Measure, question: Question, listing: Listing) -> Explanation:
    """One figure of cells, explained. `question.options` name its cells, too. Raises TooMuchToExplain and NoSuchGroup."""
    asked = replace(question, group_by=tuple(name for name, _ in question.options), offset=0, limit=None, after=None, sort=None)
    cell = _cell(connection, report, measure, asked)
    found = Explanation(listing, reported=_reported(connection, report, measure, asked))
    total, shown = Amounts(), dict[tuple[str, int], Amounts]()
    for event, amounts, late in _added(connection, cell):
        for key, added in amounts.items():
            _add(total, key, added)
        found.take(Part(event, _flat(amounts, cell.columns), late))
        if found.parts and found.parts[-1].event is event:
            shown[event.store_id, event.seq] = amounts
    found.recomputed, *contributions = _figures(connection, cell, measure, [total, *shown.values()])
    if is_sum(measure):
        found.contributed(contributions)
    return found


def _reported(connection: Connection, report: CellReport, measure: Measure, question: Question) -> Any:  # noqa: ANN401 - any figure
    rows = answer(connection, report, replace(question, options=()))
    wanted = dict(question.options)
    for row in rows:
        if all(row[name] == value for name, value in wanted.items()):
            return row[measure.name]
    return figure(0, money=measure.unit == "money")


def _cell(connection: Connection, report: CellReport, measure: Measure, question: Question) -> Cell:
    # Where the cells come from events, and aren't sums of others.
    table = source.table_for([each for each in report.tables if finer_than(each) is None], question)
    (projection,) = (each for each in PROJECTIONS.values() if table in each.tables)
    named = set(re.findall(r"[a-z_]+", measure.formula))
    columns = tuple(column.name for column in table.columns if column.name in named and not column.primary_key)
    return Cell(report, projection, table, columns, question, _skus(connection, question))


def _skus(connection: Connection, question: Question) -> frozenset[str] | None:
    if question.category is None:
        return None
    names = {"names": called(connection, question.category)}
    return frozenset(connection.execute(text("SELECT sku FROM product WHERE category_fr = ANY(CAST(:names AS text[]))"), names).scalars())


def _added(connection: Connection, cell: Cell) -> Iterator[tuple[Recorded, Amounts, bool]]:
    """Each event that adds to the cells, what it adds, and whether it came late; chunk by chunk, in the order of their places."""
    places = candidates(connection, cell.projection.name, cell.question)
    for start in range(0, len(places), explanation.CHUNK_EVENTS):
        for row in connection.execute(_EVENTS, json_rows(places[start : start + explanation.CHUNK_EVENTS]) | {"grace": GRACE}).all():
            event = event_log.recorded(row)
            added = cell.amounts(event)
            if added is not None:
                yield event, added[0], is_late(event.recorded_at, event.effective_at, row.recorded_on, added[1])


def candidates(connection: Connection, projection: str, question: Question) -> Sequence[Mapping[str, Any]]:
    """The places in the log of the events that may have a part in the figure. Raises TooMuchToExplain."""
    rows = connection.execute(
        _CANDIDATES,
        {
            "projection": projection,
            "generation": LIVE,
            "catalogue": CATALOGUE_STREAM,
            "stores": _sorted(question.stores),
            "since": question.since,
            "through": question.through,
            "mark": None if question.sku is None else f'"{question.sku}"',
            "sku": question.sku,
            "of_counts": not PROJECTIONS[projection].plain_sales,
            "most": explanation.MOST_EVENTS + 1,
        },
    )
    places = [{"store_id": row.store_id, "seq": row.seq} for row in rows]
    if len(places) > explanation.MOST_EVENTS:
        raise TooMuchToExplain
    return places


def _figures(connection: Connection, cell: Cell, measure: Measure, sums: Sequence[Amounts]) -> list[Any]:
    """The measure's formula on each of these sums; its names are those of columns that the code declares."""
    declared = [f"{name} {TYPES.get(name, 'text')}" for name in cell.keys] + [f"{name} bigint" for name in cell.columns]
    rows = [
        {"place": place, **dict(zip(cell.keys, key, strict=True)), **amounts}
        for place, sum_ in enumerate(sums)
        for key, amounts in (sum_ or {(): dict.fromkeys(cell.columns, 0)} if not cell.keys else sum_).items()
    ]
    found = connection.execute(
        text(f"""
            SELECT place, {expression(measure)} AS figure
            FROM json_to_recordset(CAST(:rows AS json)) AS cell(place integer, {", ".join(declared)}){cell.report.joined}
            GROUP BY place
        """),  # noqa: S608 - see above
        json_rows(rows),
    )
    figures = {row.place: figure(row.figure, money=measure.unit == "money") for row in found}
    return [figures.get(place, figure(0, money=measure.unit == "money")) for place in range(len(sums))]


def _add(sums: Amounts, key: tuple[Any, ...], amounts: Mapping[str, int]) -> None:
    sum_ = sums.setdefault(key, dict.fromkeys(amounts, 0))
    for name, amount in amounts.items():
        sum_[name] += amount


def _flat(sums: Amounts, columns: Collection[str]) -> dict[str, int]:
    """What an event adds in all."""
    return {name: sum(amounts[name] for amounts in sums.values()) for name in columns}


def _sorted(stores: Collection[str] | None) -> list[str] | None:
    return None if stores is None else sorted(stores)
