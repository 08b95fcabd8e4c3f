"""Which of several equal processes does what only one at a time may do?

The one that holds an advisory lock of PostgreSQL, on a connection of its own. The lock ends with the connection: a process that is killed
frees it at once, one whose machine vanished within 30 seconds. The same connection hears what the API notifies in its transactions, so
nothing has to be asked for; when it is lost, so is the lead, and whoever leads next reads everything anew.
"""

import asyncio
from collections.abc import Callable

import psycopg
import structlog
from sqlalchemy import make_url

from infra.settings import Settings

STANDBY_SECONDS = 1.0
"""How often one that doesn't lead asks for the lock."""
PROOF_SECONDS = 5.0
"""How often one that leads makes sure that it still does."""
SERVER_KEEPALIVES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"
log = structlog.get_logger(__name__)


class LeadLost(Exception):
    """The connection that the lead hangs on is gone."""


class Leadership:
    """The lead of `name`. `heard` gets what is notified on `channel`."""

    def __init__(self, settings: Settings, *, name: str, channel: str, heard: Callable[[str], None]) -> None:
        self._url = make_url(settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._timeout_seconds = settings.database_connect_timeout_seconds
        self._name = name
        self._channel = channel
        self._heard = heard
        self._connection: psycopg.AsyncConnection | None = None

    async def win(self) -> None:
        """Return when this process leads, however long that takes."""
        while True:
            if await self._try():
                log.info("leading", of=self._name)
                return
            await asyncio.sleep(STANDBY_SECONDS)

    async def hold(self) -> None:
        """Pass on what is notified for as long as the lead lasts. Raises LeadLost."""
        connection = self._connection
        if connection is None:
            raise LeadLost
        try:
            while True:
                async for note in connection.notifies(timeout=PROOF_SECONDS):
                    self._heard(note.payload)
                async with asyncio.timeout(self._timeout_seconds):
                    await connection.execute("SELECT 1")
        except (psycopg.Error, OSError, TimeoutError) as error:
            raise LeadLost(str(error)) from error

    async def leave(self) -> None:
        """Give the lead away."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _try(self) -> bool:
        await self.leave()
        try:
            async with asyncio.timeout(2 * self._timeout_seconds):
                self._connection = connection = await psycopg.AsyncConnection.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=self._timeout_seconds,
                    application_name=f"magasin-{self._name}-lead",
                    options=SERVER_KEEPALIVES,
                    keepalives_idle=10,
                    keepalives_interval=5,
                    keepalives_count=4,
                    tcp_user_timeout=30_000,
                )
                # Listening first: what is notified between the lock and the first look is heard.
                await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
                found = await (await connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [self._name])).fetchone()
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("database_away", error=str(error)[:200])
            await self.leave()
            return False
        if found is None or not found[0]:
            await self.leave()
            return False
        return True
