"""Does this instance live, and may requests be sent to it?"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic_core import to_json
from sqlalchemy import Engine

from infra.connection import BrokerUnavailable
from infra.database import ping
from infra.faults import is_transient

READY_TIMEOUT_SECONDS = 2.0
router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Le processus vit / The process lives")
async def healthz() -> dict[str, str]:
    """Always ok: whoever reads this reached the process."""
    return {"status": "ok"}


@router.get("/readyz", summary="Prêt / Ready")
async def readyz(request: Request) -> Response:
    """503 unless a real message went to the broker, was confirmed and came back, and the announcements are heard.

    PostgreSQL and Redis away are told and change nothing: commands are accepted without them, and a gateway must not take out an instance
    that can still take sales.
    """
    state = request.app.state
    found: dict[str, Any] = {
        "broker": await _broker(request),
        "consumer": state.announcements.alive,
        "database": await asyncio.to_thread(_database, state.engine),
    }
    found = {"ready": found["broker"] and found["consumer"], **found}
    return Response(to_json(found), 200 if found["ready"] else 503, media_type="application/json")


@router.get("/metrics", summary="Prometheus", include_in_schema=False)
async def metrics() -> Response:
    """The figures of this process."""
    return Response(await asyncio.to_thread(generate_latest), media_type=CONTENT_TYPE_LATEST)


async def _broker(request: Request) -> bool:
    try:
        await request.app.state.canary.check(READY_TIMEOUT_SECONDS)
    except BrokerUnavailable:
        return False
    return True


def _database(engine: Engine) -> bool:
    try:
        ping(engine)
    except Exception as error:
        if is_transient(error):
            return False
        raise
    return True
