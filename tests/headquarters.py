"""Somebody at headquarters who reads reports, of an API that has nothing but those."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from sqlalchemy import Engine

from api import problems, reports, tills
from api.reading import Reader
from api.tokens import tokens_of
from infra.settings import Settings

Json = dict[str, Any]


@asynccontextmanager
async def headquarters(engine: Engine, home: Path, stores: Sequence[str] = ("*",)) -> AsyncIterator[httpx2.AsyncClient]:
    """A manager of these stores."""
    app = FastAPI()
    problems.install(app)
    app.include_router(reports.router())
    app.include_router(tills.router)
    app.state.settings = Settings(env="test", home=home)
    app.state.tokens = tokens_of(app.state.settings)
    app.state.reader = Reader(engine, None, ttl_seconds=1, timeout_seconds=1)
    headers = {"Authorization": f"Bearer {app.state.tokens.issue('siege', 'gestionnaire', stores)}"}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test/api/v2/", headers=headers, timeout=60) as client:
        yield client


async def read(client: httpx2.AsyncClient, path: str, **asked: str | int) -> Json:
    """What a read below ``/api/v2/`` answers."""
    answer = await client.get(path, params=asked)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found
