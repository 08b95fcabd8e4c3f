"""What does the process of the operators tell of the whole system, whoever else is down?

A worker that is dead tells nothing of its queue, and a projector that is dead nothing of its lag. What can be read in the database and
at the broker is told from here, too, so that an alert doesn't fall silent together with the part that it is about.
"""

import asyncio
from typing import Final

import structlog
from sqlalchemy import Connection, text

from infra.database import engine_for
from infra.faults import is_transient
from infra.management import Look, Management
from infra.settings import Settings
from operations.consumers import utc_now
from operations.overview import broker, queues, situation
from operations.pauses import CONSUMERS
from stock.tills import quiet
from workers import lag, metrics

NAME: Final = "whole"
ALARMS: Final = ("memory", "disk", "partition", "down")
STATUSES: Final = ("waiting", "redriving", "redriven", "parked", "edited")
_LETTERS = text("SELECT status, count(*) AS count FROM dead_letter GROUP BY status")
log = structlog.get_logger(__name__)


class Whole:
    """Sets the gauges of the whole whenever somebody reads them. It has one connection of its own: jobs may hold all others."""

    def __init__(self, config: Settings) -> None:
        self._engine = engine_for(config.model_copy(update={"database_pool_size": 1}), name=NAME)
        self._management = Management(config.rabbitmq_management_url, config.amqp_url)
        self._silent_after_seconds = config.till_silence_seconds

    async def refresh(self) -> None:
        """Look once. While the database is away the gauges keep what they told last, and `magasin_database_ready` says so."""
        try:
            await asyncio.to_thread(self._look)
        except Exception as error:
            if not is_transient(error):
                raise
            metrics.database_ready.set(0)
            log.warning("whole_unknown", error=str(error)[:200])

    def close(self) -> None:
        """Give the connections back."""
        self._management.close()
        self._engine.dispose()

    def _look(self) -> None:
        look = self._management.look()
        _tell_alarms(look)
        with self._engine.connect() as connection:
            _tell_queues(connection, look)
            _tell_letters(connection)
            for state, count in quiet(connection, silent_after_seconds=self._silent_after_seconds)._asdict().items():
                metrics.tills.labels(state).set(count)
        lag.refresh(self._engine)
        metrics.database_ready.set(1)


def _tell_alarms(look: Look) -> None:
    """Nodes by alarm; nothing at all when the broker's management tells nothing, for then nobody knows."""
    metrics.broker_alarms.clear()
    if look.away is None:
        alarms = [each["alarm"] for each in broker(look)["alarms"]]
        for alarm in ALARMS:
            metrics.broker_alarms.labels(alarm).set(alarms.count(alarm))


def _tell_queues(connection: Connection, look: Look) -> None:
    """Our own queues; those of others have names of others."""
    metrics.queue_ready_messages.clear()
    metrics.queue_oldest_seconds.clear()
    for each in queues(situation(connection, look, utc_now())):
        if each["name"] in CONSUMERS:
            if each["ready"] is not None:
                metrics.queue_ready_messages.labels(each["name"]).set(each["ready"])
            if each["oldest_seconds"] is not None:
                metrics.queue_oldest_seconds.labels(each["name"]).set(each["oldest_seconds"])


def _tell_letters(connection: Connection) -> None:
    found: dict[str, int] = {row[0]: row[1] for row in connection.execute(_LETTERS)}
    for status in STATUSES:
        metrics.dead_letters.labels(status).set(found.get(status, 0))
