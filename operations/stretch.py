"""Which events of the log does somebody mean by a time, a store, a type and a SKU, and which of them come next?

A stretch is walked store by store in the order of the log, in windows of bounded length, so that no statement takes long however much lies
between two events that are meant. Times are those of recording: they never run backwards in a store, so its places are found by halving.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import ColumnElement, Connection, and_, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from infra.event_log import event_log, recorded, store_head
from schemas.envelope import Recorded

WINDOW_EVENTS: Final = 5_000
"""Places of one store that a statement looks at."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is meant; None doesn't matter. `since` ≤ recorded_at < `until`."""

    since: datetime | None = None
    until: datetime | None = None
    store_id: str | None = None
    type: str | None = None
    sku: str | None = None

    @property
    def whole(self) -> bool:
        """Whether every event of its windows is meant."""
        return self.type is None and self.sku is None

    def kept(self) -> dict[str, Any]:
        """As JSON."""
        times = {name: None if (at := getattr(self, name)) is None else at.isoformat() for name in ("since", "until")}
        return {**asdict(self), **times}

    @classmethod
    def of(cls, kept: Any) -> Self:  # noqa: ANN401 - JSON border
        """The stretch that was kept."""
        times = {name: None if kept[name] is None else datetime.fromisoformat(kept[name]) for name in ("since", "until")}
        return cls(**{**{name: kept[name] for name in ("store_id", "type", "sku")}, **times})


class Cursor(NamedTuple):
    """The last place that was walked over."""

    store_id: str = ""
    seq: int = 0


class Head(NamedTuple):
    """The end of a store's log."""

    store_id: str
    seq: int
    recorded_at: datetime


class Window(NamedTuple):
    """Places of a store: those after `after`, up to `through`."""

    store_id: str
    after: int
    through: int


def window(connection: Connection, stretch: Stretch, cursor: Cursor) -> Window | None:
    """The next places after the cursor that may hold what is meant; None at the end."""
    while (head := _head(connection, stretch, cursor)) is not None:
        began = cursor.seq if head.store_id == cursor.store_id else 0
        after = max(began, _before(connection, head, stretch.since)) if stretch.since is not None else began
        last = head.seq if stretch.until is None else _before(connection, head, stretch.until)
        if after < last:
            return Window(head.store_id, after, min(last, after + WINDOW_EVENTS))
        cursor = Cursor(head.store_id, head.seq)
    return None


def count(connection: Connection, stretch: Stretch, places: Window) -> int:
    """How many events of a window are meant. The log has no gaps, so that nothing has to be read where all are."""
    if stretch.whole:
        return places.through - places.after
    return int(connection.scalar(select(func.count()).select_from(event_log).where(*_meant(stretch, places))) or 0)


def events(connection: Connection, stretch: Stretch, places: Window, most: int) -> list[Recorded]:
    """The first events of a window that are meant, in order."""
    asked = select(event_log).where(*_meant(stretch, places)).order_by(event_log.c.seq).limit(most)
    return [recorded(row) for row in connection.execute(asked)]


def _meant(stretch: Stretch, places: Window) -> Sequence[ColumnElement[bool]]:
    log = event_log.c
    found = [log.store_id == places.store_id, log.seq > places.after, log.seq <= places.through]
    if stretch.type is not None:
        found.append(log.type == stretch.type)
    if stretch.sku is not None:
        line = cast({"lines": [{"sku": stretch.sku}]}, JSONB)
        named = or_(log.payload.contains(line), log.payload.contains(cast({"sku": stretch.sku}, JSONB)))
        found.append(or_(named, log.effect.contains(cast({"sale": {"lines": [{"sku": stretch.sku}]}}, JSONB))))
    return found


def _head(connection: Connection, stretch: Stretch, cursor: Cursor) -> Head | None:
    """The next store that has anything after the cursor."""
    head = store_head.c
    follows = or_(head.store_id > cursor.store_id, and_(head.store_id == cursor.store_id, head.seq > cursor.seq))
    wanted = [follows, head.seq > 0] + ([head.store_id == stretch.store_id] if stretch.store_id is not None else [])
    row = connection.execute(select(head.store_id, head.seq, head.recorded_at).where(*wanted).order_by(head.store_id).limit(1)).first()
    return None if row is None else Head(row.store_id, row.seq, row.recorded_at)


def _before(connection: Connection, head: Head, at: datetime) -> int:
    """How many events of the store were recorded before that instant: the place of the last of them."""
    if head.recorded_at < at:
        return head.seq
    log = event_log.c

    def recorded_at(seq: int) -> datetime:
        found: datetime = connection.execute(select(log.recorded_at).where(log.store_id == head.store_id, log.seq == seq)).scalar_one()
        return found

    return bisect_left(range(1, head.seq + 1), at, key=recorded_at)
