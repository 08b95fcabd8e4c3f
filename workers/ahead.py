"""What comes next in a store's log, for a reader that goes at its own pace?

What arrives is kept while the reader is close behind; when it lags, nothing is kept and it reads the log instead. So a slow reader costs
bounded memory, and the log decides what comes next in any case: numbers are contiguous per store.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from sqlalchemy import Engine

from infra import event_log
from schemas.envelope import Recorded

MOST_KEPT = 50
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

    def offer(self, events: Sequence[Recorded]) -> None:
        """Take what has arrived, in order of its numbers, as far as it fits."""
        for event in events:
            last = self._kept[-1].seq if self._kept else self.seq
            if event.seq == last + 1 and len(self._kept) < MOST_KEPT:
                self._kept.append(event)
            self.goal = max(self.goal, event.seq)

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
