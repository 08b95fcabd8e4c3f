"""How do recorded events become projections, and how does everybody hear of it?"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import structlog
from pydantic_core import to_json
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from events.restocks import OfRestock
from infra.connection import BrokerUnavailable
from infra.consumer import Delivery
from infra.dead_letters import Letter, park
from infra.publisher import ConfirmingPublisher
from infra.traces import traces
from projections import PROJECTIONS, checkpoint
from projections.project import follow
from schemas.envelope import MalformedEvent, Recorded, decode_recorded, split
from workers import metrics
from workers.letters import letter, note_redriven

NAME = "projector"
STORES_AT_ONCE = 8
"""Of those that lie behind: at 2,000 events a store and round that is half a second in which their new events wait."""
RESTOCKS = frozenset(cls.type for cls in get_args(OfRestock))
log = structlog.get_logger(__name__)


class Projector:
    """Brings every projection to the end of what arrived, then announces which stores changed."""

    def __init__(self, engine: Engine, publisher: ConfirmingPublisher) -> None:
        self._engine = engine
        self._publisher = publisher

    async def handle(self, deliveries: list[Delivery]) -> None:
        """Project, announce; the caller acknowledges afterwards. Raises while the database is away."""
        arrived = await asyncio.to_thread(self.project, deliveries)
        if arrived:
            await self._announce(changed(arrived))

    def project(self, deliveries: Sequence[Delivery]) -> Mapping[str, Sequence[Recorded]]:
        """Everything that happens in the database; answers the events by store."""
        arrived = self._opened(deliveries)
        if arrived:
            progress = follow(self._engine, arrived)
            self._note(progress.stalled)
        note_redriven(self._engine, deliveries)
        events = [event for found in arrived.values() for event in found]
        now = datetime.now(UTC)
        for event in events:
            metrics.critical_seconds.observe((now - event.received_at).total_seconds())
            if traces.on:
                traces.tell("projected", began=event.recorded_at.timestamp(), ended=now.timestamp(), parent=event.traceparent)
        metrics.batch_events.labels(NAME).observe(len(events))
        log.info("projected", count=len(events), traces=[event.traceparent[3:35] for event in events if event.traceparent])
        return arrived

    def catch_up(self) -> int:
        """Follow the log to its end for every store that lies behind: how many there were."""
        parts = list(self._behind())
        for part in parts:
            self._make_up(part)
        return sum(map(len, parts))

    async def make_up(self, go_on: Callable[[], bool]) -> None:
        """The same beside the loop, for as long as `go_on` says: at start, for a new projection, after a pause. Pages hear of it."""
        for part in await asyncio.to_thread(lambda: list(self._behind())):
            if not go_on():
                return
            await asyncio.to_thread(self._make_up, part)
            await self._announce([{"store_id": store_id, "seq": seq, "types": []} for store_id, seq in part.items()])

    def _behind(self) -> Iterator[dict[str, int]]:
        """The stores that lie behind, a few at a time: those of one transaction, which others wait for."""
        with self._engine.connect() as connection:
            through = checkpoint.behind(connection, PROJECTIONS)
        stores = sorted(through)
        for start in range(0, len(stores), STORES_AT_ONCE):
            yield {store_id: through[store_id] for store_id in stores[start : start + STORES_AT_ONCE]}

    def _make_up(self, through: Mapping[str, int]) -> None:
        progress = follow(self._engine, {}, through)
        self._note(progress.stalled)
        log.info("caught_up", stores=len(through), events=progress.applied)

    def _opened(self, deliveries: Sequence[Delivery]) -> dict[str, list[Recorded]]:
        arrived: dict[str, list[Recorded]] = defaultdict(list)
        letters: list[Letter] = []
        for delivery in deliveries:
            try:
                wires = split(delivery.body)
            except MalformedEvent as error:
                letters.append(letter(delivery, NAME, "malformed_message", error))
                continue
            for place, wire in enumerate(wires):
                try:
                    event = decode_recorded(wire)
                except MalformedEvent as error:
                    letters.append(letter(delivery, NAME, "malformed_event", error, place=place, wire=wire))
                else:
                    arrived[event.store_id].append(event)
        self._park(letters)
        return arrived

    def _park(self, letters: Sequence[Letter]) -> None:
        if letters:
            with self._engine.begin() as connection:
                metrics.dead_lettered_total.labels(NAME).inc(park(connection, letters))
            for each in letters:
                log.error("dead_lettered", reason=each.reason, event_id=str(each.event_id), error=str(each.error))

    def _note(self, stalled: Sequence[tuple[str, str, str]]) -> None:
        for projection, store_id, error in stalled:
            log.error("projection_stalled", projection=projection, store_id=store_id, error=error)

    async def _announce(self, stores: Sequence[Mapping[str, Any]]) -> None:
        """Tell every API instance. Nobody may be listening, and a lost announcement costs a page one refresh: no retry."""
        body = to_json({"id": uuid7().hex, "at": datetime.now(UTC), "stores": stores})
        try:
            await self._publisher.announce(body, content_type="application/json", type="projected", app_id=NAME)
        except BrokerUnavailable as error:
            log.warning("announcement_lost", error=error.reason)


def changed(arrived: Mapping[str, Sequence[Recorded]]) -> list[dict[str, Any]]:
    """The stores that changed, with the place in their own logs and the types: what one store does with a restock concerns the other too.

    A place of 0 says that nothing is new in the store's own log.
    """
    types: dict[str, set[str]] = defaultdict(set)
    for event in (event for events in arrived.values() for event in events):
        types[event.store_id].add(event.type)
        if event.type in RESTOCKS:
            for name in ("from_store", "to_store"):
                types[event.data[name]].add(event.type)
    places = {store_id: max(event.seq for event in events) for store_id, events in arrived.items()}
    return [{"store_id": store_id, "seq": places.get(store_id, 0), "types": sorted(found)} for store_id, found in types.items()]
