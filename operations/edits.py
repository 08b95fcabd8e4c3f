"""How is what a dead letter says put right, by whom, and who agreed?

The letter stays as it came. What it should have said becomes a letter of its own, with an id of its own, and each names the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import from_json, to_json
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Engine,
    Index,
    LargeBinary,
    Row,
    Table,
    Text,
    Uuid,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from uuid_utils.compat import uuid7

from events.base import UnknownEventType
from infra.database import metadata
from infra.dead_letters import dead_letter
from infra.topology import STOCK_WRITER
from operations.deed import Denied, Refused, done
from operations.json_patch import BadPatch, patched
from operations.sentences import readable
from schemas.envelope import Accepted, MalformedEvent, decode_accepted
from stock.record import NotAllowed, check

KEPT: Final = ("consumer", "exchange", "routing_key", "headers", "reason", "error", "stack", "fingerprint", "failed_at")
"""What the new letter has of the old one: why there is one at all."""
EDITABLE: Final = ("waiting", "parked")
FRESH: Final = ("id", "fingerprint", "replyto")
"""Of the event that is edited these are made anew, or left away: its own id, the print of its content, who waited for an answer."""

dead_letter_edit = Table(
    "dead_letter_edit",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("letter_id", Uuid, nullable=False),
    Column("patch", JSONB, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
    Column("decision_reason", Text),
    Column("new_letter_id", Uuid),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name="state"),
)
Index("ix_dead_letter_edit_letter", dead_letter_edit.c.letter_id, dead_letter_edit.c.proposed_at)
Index(
    "uq_dead_letter_edit_proposed",
    dead_letter_edit.c.letter_id,
    unique=True,
    postgresql_where=text("state = 'proposed'"),
)


@dataclass(frozen=True, slots=True)
class Edition:
    """What a letter should have said: the new event with an id of its own, and its bytes."""

    event: Accepted
    payload: bytes


def edition(letter: Row[Any], patch: Sequence[Mapping[str, Any]]) -> Edition:
    """The letter's event after the patch, checked like any event that arrives.

    Raises Refused (not_editable), BadPatch, MalformedEvent, UnknownEventType, NotAllowed, pydantic.ValidationError.
    """
    if letter.consumer != STOCK_WRITER.name:
        # What the projector reads is in the log, which nobody edits.
        raise Refused("not_editable", consumer=letter.consumer)
    found = patched(readable(letter.payload), patch)
    if not isinstance(found, dict):
        raise MalformedEvent("an event is a JSON object")
    event_id = UUID(int=uuid7().int)
    wire = {**{name: value for name, value in found.items() if name not in FRESH}, "id": str(event_id)}
    return Edition(check(decode_accepted(wire)).head, to_json(wire))


def edit(  # noqa: PLR0913 - who changes what and why, each by its name
    engine: Engine, letter_id: UUID, patch: Sequence[Mapping[str, Any]], *, by: str, reason: str, four_eyes: bool
) -> dict[str, Any]:
    """Edit a letter that waits or is parked; with `four_eyes` propose it to a second person. Answers the edit.

    Raises Refused: unknown_dead_letter, wrong_status (with the status), edit_proposed (with its id), not_editable, and bad_edit, whose
    cause is what `edition` raised.
    """

    def step(connection: Connection) -> dict[str, Any]:
        letter = _locked(connection, letter_id)
        if (pending := _proposed(connection, letter_id)) is not None:
            raise Refused("edit_proposed", edit_id=str(pending.id))
        try:
            made = edition(letter, patch)
        except (BadPatch, MalformedEvent, UnknownEventType, NotAllowed, ValidationError) as error:
            raise Refused("bad_edit") from error
        values = {
            "id": UUID(int=uuid7().int),
            "letter_id": letter_id,
            "patch": list(patch),
            "payload": made.payload,
            "event_id": made.event.event_id,
            "proposed_by": by,
            "reason": reason,
            "state": "proposed",
        }
        row = connection.execute(insert(dead_letter_edit).values(values).returning(dead_letter_edit)).one()
        return _told(row) if four_eyes else _take_effect(connection, letter, row, by=by, reason=None)

    action = "dead-letter.edit.propose" if four_eyes else "dead-letter.edit"
    return done(engine, step, actor=by, action=action, target=str(letter_id), reason=reason, details={"patch": list(patch)})


def decide(engine: Engine, letter_id: UUID, *, agree: bool, by: str, reason: str) -> dict[str, Any]:
    """Approve, or reject, the edit that was proposed of a letter; whoever proposed it may only reject it. Answers the edit.

    Raises Refused: unknown_dead_letter, wrong_status, no_edit, second_person.
    """

    def step(connection: Connection) -> dict[str, Any]:
        letter = _locked(connection, letter_id)
        row = _proposed(connection, letter_id)
        if row is None:
            raise Refused("no_edit")
        if not agree:
            return _decided(connection, row, state="rejected", by=by, reason=reason, new_letter_id=None)
        if row.proposed_by == by:
            raise Denied("second_person", proposed_by=row.proposed_by)
        return _take_effect(connection, letter, row, by=by, reason=reason)

    action = "dead-letter.edit.approve" if agree else "dead-letter.edit.reject"
    return done(engine, step, actor=by, action=action, target=str(letter_id), reason=reason)


def _locked(connection: Connection, letter_id: UUID) -> Row[Any]:
    letter = connection.execute(select(dead_letter).where(dead_letter.c.id == letter_id).with_for_update()).first()
    if letter is None:
        raise Refused("unknown_dead_letter")
    if letter.status not in EDITABLE:
        raise Refused("wrong_status", state=letter.status)
    return letter


def _proposed(connection: Connection, letter_id: UUID) -> Row[Any] | None:
    column = dead_letter_edit.c
    return connection.execute(select(dead_letter_edit).where(column.letter_id == letter_id, column.state == "proposed")).first()


def _take_effect(connection: Connection, letter: Row[Any], row: Row[Any], *, by: str, reason: str | None) -> dict[str, Any]:
    """A new letter beside the old one, each naming the other."""
    event = decode_accepted(from_json(row.payload))
    new_id = UUID(int=uuid7().int)
    kept = {name: getattr(letter, name) for name in KEPT}
    own = {
        "id": new_id,
        "message_id": f"edit-{row.id}",
        "event_id": event.event_id,
        "type": event.type,
        "store_id": event.store_id,
        "traceparent": event.traceparent,
        "attempts": 0,
        "status": "waiting",
        "status_at": func.clock_timestamp(),
        "status_by": by,
        "status_reason": row.reason,
        "payload": row.payload,
        "original_id": letter.id,
    }
    connection.execute(insert(dead_letter).values({**kept, **own}))
    story = {"status": "edited", "status_at": func.clock_timestamp(), "status_by": by, "status_reason": row.reason, "edited_id": new_id}
    connection.execute(update(dead_letter).where(dead_letter.c.id == letter.id).values(story))
    return _decided(connection, row, state="approved", by=by, reason=reason, new_letter_id=new_id)


def _decided(  # noqa: PLR0913 - a decision, each part by its name
    connection: Connection, row: Row[Any], *, state: str, by: str, reason: str | None, new_letter_id: UUID | None
) -> dict[str, Any]:
    values = {
        "state": state,
        "decided_by": by,
        "decided_at": func.clock_timestamp(),
        "decision_reason": reason,
        "new_letter_id": new_letter_id,
    }
    changed = update(dead_letter_edit).where(dead_letter_edit.c.id == row.id).values(values).returning(dead_letter_edit)
    return _told(connection.execute(changed).one())


def _told(row: Row[Any]) -> dict[str, Any]:
    names = ("letter_id", "new_letter_id", "event_id", "state", "patch", "proposed_by", "proposed_at", "reason")
    decision = ("decided_by", "decided_at", "decision_reason")
    return {"edit_id": row.id, **{name: getattr(row, name) for name in (*names, *decision)}, "payload": from_json(row.payload)}
