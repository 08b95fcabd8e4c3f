"""How does an operator let a consumer, a projection or one store of it wait, and go on?"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from api.auth import JSON, takes
from api.operators import PREFIX, TAG, Operator, Reason, engine_of
from api.problems import problem_responses
from events.fields import Instant, StoreIdField
from infra.pauses import Target
from operations import pauses
from operations.pauses import Outcome

REFUSALS: Final = ("unauthorized", "forbidden", "unsupported_media_type", "invalid_content", "database_unavailable")


def _yet_to_come(until: datetime) -> datetime:
    if until <= datetime.now(UTC):
        kind = "datetime_future"
        raise PydanticCustomError(kind, "until")
    return until


Until = Annotated[Instant, AfterValidator(_yet_to_come)]


class PauseOrder(BaseModel):
    """Why, and until when: without an end it lasts until someone ends it."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    until: Until | None = None


class ResumeOrder(BaseModel):
    """Why it goes on."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class ProjectionPauseOrder(PauseOrder):
    """The same for one store of a projection, or for the whole."""

    store_id: StoreIdField | None = None


class ProjectionResumeOrder(ResumeOrder):
    """The same for one store of a projection, or for the whole."""

    store_id: StoreIdField | None = None


class PauseShown(BaseModel):
    """A pause that holds. `store_id` null: of all stores."""

    store_id: str | None
    reason: str
    by: str
    at: datetime
    until: datetime | None


class ConsumerOutcome(BaseModel):
    """What holds now. `changed` false: it held before."""

    name: str
    state: Literal["paused", "running"]
    changed: bool
    pauses: list[PauseShown]


class ProjectionOutcome(BaseModel):
    """What holds now for the projection, or for the store that was named. `changed` false: it held before."""

    name: str
    store_id: str | None
    state: Literal["paused", "live"]
    changed: bool
    pauses: list[PauseShown]


router = APIRouter(prefix=PREFIX, tags=[TAG], dependencies=[Depends(takes(*JSON))])


@router.post(
    "/consumers/{name}/pause",
    summary="Mettre un consommateur en pause / Pause a consumer",
    responses=problem_responses(*REFUSALS, "unknown_consumer"),
)
async def pause_consumer(request: Request, name: str, body: PauseOrder, who: Operator) -> ConsumerOutcome:
    """Every process of the consumer gives back its messages and takes no others. Repeated, it takes the new reason and end."""
    return ConsumerOutcome(**await _pause(request, Target("consumer", name), body, who.username))


@router.post(
    "/consumers/{name}/resume",
    summary="Relancer un consommateur / Resume a consumer",
    responses=problem_responses(*REFUSALS, "unknown_consumer"),
)
async def resume_consumer(request: Request, name: str, body: ResumeOrder, who: Operator) -> ConsumerOutcome:
    """It takes messages again, the oldest first."""
    return ConsumerOutcome(**await _resume(request, Target("consumer", name), body, who.username))


@router.post(
    "/projections/{name}/pause",
    summary="Mettre une projection en pause / Pause a projection",
    responses=problem_responses(*REFUSALS, "unknown_projection", "unknown_store"),
)
async def pause_projection(request: Request, name: str, body: ProjectionPauseOrder, who: Operator) -> ProjectionOutcome:
    """Its figures, or one store's, stay as they are and say so; the others go on."""
    return ProjectionOutcome(**await _pause(request, Target("projection", name, body.store_id), body, who.username))


@router.post(
    "/projections/{name}/resume",
    summary="Relancer une projection / Resume a projection",
    responses=problem_responses(*REFUSALS, "unknown_projection", "unknown_store"),
)
async def resume_projection(request: Request, name: str, body: ProjectionResumeOrder, who: Operator) -> ProjectionOutcome:
    """It catches up from the log at once, also in the stores where it stopped at an event; what still fails stops again.

    A pause of the whole isn't ended by naming a store, nor that of a store by naming none.
    """
    return ProjectionOutcome(**await _resume(request, Target("projection", name, body.store_id), body, who.username))


async def _pause(request: Request, target: Target, order: PauseOrder, by: str) -> dict[str, Any]:
    return await _done(pauses.pause, request, target, by=by, reason=order.reason, until=order.until)


async def _resume(request: Request, target: Target, order: ResumeOrder, by: str) -> dict[str, Any]:
    return await _done(pauses.resume, request, target, by=by, reason=order.reason)


async def _done(deed: Callable[..., Outcome], request: Request, target: Target, **order: object) -> dict[str, Any]:
    found = await asyncio.to_thread(deed, engine_of(request), target, **order)
    return found.told()
