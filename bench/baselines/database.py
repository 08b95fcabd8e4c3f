"""How does a baseline reach PostgreSQL? A fixed pool of psycopg 3's asynchronous connections, its statement prepared at the first use.

Blocking connections in as many threads, as FastAPI runs ``def`` endpoints, took the API process a fifth more CPU a sale and were no faster.
"""

import asyncio
from typing import Any, Final

import psycopg
from psycopg.errors import DivisionByZero, UniqueViolation
from sqlalchemy import NullPool, create_engine

from api.problems import Problem
from bench.baselines.transaction import FINGERPRINT, RECORD, Parameters, parameters, record_fully
from infra.database import database_url
from schemas.envelope import Accepted

CONNECTIONS: Final = 4
"""On two cores; with 2, 6 and 10 a sale took more CPU, and with 10 sales of one store queued up in PostgreSQL's locks."""

OPTIONS: Final[dict[str, Any]] = {
    "autocommit": True,
    "prepare_threshold": 0,
    "connect_timeout": 5,
    # The planner takes a sale for a hundred lines and would read whole tables for them: 2,550 µs of CPU a sale instead of 550.
    "options": "-c enable_hashjoin=off -c enable_mergejoin=off",
}


class Pool:
    """A stack of connections: the one that was used last is warm."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: asyncio.LifoQueue[psycopg.AsyncConnection] = asyncio.LifoQueue()
        self._engine = create_engine(database_url(url), poolclass=NullPool)

    async def open(self) -> None:
        """Connect."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await psycopg.AsyncConnection.connect(self._url, **OPTIONS))

    async def close(self) -> None:
        """Disconnect what is free."""
        while not self._free.empty():
            await self._free.get_nowait().close()

    async def record(self, event: Accepted, payload: bytes) -> None:
        """Record a sale. Raises Problem idempotency_mismatch."""
        sale = parameters(event, payload)
        connection = await self._free.get()
        try:
            await connection.execute(RECORD, sale)
        except DivisionByZero:
            await asyncio.to_thread(record_fully, self._engine, event, payload)
        except UniqueViolation:
            _require_equal(await (await connection.execute(FINGERPRINT, sale)).fetchone(), sale)
        finally:
            self._free.put_nowait(connection)


def _require_equal(known: tuple[object, ...] | None, sale: Parameters) -> None:
    if known is None or known[0] != sale["fingerprint"]:
        raise Problem("idempotency_mismatch")
