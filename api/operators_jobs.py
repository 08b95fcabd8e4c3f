"""What is being mended, and what was, of every kind?"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.document import LISTED
from api.operators import PREFIX, TAG, Onlooker, now_standing
from api.reading import Page, after_of, instant_part, paged
from api.reads import PRINTABLE, After, Form, Limit, Reading
from operations import job
from operations.job import State

router = APIRouter(prefix=PREFIX, tags=[TAG])


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
    place = after_of(after, instant_part)

    def find(connection: Connection) -> Page:
        found = job.page(connection, kind=kind, state=state, before=place[0] if place else None, limit=limit + 1)
        now = datetime.now(UTC)
        return paged([job.told(each, now) for each in found], limit, "created_at")

    return await reader.answer(request, who, now_standing, find)
