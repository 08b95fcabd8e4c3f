"""How does an operator build a projection again, look at what would change, let everybody see it, and go back?"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine

from api.auth import JSON, takes
from api.document import LISTED, ONE
from api.operators import PREFIX, TAG, Onlooker, Operator, Reason, building_engine_of, json_if_anything, now_standing
from api.operators_jobs import newest, one
from api.problems import problem_responses
from api.reading import Page
from api.reads import After, Form, Limit, Reading
from api.tokens import Principal
from operations import job, job_orders, rebuild, swap
from operations.job import Job
from operations.rebuild import KIND
from projections import generations

MOST_PER_SECOND: Final = 1_000_000
Wanted = Annotated[job.State | None, Query(alias="state")]
REFUSALS: Final = ("unauthorized", "forbidden", "invalid_content", "database_unavailable")


class RebuildOrder(BaseModel):
    """Which projection, how fast at most (events a second; as fast as it goes when nothing is said), and why."""

    model_config = ConfigDict(extra="forbid")

    projection: Annotated[str, Field(max_length=64)]
    max_per_second: Annotated[float | None, Field(ge=1, le=MOST_PER_SECOND)] = None
    reason: Reason | None = None


class RebuildReason(BaseModel):
    """RebuildReason it is done: for the audit log."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


NOTHING_SAID: Final = RebuildReason()


class Example(BaseModel):
    """A cell that differs: `before` as everybody sees it, `after` as it was built; null where there is none."""

    key: dict[str, Any]
    before: dict[str, int] | None
    after: dict[str, int] | None
    change: dict[str, int]


class TableDiff(BaseModel):
    """What differs in one table. `live` and `rebuilt`: the cells of each; `sums`: each amount added up; `examples`: the largest first."""

    added: int
    removed: int
    changed: int
    live: int
    rebuilt: int
    sums: dict[str, dict[str, int]]
    examples: list[Example]


class Diff(BaseModel):
    """`cells` is the number of cells that differ."""

    cells: int
    tables: dict[str, TableDiff]


class Apart(BaseModel):
    """A store in which the live build stopped before the end of the log: there the two can't stand at the same place."""

    store_id: str
    live: int
    rebuilt: int


class RebuildShown(BaseModel):
    """One rebuild. `done` and `total` are events; `phase` is fold, finish (making tables) or follow (what was recorded meanwhile).

    `generation` is the build's number, `live_generation` that of the one that everybody sees, `replaced` that of the one it replaced.
    """

    id: UUID
    kind: str
    projection: str
    state: str
    phase: str | None
    done: int
    total: int | None
    rate: float
    eta_seconds: float | None
    diff: Diff | None
    apart: list[Apart]
    compared_at: datetime | None
    generation: int | None
    live_generation: int
    replaced: int | None
    started_over: int
    succeeded: int
    failed: int
    max_per_second: float | None
    error: str | None
    reason: str | None
    created_at: datetime
    created_by: str
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


router = APIRouter(prefix=f"{PREFIX}/rebuilds", tags=[TAG])


@router.post(
    "",
    summary="Reconstruire une projection / Rebuild a projection",
    status_code=202,
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses(*REFUSALS, "unsupported_media_type", "unknown_projection", "rebuild_running"),
)
async def start_rebuild(request: Request, response: Response, body: RebuildOrder, who: Operator) -> RebuildShown:
    """It is built beside the live one, which goes on; nobody sees anything of it before it is promoted."""

    def begin(engine: Engine) -> Job:
        return rebuild.start(engine, body.projection, by=who.username, reason=body.reason, max_per_second=body.max_per_second)

    shown = await _shown(building_engine_of(request), begin)
    response.headers["Location"] = f"{PREFIX}/rebuilds/{shown.id}"
    return shown


@router.get("", summary="Reconstructions / Rebuilds", responses=LISTED)
async def list_rebuilds(
    request: Request, who: Onlooker, reader: Reading, limit: Limit = 50, after: After = None, form: Form = None, state: Wanted = None
) -> Response:
    """The newest first."""
    del form
    return await reader.answer(request, who, now_standing, newest(_told, kind=KIND, state=state, after=after, limit=limit))


@router.get("/{rebuild_id}", summary="Une reconstruction / One rebuild", responses={**ONE, 200: {"model": RebuildShown}})
async def show_rebuild(request: Request, rebuild_id: UUID, who: Onlooker, reader: Reading) -> Response:
    """How far it is, and, once it is ready, what would change."""
    return await reader.answer(request, who, now_standing, lambda connection: Page(one(_told, KIND, rebuild_id)(connection)))


ordering = APIRouter(prefix=f"{PREFIX}/rebuilds/{{rebuild_id}}", tags=[TAG], dependencies=[Depends(json_if_anything)])
ORDERED: Final = problem_responses(*REFUSALS, "unsupported_media_type", "unknown_job", "wrong_status")
SWAPPED: Final = problem_responses(*REFUSALS, "unsupported_media_type", "unknown_job", "wrong_status", "rebuild_behind", "rebuild_outdated")


@ordering.post("/pause", summary="Suspendre une reconstruction / Pause a rebuild", responses=ORDERED)
async def pause_rebuild(request: Request, rebuild_id: UUID, who: Operator, body: RebuildReason = NOTHING_SAID) -> RebuildShown:
    """It stays where it is."""
    return await _shown(
        building_engine_of(request), lambda engine: job_orders.order(engine, KIND, rebuild_id, "pause", **_why(who, body))[0]
    )


@ordering.post("/resume", summary="Relancer une reconstruction / Resume a rebuild", responses=ORDERED)
async def resume_rebuild(request: Request, rebuild_id: UUID, who: Operator, body: RebuildReason = NOTHING_SAID) -> RebuildShown:
    """It goes on where it was. One that is ready makes up for what it lacks and is compared again."""
    return await _shown(building_engine_of(request), lambda engine: swap.resume(engine, rebuild_id, **_why(who, body)))


@ordering.post("/cancel", summary="Abandonner une reconstruction / Cancel a rebuild", responses=ORDERED)
async def cancel_rebuild(request: Request, rebuild_id: UUID, who: Operator, body: RebuildReason = NOTHING_SAID) -> RebuildShown:
    """What it made is removed; the live one was never touched."""
    return await _shown(building_engine_of(request), lambda engine: swap.cancel(engine, rebuild_id, **_why(who, body)))


@ordering.post("/promote", summary="Promouvoir une reconstruction / Promote a rebuild", responses=SWAPPED)
async def promote_rebuild(request: Request, rebuild_id: UUID, who: Operator, body: RebuildReason = NOTHING_SAID) -> RebuildShown:
    """From now on everybody sees it, from one moment to the next; the one they saw is kept."""
    return await _shown(building_engine_of(request), lambda engine: swap.promote(engine, rebuild_id, **_why(who, body)))


@ordering.post("/rollback", summary="Revenir en arrière / Roll a rebuild back", responses=SWAPPED)
async def roll_back_rebuild(request: Request, rebuild_id: UUID, who: Operator, body: RebuildReason = NOTHING_SAID) -> RebuildShown:
    """Everybody sees the one again that was replaced, with all that was recorded since. It can be promoted again."""
    return await _shown(building_engine_of(request), lambda engine: swap.rollback(engine, rebuild_id, **_why(who, body)))


def _why(who: Principal, body: RebuildReason) -> dict[str, Any]:
    return {"by": who.username, "reason": body.reason}


async def _shown(engine: Engine, deed: Callable[[Engine], Job]) -> RebuildShown:
    def work() -> dict[str, Any]:
        found = deed(engine)
        with engine.connect() as connection:
            return _told(connection, found)

    return RebuildShown.model_validate(await asyncio.to_thread(work))


def _told(connection: Connection, found: Job) -> dict[str, Any]:
    return rebuild.told(found, datetime.now(UTC), generations.numbers(connection))
