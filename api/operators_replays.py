"""How does an operator publish a stretch of the log again to one queue, and see beforehand what that would be?"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection

from api.auth import JSON, takes
from api.document import LISTED, ONE
from api.operators import PREFIX, TAG, Onlooker, Operator, Reason, Why, engine_of, json_if_anything, now_standing, why
from api.operators_jobs import newest, one
from api.problems import Problem, problem_responses
from api.reading import Page
from api.reads import After, Form, Limit, Reading
from events.fields import Instant, SkuField, StoreIdField
from infra import queues
from infra.connection import BrokerUnavailable
from operations import job, job_orders, replay
from operations.job import Job
from operations.replay import KIND
from operations.stretch import Stretch

REFUSALS: Final = ("unauthorized", "forbidden", "unsupported_media_type", "invalid_content", "database_unavailable")
ORDERED: Final = problem_responses(*REFUSALS, "unknown_job", "wrong_status")
MOST_PER_SECOND: Final = 100_000
Wanted = Annotated[job.State | None, Query(alias="state")]
QueueName = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
TypeName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z]+(\.[a-z_]+)+$")]


class Filter(BaseModel):
    """Which events: of one store, of one type, with one SKU in them; null doesn't matter."""

    model_config = ConfigDict(extra="forbid")

    store: StoreIdField | None = None
    type: TypeName | None = None
    sku: SkuField | None = None


class ReplayOrder(BaseModel):
    """What was recorded from `from` on and before `to` (now, unless something else is said), to which queue, how fast at most, why.

    With `dry_run` nothing is published: the answer counts the events that are meant and shows the first.
    """

    model_config = ConfigDict(extra="forbid")

    since: Annotated[Instant | None, Field(alias="from")] = None
    until: Annotated[Instant | None, Field(alias="to")] = None
    filter: Filter = Filter()
    queue: QueueName
    max_per_second: Annotated[float | None, Field(ge=0.1, le=MOST_PER_SECOND)] = None
    dry_run: bool = False
    reason: Reason | None = None


class Sampled(BaseModel):
    """An event that is meant."""

    event_id: UUID
    type: str
    store_id: str
    seq: int
    outcome: str
    occurred_at: datetime
    recorded_at: datetime


class ReplayShown(BaseModel):
    """One replay. `total` null: still being counted. `sample` are the first events that are meant."""

    id: UUID
    kind: str
    state: str
    queue: str
    since: Annotated[datetime | None, Field(alias="from")]
    until: Annotated[datetime | None, Field(alias="to")]
    filter: Filter
    sample: list[Sampled]
    total: int | None
    done: int
    succeeded: int
    failed: int
    rate: float
    eta_seconds: float | None
    dry_run: bool
    max_per_second: float | None
    error: str | None
    reason: str | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


router = APIRouter(prefix=f"{PREFIX}/replays", tags=[TAG])


@router.post(
    "",
    summary="Rejouer le journal / Replay the log",
    status_code=202,
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses(*REFUSALS, "unknown_queue", "broker_unavailable"),
)
async def start_replay(request: Request, response: Response, body: ReplayOrder, who: Operator) -> ReplayShown:
    """A stretch of the log, published again to one queue, one event a message as on the feed, each with the header `magasin-replay`."""
    await _require_queue(request, body.queue)
    stretch = Stretch(body.since, body.until, body.filter.store, body.filter.type, body.filter.sku)
    how: dict[str, Any] = {"by": who.username, "reason": body.reason, "max_per_second": body.max_per_second, "dry_run": body.dry_run}
    shown = await _shown(lambda: replay.order(engine_of(request), stretch, body.queue, **how))
    response.headers["Location"] = f"{PREFIX}/replays/{shown.id}"
    return shown


@router.get("", summary="Rejeux / Replays", responses=LISTED)
async def list_replays(
    request: Request, who: Onlooker, reader: Reading, limit: Limit = 50, after: After = None, form: Form = None, state: Wanted = None
) -> Response:
    """The newest first, those that only counted too."""
    del form
    return await reader.answer(request, who, now_standing, newest(_told, kind=KIND, state=state, after=after, limit=limit))


@router.get("/{replay_id}", summary="Un rejeu / One replay", responses={**ONE, 200: {"model": ReplayShown}})
async def show_replay(request: Request, replay_id: UUID, who: Onlooker, reader: Reading) -> Response:
    """How far it is."""
    return await reader.answer(request, who, now_standing, lambda connection: Page(one(_told, KIND, replay_id)(connection)))


ordering = APIRouter(prefix=f"{PREFIX}/replays/{{replay_id}}", tags=[TAG], dependencies=[Depends(json_if_anything)])


@ordering.post("/pause", summary="Suspendre un rejeu / Pause a replay", responses=ORDERED)
async def pause_replay(request: Request, replay_id: UUID, who: Operator, body: Why | None = None) -> ReplayShown:
    """It stays where it is."""
    return await _shown(lambda: job_orders.order(engine_of(request), KIND, replay_id, "pause", **why(who, body))[0])


@ordering.post("/resume", summary="Reprendre un rejeu / Resume a replay", responses=ORDERED)
async def resume_replay(request: Request, replay_id: UUID, who: Operator, body: Why | None = None) -> ReplayShown:
    """It goes on after the last event that it published; also one that failed."""
    return await _shown(lambda: job_orders.order(engine_of(request), KIND, replay_id, "resume", **why(who, body))[0])


@ordering.post("/cancel", summary="Abandonner un rejeu / Cancel a replay", responses=ORDERED)
async def cancel_replay(request: Request, replay_id: UUID, who: Operator, body: Why | None = None) -> ReplayShown:
    """Nothing more is published; what was is in the queue."""
    return await _shown(lambda: job_orders.order(engine_of(request), KIND, replay_id, "cancel", **why(who, body))[0])


async def _require_queue(request: Request, name: str) -> None:
    try:
        there = await queues.exists(request.app.state.settings.amqp_url, name)
    except BrokerUnavailable as error:
        raise Problem("broker_unavailable") from error
    if not there:
        raise Problem("unknown_queue")


async def _shown(deed: Callable[[], Job]) -> ReplayShown:
    found = await asyncio.to_thread(deed)
    return ReplayShown.model_validate(replay.told(found, datetime.now(UTC)))


def _told(_: Connection, found: Job) -> dict[str, Any]:
    return replay.told(found, datetime.now(UTC))
