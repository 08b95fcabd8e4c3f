"""How is a stretch of the log published again to one queue, without anybody taking it for news?

Each event is one message, as on the feed, with a mark that names the replay. First what is meant is counted and a few of it are shown; a
dry run ends there. Then events go out in the order of the log, store by store, each step confirmed before it is saved: after a crash its
last step comes again. The system's own consumers leave marked messages alone (see ``workers.replays``).
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine

from infra.connection import BrokerUnavailable
from infra.publisher import ConfirmingPublisher
from operations import job
from operations.deed import done
from operations.job import Job, Order, Stride
from operations.stretch import Cursor, Stretch, Window, count, events, window
from schemas import outward
from schemas.envelope import Recorded

KIND: Final = "replay"
APP_ID: Final = "replay"
STEP_EVENTS: Final = 500
SAMPLE: Final = 10
COUNTING_SECONDS: Final = 1.0
"""How long one step counts, and how long an order does before it leaves the rest to the operator process."""


def order(  # noqa: PLR0913 - what is ordered, each part by its name
    engine: Engine, stretch: Stretch, queue: str, *, by: str, reason: str | None, max_per_second: float | None, dry_run: bool
) -> Job:
    """Begin to replay, or only to count. Without an end the stretch ends now: what is recorded meanwhile isn't meant."""
    meant = replace(stretch, until=stretch.until or datetime.now(UTC))

    def step(connection: Connection) -> Job:
        parameters = {"queue": queue, "stretch": meant.kept()}
        began = job.begin(connection, Order(KIND, by, parameters, reason=reason, dry_run=dry_run, max_per_second=max_per_second))
        return job.save(connection, began, _counted(connection, began))

    details = {"queue": queue, "dry_run": dry_run, **meant.kept()}
    return done(engine, step, actor=by, action=f"{KIND}.{'preview' if dry_run else 'start'}", target=queue, reason=reason, details=details)


def told(found: Job, now: datetime) -> dict[str, Any]:
    """A replay as an answer shows it: `total` None while it is being counted, `sample` the first events that are meant."""
    shown = job.told(found, now)
    stretch = shown.pop("parameters")["stretch"]
    asked = {"from": stretch["since"], "to": stretch["until"], "filter": {"store": stretch["store_id"], **_named(stretch)}}
    return {**shown, **asked, "queue": found.parameters["queue"], "sample": found.place.get("sample", [])}


class Replay:
    """Jobs that publish a stretch of the log again."""

    name = KIND
    stride = STEP_EVENTS

    def __init__(self, engine: Engine, publisher: ConfirmingPublisher) -> None:
        self._engine = engine
        self._publisher = publisher

    async def step(self, found: Job, most: int) -> Stride:
        """Count on, or publish the next events and save how far it came. A queue that is gone fails the job."""
        if found.total is None:
            return await asyncio.to_thread(self._count, found)
        places, batch = await asyncio.to_thread(self._next, found, most)
        if places is None:
            return await asyncio.to_thread(self._save, found, Stride(state="done"))
        try:
            await self._publish_all(found, batch)
        except BrokerUnavailable as error:
            if not error.unroutable:
                raise
            gone = Stride(state="failed", error=f"there is no queue {found.parameters['queue']}")
            return await asyncio.to_thread(self._save, found, gone)
        reached = batch[-1].seq if len(batch) == most else places.through
        place = {**found.place, "store_id": places.store_id, "seq": reached}
        return await asyncio.to_thread(self._save, found, Stride(len(batch), len(batch), place=place))

    def _count(self, found: Job) -> Stride:
        with self._engine.begin() as connection:
            stride = _counted(connection, found)
            job.save(connection, found, stride)
        return stride

    def _next(self, found: Job, most: int) -> tuple[Window | None, Sequence[Recorded]]:
        stretch = Stretch.of(found.parameters["stretch"])
        with self._engine.connect() as connection:
            places = window(connection, stretch, _cursor(found.place))
            return places, [] if places is None else events(connection, stretch, places, most)

    async def _publish_all(self, found: Job, batch: Sequence[Recorded]) -> None:
        """Return when the broker has them all. Raises BrokerUnavailable, once nothing is under way any more."""
        for result in await asyncio.gather(*(self._publish(found, each) for each in batch), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _publish(self, found: Job, event: Recorded) -> None:
        await self._publisher.publish(
            "",
            found.parameters["queue"],
            outward.data(event),
            content_type=outward.DATA_CONTENT_TYPE,
            type=event.type,
            app_id=APP_ID,
            headers={**outward.headers(event), outward.REPLAY_HEADER: str(found.id), outward.KEY_HEADER: outward.routing_key(event)},
        )

    def _save(self, found: Job, stride: Stride) -> Stride:
        with self._engine.begin() as connection:
            job.save(connection, found, stride)
        return stride


def _counted(connection: Connection, found: Job) -> Stride:
    """Count for a while; where it ends is kept, so that the next step goes on there."""
    stretch, place = Stretch.of(found.parameters["stretch"]), dict(found.place)
    sample: list[dict[str, Any]] = list(place.get("sample", []))
    total, ends = int(place.get("counted", 0)), time.monotonic() + COUNTING_SECONDS
    cursor = _cursor(place)
    while (places := window(connection, stretch, cursor)) is not None:
        total += count(connection, stretch, places)
        if len(sample) < SAMPLE:
            sample += [_shown(each) for each in events(connection, stretch, places, SAMPLE - len(sample))]
        cursor = Cursor(places.store_id, places.through)
        if time.monotonic() > ends:
            return Stride(place={"counted": total, "sample": sample, "store_id": cursor.store_id, "seq": cursor.seq})
    return Stride(place={"sample": sample}, total=total, state="done" if found.dry_run else "running")


def _cursor(place: Mapping[str, Any]) -> Cursor:
    return Cursor(place.get("store_id", ""), place.get("seq", 0))


def _shown(event: Recorded) -> dict[str, Any]:
    names = ("event_id", "type", "store_id", "seq", "outcome")
    times = {name: getattr(event, name).isoformat() for name in ("occurred_at", "recorded_at")}
    return {**{name: getattr(event, name) for name in names}, "event_id": str(event.event_id), **times}


def _named(stretch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stretch[name] for name in ("type", "sku")}


def replay_of(headers: Mapping[str, object]) -> UUID | None:
    """The replay that a message comes from, by its mark; None for what is news."""
    mark = headers.get(outward.REPLAY_HEADER)
    try:
        return None if mark is None else UUID(str(mark))
    except ValueError:
        return None
