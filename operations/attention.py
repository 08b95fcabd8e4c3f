"""What on the operators' page should somebody look at first?

Each line names a thing by a code that never changes; what to do about it stands in the part of the page that it came from.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

LATE_SECONDS: Final = 10.0
SETTLED_SECONDS: Final = 15.0
"""The broker's figures are samples of 5 seconds: what changed since then isn't held against anybody."""
Line = dict[str, Any]
Part = Mapping[str, Any]


def attention(page: Mapping[str, Any], now: datetime) -> list[Line]:
    """The lines for a page made by `operations.overview`, the gravest first."""
    return [
        *_verification(page["verification"]),
        *_broker(page["broker"]),
        *_consumers(page["consumers"], {each["name"]: each for each in page["queues"]}, now),
        *_projections(page["projections"]),
        *_jobs(page["jobs"]),
        *([{"what": "dead_letters", "count": page["dead_letters"]["waiting"]}] if page["dead_letters"]["waiting"] else []),
    ]


def _verification(proven: Part) -> Iterable[Line]:
    if proven["mismatch_count"]:
        yield {"what": "mismatches", "count": proven["mismatch_count"], "detail": proven["mismatches"][0]["where"]}


def _jobs(jobs: Sequence[Part]) -> Iterable[Line]:
    """Those that wait for somebody to say whether they go on."""
    for state in ("failed", "stopped"):
        for kind, count in sorted(Counter(each["kind"] for each in jobs if each["state"] == state).items()):
            yield {"what": f"job_{state}", "name": kind, "count": count}


def _broker(broker: Part) -> Iterable[Line]:
    if not broker["available"]:
        yield {"what": "management_away", "detail": broker["away"]}
    for alarm in broker["alarms"]:
        yield {"what": "broker_alarm", "name": alarm["node"], "detail": alarm["alarm"]}


def _consumers(consumers: Sequence[Part], queues: Mapping[str, Part], now: datetime) -> Iterable[Line]:
    for each in consumers:
        if each["state"] != "running":
            yield {"what": f"consumer_{each['state']}", "name": each["name"], "since": each["since"]}
        elif _deaf(each, queues.get(each["name"]), now):
            yield {"what": "consumer_unknown_to_broker", "name": each["name"]}


def _deaf(consumer: Part, queue: Part | None, now: datetime) -> bool:
    """Whether a consumer believes that it consumes, and the broker knows of nobody who does."""
    settled = consumer["since"] < now - timedelta(seconds=SETTLED_SECONDS)
    return settled and queue is not None and queue["consumers"] == 0


def _projections(projections: Sequence[Part]) -> Iterable[Line]:
    for each in projections:
        if each["stalled_count"]:
            yield {"what": "projection_stalled", "name": each["name"], "count": each["stalled_count"]}
        if each["state"] == "paused":
            yield {"what": "projection_paused", "name": each["name"], "count": each["paused_count"]}
        elif each["paused"]:
            yield {"what": "projection_stores_paused", "name": each["name"], "count": len(each["paused"])}
        if each["lag_seconds"] > LATE_SECONDS and not each["stalled_count"] and not each["paused"]:
            yield {"what": "projection_late", "name": each["name"], "count": each["lag_events"]}
