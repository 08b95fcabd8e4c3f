"""How far is what a reader is about to see, and may it be believed?

The position is what ETags and cache keys are made of: it changes with every event that could change an answer, and with nothing else, so
nothing ever has to be invalidated.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from projections.checkpoint import LIVE
from projections.epoch import EPOCH
from schemas.envelope import CATALOGUE_STREAM


@dataclass(frozen=True, slots=True)
class Standing:
    """`as_of`: everything recorded up to then is in the figures; `lag_seconds`: the age of the oldest event that isn't.

    `owing` are the first of the `owing_count` tills that have numbered sales which nobody has seen; whoever asks about tills fills it in.
    """

    position: str
    as_of: datetime | None
    lag_seconds: float
    stalled_stores: tuple[str, ...]
    timezone: str
    owing: Sequence[Mapping[str, Any]] = field(default=(), kw_only=True)
    owing_count: int = field(default=0, kw_only=True)

    def meta(self) -> dict[str, Any]:
        """The ``meta`` of an answer."""
        return {
            "as_of": self.as_of,
            "lag_seconds": round(self.lag_seconds, 3),
            "complete": self.lag_seconds == 0 and not self.stalled_stores and not self.owing_count,
            "stalled_stores": list(self.stalled_stores),
            "owing": list(self.owing),
            "owing_count": self.owing_count,
            "timezone": self.timezone,
        }


_SCOPE = "(CAST(:stores AS text[]) IS NULL OR h.store_id = ANY(CAST(:stores AS text[])))"
_ZONES = "(SELECT CASE WHEN min(s.timezone) = max(s.timezone) THEN min(s.timezone) ELSE 'UTC' END FROM store s WHERE {})"
_LOG = text(f"""
    SELECT coalesce(sum(h.seq), 0) AS position, max(h.recorded_at) AS as_of,
           {_ZONES.format(_SCOPE.replace("h.store_id", "s.store_id"))} AS timezone
    FROM store_head h WHERE {_SCOPE} OR h.store_id = :catalogue
""")  # noqa: S608 - put together from the constants above
# One statement for all projections of a report. The log is only looked at where it goes on.
_PROJECTIONS = text(f"""
    SELECT place.projection, coalesce(sum(place.seq), 0) AS position, coalesce(sum(place.head - place.seq), 0) AS missing,
           coalesce(min(place.waiting), max(place.recorded_at)) AS as_of, min(place.waiting) AS behind_since,
           coalesce(array_agg(place.store_id) FILTER (WHERE place.state <> 'live'), '{{}}') AS stalled,
           (SELECT k.seq FROM store_head k WHERE k.store_id = :catalogue) AS catalogue,
           {EPOCH.format(projection="place.projection")} AS epoch,
           {_ZONES.format(_SCOPE.replace("h.store_id", "s.store_id"))} AS timezone
    FROM (
        SELECT name.projection, h.store_id, h.seq AS head, h.recorded_at, coalesce(c.seq, 0) AS seq, c.state,
               CASE WHEN h.seq > coalesce(c.seq, 0) THEN (
                   SELECT e.recorded_at FROM event_log e WHERE e.store_id = h.store_id AND e.seq = coalesce(c.seq, 0) + 1
               ) END AS waiting
        FROM unnest(CAST(:projections AS text[])) AS name(projection)
        LEFT JOIN store_head h ON {_SCOPE}
        LEFT JOIN (
            SELECT * FROM checkpoint WHERE projection = ANY(CAST(:projections AS text[])) AND generation = :generation
        ) c ON c.projection = name.projection AND c.store_id = h.store_id
    ) AS place
    GROUP BY place.projection
""")  # noqa: S608 - put together from the constants above


def log_standing(connection: Connection, stores: Collection[str] | None) -> Standing:
    """The standing of what the stock writer itself keeps (levels, catalogue, sales): always complete. `stores` None means all."""
    row = connection.execute(_LOG, {"stores": _list(stores), "catalogue": CATALOGUE_STREAM}).one()
    return Standing(f"log:{row.position}", row.as_of, 0.0, (), row.timezone)


def projection_standing(connection: Connection, projection: str, stores: Collection[str] | None) -> Standing:
    """The standing of one live projection over some stores; None means all."""
    (found,) = projection_standings(connection, [projection], stores)
    return found


def projection_standings(connection: Connection, projections: Sequence[str], stores: Collection[str] | None) -> list[Standing]:
    """The standing of each live projection over some stores; None means all. The catalogue counts too: reports name its categories."""
    asked = {"stores": _list(stores), "projections": list(projections), "generation": LIVE, "catalogue": CATALOGUE_STREAM}
    found = {row.projection: _standing(row) for row in connection.execute(_PROJECTIONS, asked)}
    return [found[projection] for projection in projections]


def _standing(row: Row[Any]) -> Standing:
    lag = 0.0 if row.behind_since is None else max(0.001, (datetime.now(UTC) - row.behind_since).total_seconds())
    # The lag grows while nothing else changes, and an answer that tells it is good for one second.
    stalled = tuple(sorted(row.stalled))
    position = f"{row.projection}:{row.epoch}:{row.position}:{row.missing}:{'+'.join(stalled)}:{row.catalogue}:{int(lag)}"
    return Standing(position, row.as_of, lag, stalled, row.timezone)


def _list(stores: Collection[str] | None) -> list[str] | None:
    return None if stores is None else sorted(stores)
