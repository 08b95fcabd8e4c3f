"""Which events make a figure of a report, and what does it come to when it is computed again from them?

The log is read anew: the events of the figure's business days, what was told about those (the void of a sale, whenever it came) and what
those are about (a sale that came after its return and told its price). Each event goes alone through the projection's own `increments`;
what it adds to the cells asked for is its part of the figure. The stored cells serve for `reported` and for nothing else, and the log is
read as far as the projection has come, so that the two must agree however far behind it is.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, text

from infra import event_log
from infra.database import json_rows
from projections.base import Measure, Projection
from projections.checkpoint import LIVE
from projections.query import Question, answer, expression, figure, table_for
from schemas.envelope import Recorded

MOST_EVENTS: Final = 200_000
"""Events looked at for one figure: a year of 150,000 sales and what became of them (measured: some 20 s on a busy machine)."""
CHUNK_EVENTS: Final = 1_000
GRACE: Final = timedelta(hours=1)
"""An event is late when it is recorded this long after it happened, or this long after the business day ended that it counts on."""

_CANDIDATES = text("""
    WITH place AS (
        SELECT store_id, seq FROM checkpoint
        WHERE projection = :projection AND generation = :generation
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
    ) AS found
    ORDER BY store_id, seq LIMIT :most
""")
_EVENTS = text("""
    SELECT e.*, (timezone(s.timezone, e.recorded_at - CAST(:grace AS interval)) - CAST(s.day_ends AS interval))::date AS recorded_on
    FROM json_to_recordset(CAST(:rows AS json)) AS place(store_id text, seq bigint)
    JOIN event_log e ON e.store_id = place.store_id AND e.seq = place.seq
    LEFT JOIN store s ON s.store_id = e.store_id
    ORDER BY e.store_id, e.seq
""")
_SKUS = text("SELECT sku FROM product WHERE category_fr = :category OR category_en = :category")


class TooMuchToExplain(ValueError):
    """The figure is made of more events than one request may read."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one event adds to the figure: `amounts` by column of the cells, and the figure's own change where it is a sum."""

    event: Recorded
    amounts: Mapping[str, int]
    late: bool
    contribution: Any = None


@dataclass(slots=True)
class Explanation:
    """A figure as it is stored and as it was computed again; one page of its events, by store and place in the log.

    `event_count` and `late_events` are of all its events. `after` is the place after which the next page begins.
    """

    reported: Any
    recomputed: Any
    parts: list[Part] = field(default_factory=list)
    event_count: int = 0
    late_events: int = 0
    after: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """The cells of one table that a question asks for. `skus` are those of its category, when it names one."""

    projection: Projection
    table: Table
    columns: tuple[str, ...]
    question: Question
    skus: frozenset[str] | None = None

    def amounts(self, event: Recorded) -> tuple[Mapping[str, int], date] | None:
        """What this event adds to the cells, and the last of their days; None when it adds nothing to them."""
        keys = [column.name for column in self.table.primary_key.columns]
        values = [column.name for column in self.table.columns if not column.primary_key]
        sums = dict.fromkeys(self.columns, 0)
        last = date.min
        for key, amounts in self.projection.increments([event]).get(self.table, {}).items():
            named = dict(zip(keys, key, strict=True))
            if self._holds(named):
                last = max(last, named.get("business_date", event.business_date))
                for name, amount in zip(values, amounts, strict=True):
                    if name in sums:
                        sums[name] += amount
        return (sums, last) if any(sums.values()) else None

    def _holds(self, key: Mapping[str, Any]) -> bool:
        asked = self.question
        day = key.get("business_date")
        return (
            (asked.stores is None or key.get("store_id") in {None, *asked.stores})
            and (day is None or ((asked.since is None or day >= asked.since) and (asked.through is None or day <= asked.through)))
            and (asked.sku is None or key["sku"] == asked.sku)
            and (self.skus is None or key["sku"] in self.skus)
            and (asked.hour is None or key["hour"] == asked.hour)
        )


def is_sum(measure: Measure) -> bool:
    """Whether the figure is the sum of what its events add. A quotient isn't: the average of averages is another figure."""
    return "/" not in measure.formula


def explain(  # noqa: PLR0913 - a figure, and a page of what makes it
    connection: Connection,
    projection: Projection,
    measure: Measure,
    question: Question,
    *,
    after: tuple[str, int] | None = None,
    limit: int,
    late_only: bool = False,
) -> Explanation:
    """One figure of a report, explained. The connection must be at the start of a transaction: one snapshot has both sides.

    Raises TooMuchToExplain, and NoSuchGroup when the report has nothing by what the question asks for.
    """
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    asked = replace(question, group_by=(), offset=0, limit=1)
    cell = _cell(connection, projection, measure, asked)
    totals = dict.fromkeys(cell.columns, 0)
    (stored,) = answer(connection, projection, asked)
    found = Explanation(reported=stored[measure.name], recomputed=None)
    for part in _parts(connection, cell):
        found.event_count += 1
        found.late_events += part.late
        for name, amount in part.amounts.items():
            totals[name] += amount
        _put(found, part, after=after, limit=limit, late_only=late_only)
    found.recomputed, *contributions = _figures(connection, cell, measure, [totals, *(part.amounts for part in found.parts)])
    if is_sum(measure):
        found.parts = [replace(part, contribution=each) for part, each in zip(found.parts, contributions, strict=True)]
    return found


def _put(found: Explanation, part: Part, *, after: tuple[str, int] | None, limit: int, late_only: bool) -> None:
    """Keep the part if it belongs on the page; the first one that would be too many says where the next page begins."""
    place = (part.event.store_id, part.event.seq)
    if (late_only and not part.late) or (after is not None and place <= after) or found.after is not None:
        return
    if len(found.parts) < limit:
        found.parts.append(part)
    else:
        last = found.parts[-1].event
        found.after = (last.store_id, last.seq)


def _cell(connection: Connection, projection: Projection, measure: Measure, question: Question) -> Cell:
    table = table_for(projection, question)
    named = set(re.findall(r"[a-z_]+", measure.formula))
    columns = tuple(column.name for column in table.columns if column.name in named and not column.primary_key)
    skus = None
    if question.category is not None:
        skus = frozenset(connection.execute(_SKUS, {"category": question.category}).scalars())
    return Cell(projection, table, columns, question, skus)


def _parts(connection: Connection, cell: Cell) -> Iterator[Part]:
    places = candidates(connection, cell.projection.name, cell.question)
    for start in range(0, len(places), CHUNK_EVENTS):
        for row in connection.execute(_EVENTS, json_rows(places[start : start + CHUNK_EVENTS]) | {"grace": GRACE}).all():
            event = event_log.recorded(row)
            added = cell.amounts(event)
            if added is not None:
                yield Part(event, added[0], is_late(event, row, added[1]))


def candidates(connection: Connection, projection: str, question: Question) -> Sequence[Mapping[str, Any]]:
    """The places in the log of the events that may have a part in the figure. Raises TooMuchToExplain."""
    rows = connection.execute(
        _CANDIDATES,
        {
            "projection": projection,
            "generation": LIVE,
            "stores": _sorted(question.stores),
            "since": question.since,
            "through": question.through,
            "mark": None if question.sku is None else f'"{question.sku}"',
            "most": MOST_EVENTS + 1,
        },
    )
    places = [{"store_id": row.store_id, "seq": row.seq} for row in rows]
    if len(places) > MOST_EVENTS:
        raise TooMuchToExplain
    return places


def is_late(event: Recorded, row: Row[Any], day: date) -> bool:
    """Whether the figure of that day was already looked at without this event. `row` has the day on which it was recorded."""
    return event.recorded_at - event.effective_at > GRACE or (row.recorded_on is not None and row.recorded_on > day)


def _figures(connection: Connection, cell: Cell, measure: Measure, rows: Sequence[Mapping[str, int]]) -> list[Any]:
    """The measure's formula on each of these sums; its names are those of columns that the code declares."""
    columns = ", ".join(["place integer", *(f"{name} bigint" for name in cell.columns)])
    found = connection.execute(
        text(f"""
            SELECT {expression(measure)} AS figure
            FROM json_to_recordset(CAST(:rows AS json)) AS cell({columns}) GROUP BY place ORDER BY place
        """),  # noqa: S608 - see above
        json_rows([{"place": place, **amounts} for place, amounts in enumerate(rows)]),
    )
    return [figure(row.figure, money=measure.unit == "money") for row in found]


def _sorted(stores: Collection[str] | None) -> list[str] | None:
    return None if stores is None else sorted(stores)
