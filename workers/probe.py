"""How does a worker show that it lives? Three HTTP routes beside its loop: /healthz, /readyz and /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Check = Callable[[], Awaitable[dict[str, Any]]]
log = structlog.get_logger(__name__)


def probe_app(check: Check, refresh: Callable[[], Awaitable[None]]) -> Starlette:
    """`check` answers details with a boolean ``ready``; `refresh` brings gauges up to date before they are read."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        found = await check()
        return JSONResponse(found, status_code=200 if found["ready"] else 503)

    async def metrics(_: Request) -> Response:
        await refresh()
        return Response(await asyncio.to_thread(generate_latest), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)])


class ProbeServer(uvicorn.Server):
    """A server that leaves the signals of the process to the worker."""

    def __init__(self, app: Starlette, *, host: str, port: int) -> None:
        super().__init__(uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off"))

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: the worker stops this server itself."""
        yield


async def answers(question: Awaitable[object]) -> bool:
    """Whether a part that a check asks about answers; why it doesn't is in the log."""
    try:
        await question
    except Exception as error:  # noqa: BLE001 - whatever it is, the part does not answer
        log.warning("not_ready", error=f"{type(error).__name__}: {error}"[:300])
        return False
    return True
