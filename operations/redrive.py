"""How do dead letters go back to the queue that they came from?

A frozen selection, letter by letter: first a few that must succeed (the canary), then the others at a rate, and no further as soon as one
fails again. A letter is written down as under way before it is sent, and its consumer says what came of it; so after a crash those are
sent again of which nobody knows, and the log takes each event once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json, to_jsonable_python
from sqlalchemy import Connection, Engine, Row, select, text
from uuid_utils.compat import uuid7

from infra.database import dicts
from infra.dead_letters import dead_letter
from infra.publisher import ConfirmingPublisher
from infra.redriven import Mark, redrive_item
from infra.topology import PROJECTOR, STOCK_WRITER
from operations import job, selections, trial
from operations.deed import Refused, done
from operations.job import Job, Order, Stride

KIND: Final = "redrive"
STRIDE: Final = 100
TRIAL_STRIDE: Final = 20
"""A trial holds the locks of its stores until it is rolled back: a tenth of a second in which their sales wait."""
WINDOW: Final = 500
"""So many may be under way, whatever the rate: what is known too late to fail is bounded."""
DEFAULT_RATE: Final = 100.0
DEFAULT_CANARY: Final = 1
LOOK_SECONDS: Final = 0.2
CONTENT_TYPE: Final = "application/cloudevents-batch+json"
QUEUES: Final = [STOCK_WRITER.name, PROJECTOR.name]
GOOD: Final = ("recorded", "handled", "would_succeed", "would_go_negative")
BAD: Final = ("failed", "would_fail")

_FILL = text("""
    INSERT INTO redrive_item (redrive_id, place, letter_id)
    SELECT :redrive_id, place, letter_id FROM selection_item WHERE selection_id = :selection_id
""")
_COUNTS = text("SELECT state, outcome, count(*) AS many FROM redrive_item WHERE redrive_id = :id GROUP BY state, outcome")
# Those of a step that a crash interrupted come first; they are this redrive's already.
_TAKE = text("""
    WITH chosen AS (
        SELECT place, letter_id, state FROM redrive_item WHERE redrive_id = :id AND state IN ('waiting', 'sending')
        ORDER BY state = 'waiting', place LIMIT :most
    ), taken AS (
        UPDATE dead_letter l SET status = 'redriving', redrive_id = :id, status_at = clock_timestamp(), status_by = :by,
            status_reason = :reason, redrives = l.redrives + CASE WHEN l.redrive_id = :id THEN 0 ELSE 1 END
        FROM chosen WHERE l.id = chosen.letter_id AND l.consumer = ANY(:queues)
            AND (l.status = 'waiting' OR (l.status = 'redriving' AND l.redrive_id = :id))
        RETURNING l.id
    )
    UPDATE redrive_item i SET
        state = CASE WHEN taken.id IS NULL THEN 'settled' ELSE 'sending' END,
        outcome = CASE WHEN taken.id IS NULL THEN 'skipped' END,
        detail = CASE WHEN taken.id IS NULL THEN (
            SELECT CASE WHEN l.consumer = ANY(:queues) THEN l.status ELSE 'no_queue' END FROM dead_letter l WHERE l.id = i.letter_id) END,
        settled_at = CASE WHEN taken.id IS NULL THEN clock_timestamp() END
    FROM chosen LEFT JOIN taken ON taken.id = chosen.letter_id
    WHERE i.redrive_id = :id AND i.place = chosen.place
    RETURNING i.place, i.letter_id, i.state
""")
_SENT = text("""
    UPDATE redrive_item SET state = 'sent', sent_at = clock_timestamp()
    WHERE redrive_id = :id AND letter_id = ANY(CAST(:letters AS uuid[])) AND state = 'sending'
""")
_WAITING = text("SELECT letter_id FROM redrive_item WHERE redrive_id = :id AND state = 'waiting' ORDER BY place LIMIT :most")
_TRIED = text("""
    UPDATE redrive_item SET state = 'settled', outcome = found.outcome, detail = found.detail, settled_at = clock_timestamp()
    FROM json_to_recordset(CAST(:found AS json)) AS found(letter_id uuid, outcome text, detail text)
    WHERE redrive_item.redrive_id = :id AND redrive_item.letter_id = found.letter_id
""")


@dataclass(frozen=True, slots=True)
class Counts:
    """How the letters of a redrive stand."""

    waiting: int
    under_way: int
    outcomes: Mapping[str, int]

    @property
    def done(self) -> int:
        """Of how many is known what became of them."""
        return sum(self.outcomes.values())

    @property
    def succeeded(self) -> int:
        """How many were recorded, or would be."""
        return sum(self.outcomes.get(each, 0) for each in GOOD)

    @property
    def passed(self) -> int:
        """How many were settled by their consumer, whatever it decided."""
        return self.done - self.failed - self.outcomes.get("skipped", 0)

    @property
    def failed(self) -> int:
        """How many failed again, or would."""
        return sum(self.outcomes.get(each, 0) for each in BAD)


def counts(connection: Connection, redrive_id: UUID) -> Counts:
    """How they stand now."""
    rows = connection.execute(_COUNTS, {"id": redrive_id}).all()
    of = {state: sum(row.many for row in rows if row.state == state) for state in ("waiting", "sending", "sent")}
    # What was only perhaps sent is sent again: it isn't under way yet.
    return Counts(of["waiting"] + of["sending"], of["sent"], {row.outcome: row.many for row in rows if row.state == "settled"})


@dataclass(frozen=True, slots=True)
class Wish:
    """A redrive as somebody orders it. `count` and `digest`, where given, must be the selection's: what was seen is what is done."""

    selection_id: UUID
    reason: str | None = None
    dry_run: bool = False
    max_per_second: float = DEFAULT_RATE
    canary: int = DEFAULT_CANARY
    stop_on_failure: bool = True
    count: int | None = None
    digest: str | None = None


def start(engine: Engine, wish: Wish, *, by: str) -> Job:
    """Begin a redrive, or a trial of one. Raises Refused: unknown_selection, selection_changed."""
    redrive_id = UUID(int=uuid7().int)

    def step(connection: Connection) -> Job:
        chosen = selections.require(connection, wish.selection_id)
        if wish.count not in {None, chosen.count} or wish.digest not in {None, chosen.digest}:
            raise Refused("selection_changed", count=chosen.count, digest=chosen.digest)
        connection.execute(_FILL, {"redrive_id": redrive_id, "selection_id": wish.selection_id})
        details = {"selection_id": str(wish.selection_id), "canary": wish.canary, "stop_on_failure": wish.stop_on_failure}
        order = Order(
            id=redrive_id,
            kind=KIND,
            by=by,
            reason=wish.reason,
            parameters={**details, "count": chosen.count, "digest": chosen.digest},
            total=chosen.count,
            dry_run=wish.dry_run,
            # A trial touches nobody's queue: it goes as fast as it may.
            max_per_second=None if wish.dry_run else wish.max_per_second,
        )
        return job.begin(connection, order)

    action = f"{KIND}.dry_run" if wish.dry_run else f"{KIND}.start"
    details = {name: value for name, value in to_jsonable_python(asdict(wish)).items() if name != "reason"}
    return done(engine, step, actor=by, action=action, target=str(redrive_id), reason=wish.reason, details=details)


def told(connection: Connection, found: Job, now: datetime) -> dict[str, Any]:
    """A redrive as an answer shows it: what became of each letter is counted anew, also after the job has ended."""
    standing = counts(connection, found.id)
    shown = job.told(found, now)
    of = {"done": standing.done, "succeeded": standing.succeeded, "failed": standing.failed}
    return {**shown, **of, "outcomes": dict(standing.outcomes), "under_way": standing.under_way, "waiting": standing.waiting}


def items(connection: Connection, redrive_id: UUID, *, outcome: str | None, after: int | None, limit: int) -> list[dict[str, Any]]:
    """The letters of a redrive and what became of each, in their order, behind a place."""
    item, letter = redrive_item.c, dead_letter.c
    shown = (letter.event_id, letter.type, letter.store_id, letter.consumer, letter.fingerprint, letter.status)
    query = select(*(each for each in item if each.name != "redrive_id"), *shown).join(dead_letter, letter.id == item.letter_id)
    query = query.where(item.redrive_id == redrive_id).order_by(item.place).limit(limit)
    if outcome is not None:
        query = query.where(item.outcome == outcome)
    if after is not None:
        query = query.where(item.place > after)
    return dicts(connection.execute(query))


class Redrive:
    """Moves redrives on."""

    name = KIND
    stride = STRIDE

    def __init__(self, engine: Engine, publisher: ConfirmingPublisher) -> None:
        self._engine = engine
        self._publisher = publisher

    async def step(self, found: Job, most: int) -> Stride:
        """Try a few, or send a few; or look what became of those that were sent."""
        if found.dry_run:
            return await asyncio.to_thread(self._try, found, min(most, TRIAL_STRIDE))
        taken, stride = await asyncio.to_thread(self._take, found, most)
        if taken is None:
            return stride
        ready, letters = taken
        sent, failure = await self._send(ready, letters)
        stride = await asyncio.to_thread(self._note_sent, ready, sent)
        if failure is not None:
            raise failure
        return stride

    def _take(self, found: Job, most: int) -> tuple[tuple[Job, Sequence[Row[Any]]] | None, Stride]:
        """The letters of this step, written down as under way; or, when there are none, what there is to say."""
        with self._engine.begin() as connection:
            standing = counts(connection, found.id)
            room = min(most, room_of(found, standing))
            stride = stride_of(found, standing)
            if stride.state != "running" or room < 1 or not standing.waiting:
                job.save(connection, found, stride)
                return None, stride
            asked = {"id": found.id, "most": room, "by": found.created_by, "reason": found.reason, "queues": QUEUES}
            mine = sorted((row.place, row.letter_id) for row in connection.execute(_TAKE, asked) if row.state == "sending")
            letters = _letters(connection, [letter_id for _, letter_id in mine])
            return (job.save(connection, found, stride), letters), stride

    async def _send(self, found: Job, letters: Sequence[Row[Any]]) -> tuple[list[UUID], BaseException | None]:
        """Those that the broker has, and why it hasn't the others."""
        answers = await asyncio.gather(*(self._publish(found, letter) for letter in letters), return_exceptions=True)
        sent = [letter.id for letter, answer in zip(letters, answers, strict=True) if answer is None]
        return sent, next((answer for answer in answers if answer is not None), None)

    async def _publish(self, found: Job, letter: Row[Any]) -> None:
        await self._publisher.publish(
            "",
            letter.consumer,
            trial.body_of(letter),
            content_type=CONTENT_TYPE,
            type="redriven",
            app_id=KIND,
            headers=Mark(letter.id, found.id).headers(),
        )

    def _note_sent(self, found: Job, sent: Sequence[UUID]) -> Stride:
        with self._engine.begin() as connection:
            connection.execute(_SENT, {"id": found.id, "letters": list(sent)})
            stride = replace(stride_of(found, counts(connection, found.id)), paced=len(sent), wait_seconds=0.0)
            job.save(connection, found, stride)
            return stride

    def _try(self, found: Job, most: int) -> Stride:
        with self._engine.connect() as connection:
            chosen = list(connection.scalars(_WAITING, {"id": found.id, "most": most}))
            letters = _letters(connection, chosen)
        verdicts = trial.tried(self._engine, letters) if letters else {}
        rows = [{"letter_id": str(each), "outcome": one.outcome, "detail": one.detail} for each, one in verdicts.items()]
        with self._engine.begin() as connection:
            connection.execute(_TRIED, {"id": found.id, "found": to_json(rows).decode()})
            stride = replace(stride_of(found, counts(connection, found.id)), wait_seconds=0.0)
            job.save(connection, found, stride)
            return stride


def _letters(connection: Connection, ids: Sequence[UUID]) -> list[Row[Any]]:
    """The letters, in the order of their ids."""
    found = {row.id: row for row in connection.execute(select(dead_letter).where(dead_letter.c.id.in_(ids)))}
    return [found[each] for each in ids]


def room_of(found: Job, standing: Counts) -> int:
    """How many letters may be sent now: not more than the canary lacks, while it lacks any; and not more than may be under way."""
    if trouble(found, standing):
        return 0
    lacking = int(found.parameters["canary"]) - standing.passed
    return min(WINDOW, lacking if lacking > 0 else WINDOW) - standing.under_way


def trouble(found: Job, standing: Counts) -> str | None:
    """Why no more may be sent: of the canary, or where one is enough, one failed since it was begun or resumed."""
    canary = standing.passed < int(found.parameters["canary"])
    failed = not found.dry_run and standing.failed > int(found.place.get("forgiven", 0))
    if not failed or not (canary or found.parameters["stop_on_failure"]):
        return None
    return "canary_failed" if canary else "failed_again"


def stride_of(found: Job, standing: Counts) -> Stride:
    """What is to be said of a redrive that stands so. It stops once nothing is under way any more: what failed until then is forgiven."""
    told = Stride(
        done=standing.done - found.done,
        succeeded=standing.succeeded - found.succeeded,
        failed=standing.failed - found.failed,
        wait_seconds=LOOK_SECONDS,
        paced=0,
    )
    why = trouble(found, standing)
    if why is not None and not standing.under_way:
        return replace(told, state="stopped", error=why, place={"forgiven": standing.failed})
    if not standing.waiting and not standing.under_way:
        return replace(told, state="done")
    return told
