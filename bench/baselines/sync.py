"""How fast is the same route when it does the database transaction itself before it answers?"""

import os

from fastapi import FastAPI

from bench.baselines.database import Coroutines, Threads
from bench.baselines.front import POOL_CONNECTIONS, application, database_url

MANNER = "BENCH_SYNC_MANNER"


def create_app() -> FastAPI:
    """One transaction a request, in a thread or a coroutine as `BENCH_SYNC_MANNER` says."""
    manner = Threads if os.environ.get(MANNER) == "threads" else Coroutines
    pool = manner(database_url(), POOL_CONNECTIONS)
    return application(pool.record, pool.open, pool.close)
