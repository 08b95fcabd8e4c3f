"""What do all baselines share? The pipeline's own API with another way of accepting a sale behind its route."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.app import create_app
from bench.baselines import DATABASE_URL
from infra.settings import settings
from schemas.envelope import Accepted

Take = Callable[[Accepted, bytes], Awaitable[None]]
Step = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    return


def application(take: Take, opened: Step = _nothing, closed: Step = _nothing) -> FastAPI:
    """The API with `take` in the place of publishing; `opened` and `closed` at the start and the end of the process.

    It connects to nothing but what `opened` connects to, and once to the database, to know the stores.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await opened()
        yield
        await closed()

    app = create_app(settings())
    app.state.intake.accept = take
    app.router.lifespan_context = lifespan
    return app


def database_url() -> str:
    """The database of this baseline."""
    return os.environ[DATABASE_URL]
