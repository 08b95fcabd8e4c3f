"""How far behind the log is each projection?"""

from sqlalchemy import Engine

from operations.progress import lags
from workers import metrics


def refresh(engine: Engine) -> None:
    """Set the gauges of every projection from the log's heads and the checkpoints."""
    with engine.connect() as connection:
        for name, lag in lags(connection).items():
            metrics.projection_lag_events.labels(name).set(lag.events)
            metrics.projection_lag_seconds.labels(name).set(lag.seconds)
            metrics.stalled_stores.labels(name).set(lag.stalled)
            metrics.paused_stores.labels(name).set(lag.paused)
