"""How fast is the same route when it does the database transaction itself before it answers?"""

from fastapi import FastAPI

from bench.baselines.database import Pool
from bench.baselines.front import application, database_url


def create_app() -> FastAPI:
    """One transaction a request."""
    pool = Pool(database_url())
    return application(pool.record, pool.open, pool.close)
