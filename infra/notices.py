"""How does a process hear at once what a transaction of another one notifies?

On a connection to PostgreSQL of its own that does nothing but listen. What is notified while it is down is missed; so `joined` is called
each time it has begun to listen, and whoever needs to know looks for himself then.
"""

import asyncio
from collections.abc import Callable

import psycopg
import structlog
from sqlalchemy import make_url

from infra.connection import Backoff
from infra.settings import Settings

PROOF_SECONDS = 10.0
"""How often a silent connection is asked whether it is still there."""
log = structlog.get_logger(__name__)


class Notices:
    """Calls `heard` with each payload notified on `channel`, in the event loop, while connected; connects again by itself."""

    def __init__(self, settings: Settings, *, name: str, channel: str, heard: Callable[[str], None], joined: Callable[[], None]) -> None:
        self._url = make_url(settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._timeout_seconds = settings.database_connect_timeout_seconds
        self._name = name
        self._channel = channel
        self._heard = heard
        self._joined = joined

    async def listen(self) -> None:
        """Listen until cancelled, whatever becomes of the server."""
        backoff = Backoff(0.1, 2.0)
        while True:
            try:
                await self._listen(backoff)
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("not_listening", channel=self._channel, error=str(error)[:200])
            await asyncio.sleep(backoff.next_seconds())

    async def _listen(self, backoff: Backoff) -> None:
        async with asyncio.timeout(2 * self._timeout_seconds):
            connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=self._timeout_seconds, application_name=f"magasin-{self._name}-notices"
            )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
            backoff.reset()
            self._joined()
            while True:
                async for note in connection.notifies(timeout=PROOF_SECONDS):
                    self._heard(note.payload)
                async with asyncio.timeout(self._timeout_seconds):
                    await connection.execute("SELECT 1")
        finally:
            await connection.close()
