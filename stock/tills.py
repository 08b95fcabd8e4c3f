"""Which sales does each till still owe, and since when is it silent?

A till numbers its sales one by one, so a number between the lowest and the highest seen that nobody has seen is a sale that hasn't come.
Below the lowest nothing is owed: a till that served elsewhere goes on counting where it was, and would owe those sales for ever. Nothing is
owed, either, that somebody has given up. One row a till holds all numbers as ranges; it is written under the lock of its store's head, so
the ranges only ever grow.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Column, Connection, DateTime, Index, PrimaryKeyConstraint, Table, Text, select, text
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

from events.sales import SaleRecorded
from events.tills import TillWaived
from infra.database import Statement, metadata
from schemas.envelope import Recorded
from stock.book import Book
from stock.chapter import Incoming
from stock.decide_tills import waive_numbers

__all__ = ["Owing", "Quiet", "Tills", "has", "owing", "quiet", "till", "tills", "waive_numbers"]

MOST_RANGES = 1_000
"""Of one till. With more holes than that it is broken rather than late: the oldest are forgotten."""
MOST_SEARCHED = 5
"""Numbers of one batch whose first sale is looked for in the log; a till that numbers anew would have all of them looked for."""
SEARCH_DAYS = 30
"""How far before and after a batch the first sale of a number is looked for."""
MOST_OWING = 20
MOST_GAPS = 10
OWES = "NOT (seen + waived) @> range_merge(seen)"
Instant = DateTime(timezone=True)

till = Table(
    "till",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("till_id", Text, nullable=False),
    Column("seen", INT8MULTIRANGE, nullable=False),
    Column("waived", INT8MULTIRANGE, nullable=False, server_default="{}"),
    Column("last_sale_at", Instant, nullable=False),
    Column("last_heard_at", Instant, nullable=False),
    PrimaryKeyConstraint("store_id", "till_id"),
    postgresql_with={"fillfactor": "70"},
)
Index("ix_till_owing", till.c.store_id, till.c.till_id, postgresql_where=text(OWES))

_TAKEN = """
    WITH again AS (
        SELECT told.*, row_number() OVER () AS place, (SELECT count(*) FROM unnest(t.seen)) AS ranges
        FROM json_to_recordset(%(numbers)s::json) AS told(event_id uuid, store_id text, till_id text, till_seq bigint)
        JOIN till t ON t.store_id = told.store_id AND t.till_id = told.till_id AND t.seen @> told.till_seq
        WHERE NOT EXISTS (SELECT FROM event_log e WHERE e.event_id = told.event_id)
    )
    SELECT again.store_id, again.till_id, again.till_seq, earlier.recorded, earlier.refused,
           again.ranges >= %(most_ranges)s AS forgetful
    FROM again LEFT JOIN LATERAL (
        SELECT (array_agg(e.event_id) FILTER (WHERE e.outcome = 'recorded'))[1] AS recorded,
               count(*) FILTER (WHERE e.outcome = 'refused') AS refused
        FROM event_log e
        WHERE again.place <= %(most_searched)s AND e.store_id = again.store_id AND e.type = 'sale.recorded'
          AND e.business_date BETWEEN %(since)s::date AND %(through)s::date
          AND e.payload @> jsonb_build_object('till_id', again.till_id, 'till_seq', again.till_seq)
          AND NOT EXISTS (
              SELECT FROM stock_case c
              WHERE c.store_id = again.store_id AND c.kind = 'till_sequence'
                AND c.details = jsonb_build_object('till_id', again.till_id, 'till_seq', again.till_seq)
          )
    ) AS earlier ON true
"""
_HEARD = f"""
    INSERT INTO till AS t (store_id, till_id, seen, last_sale_at, last_heard_at)
    SELECT * FROM json_to_recordset(%(tills)s::json) AS row(
        store_id text, till_id text, seen int8multirange, last_sale_at timestamptz, last_heard_at timestamptz)
    ON CONFLICT (store_id, till_id) DO UPDATE SET
        seen = (
            SELECT CASE WHEN count(*) > {MOST_RANGES}
                        THEN range_agg(r) + int8multirange(int8range(min(lower(r)), lower((array_agg(r ORDER BY r DESC))[{MOST_RANGES}])))
                        ELSE coalesce(range_agg(r), '{{}}') END
            FROM unnest(t.seen + excluded.seen) AS r
        ),
        last_sale_at = greatest(t.last_sale_at, excluded.last_sale_at),
        last_heard_at = greatest(t.last_heard_at, excluded.last_heard_at)
"""  # noqa: S608 - put together from constants
_WAIVED = """
    UPDATE till SET waived = till.waived + row.waived
    FROM json_to_recordset(%(waived)s::json) AS row(store_id text, till_id text, waived int8multirange)
    WHERE till.store_id = row.store_id AND till.till_id = row.till_id
"""
_SCOPE = "(CAST(:stores AS text[]) IS NULL OR store_id = ANY(CAST(:stores AS text[])))"
_OWED = "(int8multirange(range_merge(seen)) - seen - waived)"
_MISSING = f"(SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest({_OWED}) AS r)"  # noqa: S608 - the same
_OWING = text(f"""
    SELECT store_id, till_id, {_MISSING} AS missing, lower({_OWED}) AS first_missing, last_heard_at, owing_count
    FROM (
        SELECT *, count(*) OVER () AS owing_count FROM till WHERE {OWES} AND {_SCOPE} ORDER BY store_id, till_id LIMIT {MOST_OWING}
    ) AS owing
    ORDER BY store_id, till_id
""")  # noqa: S608 - put together from the constants above
_TILLS = text(f"""
    SELECT store_id, till_id, upper(seen) - 1 AS last_seq, coalesce(lower({_OWED}), upper(seen)) - 1 AS contiguous_through,
           {_MISSING} AS missing, last_sale_at, last_heard_at,
           (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(waived * int8multirange(range_merge(seen)) - seen) AS r) AS waived,
           (SELECT coalesce(json_agg(json_build_object('from', lower(r), 'to', upper(r) - 1) ORDER BY r), '[]')
            FROM (SELECT r FROM unnest({_OWED}) AS r ORDER BY r LIMIT {MOST_GAPS}) AS first) AS gaps
    FROM till
    WHERE {_SCOPE} AND (CAST(:store_id AS text) IS NULL OR (store_id, till_id) > (:store_id, :till_id))
    ORDER BY store_id, till_id LIMIT :limit
""")  # noqa: S608 - put together from the constants above

# A till of which nothing was heard for a week isn't silent but gone; one whose whole store is silent may have closed for the night.
_QUIET = text("""
    SELECT count(*) FILTER (WHERE heard) AS heard, count(*) FILTER (WHERE NOT heard) AS silent,
           count(*) FILTER (WHERE NOT heard AND colleague) AS alone
    FROM (
        SELECT heard, bool_or(heard) OVER (PARTITION BY store_id) AS colleague
        FROM till CROSS JOIN LATERAL (SELECT last_heard_at > now() - make_interval(secs => :seconds)) AS latest(heard)
        WHERE last_heard_at > now() - interval '7 days'
    ) AS week
""")


class Quiet(NamedTuple):
    """Tills of the last week: heard lately; silent; and of these the ones that are silent while another till of their store was heard."""

    heard: int
    silent: int
    alone: int


class Owing(NamedTuple):
    """How many tills owe sales, and the first of them with what they owe."""

    tills_owing: int
    tills: list[dict[str, Any]]


class Tills:
    """The numbers that tills gave the sales of a batch."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """Those numbers that were seen before, with the sale that bears them. Of an honest batch there are none."""
        told = [each.head for each in batch if isinstance(each.event, SaleRecorded) and each.event.till_seq is not None]
        if not told:
            return None
        rows = [
            {"event_id": each.event_id, "store_id": each.store_id, "till_id": each.data.get("till_id"), "till_seq": each.data["till_seq"]}
            for each in told
        ]
        around, days = told[0].effective_at, timedelta(days=SEARCH_DAYS)
        bounds = {"most_ranges": MOST_RANGES, "most_searched": MOST_SEARCHED, "since": around - days, "through": around + days}
        return Statement(_TAKEN, {"numbers": to_json(rows).decode(), **bounds})

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """The numbers that are taken. One that only a refused sale bore is free, and so is one that may have been forgotten as a hole."""
        for row in rows:
            if row.recorded is not None or not (row.refused or row.forgetful):
                book.numbers[row.store_id, row.till_id, row.till_seq] = row.recorded

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """What was heard of each till (a refused sale was heard too: its number is owed no more), and what was given up."""
        del book
        waived = [_waived(event) for event in events.values() if event.type == TillWaived.type]
        heard: dict[tuple[str, str], list[Recorded]] = {}
        for event in events.values():
            if event.type == SaleRecorded.type and event.data.get("till_id") is not None:
                heard.setdefault((event.store_id, event.data["till_id"]), []).append(event)
        statements = []
        if heard:
            rows = [_heard(*place, sales) for place, sales in sorted(heard.items())]
            statements.append(Statement(_HEARD, {"tills": to_json(rows).decode()}))
        statements += [Statement(_WAIVED, {"waived": to_json([each]).decode()}) for each in waived]
        return statements


def owing(connection: Connection, stores: Collection[str] | None) -> Owing:
    """The tills of these stores (None: all) that owe sales: how many numbers are missing, and from which on."""
    rows = connection.execute(_OWING, {"stores": _list(stores)}).mappings().all()
    told = [{name: value for name, value in row.items() if name != "owing_count"} for row in rows]
    return Owing(rows[0]["owing_count"] if rows else 0, [each | {"missing": int(each["missing"])} for each in told])


def tills(
    connection: Connection, stores: Collection[str] | None, *, silent_after_seconds: int, after: Sequence[str] | None, limit: int
) -> list[dict[str, Any]]:
    """Every till by store and name: how many numbers are missing, the first gaps, up to which there is none; since when it is silent."""
    store_id, till_id = after or (None, None)
    asked = {"stores": _list(stores), "store_id": store_id, "till_id": till_id, "limit": limit}
    now = datetime.now(UTC)
    return [_told(row, now, silent_after_seconds) for row in connection.execute(_TILLS, asked).mappings().all()]


def quiet(connection: Connection, *, silent_after_seconds: int) -> Quiet:
    """How many tills of the chain were heard lately, and how many weren't."""
    return Quiet(*connection.execute(_QUIET, {"seconds": silent_after_seconds}).one())


def has(connection: Connection, store_id: str, till_id: str) -> bool:
    """Whether a sale of that store came from that till."""
    place = select(till.c.till_id).where(till.c.store_id == store_id, till.c.till_id == till_id)
    return connection.execute(place).first() is not None


def _told(row: Mapping[Any, Any], now: datetime, silent_after_seconds: int) -> dict[str, Any]:
    silent_seconds = max(0, int((now - row["last_heard_at"]).total_seconds()))
    return {
        **row,
        "missing": int(row["missing"]),
        "waived": int(row["waived"]),
        "silent_seconds": silent_seconds,
        "silent": silent_seconds >= silent_after_seconds,
    }


def _heard(store_id: str, till_id: str, sales: Sequence[Recorded]) -> dict[str, Any]:
    return {
        "store_id": store_id,
        "till_id": till_id,
        "seen": _ranges(sale.data["till_seq"] for sale in sales if sale.data.get("till_seq") is not None),
        "last_sale_at": max(sale.effective_at for sale in sales),
        "last_heard_at": sales[-1].recorded_at,
    }


def _waived(event: Recorded) -> dict[str, Any]:
    return {
        "store_id": event.store_id,
        "till_id": event.data["till_id"],
        "waived": f"{{[{event.data['first']},{event.data['last'] + 1})}}",
    }


def _ranges(numbers: Iterable[int]) -> str:
    """As PostgreSQL reads them; it joins neighbours itself."""
    return "{" + ",".join(f"[{number},{number + 1})" for number in numbers) + "}"


def _list(stores: Collection[str] | None) -> list[str] | None:
    return None if stores is None else sorted(stores)
