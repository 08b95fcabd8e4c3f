"""How far is each projection, where did it stop or was told to wait, and why?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from infra.pauses import Pause
from projections import PROJECTIONS
from projections.checkpoint import LIVE
from projections.generations import FIRST, numbers

MOST_STALLED: Final = 100
"""Of one projection, told one by one; all of them are counted."""
ERROR_CHARACTERS: Final = 500
_LAG = text("""
    SELECT name.projection AS name, count(*) AS stores,
           coalesce(sum(h.seq - coalesce(c.seq, 0)), 0) AS events,
           greatest(0, coalesce(extract(epoch FROM now() - min(e.recorded_at)), 0)) AS seconds,
           count(*) FILTER (WHERE c.state = 'stalled') AS stalled,
           count(*) FILTER (WHERE c.state = 'paused') AS paused
    FROM unnest(CAST(:projections AS text[])) AS name(projection)
    CROSS JOIN store_head h
    LEFT JOIN checkpoint c ON c.projection = name.projection AND c.generation = :generation AND c.store_id = h.store_id
    LEFT JOIN event_log e ON e.store_id = h.store_id AND e.seq = coalesce(c.seq, 0) + 1 AND h.seq > coalesce(c.seq, 0)
    GROUP BY name.projection
""")
_STALLED = text("""
    SELECT projection, store_id, failed_seq, split_part(error, E'\\n', 1) AS error, moved_at FROM (
        SELECT c.*, row_number() OVER (PARTITION BY projection ORDER BY moved_at, store_id) AS place
        FROM checkpoint c WHERE c.generation = :generation AND c.state = 'stalled'
    ) AS found
    WHERE place <= :most ORDER BY projection, place
""")


@dataclass(frozen=True, slots=True)
class Lag:
    """How far behind a projection is, over all stores, also those where it stopped or waits.

    `seconds` is the age of the oldest event that it hasn't applied.
    """

    name: str
    stores: int = 0
    events: int = 0
    seconds: float = 0.0
    stalled: int = 0
    paused: int = 0


def projections(connection: Connection, pauses: Sequence[Pause]) -> list[dict[str, Any]]:
    """One item for each projection, by name.

    `lag_events` and `lag_seconds` (the age of the oldest event that isn't in it) count the stores that stopped or wait, too. `state` is
    paused when the whole projection is; `paused` are all pauses that concern it, `stalled` the first stores that stopped at an event.
    """
    found, stalled, live = lags(connection), _stalled(connection), numbers(connection)
    return [_told(found.get(name, Lag(name)), live.get(name, FIRST), stalled.get(name, []), pauses) for name in sorted(PROJECTIONS)]


def lags(connection: Connection) -> dict[str, Lag]:
    """How far behind the log's heads each projection is; nothing while there is no log."""
    rows = connection.execute(_LAG, {"projections": sorted(PROJECTIONS), "generation": LIVE})
    return {row.name: Lag(row.name, row.stores, int(row.events), float(row.seconds), row.stalled, row.paused) for row in rows}


def _stalled(connection: Connection) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(_STALLED, {"generation": LIVE, "most": MOST_STALLED}):
        error = (row.error or "")[:ERROR_CHARACTERS]
        found[row.projection].append({"store_id": row.store_id, "seq": row.failed_seq, "error": error, "since": row.moved_at})
    return found


def _told(lag: Lag, generation: int, stalled: list[dict[str, Any]], pauses: Sequence[Pause]) -> dict[str, Any]:
    own = [each for each in pauses if each.target.kind == "projection" and each.target.name == lag.name]
    return {
        "name": lag.name,
        "state": "paused" if any(each.target.store_id is None for each in own) else "live",
        "generation": generation,
        "stores": lag.stores,
        "lag_events": lag.events,
        "lag_seconds": round(lag.seconds, 3),
        "stalled": stalled,
        "stalled_count": lag.stalled,
        "paused": [each.told() for each in own],
        "paused_count": lag.paused,
    }
