"""How does an operator have everything compared with the log, and see what is proven?"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine

from api.document import LISTED, ONE
from api.operators import PREFIX, TAG, Onlooker, Operator, Reason, Why, engine_of, json_if_anything, now_standing, why
from api.operators_jobs import newest, one
from api.problems import problem_responses
from api.reading import Page
from api.reads import After, Form, Limit, Reading
from events.fields import StoreIdField
from operations import job, job_orders, verification, verified
from operations.job import Job
from operations.verification import KIND

REFUSALS: Final = ("unauthorized", "forbidden", "unsupported_media_type", "invalid_content", "database_unavailable")
ORDERED: Final = problem_responses(*REFUSALS, "unknown_job", "wrong_status")
Wanted = Annotated[job.State | None, Query(alias="state")]


class VerificationOrder(BaseModel):
    """Everything, or one store; how many events a second at most; and why."""

    model_config = ConfigDict(extra="forbid")

    store_id: StoreIdField | None = None
    max_per_second: Annotated[float | None, Field(ge=1, le=1_000_000)] = None
    reason: Reason | None = None


class MismatchShown(BaseModel):
    """A figure that differs from the log. `where` names table, store, cell and figure; null: there is no such row."""

    where: str
    expected: str | int | None
    found: str | int | None


class VerificationShown(BaseModel):
    """One verification. `done` and `total` are events; `checked` are rows that were compared; `mismatches` the first that differ.

    `verified_through`: everything recorded up to then is proven; null until it is done. `more`: there are differences nobody looked at.
    """

    id: UUID
    kind: str
    state: str
    verified_through: datetime | None
    checked: int
    events: int
    stores: int
    mismatch_count: int
    more: bool
    mismatches: list[MismatchShown]
    total: int | None
    done: int
    succeeded: int
    failed: int
    rate: float
    eta_seconds: float | None
    dry_run: bool
    max_per_second: float | None
    parameters: dict[str, Any]
    error: str | None
    reason: str | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


router = APIRouter(prefix=f"{PREFIX}/verifications", tags=[TAG])


@router.post(
    "",
    summary="Vérifier contre le journal / Verify against the log",
    status_code=202,
    dependencies=[Depends(json_if_anything)],
    responses=problem_responses(*REFUSALS, "unknown_store"),
)
async def start_verification(
    request: Request, response: Response, who: Operator, body: VerificationOrder | None = None
) -> VerificationShown:
    """The log is folded again, store by store, and compared with levels, movements and every projection. Live traffic goes on."""
    asked = body or VerificationOrder()
    found = {"by": who.username, **asked.model_dump()}
    shown = await _shown(request, lambda engine: verification.order(engine, **found))
    response.headers["Location"] = f"{PREFIX}/verifications/{shown.id}"
    return shown


@router.get("", summary="Vérifications / Verifications", responses=LISTED)
async def list_verifications(
    request: Request, who: Onlooker, reader: Reading, limit: Limit = 50, after: After = None, form: Form = None, state: Wanted = None
) -> Response:
    """The newest first. `standing` is what the one that never ends has proven: through when, how long ago, what differs."""
    del form
    jobs = newest(_told, kind=KIND, state=state, after=after, limit=limit)

    def find(connection: Connection) -> Page:
        page = jobs(connection)
        return Page(page.items, page.after, extra={"standing": verified.standing(connection).told_now()})

    return await reader.answer(request, who, now_standing, find)


@router.get("/{verification_id}", summary="Une vérification / One verification", responses={**ONE, 200: {"model": VerificationShown}})
async def show_verification(request: Request, verification_id: UUID, who: Onlooker, reader: Reading) -> Response:
    """How far it is, and what differs so far."""
    return await reader.answer(request, who, now_standing, lambda connection: Page(one(_told, KIND, verification_id)(connection)))


ordering = APIRouter(prefix=f"{PREFIX}/verifications/{{verification_id}}", tags=[TAG], dependencies=[Depends(json_if_anything)])


@ordering.post("/pause", summary="Suspendre une vérification / Pause a verification", responses=ORDERED)
async def pause_verification(request: Request, verification_id: UUID, who: Operator, body: Why | None = None) -> VerificationShown:
    """It stays where it is, after the store that it is looking at."""
    return await _shown(request, lambda engine: job_orders.order(engine, KIND, verification_id, "pause", **why(who, body))[0])


@ordering.post("/resume", summary="Reprendre une vérification / Resume a verification", responses=ORDERED)
async def resume_verification(request: Request, verification_id: UUID, who: Operator, body: Why | None = None) -> VerificationShown:
    """It goes on with the next store."""
    return await _shown(request, lambda engine: job_orders.order(engine, KIND, verification_id, "resume", **why(who, body))[0])


@ordering.post("/cancel", summary="Abandonner une vérification / Cancel a verification", responses=ORDERED)
async def cancel_verification(request: Request, verification_id: UUID, who: Operator, body: Why | None = None) -> VerificationShown:
    """What it found so far stays."""
    return await _shown(request, lambda engine: job_orders.order(engine, KIND, verification_id, "cancel", **why(who, body))[0])


async def _shown(request: Request, deed: Callable[[Engine], Job]) -> VerificationShown:
    engine = engine_of(request)

    def work() -> dict[str, Any]:
        found = deed(engine)
        with engine.connect() as connection:
            return _told(connection, found)

    return VerificationShown.model_validate(await asyncio.to_thread(work))


def _told(connection: Connection, found: Job) -> dict[str, Any]:
    return verification.told(connection, found, datetime.now(UTC))
