"""What is being mended, and what was, of every kind?"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.document import LISTED
from api.operators import PREFIX, TAG, Onlooker, now_standing
from api.reading import Page, after_of, instant_part, paged
from api.reads import PRINTABLE, After, Form, Limit, Reading
from operations import job
from operations.deed import Refused
from operations.job import Job, State

router = APIRouter(prefix=PREFIX, tags=[TAG])
Told = Callable[[Connection, Job], Mapping[str, Any]]
"""What is told of one job."""


def newest(told: Told, *, kind: str | None, state: State | None, after: str | None, limit: int) -> Callable[[Connection], Page]:
    """A page of jobs, the newest first. `kind` and `state` None: of any. Raises Problem bad_cursor."""
    place = after_of(after, instant_part)

    def find(connection: Connection) -> Page:
        found = job.page(connection, kind=kind, state=state, before=place[0] if place else None, limit=limit + 1)
        return paged([told(connection, each) for each in found], limit, "created_at")

    return find


def one(told: Told, kind: str, job_id: UUID) -> Callable[[Connection], Mapping[str, Any]]:
    """What is told of one job of that kind; Refused unknown_job when there is none."""

    def find(connection: Connection) -> Mapping[str, Any]:
        found = job.find(connection, job_id, kind)
        if found is None:
            raise Refused("unknown_job")
        return told(connection, found)

    return find


@router.get("/jobs", summary="Tâches / Jobs", responses=LISTED)
async def list_jobs(
    *,
    request: Request,
    who: Onlooker,
    reader: Reading,
    kind: Annotated[str | None, Query(max_length=32, pattern=PRINTABLE)] = None,
    state: State | None = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """Redrives, rebuilds, replays and verifications, the newest first; each kind's own address tells more of it."""
    del form
    find = newest(lambda _, each: job.told(each, datetime.now(UTC)), kind=kind, state=state, after=after, limit=limit)
    return await reader.answer(request, who, now_standing, find)
