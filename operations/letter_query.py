"""Which dead letters does somebody look for?"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, text

from infra.dead_letters import dead_letter

Status = Literal["waiting", "redriving", "redriven", "parked", "edited"]
Group = Literal["fingerprint", "type", "store", "consumer"]
COLUMNS: Final[dict[Group, str]] = {"fingerprint": "fingerprint", "type": "type", "store": "store_id", "consumer": "consumer"}
EQUAL: Final = ("status", "fingerprint", "type", "store_id", "consumer", "reason", "event_id")


@dataclass(frozen=True, slots=True)
class Query:
    """What is None doesn't matter. `search` looks in the error and in what was sent; `since` ≤ failed_at < `until`; `ids` are letters."""

    status: Status | None = None
    fingerprint: str | None = None
    type: str | None = None
    store_id: str | None = None
    consumer: str | None = None
    reason: str | None = None
    event_id: UUID | None = None
    search: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[UUID, ...] | None = None

    def told(self) -> dict[str, Any]:
        """What was asked for, without what doesn't matter."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def conditions(self) -> list[ColumnElement[bool]]:
        """What a letter has to be."""
        column = dead_letter.c
        found: list[ColumnElement[bool]] = [column[name] == value for name in EQUAL if (value := getattr(self, name)) is not None]
        if self.ids is not None:
            found.append(column.id.in_(self.ids))
        if self.since is not None:
            found.append(column.failed_at >= self.since)
        if self.until is not None:
            found.append(column.failed_at < self.until)
        if self.search is not None:
            found.append(_holds(self.search))
        return found


def _holds(words: str) -> ColumnElement[bool]:
    """In the error, whatever the case; or in the payload, byte for byte: nobody may hope that it is text."""
    sent = text("position(CAST(:sought AS bytea) in dead_letter.payload) > 0").bindparams(sought=words.encode())
    return or_(func.strpos(func.lower(dead_letter.c.error), words.lower()) > 0, sent)
