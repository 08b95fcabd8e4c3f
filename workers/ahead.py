"""What comes next in a store's log, for a reader that goes at its own pace?

It is told how far the log reaches and reads it stretch by stretch. So a slow reader costs bounded memory, and the log decides what comes
next: numbers are contiguous per store.
"""

import asyncio
from collections import deque

from sqlalchemy import Engine

from infra import event_log
from schemas.envelope import Recorded

CHUNK_EVENTS = 100


class Ahead:
    """The way ahead in one store: `seq` is where the reader is, `goal` how far the log is known to reach."""

    def __init__(self, store_id: str, seq: int, goal: int = 0) -> None:
        self.store_id = store_id
        self.seq = seq
        self.goal = max(seq, goal)
        self._kept: deque[Recorded] = deque()

    @property
    def missing(self) -> int:
        """How many events the reader is behind."""
        return self.goal - self.seq

    def at_hand(self) -> Recorded | None:
        """The next event, when it is here."""
        while self._kept and self._kept[0].seq <= self.seq:
            self._kept.popleft()
        return self._kept[0] if self._kept and self._kept[0].seq == self.seq + 1 else None

    async def fetch(self, engine: Engine) -> None:
        """Read the next stretch from the log. A goal that the log doesn't reach is given up."""
        goal = self.goal
        found = await asyncio.to_thread(self._read, engine, min(goal, self.seq + CHUNK_EVENTS))
        self._kept = deque(found)
        if not found and self.goal == goal:
            self.goal = self.seq

    def _read(self, engine: Engine, through: int) -> list[Recorded]:
        with engine.connect() as connection:
            return event_log.read(connection, self.store_id, after=self.seq, through=through)
