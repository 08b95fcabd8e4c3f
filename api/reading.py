"""How is every read answered: fresh, cheap, in the form that was asked for?

First the position is read. It makes the ETag (304 when the caller has that answer already) and the key in Redis, so a cached answer can't
be stale: when something changes, the key changes. Redis away means asking the database.
"""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Final, Literal

import structlog
from pydantic_core import to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from api import metrics, workbook
from api.completeness import completed
from api.locale import language_of
from api.problems import Problem
from api.security import visible_stores
from api.tables import Separator, as_csv
from api.tokens import Principal
from api.workbook import Sheet, as_workbook
from projections.standing import Standing

Form = Literal["json", "csv", "xlsx"]

FIRST_YEAR, LAST_YEAR = 1900, 3000
MEDIA_TYPES: Final[dict[Form, str]] = {"json": "application/json", "csv": "text/csv; charset=utf-8", "xlsx": workbook.MEDIA_TYPE}
EXPORTS_AT_ONCE: Final = 2
"""Exports and explanations work for seconds; the other threads stay free for reads that take milliseconds."""
MOST_KEPT_BYTES: Final = 1_048_576
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What a read found. `after` is where the next page begins (None at the end); a single thing is its own `items`.

    `table` are the rows of CSV and workbook where they aren't the items; `meta` is what only this read knows of its answer.
    """

    items: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    after: Sequence[Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    table: Sequence[Mapping[str, Any]] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """What stands in a table, row by row."""
        if self.table is not None:
            return self.table
        return [self.items] if isinstance(self.items, Mapping) else self.items


class Reader:
    """Answers reads from the database, through the cache."""

    def __init__(self, engine: Engine, redis: Redis | None, *, ttl_seconds: int, timeout_seconds: float) -> None:
        self._engine = engine
        self._redis = redis
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._exports = asyncio.Semaphore(EXPORTS_AT_ONCE)

    async def answer(
        self,
        request: Request,
        who: Principal,
        standing: Callable[[Connection], Standing],
        find: Callable[[Connection], Page],
        *,
        sheet: Sheet | None = None,
        long: bool = False,
    ) -> Response:
        """The answer of `find`, with ETag and meta of `standing`; both run in threads, each on the database only when needed.

        With a `sheet` it may be asked for as a workbook. `long` is work of seconds even as JSON: such answers wait for each other.
        """
        form = form_of(request, workbooks=sheet is not None)
        now = await asyncio.to_thread(self._with_connection, completed(request, who, standing))
        key = _key(request, who, now, form)
        headers = {"ETag": f'"{key}"', "Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Language, Authorization"}
        if _has(request, key):
            return Response(status_code=304, headers=headers)
        kept, keeping = await self._kept(key), None
        if kept is None:

            def work() -> bytes:
                return _written(request, self._with_connection(find), now, form, sheet)

            async with self._exports if long or form != "json" else nullcontext():
                kept = await asyncio.to_thread(work)
            # Once it is answered: who asked needn't wait for that.
            keeping = BackgroundTask(self._keep, key, kept)
        link, _, body = kept.partition(b"\n")
        if link:
            headers["Link"] = link.decode()
        if form != "json":
            headers["Content-Disposition"] = f'attachment; filename="{_file_name(request)}.{form}"'
        return Response(body, headers=headers, media_type=MEDIA_TYPES[form], background=keeping)

    def _with_connection(self, ask: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 - whatever `ask` answers
        try:
            return self._asked(ask)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # The server was restarted since this connection was used last; the pool is new now.
            return self._asked(ask)

    def _asked(self, ask: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 - the same
        with self._engine.connect() as connection:
            return ask(connection)

    async def _kept(self, key: str) -> bytes | None:
        if self._redis is None:
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = await self._redis.get(f"magasin:read:{key}")
        except (RedisError, OSError, TimeoutError):
            found = None
        kept = found if isinstance(found, bytes) else None
        metrics.cache_lookups.labels("miss" if kept is None else "hit").inc()
        return kept

    async def _keep(self, key: str, answer: bytes) -> None:
        if self._redis is None or len(answer) > MOST_KEPT_BYTES:
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._redis.set(f"magasin:read:{key}", answer, ex=self._ttl_seconds)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("not_cached", error=f"{type(error).__name__}: {error}"[:200])


def form_of(request: Request, *, workbooks: bool = False) -> Form:
    """JSON, unless CSV (or a workbook, where there are any) is asked for by ``?format=`` or ``Accept``. Raises Problem not_acceptable."""
    forms: list[Form] = ["json", "csv", "xlsx"] if workbooks else ["json", "csv"]
    asked = request.query_params.get("format")
    if asked is not None:
        for form in forms:
            if asked == form:
                return form
        raise Problem("not_acceptable")
    accepted = request.headers.get("accept", "")
    return next((form for form in forms[1:] if MEDIA_TYPES[form].partition(";")[0] in accepted), "json")


def separator_of(request: Request) -> Separator:
    """What stands between the cells of a CSV: a comma, unless ``?separator=;`` asks for a semicolon. Raises Problem not_acceptable."""
    match request.query_params.get("separator", ","):
        case ",":
            return ","
        case ";":
            return ";"
        case _:
            raise Problem("not_acceptable")


def after_of(cursor: str | None, *parts: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """The place that a cursor names, each part read by its own function. Raises Problem bad_cursor."""
    if cursor is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
        return tuple(part(value) for part, value in zip(parts, found, strict=True))
    except (ValueError, TypeError, AttributeError):
        raise Problem("bad_cursor") from None


def text_part(value: Any) -> str:  # noqa: ANN401 - JSON border: a cursor may be anybody's invention
    """Text that the database takes. Raises ValueError."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError
    return value


def number_part(value: Any) -> int:  # noqa: ANN401 - the same
    """A whole number that the database takes. Raises ValueError."""
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError
    return value


def day_part(value: Any) -> date:  # noqa: ANN401 - the same
    """A day. Raises ValueError or TypeError."""
    found = date.fromisoformat(value)
    if not FIRST_YEAR < found.year < LAST_YEAR:
        raise ValueError
    return found


def instant_part(value: Any) -> datetime:  # noqa: ANN401 - the same
    """An instant, with or without an offset. Raises ValueError or TypeError."""
    found = datetime.fromisoformat(value)
    if not FIRST_YEAR < found.year < LAST_YEAR:
        raise ValueError
    return found


def paged(rows: Sequence[Mapping[str, Any]], limit: int, *keys: str, hidden: str | None = None) -> Page:
    """The first `limit` of rows that were asked for with one more, and where to go on; without the member that only the place needs."""
    after = [rows[limit - 1][key] for key in keys] if len(rows) > limit else None
    return Page([{name: value for name, value in row.items() if name != hidden} for row in rows[:limit]] if hidden else rows[:limit], after)


def corrected(page: Page, phrases: Sequence[str]) -> Page:
    """The page of a search, which tells what was looked for instead of what was typed."""
    return replace(page, meta={"corrected": list(phrases)}) if phrases else page


def _key(request: Request, who: Principal, now: Standing, form: str) -> str:
    stores = visible_stores(who)
    scope = "*" if stores is None else ",".join(sorted(stores))
    asked = (now.position, request.url.path, str(request.query_params), scope, who.role, form, request.headers.get("accept-language", ""))
    return blake2b("\n".join(asked).encode(), digest_size=16).hexdigest()


def _has(request: Request, key: str) -> bool:
    told = request.headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/").strip('"') == key for tag in told.split(","))


def _file_name(request: Request) -> str:
    """``daily-sales_2026-11-01_2026-11-30``: the report and its days, in characters that every system takes."""
    parts = request.url.path.rstrip("/").split("/")
    name = "-".join(parts[-2:]) if parts[-1] == "explain" else parts[-1]
    days = [request.query_params.get(each, "") for each in ("from", "to")]
    return "_".join([re.sub(r"[^A-Za-z0-9._-]", "-", name), *(day for day in days if DAY.fullmatch(day))])


def _written(request: Request, page: Page, now: Standing, form: Form, sheet: Sheet | None) -> bytes:
    """The Link header's line, then the body: what is cached is the whole answer."""
    link = b""
    if page.after is not None:
        cursor = base64.urlsafe_b64encode(to_json(list(page.after))).decode().rstrip("=")
        link = f'<{request.url.include_query_params(after=cursor).replace(scheme="", netloc="")}>; rel="next"'.encode()
    if form == "csv":
        return (
            link
            + b"\n"
            + as_csv(
                page.rows,
                separator_of(request),
                decimals=sheet.decimals if sheet else (),
                names=list(sheet.columns) if sheet else (),
            )
        )
    if form == "xlsx" and sheet is not None:
        language = language_of(request.headers.get("accept-language"))
        return link + b"\n" + as_workbook(sheet, page.rows, now.meta(), language, page.extra)
    meta = {**now.meta(), **page.meta}
    content = {**page.items, "meta": meta} if isinstance(page.items, Mapping) else {"items": page.items, **page.extra, "meta": meta}
    return link + b"\n" + to_json(content)
