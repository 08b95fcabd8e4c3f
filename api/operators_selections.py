"""How are dead letters chosen, so that everybody means the same ones?"""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection

from api.auth import JSON, takes
from api.document import LISTED, ONE
from api.operators import PREFIX, TAG, Onlooker, Operator, engine_of, now_standing
from api.operators_letters import Why
from api.problems import problem_responses
from api.reading import Page, after_of, instant_part, paged
from api.reads import PRINTABLE, After, Form, Limit, Reading
from events.fields import Instant, StoreIdField
from operations import selections, shelving
from operations.letter_query import Query as Sought
from operations.letter_query import Status

REFUSALS: Final = ("unauthorized", "forbidden", "unsupported_media_type", "invalid_content", "database_unavailable")
MOST_IDS: Final = 500
Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=PRINTABLE)]
router = APIRouter(prefix=PREFIX, tags=[TAG])


class Wanted(BaseModel):
    """Which letters: all that is named must hold. Without a status those that wait. `from` ≤ failed_at < `to`; `ids` are letters."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_IDS)] | None = None
    status: Status | None = None
    fingerprint: Word | None = None
    type: Word | None = None
    store: Annotated[StoreIdField | None, Field(validation_alias=AliasChoices("store", "store_id"))] = None
    consumer: Word | None = None
    reason: Word | None = None
    event_id: UUID | None = None
    search: Word | None = None
    since: Annotated[Instant | None, Field(alias="from")] = None
    until: Annotated[Instant | None, Field(alias="to")] = None

    def sought(self) -> Sought:
        """As the operations take it."""
        named = self.model_dump(exclude={"store"})
        return Sought(store_id=self.store, **named)


class SelectionOrder(BaseModel):
    """What to choose."""

    model_config = ConfigDict(extra="forbid")

    query: Wanted


class SelectionMade(BaseModel):
    """What was chosen. `digest` differs when the letters do."""

    selection_id: UUID
    created_at: datetime
    created_by: str
    query: dict[str, Any]
    count: int
    digest: str


class SelectionShelved(BaseModel):
    """How many letters of a selection were parked or restored now."""

    selection_id: UUID
    count: int
    changed: int


@router.post(
    "/selections",
    status_code=201,
    summary="Figer une sélection / Freeze a selection",
    responses=problem_responses(*REFUSALS, "selection_too_large"),
    dependencies=[Depends(takes(*JSON))],
)
async def freeze_selection(request: Request, response: Response, body: SelectionOrder, who: Operator) -> SelectionMade:
    """Choose dead letters and freeze the choice: letters that come afterwards are not in it."""
    found = await asyncio.to_thread(selections.freeze, engine_of(request), body.query.sought(), by=who.username)
    response.headers["Location"] = f"{PREFIX}/selections/{found.id}"
    return SelectionMade(**found.told())


@router.get("/selections", summary="Sélections / Selections", responses=LISTED)
async def list_selections(
    *, request: Request, who: Onlooker, reader: Reading, limit: Limit = 50, after: After = None, form: Form = None
) -> Response:
    """The newest first."""
    del form
    place = after_of(after, instant_part)

    def find(connection: Connection) -> Page:
        return paged(selections.page(connection, before=place[0] if place else None, limit=limit + 1), limit, "created_at")

    return await reader.answer(request, who, now_standing, find)


@router.get(
    "/selections/{selection_id}", summary="Une sélection / One selection", responses={**ONE, **problem_responses("unknown_selection")}
)
async def show_selection(request: Request, selection_id: UUID, who: Onlooker, reader: Reading) -> Response:
    """What was chosen, and how its letters stand now."""

    def find(connection: Connection) -> Page:
        found = selections.require(connection, selection_id).told()
        return Page({**found, "statuses": selections.statuses(connection, selection_id)})

    return await reader.answer(request, who, now_standing, find)


@router.post(
    "/selections/{selection_id}/park",
    summary="Mettre une sélection de côté / Park a selection",
    responses=problem_responses(*REFUSALS, "unknown_selection"),
    dependencies=[Depends(takes(*JSON))],
)
async def park_selection(request: Request, selection_id: UUID, body: Why, who: Operator) -> SelectionShelved:
    """Park its letters, those that wait still."""
    return await _shelve(request, selection_id, "park", body, who.username)


@router.post(
    "/selections/{selection_id}/restore",
    summary="Reprendre une sélection / Restore a selection",
    responses=problem_responses(*REFUSALS, "unknown_selection"),
    dependencies=[Depends(takes(*JSON))],
)
async def restore_selection(request: Request, selection_id: UUID, body: Why, who: Operator) -> SelectionShelved:
    """Restore its letters, those that are parked."""
    return await _shelve(request, selection_id, "restore", body, who.username)


async def _shelve(request: Request, selection_id: UUID, verb: shelving.Verb, body: Why, by: str) -> SelectionShelved:
    found = await asyncio.to_thread(shelving.shelve_selection, engine_of(request), selection_id, verb, by=by, reason=body.reason)
    return SelectionShelved(**found)
