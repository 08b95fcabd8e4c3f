"""What became of an event: accepted, recorded, refused, dead-lettered; and which projections have it?"""

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic_core import to_json
from sqlalchemy import Connection, Engine, select

from api.problems import Problem
from api.security import CASHIER, Guard
from api.tokens import Principal
from infra import event_log
from infra.dead_letters import dead_letter
from infra.memory import Memory, Unsure
from projections import PROJECTIONS
from projections.checkpoint import LIVE, checkpoint
from schemas.envelope import CATALOGUE_STREAM, Recorded

router = APIRouter(prefix="/api/v2", tags=["events"])
NOT_FOR_TILLS = frozenset({"variances", "left"})
"""Members of an effect that a cashier isn't told: what a blind count should have found, and what goods had cost."""


@router.get("/events/{event_id}", summary="Sort d'un événement / What became of an event")
async def show_event(request: Request, event_id: UUID, who: Annotated[Principal, Depends(Guard("event.read"))]) -> Response:
    """The status of an event, by the log; of one that isn't there yet, by what was accepted lately."""
    engine: Engine = request.app.state.engine
    memory: Memory = request.app.state.memory
    found = await asyncio.to_thread(_look_up, engine, event_id)
    if found is None:
        found = await _accepted(memory, event_id)
    if found is None or (found["store_id"] not in {None, CATALOGUE_STREAM} and not who.may_see(found["store_id"])):
        raise Problem("unknown_event")
    if who.role == CASHIER and found.get("effect"):
        found["effect"] = {name: told for name, told in found["effect"].items() if name not in NOT_FOR_TILLS} or None
    return Response(to_json(found), media_type="application/json", headers={"Cache-Control": "private, no-cache"})


async def _accepted(memory: Memory, event_id: UUID) -> dict[str, Any] | None:
    try:
        seen = await memory.recall(event_id)
    except Unsure:
        seen = None
    if seen is None:
        return None
    told = {"event_id": event_id, "type": seen.type, "store_id": seen.store_id, "status": "accepted"}
    return {**told, "projections": dict.fromkeys(PROJECTIONS, False)}


def _look_up(engine: Engine, event_id: UUID) -> dict[str, Any] | None:
    with engine.connect() as connection:
        found = event_log.known(connection, [event_id])[0].get(event_id)
        return _dead(connection, event_id) if found is None else _told(connection, found[0])


def _told(connection: Connection, event: Recorded) -> dict[str, Any]:
    place = checkpoint.c
    marks = connection.execute(select(place.projection, place.seq).where(place.generation == LIVE, place.store_id == event.store_id))
    reached = {row.projection: row.seq for row in marks}
    return {
        "event_id": event.event_id,
        "type": event.type,
        "store_id": event.store_id,
        "status": event.outcome,
        "seq": event.seq,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "reason": event.reason,
        "effect": event.effect,
        "projections": {name: reached.get(name, 0) >= event.seq for name in PROJECTIONS},
    }


def _dead(connection: Connection, event_id: UUID) -> dict[str, Any] | None:
    letter = dead_letter.c
    row = connection.execute(
        select(letter.type, letter.store_id, letter.reason).where(letter.event_id == event_id).order_by(letter.failed_at.desc())
    ).first()
    if row is None:
        return None
    return {
        "event_id": event_id,
        "type": row.type,
        "store_id": row.store_id,
        "status": "dead_lettered",
        "reason": row.reason,
        "projections": dict.fromkeys(PROJECTIONS, False),
    }
