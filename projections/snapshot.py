"""How is all of an answer of one moment, and how do its two halves use two processors?

PostgreSQL's own parallel workers are started for each statement, which takes as long as they save; a connection of the pool is there.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, QueuePool, text

T = TypeVar("T")

ENOUGH_CONNECTIONS: Final = 4
"""Whoever has one connection and waits for another is alone; the others give theirs back without waiting."""
# Compiling a plan takes longer than running it, 68,000 groups need 20 MB, and the cells are in memory; a second process has to be started
# and told, which takes as long as it saves.
_SETTINGS: Final = """
    SET LOCAL jit = off; SET LOCAL work_mem = '64MB'; SET LOCAL random_page_cost = 1.1; SET LOCAL max_parallel_workers_per_gather = 0
"""
SNAPSHOT: Final = text(f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {_SETTINGS}")
_EXPORT = text("SELECT pg_export_snapshot()")
_free = Lock()
_helper = ThreadPoolExecutor(1, thread_name_prefix="beside")


@contextmanager
def beside(connection: Connection, ask: Callable[[Connection], T]) -> Iterator[Callable[[], T]]:
    """What gives the answer of `ask`, which meanwhile is asked on a second connection that sees what this one sees.

    One at a time: while another one is asked so, it is asked on this connection when the answer is wanted. This connection is in a
    SNAPSHOT.
    """
    pool = connection.engine.pool
    if not isinstance(pool, QueuePool) or pool.size() < ENOUGH_CONNECTIONS or not _free.acquire(blocking=False):
        yield lambda: ask(connection)
        return
    try:
        answer = _helper.submit(_seeing, connection.engine, str(connection.execute(_EXPORT).scalar_one()), ask)
        try:
            yield answer.result
        finally:
            wait((answer,))
    finally:
        _free.release()


def _seeing(engine: Engine, snapshot: str, ask: Callable[[Connection], T]) -> T:
    with engine.connect() as connection:
        connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}'; {_SETTINGS}"))
        return ask(connection)
