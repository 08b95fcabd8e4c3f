"""What would become of a dead letter if it were sent back now?

It is recorded by the very code that would record it, in a transaction that is rolled back: nothing is left of it, nobody sees it. Letters
that are tried together see each other, as they would one after the other; the locks of their stores are held meanwhile, so they are few.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from events.cases import CaseOpened
from infra.database import together
from infra.faults import is_transient, printable
from infra.topology import PROJECTOR, STOCK_WRITER
from operations.sentences import readable
from schemas.envelope import Recorded, decode_accepted, decode_recorded, join, split
from stock.chapter import Incoming
from stock.record import Result, check, record
from stock.store import heads_statement

WHOLE: Final = frozenset({"malformed_message", "gave_up"})
"""The reasons of letters that may be a whole message; all others are one event of a message."""
ERROR_CHARACTERS: Final = 500


class Verdict(NamedTuple):
    """What would become of it: would_succeed, would_go_negative, would_be_refused, would_conflict, would_fail, not_tried; and why."""

    outcome: str
    detail: str | None = None


def body_of(letter: Row[Any]) -> bytes:
    """The message to send: one event travels in an array, a whole message as it was sent."""
    alone = letter.reason not in WHOLE or isinstance(readable(letter.payload), dict)
    return join([letter.payload]) if alone else bytes(letter.payload)


def tried(engine: Engine, letters: Sequence[Row[Any]]) -> dict[UUID, Verdict]:
    """The verdict on each letter. Raises what a database raises that is away; then nothing was tried."""
    with engine.connect() as connection:
        try:
            # All at once and in order, as writers do it: one after the other they would wait for each other.
            together(connection, [heads_statement(letter.store_id for letter in letters if letter.store_id)])
            return {letter.id: _tried(connection, letter) for letter in letters}
        finally:
            connection.rollback()


def _tried(connection: Connection, letter: Row[Any]) -> Verdict:
    if letter.reason == "gave_up":
        # It may end the process that touches it.
        return Verdict("not_tried", "gave_up")
    try:
        if letter.consumer == STOCK_WRITER.name:
            return _recorded(connection, body_of(letter))
        if letter.consumer == PROJECTOR.name:
            return _projected(body_of(letter))
    except Exception as error:
        if is_transient(error):
            raise
        return Verdict("would_fail", printable(f"{type(error).__name__}: {error}", ERROR_CHARACTERS))
    return Verdict("not_tried", "no_queue")


def _recorded(connection: Connection, body: bytes) -> Verdict:
    incoming = [check(decode_accepted(wire)) for wire in split(body)]
    with connection.begin_nested():
        return verdict(record(connection, incoming, datetime.now(UTC)), incoming)


def _projected(body: bytes) -> Verdict:
    for wire in split(body):
        decode_recorded(wire)
    return Verdict("would_succeed")


def verdict(result: Result, incoming: Sequence[Incoming]) -> Verdict:
    """What the stock writer's result means for whoever sends the letter back."""
    if result.conflicts:
        return Verdict("would_conflict", "id_reuse")
    asked = {each.head.event_id for each in incoming}
    refused = [event.reason for event in result.recorded if event.event_id in asked and event.outcome == "refused"]
    if refused:
        return Verdict("would_be_refused", refused[0])
    if negative := ", ".join(_negative(result.recorded)):
        return Verdict("would_go_negative", negative)
    return Verdict("would_succeed", "already_recorded" if len(result.repeated) == len(asked) else None)


def _negative(recorded: Iterable[Recorded]) -> list[str]:
    """``A-1: -3`` for each SKU that would fall below zero."""
    cases = [event.data for event in recorded if event.type == CaseOpened.type and event.data["kind"] == "oversell"]
    return [f"{case['sku']}: {case['details']['on_hand']}" for case in cases]
