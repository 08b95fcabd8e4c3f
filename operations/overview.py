"""How does the whole system do right now, on one page?

Queues as the broker tells them, consumers as they tell it themselves, projections by the log and their checkpoints, dead letters by what
went wrong, jobs. What can't be reached is said to be away; the rest is there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from infra import pauses
from infra.database import dicts
from infra.management import Look, NodeFigures, QueueFigures
from infra.pauses import Pause
from operations import consumers, job, progress, verified
from operations.attention import attention
from operations.consumers import Instance
from operations.pauses import CONSUMERS

MOST_GROUPS: Final = 20
MOST_JOBS: Final = 20
ERROR_CHARACTERS: Final = 300
FIGURES: Final = ("ready", "unacknowledged", "consumers", "in_per_second", "out_per_second")
_LETTERS = text("""
    SELECT found.*, latest.type, latest.error, ARRAY(
        SELECT DISTINCT d.consumer FROM dead_letter d WHERE d.status = 'waiting' AND d.fingerprint = found.fingerprint ORDER BY 1
    ) AS consumers
    FROM (
        SELECT fingerprint, count(*) AS count, min(failed_at) AS first_failed_at, max(failed_at) AS last_failed_at
        FROM dead_letter WHERE status = 'waiting' GROUP BY fingerprint ORDER BY count(*) DESC, fingerprint LIMIT :most
    ) AS found
    CROSS JOIN LATERAL (
        SELECT d.type, left(d.error, :characters) AS error FROM dead_letter d
        WHERE d.status = 'waiting' AND d.fingerprint = found.fingerprint ORDER BY d.failed_at DESC LIMIT 1
    ) AS latest
    ORDER BY found.count DESC, found.fingerprint
""")
_LETTERS_BY_STATUS = text("SELECT status, count(*) AS count FROM dead_letter GROUP BY status")


@dataclass(frozen=True, slots=True)
class Situation:
    """What several parts of the page are made of, read once."""

    pauses: Sequence[Pause]
    instances: Sequence[Instance]
    look: Look
    now: datetime


def situation(connection: Connection, look: Look, now: datetime) -> Situation:
    """The situation in the database, beside what the broker told."""
    return Situation(pauses.holding(connection), consumers.instances(connection), look, now)


def queues(found: Situation) -> list[dict[str, Any]]:
    """One item for each queue: ours first, also when the broker is away (then with what is known without it), then those of others."""
    told = {each.name: each for each in found.look.queues}
    names = [*CONSUMERS, *sorted(told.keys() - {*CONSUMERS})]
    return [_queue(name, told.get(name), found) for name in names]


def consumer_list(found: Situation) -> list[dict[str, Any]]:
    """One item for each consumer."""
    return consumers.told(found.instances, found.pauses, found.now)


def broker(look: Look) -> dict[str, Any]:
    """Whether the management API answers, and which alarms hold: under an alarm the broker takes nothing from anybody who publishes."""
    alarms = [
        {"node": node.name, "alarm": alarm}
        for node in look.nodes
        for alarm, on in (
            ("memory", node.memory_alarm),
            ("disk", node.disk_alarm),
            ("partition", node.partitioned),
            ("down", not node.running),
        )
        if on
    ]
    return {"available": look.away is None, "away": look.away, "nodes": [asdict(node) for node in look.nodes], "alarms": alarms}


def dead_letters(connection: Connection) -> dict[str, Any]:
    """How many dead letters there are by status, and those that wait by what went wrong: the largest groups."""
    by_status = {row.status: row.count for row in connection.execute(_LETTERS_BY_STATUS)}
    groups = dicts(connection.execute(_LETTERS, {"most": MOST_GROUPS, "characters": ERROR_CHARACTERS}))
    return {"waiting": by_status.get("waiting", 0), "by_status": by_status, "groups": groups}


def jobs(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Those that somebody works on, then the newest others."""
    working = job.page(connection, state="running", limit=MOST_JOBS)
    known = {each.id for each in working}
    others = [each for each in job.page(connection, limit=MOST_JOBS) if each.id not in known]
    return [job.told(each, now) for each in [*working, *others][:MOST_JOBS]]


def overview(connection: Connection, look: Look, now: datetime) -> dict[str, Any]:
    """Everything on one page."""
    found = situation(connection, look, now)
    page = {
        "broker": broker(look),
        "queues": queues(found),
        "consumers": consumer_list(found),
        "projections": progress.projections(connection, found.pauses),
        "dead_letters": dead_letters(connection),
        "jobs": jobs(connection, now),
        "verification": verified.standing(connection, most=MOST_GROUPS).told_now(),
    }
    return {"attention": attention(page, now), **page}


def _alarms(node: NodeFigures) -> list[str]:
    holds = {"memory": node.memory_alarm, "disk": node.disk_alarm, "partition": node.partitioned, "down": not node.running}
    return [name for name, on in holds.items() if on]


def _queue(name: str, told: QueueFigures | None, found: Situation) -> dict[str, Any]:
    paused = any(each.target.kind == "consumer" and each.target.name == name for each in found.pauses)
    if told is None:
        age, at_most = consumers.oldest(name, found.instances, found.now)
        # Without a word of the broker's the queue may be empty: what is in hand is certain, a bound would not be.
        known = None if at_most else age
        return {
            "name": name,
            **dict.fromkeys(FIGURES),
            "oldest_seconds": known,
            "oldest_at_most": False,
            "seconds_to_empty": None,
            "paused": paused,
        }
    empty = not told.ready and not told.unacknowledged
    age, at_most = (0.0, False) if empty else consumers.oldest(name, found.instances, found.now)
    return {**asdict(told), "oldest_seconds": age, "oldest_at_most": at_most, "seconds_to_empty": seconds_to_empty(told), "paused": paused}


def seconds_to_empty(queue: QueueFigures) -> float | None:
    """At the present rates; None while it doesn't shrink."""
    if not queue.ready:
        return 0.0
    shrinks = queue.out_per_second - queue.in_per_second
    return round(queue.ready / shrinks, 1) if shrinks > 0 else None
