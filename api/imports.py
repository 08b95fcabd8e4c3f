"""How do thousands of products, shops or counts come in at once? As a CSV file that is taken whole or not at all.

Every row is checked before anything is accepted, and all that is wrong is said at once. What is accepted goes to the broker as one message
with one confirm (see `schemas.parcel`), so no part of it can be lost on the way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands import KEYS, LONGEST_KEY, Desk, event_id_of, wait_seconds
from api.import_rows import Checked, Draft, RowFault, check, drafts, stores_named
from api.intake import Intake, Outcome
from api.known import Known
from api.locale import language_of
from api.problems import Fault, Problem
from api.reading import MEDIA_TYPES, form_of
from api.security import Guard, allow
from api.spreadsheet import ENGLISH_TELLING, TELLING, Line, Spreadsheet, read, write
from api.texts import Language
from api.tokens import Principal
from schemas.envelope import CATALOGUE_STREAM, Accepted, encode_accepted, fingerprint, join
from schemas.imports import MOST_ROWS, ImportKind
from schemas.parcel import pack

PATH: Final = "/api/v2/imports/"
MOST_TOLD: Final = 1_000
"""Faults in one answer; the file of faults has them all."""
MOST_BYTES: Final = 15_728_640
"""Of a packed import: from 4.0 the broker takes no message of more than 16 MiB."""
BATCH_EVENTS: Final = 500
BATCH_BYTES: Final = 1_048_576
AT_ONCE: Final = 2
"""Files that are checked at the same time: a row takes 4 KB meanwhile."""
YES: Final = frozenset({"true", "1"})
NO: Final = frozenset({"false", "0"})


class Faulty(Problem):
    """A file that isn't taken, with the faults of its rows."""

    def __init__(self, checked: Checked, rows: int) -> None:
        super().__init__("invalid_import", members={"rows": rows, "total": len(checked.faults), "ignored_columns": checked.ignored})
        self.faults: Sequence[RowFault] = checked.faults[:MOST_TOLD]

    def body(self, language: Language, *, instance: str = "", trace_id: str = "") -> dict[str, Any]:
        """The members of the answer; each of `errors` has its row and column too."""
        told = super().body(language, instance=instance, trace_id=trace_id)
        return {**told, "errors": [fault.told(language) for fault in self.faults]}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request: who sends which file, and how it is to be taken."""

    request: Request
    who: Principal
    kind: ImportKind
    content: bytes
    dry_run: bool

    @property
    def import_id(self) -> UUID:
        """By the Idempotency-Key; without one by the content, so that the same file sent again changes nothing."""
        key = self.request.headers.get("idempotency-key")
        return event_id_of(key, CATALOGUE_STREAM) if key else uuid5(KEYS, f"{self.kind.name}|{sha256(self.content).hexdigest()}")


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What goes to the broker: the message, how many events are in it, and the last of them."""

    body: bytes
    events: int
    last: Accepted


class ImportDesk:
    """Takes files over HTTP."""

    def __init__(self, desk: Desk, intake: Intake, known: Known) -> None:
        self._desk = desk
        self._intake = intake
        self._known = known
        self._places = asyncio.Semaphore(AT_ONCE)

    def endpoint(self, kind: ImportKind) -> Callable[[Request], Awaitable[Response]]:
        """The handler of one kind of file."""
        guard = Guard(kind.permission)

        async def handle(request: Request) -> Response:
            who = guard.admit(request)
            dry_run = _is_dry_run(request)
            if len(request.headers.get("idempotency-key", "")) > LONGEST_KEY:
                raise Problem("invalid_content", errors=[Fault("/header/Idempotency-Key", "too_long", {"max_length": LONGEST_KEY})])
            content = await _content_of(request)
            async with self._places:
                return await self._take(_Asked(request, who, kind, content, dry_run))

        return handle

    async def _take(self, asked: _Asked) -> Response:
        now = datetime.now(UTC)
        checked = await self._checked(asked, now)
        if isinstance(checked, Response):
            return checked
        drafted = drafts(asked.kind, checked.rows, asked.import_id)
        told = {"import_id": asked.import_id, "rows": len(checked.rows), "ignored_columns": checked.ignored}
        if asked.dry_run:
            events = await asyncio.to_thread(lambda: sum(1 for _ in drafted))
            return _answer(200, {**told, "events": events, "status": "valid", "dry_run": True})
        seconds = wait_seconds(asked.request)
        parcel = await asyncio.to_thread(_packed, asked, drafted, now, wanted=seconds > 0)
        if len(parcel.body) > MOST_BYTES:
            raise Problem("too_large", limit=MOST_BYTES)
        outcome = await self._intake.accept_parcel([_marker(asked, now), parcel.last], parcel.body, parcel.events, seconds)
        return _accepted({**told, "events": parcel.events}, parcel.last, outcome, seconds)

    async def _checked(self, asked: _Asked, now: datetime) -> Checked | Response:
        """The rows, or the file of faults. Raises Faulty. What was read is gone afterwards: it is as large as what it became."""
        sheet = await asyncio.to_thread(read, asked.content, MOST_ROWS)
        refused = await self._refused(asked, stores_named(asked.kind, sheet))
        checked = await asyncio.to_thread(check, asked.kind, sheet, refused_stores=refused, check_instant=self._desk.check_instant, now=now)
        return _refusal(asked, sheet, checked) if checked.faults else checked

    async def _refused(self, asked: _Asked, stores: set[str]) -> dict[str, str]:
        """The stores that rows may not name, each with the reason. Of a foreign one nobody learns whether it exists."""
        refused: dict[str, str] = {}
        for store_id in sorted(stores):
            try:
                allow(asked.who, asked.kind.permission, store_id)
                await self._known.store(store_id)
            except Problem as problem:
                refused[store_id] = {"forbidden": "forbidden_store"}.get(problem.code, problem.code)
        return refused


def _refusal(asked: _Asked, sheet: Spreadsheet, checked: Checked) -> Response:
    """The faults: as a problem, or as a file to correct. Raises Faulty for the former."""
    if form_of(asked.request) != "csv":
        raise Faulty(checked, len(sheet.lines))
    language = language_of(asked.request.headers.get("accept-language"))
    sentences: dict[int, list[str]] = {}
    for fault in checked.faults:
        detail = fault.fault.told(language)["detail"]
        sentences.setdefault(fault.row, []).append(f"{fault.column} : {detail}" if fault.column else detail)
    everything = asked.request.query_params.get("rows") == "all"
    lines = [line for line in sheet.lines if everything or line.number in sentences]
    if 1 in sentences:
        lines = [Line(1, ()), *lines]
    told = [(line, " ".join(sentences.get(line.number, ()))) for line in lines]
    content = write(sheet, told, TELLING if language == "fr" else ENGLISH_TELLING)
    headers = {"Content-Disposition": f'attachment; filename="{asked.kind.name}-{TELLING[1]}s.csv"', "Content-Language": language}
    return Response(content, 422, headers, MEDIA_TYPES["csv"])


def _event(asked: _Asked, draft: Draft, now: datetime) -> Accepted:
    event = asked.kind.event
    return Accepted(
        event_id=draft.event_id,
        type=event.type,
        version=event.version,
        store_id=draft.store_id,
        source=f"/stores/{draft.store_id}",
        occurred_at=now,
        received_at=now,
        data={},
        fingerprint=fingerprint(event.type, draft.store_id, None, draft.data),
        actor=asked.who.username,
        traceparent=asked.request.state.traceparent,
    )


def _marker(asked: _Asked, now: datetime) -> Accepted:
    """What stands for the import as a whole when its id is asked for: the same key with another file is a mismatch."""
    draft = Draft(CATALOGUE_STREAM, uuid5(asked.import_id, "import"), sha256(asked.content).hexdigest().encode())
    return _event(asked, draft, now)


def _packed(asked: _Asked, drafted: Iterable[Draft], now: datetime, *, wanted: bool) -> _Parcel:
    """The drafts as one message. With `wanted`, someone waits for the outcome of the last."""
    count = 0
    last = _marker(asked, now)

    def batches() -> Iterator[bytes]:
        nonlocal count, last
        waiting: list[bytes] = []
        size = 0
        for draft, is_last in _marked(drafted):
            event = replace(_event(asked, draft, now), reply_to="api" if wanted and is_last else None)
            item = encode_accepted(event, draft.data)
            if waiting and (len(waiting) == BATCH_EVENTS or size + len(item) > BATCH_BYTES):
                yield join(waiting)
                waiting, size = [], 0
            waiting.append(item)
            size += len(item)
            count, last = count + 1, event
        yield join(waiting)

    return _Parcel(pack(batches()), count, last)


def _marked(drafted: Iterable[Draft]) -> Iterator[tuple[Draft, bool]]:
    """Each draft, and whether it is the last."""
    earlier: Draft | None = None
    for draft in drafted:
        if earlier is not None:
            yield earlier, False
        earlier = draft
    if earlier is not None:
        yield earlier, True


def _accepted(told: Mapping[str, Any], last: Accepted, outcome: Outcome | None, seconds: int) -> Response:
    headers = {"Location": f"/api/v2/events/{last.event_id}"}
    if seconds:
        headers["Preference-Applied"] = f"wait={seconds}"
    if outcome is not None and outcome["outcome"] == "conflict":
        raise Problem("idempotency_mismatch", headers=headers)
    recorded = outcome is not None
    content = {**told, "event_id": last.event_id, "status": "recorded" if recorded else "accepted"}
    return _answer(201 if recorded else 202, content, headers)


def _answer(status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), status, dict(headers or {}), MEDIA_TYPES["json"])


async def _content_of(request: Request) -> bytes:
    """The body. Raises Problem unsupported_media_type for anything but CSV in UTF-8."""
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower().removeprefix("charset=").strip('"')
    plain = request.headers.get("content-encoding", "identity").lower() == "identity"
    if media.strip().lower() != "text/csv" or not plain or (parameters and charset not in {"utf-8", "utf8"}):
        raise Problem("unsupported_media_type")
    return await request.body()


def _is_dry_run(request: Request) -> bool:
    asked = request.query_params.get("dry_run", "false").lower()
    if asked not in YES | NO:
        raise Problem("invalid_content", errors=[Fault("/query/dry_run", "not_a_boolean")])
    return asked in YES
