"""What has been proven, when, and what differed?

One row for each store and run, and one for the cells of the whole chain (its store is empty). The run without a number never ends: its rows
are what is known now.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BigInteger, Boolean, Column, Connection, DateTime, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from infra.database import metadata
from operations.mismatch import Mismatch
from operations.verify import Verdict

ALWAYS: Final = UUID(int=0)
"""The run that never ends."""
MOST_TOLD: Final = 500
KEPT_DAYS: Final = 30

verified = Table(
    "verified",
    metadata,
    Column("run_id", Uuid, nullable=False),
    Column("store_id", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("checked", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("mismatches", JSONB, nullable=False),
    Column("more", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "store_id"),
    postgresql_with={"fillfactor": "70"},
)

# Of two looks at one store the later one counts.
_PUT = text("""
    INSERT INTO verified AS known (run_id, store_id, at, seq, events, checked, count, mismatches, more)
    SELECT run_id, :store_id, :at, :seq, :events, :checked, :count, CAST(:mismatches AS jsonb), :more
    FROM unnest(CAST(:runs AS uuid[])) AS run_id ORDER BY run_id
    ON CONFLICT (run_id, store_id) DO UPDATE SET at = excluded.at, seq = excluded.seq, events = excluded.events,
        checked = excluded.checked, count = excluded.count, mismatches = excluded.mismatches, more = excluded.more
    WHERE known.at <= excluded.at
""")
_PLACES = """
    SELECT store_id FROM store_head WHERE seq > 0 UNION ALL SELECT '' WHERE EXISTS (SELECT FROM store_head WHERE seq > 0)
"""
# What was never looked at is proven up to its first event: before that there was nothing.
_STANDING = text(f"""
    SELECT coalesce(min(coalesce(v.at, e.recorded_at, first.at)), now()) AS verified_through,
           coalesce(extract(epoch FROM now() - min(coalesce(v.at, e.recorded_at, first.at))), 0) AS age_seconds,
           count(*) FILTER (WHERE place.store_id <> '') AS stores,
           count(*) FILTER (WHERE place.store_id <> '' AND v.at IS NULL) AS stores_to_come,
           coalesce(sum(v.events), 0) AS events, coalesce(sum(v.checked), 0) AS checked, coalesce(sum(v.count), 0) AS mismatch_count,
           coalesce(bool_or(v.more), false) AS more
    FROM ({_PLACES}) AS place
    LEFT JOIN verified v ON v.run_id = :run AND v.store_id = place.store_id
    LEFT JOIN event_log e ON e.store_id = place.store_id AND e.seq = 1 AND v.at IS NULL
    CROSS JOIN (SELECT min(recorded_at) AS at FROM event_log WHERE seq = 1) AS first
""")  # noqa: S608 - put together from constants
_RUN = text("""
    SELECT min(at) AS verified_through, count(*) FILTER (WHERE store_id <> '') AS stores, coalesce(sum(events), 0) AS events,
           coalesce(sum(checked), 0) AS checked, coalesce(sum(count), 0) AS mismatch_count, coalesce(bool_or(more), false) AS more
    FROM verified WHERE run_id = :run
""")
_MISMATCHES = text("""
    SELECT told.* FROM verified v
    CROSS JOIN LATERAL jsonb_to_recordset(v.mismatches) AS told("where" text, expected jsonb, found jsonb)
    WHERE v.run_id = :run AND v.count > 0 ORDER BY v.store_id, told."where" LIMIT :most
""")
_NEXT = text(f"""
    SELECT place.store_id FROM ({_PLACES}) AS place
    LEFT JOIN verified v ON v.run_id = :run AND v.store_id = place.store_id
    WHERE v.at IS NULL OR v.at < now() - make_interval(secs => :seconds)
    ORDER BY v.at NULLS FIRST, place.store_id LIMIT 1
""")  # noqa: S608 - the same
_FORGET = text("DELETE FROM verified WHERE run_id <> :run AND at < now() - make_interval(days => :days)")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is proven by a run: everything recorded up to `verified_through`, and what differed. `more`: differences nobody looked at."""

    verified_through: datetime | None
    events: int
    checked: int
    stores: int
    mismatch_count: int
    mismatches: Sequence[Mismatch]
    more: bool
    age_seconds: float | None = None
    stores_to_come: int = 0

    def told(self) -> dict[str, Any]:
        """As an answer shows it."""
        return {
            "verified_through": self.verified_through,
            "checked": self.checked,
            "events": self.events,
            "stores": self.stores,
            "mismatch_count": self.mismatch_count,
            "more": self.more,
            "mismatches": [each.told() for each in self.mismatches],
        }

    def told_now(self) -> dict[str, Any]:
        """The same of what is known now."""
        return {**self.told(), "age_seconds": self.age_seconds, "stores_to_come": self.stores_to_come}


def put(connection: Connection, verdict: Verdict, *runs: UUID) -> None:
    """Keep what was found in a store: in these runs, and as what is known now."""
    connection.execute(
        _PUT,
        {
            "runs": sorted({ALWAYS, *runs}),
            "store_id": verdict.store_id,
            "at": verdict.at,
            "seq": verdict.seq,
            "events": verdict.events,
            "checked": verdict.checked,
            "count": verdict.count,
            "mismatches": to_json([each.told() for each in verdict.mismatches]).decode(),
            "more": verdict.more,
        },
    )


def standing(connection: Connection, *, most: int = MOST_TOLD) -> Standing:
    """What is known now. Of an empty log everything is proven."""
    row = connection.execute(_STANDING, {"run": ALWAYS}).one()
    return Standing(
        row.verified_through,
        int(row.events),
        int(row.checked),
        row.stores,
        int(row.mismatch_count),
        _mismatches(connection, ALWAYS, most) if row.mismatch_count else (),
        row.more,
        round(max(0.0, float(row.age_seconds)), 3),
        row.stores_to_come,
    )


def of_run(connection: Connection, run_id: UUID) -> Standing:
    """What one run has proven so far."""
    row = connection.execute(_RUN, {"run": run_id}).one()
    found = _mismatches(connection, run_id, MOST_TOLD) if row.mismatch_count else ()
    return Standing(row.verified_through, int(row.events), int(row.checked), row.stores, int(row.mismatch_count), found, row.more)


def due(connection: Connection, seconds: float) -> str | None:
    """The place that nobody has looked at for longest, and not for so long: a store, or `verify_chain.CHAIN`; None when there is none."""
    found: str | None = connection.scalar(_NEXT, {"run": ALWAYS, "seconds": seconds})
    return found


def forget_old(connection: Connection) -> None:
    """Drop what runs found that ended long ago."""
    connection.execute(_FORGET, {"run": ALWAYS, "days": KEPT_DAYS})


def _mismatches(connection: Connection, run_id: UUID, most: int) -> list[Mismatch]:
    rows = connection.execute(_MISMATCHES, {"run": run_id, "most": most})
    return [Mismatch(row.where, row.expected, row.found) for row in rows]
