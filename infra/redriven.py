"""What became of a dead letter that was sent back to its queue?

Whoever sends it back writes down that it is under way, and puts two marks on the message: the letter and the redrive. The consumer that
handles the message says what came of it: in the transaction that parks it again, or in one between its commit and its acknowledgement.
Both can come twice; the first word counts.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Connection, DateTime, Index, Integer, PrimaryKeyConstraint, Table, Text, Uuid, text

from infra.database import metadata

LETTER_HEADER: Final = "magasin-letter"
REDRIVE_HEADER: Final = "magasin-redrive"

redrive_item = Table(
    "redrive_item",
    metadata,
    Column("redrive_id", Uuid, nullable=False),
    Column("place", Integer, nullable=False),
    Column("letter_id", Uuid, nullable=False),
    # waiting: not sent; sending: sent perhaps; sent: the broker has it; settled: `outcome` says what came of it.
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("outcome", Text),
    Column("detail", Text),
    Column("sent_at", DateTime(timezone=True)),
    Column("settled_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("redrive_id", "place"),
    CheckConstraint("state IN ('waiting', 'sending', 'sent', 'settled')", name="state"),
    CheckConstraint("(state = 'settled') = (outcome IS NOT NULL)", name="outcome"),
)
Index("ix_redrive_item_letter", redrive_item.c.letter_id, redrive_item.c.redrive_id)
Index("ix_redrive_item_open", redrive_item.c.redrive_id, redrive_item.c.state, postgresql_where=redrive_item.c.state != "settled")

# A message that was taken apart meanwhile and failed in part is no repetition: what fails of it is a letter of its own.
_SAME = text("SELECT EXISTS (SELECT FROM dead_letter WHERE id = :letter_id AND payload = :payload AND consumer = :consumer)")
_KNOWN = text("SELECT EXISTS (SELECT FROM redrive_item WHERE letter_id = :letter_id AND redrive_id = :redrive_id)")
_FAILED = text("""
    WITH item AS (
        UPDATE redrive_item SET state = 'settled', outcome = 'failed', detail = :error, settled_at = clock_timestamp()
        WHERE redrive_id = :redrive_id AND letter_id = :letter_id AND state <> 'settled'
        RETURNING letter_id
    )
    UPDATE dead_letter SET
        earlier = earlier || jsonb_build_array(jsonb_build_object('failed_at', failed_at, 'reason', reason, 'error', error,
            'stack', stack, 'attempts', attempts, 'fingerprint', fingerprint)),
        failed_at = :failed_at, reason = :reason, error = :error, stack = :stack, attempts = attempts + :attempts,
        fingerprint = :fingerprint, status_at = clock_timestamp(), status_by = NULL, status_reason = NULL,
        status = CASE WHEN status = 'redriving' AND redrive_id = :redrive_id THEN 'waiting' ELSE status END
    FROM item WHERE dead_letter.id = item.letter_id
""")
_SETTLED = text("""
    WITH settled AS (
        UPDATE redrive_item i SET state = 'settled', settled_at = clock_timestamp(), detail = e.reason, outcome = CASE
            WHEN l.event_id = ANY(CAST(:conflicts AS uuid[])) THEN 'conflict'
            WHEN e.event_id IS NULL THEN 'handled'
            ELSE e.outcome END
        FROM unnest(CAST(:letters AS uuid[]), CAST(:redrives AS uuid[]), CAST(:bodies AS bytea[])) AS mark(letter_id, redrive_id, body)
        JOIN dead_letter l ON l.id = mark.letter_id AND position(l.payload in mark.body) > 0
        LEFT JOIN event_log e ON e.event_id = l.event_id
        WHERE i.letter_id = mark.letter_id AND i.redrive_id = mark.redrive_id AND i.state <> 'settled'
        RETURNING i.letter_id
    )
    UPDATE dead_letter SET status = 'redriven', status_at = clock_timestamp(), status_by = NULL, status_reason = NULL
    FROM settled WHERE dead_letter.id = settled.letter_id AND status IN ('redriving', 'waiting')
""")


class Mark(NamedTuple):
    """What a message that is sent back bears."""

    letter_id: UUID
    redrive_id: UUID

    def headers(self) -> dict[str, str]:
        """The mark as the message's headers."""
        return {LETTER_HEADER: str(self.letter_id), REDRIVE_HEADER: str(self.redrive_id)}


def mark_of(headers: Mapping[str, Any]) -> Mark | None:
    """The mark of a message; None when it bears none, or nonsense."""
    if LETTER_HEADER not in headers:
        return None
    try:
        return Mark(UUID(str(headers[LETTER_HEADER])), UUID(str(headers.get(REDRIVE_HEADER))))
    except ValueError:
        return None


def failed_again(connection: Connection, mark: Mark, failure: Mapping[str, Any]) -> bool:
    """Note that a letter that was sent back failed again, with the failure as a row of a dead letter has it.

    It waits again, and keeps what it said before. False when nothing of the kind was sent: anybody may put headers on a message, and it
    must not vanish for that.
    """
    asked = {**mark._asdict(), **failure}
    if not connection.scalar(_KNOWN, asked) or not connection.scalar(_SAME, asked):
        return False
    connection.execute(_FAILED, asked)
    return True


def settle(connection: Connection, handled: Sequence[tuple[Mark, bytes]], conflicts: Collection[UUID] = ()) -> None:
    """Note that messages with these marks and bodies were handled, as far as nobody noted that they failed.

    What became of them is what the log says: recorded, or refused by a rule. `conflicts` are ids that stand for something else there.
    A message that doesn't hold its letter settles nothing.
    """
    asked = {
        "letters": [mark.letter_id for mark, _ in handled],
        "redrives": [mark.redrive_id for mark, _ in handled],
        "bodies": [body for _, body in handled],
        "conflicts": list(conflicts),
    }
    connection.execute(_SETTLED, asked)
