"""How does what somebody does get into the audit log, and who may read it there?"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection, Engine

from api.document import LISTED
from api.problems import Problem
from api.reading import Page, after_of, number_part, paged
from api.reads import After, Form, Limit, Reading
from api.security import Guard
from api.tokens import Principal
from events.fields import Instant
from infra import audit
from infra.audit import Outcome
from projections.standing import Standing

T = TypeVar("T")
NAMED: Final = r"^[^\x00-\x1f\x7f]{1,200}$"
Named = Annotated[str | None, Query(pattern=NAMED)]
router = APIRouter(prefix="/api/v2/ops", tags=["operators"])


async def audited(
    engine: Engine,
    who: Principal,
    action: str,
    target: str,
    step: Callable[[Connection], T],
    *,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> T:
    """Do `step` in a transaction that also notes it as done; noted as failed, with the refusal's code, when it raises a `Problem`."""

    def note(connection: Connection, outcome: Outcome, why: str | None) -> None:
        audit.note(connection, actor=who.username, action=action, target=target, outcome=outcome, reason=why, details=details)

    def run() -> T:
        try:
            with engine.begin() as connection:
                found = step(connection)
                note(connection, "done", reason)
                return found
        except Problem as problem:
            with engine.begin() as connection:
                note(connection, "failed", problem.code)
            raise

    return await asyncio.to_thread(run)


@router.get("/audit-log", summary="Journal d'audit / Audit log", responses=LISTED)
async def list_audit_log(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("ops.read"))],
    reader: Reading,
    actor: Named = None,
    action: Named = None,
    target: Named = None,
    outcome: Outcome | None = None,
    since: Annotated[Instant | None, Query(alias="from")] = None,
    until: Annotated[Instant | None, Query(alias="to")] = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """Who did what, was refused it, or failed at it; the newest first."""
    del form
    place = after_of(after, number_part)
    wanted = audit.Wanted(actor=actor, action=action, target=target, outcome=outcome, since=since, until=until)

    def standing(connection: Connection) -> Standing:
        return Standing(
            position=f"audit:{audit.newest(connection)}", as_of=datetime.now(UTC), lag_seconds=0.0, stalled_stores=(), timezone="UTC"
        )

    def find(connection: Connection) -> Page:
        return paged(audit.page(connection, wanted, before=place[0] if place else None, limit=limit + 1), limit, "id")

    return await reader.answer(request, who, standing, find)
