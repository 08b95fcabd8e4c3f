"""What does an explanation hold, and how is it read out of the log without holding the log?

A figure is folded from all its events; one page of them is shown. Nothing here knows which figure it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, text

MOST_EVENTS: Final = 200_000
"""Events (or movements of stock) looked at for one figure: a year of 150,000 sales and what became of them; 60 µs of CPU each."""
CHUNK_EVENTS: Final = 1_000
GRACE: Final = timedelta(hours=1)
"""An event is late when it is recorded this long after it happened, or this long after the business day ended that it counts on."""
RECORDED_ON: Final = """
    (timezone(s.timezone, e.recorded_at - CAST(:grace AS interval)) - CAST(s.day_ends AS interval))::date AS recorded_on
"""
"""The business day that ended last, a grace ago, when event `e` of store `s` was recorded."""
SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


class TooMuchToExplain(ValueError):
    """The figure is made of more events than one request may read."""


class NotExplained(ValueError):
    """The figure needs to be named more closely: the message is the filter that is missing."""


class Told(Protocol):
    """What is shown of an event: a recorded event, or a row that has as much."""

    @property
    def event_id(self) -> UUID:
        """The event's own id."""

    @property
    def type(self) -> str:
        """What kind of fact it is."""

    @property
    def store_id(self) -> str:
        """The store whose log it is in."""

    @property
    def seq(self) -> int:
        """Its place there."""

    @property
    def business_date(self) -> date:
        """The shop's business day on which it happened."""

    @property
    def occurred_at(self) -> datetime:
        """When it happened, by the till's clock."""

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one event adds to a figure: `amounts` by name, and the figure's own change where it is a sum."""

    event: Told
    amounts: Mapping[str, int]
    late: bool
    contribution: Any = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Which of the events are shown: a page of them by store and place in the log, all or the late ones."""

    limit: int = 50
    after: tuple[str, int] | None = None
    late_only: bool = False


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A figure that another one is made of."""

    measure: str
    reported: Any
    recomputed: Any


@dataclass(slots=True)
class Explanation:
    """A figure as it is stored and as it was computed again; one page of its events.

    `event_count` and `late_events` are of all its events. `after` is the place after which the next page begins. `made_of` are the figures
    of which this one is made, when it isn't made of events itself.
    """

    listing: Listing
    reported: Any = None
    recomputed: Any = None
    parts: list[Part] = field(default_factory=list)
    event_count: int = 0
    late_events: int = 0
    after: tuple[str, int] | None = None
    made_of: Sequence[Ingredient] = ()

    def take(self, part: Part) -> None:
        """Count one more event, in the order of their places; keep it if it belongs on the page."""
        self.event_count += 1
        self.late_events += part.late
        asked, place = self.listing, (part.event.store_id, part.event.seq)
        if (asked.late_only and not part.late) or (asked.after is not None and place <= asked.after) or self.after is not None:
            return
        if len(self.parts) < asked.limit:
            self.parts.append(part)
        else:
            last = self.parts[-1].event
            self.after = (last.store_id, last.seq)

    def contributed(self, values: Iterable[Any]) -> None:
        """Write what each event of the page contributes."""
        self.parts = [replace(part, contribution=value) for part, value in zip(self.parts, values, strict=True)]


def is_late(recorded_at: datetime, effective_at: datetime, recorded_on: date | None, day: date) -> bool:
    """Whether the figure of that day was already looked at without the event."""
    return recorded_at - effective_at > GRACE or (recorded_on is not None and recorded_on > day)


def begin(connection: Connection) -> None:
    """Open the one snapshot that has both sides of an explanation. The connection must be at the start of a transaction."""
    connection.execute(SNAPSHOT)


def streamed() -> dict[str, Any]:
    """The options of a statement whose rows come a chunk at a time: the server keeps the others."""
    return {"stream_results": True, "yield_per": CHUNK_EVENTS}
