"""How does a command become an accepted event?

It is given to the broker together with whatever else waits at that moment (group commit), and only the broker's confirm makes it
accepted. Nothing is remembered here but who waits for an outcome.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID

from api import metrics
from api.problems import Problem
from infra.connection import BrokerUnavailable
from infra.group_commit import GroupCommit
from infra.memory import Memory
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from infra.topology import INTAKE, INTAKE_KEY
from schemas import parcel
from schemas.envelope import BATCH_CONTENT_TYPE, Accepted, encode_accepted, join

APP_ID = "api"
ENVELOPE_BYTES = 600
"""What `encode_accepted` puts around an event's data, at most about."""
Outcome = dict[str, Any]
Draft = tuple[Accepted, bytes]
"""An event that asks to be accepted, and its data as JSON."""


class Intake:
    """Accepts events, and tells those who ask what became of them."""

    def __init__(self, publisher: ConfirmingPublisher, memory: Memory, settings: Settings) -> None:
        self._publisher = publisher
        self._memory = memory
        self._group = GroupCommit[Draft](
            self._send,
            size_of=lambda draft: len(draft[1]) + ENVELOPE_BYTES,
            in_flight=settings.publish_in_flight,
            group_events=settings.publish_group_events,
            group_bytes=settings.publish_group_bytes,
            backlog_events=settings.publish_backlog_events,
        )
        self._waiters: dict[UUID, list[asyncio.Future[Outcome | None]]] = defaultdict(list)
        self._hurrying = False

    async def accept(self, event: Accepted, data: bytes) -> None:
        """Return when the broker has the event. Raises Problem idempotency_mismatch or broker_unavailable."""
        try:
            taken = await self._group.submit((event, data))
        except BrokerUnavailable as error:
            metrics.commands_of(event.type, "unavailable").inc()
            raise _away(error) from error
        if not taken:
            metrics.commands_of(event.type, "mismatch").inc()
            raise Problem("idempotency_mismatch")
        metrics.commands_of(event.type, "accepted").inc()

    async def accept_many(self, drafts: Sequence[Draft]) -> list[bool]:
        """The same for many; False where the id is known with other content. Raises Problem broker_unavailable for all of them."""
        try:
            taken = await self._group.submit_many(drafts)
        except BrokerUnavailable as error:
            raise _away(error) from error
        if drafts:
            metrics.commands_of(drafts[0][0].type, "accepted").inc(sum(taken))
        return taken

    async def accept_and_wait(self, event: Accepted, data: bytes, seconds: float) -> Outcome | None:
        """Accept the event and wait for its outcome: None when it isn't there in time."""
        return await self._outcome_of(event, self.accept(event, data), seconds)

    async def accept_parcel(self, claims: Sequence[Accepted], body: bytes, count: int, seconds: float = 0) -> Outcome | None:
        """Return when the broker has a parcel of `count` events, as one message; with `seconds`, wait for the outcome of the last one.

        `claims` are the ids that stand for all of them, the last one's at the end. Raises Problem as `accept` does.
        """
        if not all(await self._memory.agree(claims)):
            raise Problem("idempotency_mismatch")
        last = claims[-1]
        outcome = await self._outcome_of(last, self._send_parcel(body), seconds)
        metrics.commands_of(last.type, "accepted").inc(count)
        return outcome

    async def _outcome_of(self, event: Accepted, accepting: Awaitable[None], seconds: float) -> Outcome | None:
        outcome: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self._waiters[event.event_id].append(outcome)
        try:
            await accepting
            async with asyncio.timeout(0 if self._hurrying else seconds):
                return await outcome
        except TimeoutError:
            return None
        finally:
            waiting = self._waiters[event.event_id]
            waiting.remove(outcome)
            if not waiting:
                del self._waiters[event.event_id]

    def heard(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes that the stock writer announced; those nobody here waits for are for another instance."""
        for outcome in outcomes:
            for waiter in self._waiters.get(UUID(outcome["event_id"]), ()):
                if not waiter.done():
                    waiter.set_result(outcome)

    def hurry(self) -> None:
        """Let nobody wait for an outcome any more: the process is about to stop."""
        self._hurrying = True
        for waiter in [each for waiting in self._waiters.values() for each in waiting]:
            if not waiter.done():
                waiter.set_result(None)

    async def drain(self) -> None:
        """Take nothing more, and return when everything taken is confirmed or refused."""
        await self._group.drain()

    async def _send(self, drafts: list[Draft]) -> list[bool]:
        """Publish the drafts of one group whose ids are free or known with the same content; for each whether it was."""
        agreed = await self._memory.agree([event for event, _ in drafts])
        items = [encode_accepted(event, data) for (event, data), fine in zip(drafts, agreed, strict=True) if fine]
        if items:
            await self._publisher.publish(INTAKE, INTAKE_KEY, join(items), content_type=BATCH_CONTENT_TYPE, type="accepted", app_id=APP_ID)
        return agreed

    async def _send_parcel(self, body: bytes) -> None:
        try:
            await self._publisher.publish(
                INTAKE,
                INTAKE_KEY,
                body,
                content_type=parcel.CONTENT_TYPE,
                type="accepted",
                app_id=APP_ID,
                timeout_seconds=parcel.PUBLISH_SECONDS,
            )
        except BrokerUnavailable as error:
            raise _away(error) from error


def _away(error: BrokerUnavailable) -> Problem:
    return Problem("broker_unavailable", headers={"Retry-After": "2"}, reason=error.reason)
