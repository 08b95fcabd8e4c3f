"""How are the letters of a selection sent back to the queue that they came from?"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection

from api.auth import JSON, takes
from api.document import LISTED, ONE
from api.operators import PREFIX, TAG, Onlooker, Operator, Reason, engine_of, now_standing
from api.operators_jobs import newest, one
from api.problems import problem_responses
from api.reading import Page, after_of, number_part, paged
from api.reads import PRINTABLE, After, Form, Limit, Reading
from operations import job_orders, redrive
from operations.job import Job, State
from operations.redrive import DEFAULT_CANARY, DEFAULT_RATE, KIND, Wish

REFUSALS: Final = ("unauthorized", "forbidden", "unsupported_media_type", "invalid_content", "database_unavailable")
MOST_PER_SECOND: Final = 10_000
router = APIRouter(prefix=PREFIX, tags=[TAG])


class RedriveOrder(BaseModel):
    """Which selection to send back, and how. `count` and `digest`, where given, must be the selection's.

    `canary`: so many must pass before the others go; `stop_on_failure` false: go on when one fails again, once the canary has passed.
    """

    model_config = ConfigDict(extra="forbid")

    selection_id: UUID
    dry_run: Annotated[bool, Field(strict=True)] = False
    max_per_second: Annotated[float, Field(gt=0, le=MOST_PER_SECOND)] = DEFAULT_RATE
    canary: Annotated[int, Field(strict=True, ge=0, le=MOST_PER_SECOND)] = DEFAULT_CANARY
    stop_on_failure: Annotated[bool, Field(strict=True)] = True
    reason: Reason | None = None
    count: Annotated[int, Field(strict=True, ge=0)] | None = None
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None


class JobOrder(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


class RedriveShown(BaseModel):
    """A redrive. `outcomes`: how many letters came to what; `under_way`: sent, and nobody has said what came of them."""

    model_config = ConfigDict(extra="allow")

    id: UUID
    state: State
    total: int | None
    done: int
    succeeded: int
    failed: int
    rate: float
    eta_seconds: float | None
    dry_run: bool
    max_per_second: float | None
    error: str | None
    outcomes: dict[str, int]
    under_way: int
    waiting: int


@router.post(
    "/redrives",
    status_code=202,
    summary="Renvoyer une sélection / Redrive a selection",
    responses=problem_responses(*REFUSALS, "unknown_selection", "selection_changed"),
    dependencies=[Depends(takes(*JSON))],
)
async def start_redrive(request: Request, response: Response, body: RedriveOrder, who: Operator) -> RedriveShown:
    """Send the letters back to the queue that they came from; with `dry_run` only find out what would become of each."""
    wish = Wish(**body.model_dump())
    found = await asyncio.to_thread(redrive.start, engine_of(request), wish, by=who.username)
    response.headers["Location"] = f"{PREFIX}/redrives/{found.id}"
    return await _shown(request, found.id)


@router.get("/redrives", summary="Renvois / Redrives", responses=LISTED)
async def list_redrives(
    *,
    request: Request,
    who: Onlooker,
    reader: Reading,
    state: State | None = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """The newest first."""
    del form
    return await reader.answer(request, who, now_standing, newest(_told, kind=KIND, state=state, after=after, limit=limit))


@router.get("/redrives/{redrive_id}", summary="Un renvoi / One redrive", responses={**ONE, **problem_responses("unknown_job")})
async def show_redrive(request: Request, redrive_id: UUID, who: Onlooker, reader: Reading) -> Response:
    """How far it is."""
    return await reader.answer(request, who, now_standing, lambda connection: Page(one(_told, KIND, redrive_id)(connection)))


@router.get(
    "/redrives/{redrive_id}/items",
    summary="Messages d'un renvoi / Letters of a redrive",
    responses={**LISTED, **problem_responses("unknown_job")},
)
async def list_redrive_items(
    *,
    request: Request,
    redrive_id: UUID,
    who: Onlooker,
    reader: Reading,
    outcome: Annotated[str | None, Query(max_length=32, pattern=PRINTABLE)] = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """What became of each letter, or would become of it in a dry run."""
    del form
    place = after_of(after, number_part)

    def find(connection: Connection) -> Page:
        one(_told, KIND, redrive_id)(connection)
        found = redrive.items(connection, redrive_id, outcome=outcome, after=place[0] if place else None, limit=limit + 1)
        return paged(found, limit, "place")

    return await reader.answer(request, who, now_standing, find)


@router.post(
    "/redrives/{redrive_id}/pause",
    summary="Suspendre un renvoi / Pause a redrive",
    responses=problem_responses(*REFUSALS, "unknown_job", "wrong_status"),
)
async def pause_redrive(request: Request, redrive_id: UUID, who: Operator, body: JobOrder | None = None) -> RedriveShown:
    """Send no more for now; what is under way is settled."""
    return await _order(request, redrive_id, "pause", body, who.username)


@router.post(
    "/redrives/{redrive_id}/resume",
    summary="Reprendre un renvoi / Resume a redrive",
    responses=problem_responses(*REFUSALS, "unknown_job", "wrong_status"),
)
async def resume_redrive(request: Request, redrive_id: UUID, who: Operator, body: JobOrder | None = None) -> RedriveShown:
    """Go on, having been paused, or stopped by a letter that failed again."""
    return await _order(request, redrive_id, "resume", body, who.username)


@router.post(
    "/redrives/{redrive_id}/cancel",
    summary="Abandonner un renvoi / Cancel a redrive",
    responses=problem_responses(*REFUSALS, "unknown_job", "wrong_status"),
)
async def cancel_redrive(request: Request, redrive_id: UUID, who: Operator, body: JobOrder | None = None) -> RedriveShown:
    """Send no more, for good; the letters that weren't sent wait as before."""
    return await _order(request, redrive_id, "cancel", body, who.username)


async def _order(request: Request, redrive_id: UUID, verb: job_orders.Verb, body: JobOrder | None, by: str) -> RedriveShown:
    reason = None if body is None else body.reason
    await asyncio.to_thread(job_orders.order, engine_of(request), KIND, redrive_id, verb, by=by, reason=reason)
    return await _shown(request, redrive_id)


async def _shown(request: Request, redrive_id: UUID) -> RedriveShown:
    def find() -> Mapping[str, Any]:
        with engine_of(request).connect() as connection:
            return one(_told, KIND, redrive_id)(connection)

    return RedriveShown(**await asyncio.to_thread(find))


def _told(connection: Connection, found: Job) -> dict[str, Any]:
    return redrive.told(connection, found, datetime.now(UTC))
