"""How far behind the log is each projection?"""

from sqlalchemy import Engine, text

from projections import PROJECTIONS
from workers import metrics

_LAG = text("""
    SELECT name.projection,
           coalesce(sum(h.seq - coalesce(c.seq, 0)), 0) AS events,
           count(*) FILTER (WHERE c.state = 'stalled') AS stalled,
           count(*) FILTER (WHERE c.state = 'paused') AS paused,
           coalesce(extract(epoch FROM now() - min(e.recorded_at)), 0) AS seconds
    FROM unnest(CAST(:projections AS text[])) AS name(projection)
    CROSS JOIN store_head h
    LEFT JOIN checkpoint c ON c.projection = name.projection AND c.generation = 0 AND c.store_id = h.store_id
    LEFT JOIN event_log e ON e.store_id = h.store_id AND e.seq = coalesce(c.seq, 0) + 1 AND h.seq > coalesce(c.seq, 0)
    GROUP BY name.projection
""")


def refresh(engine: Engine) -> None:
    """Set the gauges of every projection from the log's heads and the checkpoints."""
    with engine.connect() as connection:
        for row in connection.execute(_LAG, {"projections": list(PROJECTIONS)}):
            metrics.projection_lag_events.labels(row.projection).set(row.events)
            metrics.projection_lag_seconds.labels(row.projection).set(max(0, row.seconds))
            metrics.stalled_stores.labels(row.projection).set(row.stalled)
            metrics.paused_stores.labels(row.projection).set(row.paused)
