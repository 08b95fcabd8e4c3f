"""How does a baseline reach PostgreSQL? A fixed pool of psycopg 3 connections, each statement prepared at its first use.

In two manners: threads with blocking connections, or coroutines with asynchronous ones.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg.errors import UniqueViolation

from api.problems import Problem
from bench.baselines.transaction import FINGERPRINT, RECORD, Parameters, parameters
from schemas.envelope import Accepted

CONNECT_SECONDS = 5


class Threads:
    """A thread for each connection, as FastAPI runs ``def`` endpoints."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._own = threading.local()
        self._executor = ThreadPoolExecutor(connections, thread_name_prefix="database", initializer=self._connect)

    async def open(self) -> None:
        """Nothing: a thread connects when it begins."""

    async def close(self) -> None:
        """End the threads; their connections end with them."""
        self._executor.shutdown()

    async def record(self, event: Accepted, payload: bytes) -> None:
        """Record a sale. Raises Problem idempotency_mismatch."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._record, parameters(event, payload))

    def _connect(self) -> None:
        self._own.connection = psycopg.connect(self._url, autocommit=True, prepare_threshold=0, connect_timeout=CONNECT_SECONDS)

    def _record(self, sale: Parameters) -> None:
        connection: psycopg.Connection = self._own.connection
        try:
            connection.execute(RECORD, sale)
        except UniqueViolation:
            _require_equal(connection.execute(FINGERPRINT, sale).fetchone(), sale)


class Coroutines:
    """A stack of connections: the one that was used last is warm."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._free: asyncio.LifoQueue[psycopg.AsyncConnection] = asyncio.LifoQueue()

    async def open(self) -> None:
        """Connect."""
        for _ in range(self._connections):
            self._free.put_nowait(
                await psycopg.AsyncConnection.connect(self._url, autocommit=True, prepare_threshold=0, connect_timeout=CONNECT_SECONDS)
            )

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
        except UniqueViolation:
            _require_equal(await (await connection.execute(FINGERPRINT, sale)).fetchone(), sale)
        finally:
            self._free.put_nowait(connection)


def _require_equal(known: tuple[object, ...] | None, sale: Parameters) -> None:
    if known is None or known[0] != sale["fingerprint"]:
        raise Problem("idempotency_mismatch")
