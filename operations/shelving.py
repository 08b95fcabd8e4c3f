"""How is a dead letter set aside that can't be mended, and taken up again?"""

from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Engine, Select, func, or_, select, update

from infra.dead_letters import dead_letter
from operations.deed import Refused, done
from operations.job import job
from operations.selections import require, selection_item

Verb = Literal["park", "restore"]
OVER: Final = ("done", "cancelled", "failed", "stopped")
TARGETS: Final[dict[Verb, str]] = {"park": "parked", "restore": "waiting"}


def shelve(engine: Engine, letter_id: UUID, verb: Verb, *, by: str, reason: str) -> dict[str, Any]:
    """Park a letter that waits; or restore one that is parked, or whose redrive ended without a word of it.

    Repeated it changes nothing, and says so. Raises Refused: unknown_dead_letter, wrong_status (with the status).
    """

    def step(connection: Connection) -> dict[str, Any]:
        changed = _move(connection, select(dead_letter.c.id).where(dead_letter.c.id == letter_id), verb, by=by, reason=reason)
        status = connection.scalar(select(dead_letter.c.status).where(dead_letter.c.id == letter_id))
        if status is None:
            raise Refused("unknown_dead_letter")
        if status != TARGETS[verb]:
            raise Refused("wrong_status", status_of_letter=status)
        return {"id": letter_id, "status": status, "changed": changed > 0}

    return done(engine, step, actor=by, action=f"dead-letter.{verb}", target=str(letter_id), reason=reason)


def shelve_selection(engine: Engine, selection_id: UUID, verb: Verb, *, by: str, reason: str) -> dict[str, Any]:
    """The same for each letter of a selection that has the right status still; answers how many had. Raises Refused (unknown_selection)."""

    def step(connection: Connection) -> dict[str, Any]:
        count = require(connection, selection_id).count
        chosen = select(selection_item.c.letter_id).where(selection_item.c.selection_id == selection_id)
        return {"selection_id": selection_id, "count": count, "changed": _move(connection, chosen, verb, by=by, reason=reason)}

    return done(engine, step, actor=by, action=f"selection.{verb}", target=str(selection_id), reason=reason)


def _move(connection: Connection, ids: Select[tuple[UUID]], verb: Verb, *, by: str, reason: str) -> int:
    column = dead_letter.c
    ended = select(job.c.id).where(job.c.id == column.redrive_id, job.c.state.in_(OVER)).exists()
    allowed = column.status == "waiting" if verb == "park" else or_(column.status == "parked", (column.status == "redriving") & ended)
    moved = connection.execute(
        update(dead_letter)
        .where(column.id.in_(ids), allowed)
        .values(status=TARGETS[verb], status_at=func.clock_timestamp(), status_by=by, status_reason=reason)
    )
    return int(moved.rowcount)
