"""Where does a message go that can't be handled, so that nothing is lost and someone can understand it?

Into PostgreSQL, in a transaction, before it is acknowledged. The id is derived from the message, the place in it and what lay there:
parking the same one again after a crash changes nothing, and a publisher that gives all its messages one id (or none) loses none.
"""

import re
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import ValidationError
from sqlalchemy import CheckConstraint, Column, Connection, DateTime, Index, Integer, LargeBinary, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB, insert

from infra.database import metadata
from infra.faults import printable
from infra.redriven import failed_again, mark_of

LETTERS = uuid5(NAMESPACE_URL, "urn:magasin:dead-letters")
STACK_CHARACTERS = 16_000
ERROR_CHARACTERS = 2_000
NAME_CHARACTERS = 255

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("event_id", Uuid),
    Column("type", Text),
    Column("store_id", Text),
    Column("consumer", Text, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("traceparent", Text),
    Column("reason", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("stack", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("failed_at", DateTime(timezone=True), nullable=False),
    Column("status", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # Who gave it the status that it has, when and why; null while it has only failed.
    Column("status_at", DateTime(timezone=True)),
    Column("status_by", Text),
    Column("status_reason", Text),
    # The redrive that it is or was in last, in how many it was, and what went wrong before: a failure pushes the one before it in here.
    Column("redrive_id", Uuid),
    Column("redrives", Integer, nullable=False, server_default=text("0")),
    Column("earlier", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    # Of an edited letter and its edition, each names the other.
    Column("original_id", Uuid),
    Column("edited_id", Uuid),
    CheckConstraint("status IN ('waiting', 'redriving', 'redriven', 'parked', 'edited')", name="status"),
)
Index("ix_dead_letter_event_id", dead_letter.c.event_id)
Index("ix_dead_letter_failed_at", dead_letter.c.failed_at, dead_letter.c.id)
Index("ix_dead_letter_status", dead_letter.c.status, dead_letter.c.fingerprint)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, or one event of it, that could not be handled. `payload` is what was sent, byte for byte."""

    message_id: str
    place: int
    consumer: str
    exchange: str
    routing_key: str
    headers: Mapping[str, Any]
    reason: str
    error: BaseException
    attempts: int
    failed_at: datetime
    payload: bytes
    event_id: UUID | None = None
    type: str | None = None
    store_id: str | None = None
    traceparent: str | None = None
    version: str | None = None


def park(connection: Connection, letters: Iterable[Letter]) -> int:
    """Keep the letters; answers how many weren't there yet, or failed again after they had been sent back."""
    again, rows = 0, []
    for letter in letters:
        row, mark = _row(letter), mark_of(letter.headers)
        if mark is not None and failed_again(connection, mark, row):
            again += 1
        else:
            rows.append(row)
    if not rows:
        return again
    statement = insert(dead_letter).on_conflict_do_nothing(index_elements=["id"]).returning(dead_letter.c.id)
    return again + len(connection.execute(statement, rows).all())


def error_fingerprint(error: BaseException, type_: str | None, version: str | None = None) -> str:
    """Equal for errors of one kind: the class, the event's type and version, and what is wrong without numbers and ids."""
    words = f"{type(error).__name__}|{type_}|{version}|{_words(error)}"
    return blake2b(words.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _words(error: BaseException) -> str:
    """The message without its numbers and ids; of content that doesn't fit its type, which fields are wrong and in which way."""
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        # A list of nothing but bad lines is "too short" too: that says nothing of its own.
        places = {fault["loc"][:depth] for fault in faults for depth in range(len(fault["loc"]))}
        meant = [fault for fault in faults if fault["type"] != "too_short" or fault["loc"] not in places]
        named = {".".join("#" if isinstance(part, int) else part for part in fault["loc"]) + f" {fault['type']}" for fault in meant}
        return "|".join(sorted(named))[:ERROR_CHARACTERS]
    return re.sub(r"[0-9a-f]{8,}|\d+|'[^']*'", "#", str(error).split("\n", 1)[0].lower())


def _row(letter: Letter) -> dict[str, Any]:
    return {
        "id": _letter_id(letter),
        "message_id": printable(letter.message_id, NAME_CHARACTERS),
        "event_id": letter.event_id,
        "type": letter.type,
        "store_id": letter.store_id,
        "consumer": letter.consumer,
        "exchange": printable(letter.exchange, NAME_CHARACTERS),
        "routing_key": printable(letter.routing_key, NAME_CHARACTERS),
        "headers": {printable(name, NAME_CHARACTERS): printable(str(value), ERROR_CHARACTERS) for name, value in letter.headers.items()},
        "traceparent": letter.traceparent,
        "reason": letter.reason,
        "error": printable(f"{type(letter.error).__name__}: {letter.error}", ERROR_CHARACTERS),
        "stack": printable("".join(traceback.format_exception(letter.error)), STACK_CHARACTERS),
        "attempts": letter.attempts,
        "fingerprint": error_fingerprint(letter.error, letter.type, letter.version),
        "failed_at": letter.failed_at,
        "status": "waiting",
        "payload": letter.payload,
    }


def _letter_id(letter: Letter) -> UUID:
    content = blake2b(letter.payload, digest_size=16).hexdigest()
    return uuid5(LETTERS, printable(f"{letter.consumer}|{letter.place}|{content}|{letter.message_id}", ERROR_CHARACTERS))
