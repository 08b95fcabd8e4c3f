"""What could not be handled, and what does an operator do with it?"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json
from sqlalchemy import Connection

from api.auth import JSON, takes
from api.document import LISTED, ONE
from api.faults import Fault, faults_of
from api.operators import PREFIX, TAG, Onlooker, Operator, Reason, engine_of, now_standing
from api.problems import Problem, problem_responses
from api.reading import Page, after_of, instant_part, paged, text_part
from api.reads import PRINTABLE, After, Form, Limit, Reading, StoreFilter, Words
from events.base import UnknownEventType
from events.fields import Instant
from operations import dead_letters, edits, shelving
from operations.deed import Refused
from operations.json_patch import MOST_OPERATIONS, BadPatch
from operations.letter_query import Group, Status
from operations.letter_query import Query as Sought
from operations.shelving import Verb
from stock.record import NotAllowed

REFUSALS: Final = ("unauthorized", "forbidden", "unsupported_media_type", "invalid_content", "unknown_dead_letter", "wrong_status")
Named = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE)]


class Why(BaseModel):
    """Why somebody does it."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class EditOrder(Why):
    """What to change: a JSON Patch (RFC 6902) of the event as it was sent, whose places read ``/data/lines/0/quantity``."""

    patch: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=MOST_OPERATIONS)]

    @field_validator("patch")
    @classmethod
    def _can_be_kept(cls, patch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            written = to_json(patch)
        except (PydanticSerializationError, UnicodeEncodeError):
            written = b"\\u0000"
        if b"\\u0000" in written:
            kind = "string_unicode"
            raise PydanticCustomError(kind, "text that can't be kept")
        return patch


class Shelved(BaseModel):
    """How the letter stands now. `changed` false: it stood so before."""

    id: UUID
    status: Status
    changed: bool


class Edited(BaseModel):
    """An edit. `state` proposed: it waits for a second person; approved: `new_letter_id` is the letter that takes the old one's place."""

    edit_id: UUID
    letter_id: UUID
    new_letter_id: UUID | None
    event_id: UUID
    state: str
    patch: list[dict[str, Any]]
    payload: dict[str, Any]
    proposed_by: str
    proposed_at: datetime
    reason: str
    decided_by: str | None
    decided_at: datetime | None
    decision_reason: str | None


router = APIRouter(prefix=f"{PREFIX}/dead-letters", tags=[TAG])


@router.get("", summary="Messages écartés / Dead letters", responses=LISTED)
async def list_dead_letters(
    *,
    request: Request,
    who: Onlooker,
    reader: Reading,
    group_by: Group | None = None,
    status: Status | None = None,
    fingerprint: Named = None,
    type_: Annotated[str | None, Query(alias="type", max_length=200, pattern=PRINTABLE)] = None,
    store: StoreFilter = None,
    consumer: Named = None,
    reason: Named = None,
    event_id: UUID | None = None,
    search: Words = None,
    since: Annotated[Instant | None, Query(alias="from")] = None,
    until: Annotated[Instant | None, Query(alias="to")] = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """Those that failed last first; or, with `group_by`, how many have something in common. `search` looks in errors and payloads."""
    del form
    place = after_of(after, instant_part, text_part)
    sought = Sought(
        status=status,
        fingerprint=fingerprint,
        type=type_,
        store_id=store,
        consumer=consumer,
        reason=reason,
        event_id=event_id,
        search=search or None,
        since=since,
        until=until,
    )

    def find(connection: Connection) -> Page:
        if group_by is not None:
            return Page(dead_letters.groups(connection, sought, group_by))
        before = None if place is None else (place[0], _uuid(place[1]))
        return paged(dead_letters.page(connection, sought, before=before, limit=limit + 1), limit, "failed_at", "id")

    return await reader.answer(request, who, now_standing, find)


@router.get("/{letter_id}", summary="Un message écarté / One dead letter", responses={**ONE, **problem_responses("unknown_dead_letter")})
async def show_dead_letter(request: Request, letter_id: UUID, who: Onlooker, reader: Reading) -> Response:
    """Everything that is known: as a sentence and as it was sent, error and stack, attempts, origin, trace, and where else it left one."""
    return await reader.answer(request, who, now_standing, lambda connection: Page(dead_letters.one(connection, letter_id)))


@router.post(
    "/{letter_id}/park",
    summary="Mettre un message de côté / Park a dead letter",
    responses=problem_responses(*REFUSALS),
    dependencies=[Depends(takes(*JSON))],
)
async def park_dead_letter(request: Request, letter_id: UUID, body: Why, who: Operator) -> Shelved:
    """It no longer waits for anybody. Nothing is lost: it can be restored."""
    return await _shelve(request, letter_id, "park", body, who.username)


@router.post(
    "/{letter_id}/restore",
    summary="Reprendre un message / Restore a dead letter",
    responses=problem_responses(*REFUSALS),
    dependencies=[Depends(takes(*JSON))],
)
async def restore_dead_letter(request: Request, letter_id: UUID, body: Why, who: Operator) -> Shelved:
    """It waits again, having been parked; or having been sent back by a redrive that ended without a word of it."""
    return await _shelve(request, letter_id, "restore", body, who.username)


@router.post(
    "/{letter_id}/edit",
    status_code=201,
    summary="Corriger un message / Edit a dead letter",
    responses=problem_responses(*REFUSALS, "bad_edit", "edit_proposed", "not_editable"),
    dependencies=[Depends(takes(*JSON))],
)
async def edit_dead_letter(request: Request, response: Response, letter_id: UUID, body: EditOrder, who: Operator) -> Edited:
    """A new letter beside the old one, with an id of its own: 201. Where two must agree (`MAGASIN_FOUR_EYES`) it is proposed only: 202."""
    four_eyes: bool = request.app.state.settings.four_eyes

    def work() -> dict[str, Any]:
        return edits.edit(engine_of(request), letter_id, body.patch, by=who.username, reason=body.reason, four_eyes=four_eyes)

    found = Edited(**await _refusing(work))
    response.status_code = 202 if found.state == "proposed" else 201
    response.headers["Location"] = f"{PREFIX}/dead-letters/{found.new_letter_id or letter_id}"
    return found


@router.post(
    "/{letter_id}/edit/approve",
    summary="Approuver une correction / Approve an edit",
    responses=problem_responses(*REFUSALS, "no_edit", "second_person"),
    dependencies=[Depends(takes(*JSON))],
)
async def approve_edit(request: Request, letter_id: UUID, body: Why, who: Operator) -> Edited:
    """The edit that was proposed takes effect; whoever proposed it can't agree with himself."""
    return await _decide(request, letter_id, body, who.username, agree=True)


@router.post(
    "/{letter_id}/edit/reject",
    summary="Rejeter une correction / Reject an edit",
    responses=problem_responses(*REFUSALS, "no_edit"),
    dependencies=[Depends(takes(*JSON))],
)
async def reject_edit(request: Request, letter_id: UUID, body: Why, who: Operator) -> Edited:
    """Nothing comes of the edit that was proposed; whoever proposed it may take it back so."""
    return await _decide(request, letter_id, body, who.username, agree=False)


async def _shelve(request: Request, letter_id: UUID, verb: Verb, body: Why, by: str) -> Shelved:
    return Shelved(**await asyncio.to_thread(shelving.shelve, engine_of(request), letter_id, verb, by=by, reason=body.reason))


async def _decide(request: Request, letter_id: UUID, body: Why, by: str, *, agree: bool) -> Edited:
    return Edited(**await asyncio.to_thread(edits.decide, engine_of(request), letter_id, agree=agree, by=by, reason=body.reason))


async def _refusing(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an edit answers; what is wrong with it as faults with their places."""
    try:
        return await asyncio.to_thread(work)
    except Refused as refused:
        if refused.code != "bad_edit":
            raise
        raise Problem("bad_edit", errors=_faults(refused.__cause__)) from None


def _faults(error: BaseException | None) -> list[Fault]:
    match error:
        case BadPatch():
            return [Fault(f"/patch/{error.place}", error.why)]
        case ValidationError():
            return faults_of(error, ("event", "data"))
        case UnknownEventType():
            return [Fault("/event/type", "unknown_type")]
        case NotAllowed():
            return [Fault("/event/type", "not_allowed")]
        case _:
            return [Fault("/event", "malformed_event")]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem("bad_cursor") from None
