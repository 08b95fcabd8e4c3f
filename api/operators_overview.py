"""How does the system do? Queues, consumers, projections, and all of it on one page."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy import Connection

from api.document import LISTED, ONE
from api.operators import PREFIX, TAG, Onlooker, management_of, now_standing
from api.reading import Page
from api.reads import Form, Reading
from infra import pauses
from infra.management import Look
from operations import overview, progress
from operations.overview import Situation

router = APIRouter(prefix=PREFIX, tags=[TAG])


@router.get("/overview", summary="Vue d'ensemble / Overview", responses=ONE)
async def show_overview(request: Request, who: Onlooker, reader: Reading) -> Response:
    """Everything on one page. When the broker's management API is away, `broker.away` says so and its figures are null."""
    look = await _look(request)
    return await reader.answer(request, who, now_standing, lambda connection: Page(overview.overview(connection, look, datetime.now(UTC))))


@router.get("/queues", summary="Files d'attente / Queues", responses=LISTED)
async def list_queues(request: Request, who: Onlooker, reader: Reading, form: Form = None) -> Response:
    """Each queue: messages ready and unacknowledged, consumers, messages in and out a second, age of the oldest, time to empty."""
    del form
    look = await _look(request)
    return await reader.answer(request, who, now_standing, _of_situation(look, overview.queues, broker=overview.broker(look)))


@router.get("/consumers", summary="Consommateurs / Consumers", responses=LISTED)
async def list_consumers(request: Request, who: Onlooker, reader: Reading, form: Form = None) -> Response:
    """Each consumer: state, since when, version, last error, its pause, and its processes. Silent for 15 seconds, a process is `gone`."""
    del form
    return await reader.answer(request, who, now_standing, _of_situation(Look(), overview.consumer_list))


@router.get("/projections", summary="Projections", responses=LISTED)
async def list_projections(request: Request, who: Onlooker, reader: Reading, form: Form = None) -> Response:
    """Each projection: how far behind the log it is, the stores that stopped at an event, and those that were told to wait."""
    del form

    def find(connection: Connection) -> Page:
        return Page(progress.projections(connection, pauses.holding(connection)))

    return await reader.answer(request, who, now_standing, find)


def _of_situation(look: Look, items: Callable[[Situation], list[dict[str, Any]]], **extra: Any) -> Callable[[Connection], Page]:  # noqa: ANN401 - members of an answer
    def find(connection: Connection) -> Page:
        return Page(items(overview.situation(connection, look, datetime.now(UTC))), extra=extra)

    return find


async def _look(request: Request) -> Look:
    return await asyncio.to_thread(management_of(request).look)
