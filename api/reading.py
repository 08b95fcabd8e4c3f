"""How is every read answered: fresh, cheap, in the form that was asked for?

First the position is read. It makes the ETag (304 when the caller has that answer already) and the key in Redis, so a cached answer can't
be stale: when something changes, the key changes. Redis away means asking the database.
"""

import asyncio
import base64
import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal

import structlog
from pydantic_core import to_json
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import Response

from api import metrics
from api.problems import Problem
from api.security import visible_stores
from api.tokens import Principal
from projections.standing import Standing

AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")
FIRST_YEAR, LAST_YEAR = 1900, 3000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
JSON, CSV = "application/json", "text/csv; charset=utf-8"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """What a read found. `after` is where the next page begins (None at the end); a single thing is its own `items`."""

    items: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    after: Sequence[Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Reader:
    """Answers reads from the database, through the cache."""

    def __init__(self, engine: Engine, redis: Redis | None, *, ttl_seconds: int, timeout_seconds: float) -> None:
        self._engine = engine
        self._redis = redis
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds

    async def answer(
        self, request: Request, who: Principal, standing: Callable[[Connection], Standing], find: Callable[[Connection], Page]
    ) -> Response:
        """The answer of `find`, with ETag and meta of `standing`; both run in one thread, each on the database only when needed."""
        now = await asyncio.to_thread(self._with_connection, standing)
        form = form_of(request)
        key = _key(request, who, now, form)
        headers = {"ETag": f'"{key}"', "Cache-Control": "private, no-cache", "Vary": "Accept, Accept-Language, Authorization"}
        if _has(request, key):
            return Response(status_code=304, headers=headers)
        kept = await self._kept(key)
        if kept is None:
            page = await asyncio.to_thread(self._with_connection, find)
            kept = _written(request, page, now, form)
            await self._keep(key, kept)
        link, _, body = kept.partition(b"\n")
        if link:
            headers["Link"] = link.decode()
        if form == "csv":
            headers["Content-Disposition"] = f'attachment; filename="{request.url.path.rsplit("/", 1)[-1]}.csv"'
        return Response(body, headers=headers, media_type=CSV if form == "csv" else JSON)

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
        if self._redis is None:
            return
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._redis.set(f"magasin:read:{key}", answer, ex=self._ttl_seconds)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("not_cached", error=f"{type(error).__name__}: {error}"[:200])


def form_of(request: Request) -> Literal["json", "csv"]:
    """JSON, unless CSV is asked for by ``?format=`` or by ``Accept``."""
    asked = request.query_params.get("format")
    if asked not in {None, "json", "csv"}:
        raise Problem("not_acceptable")
    return "csv" if asked == "csv" or (asked is None and "text/csv" in request.headers.get("accept", "")) else "json"


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


def _key(request: Request, who: Principal, now: Standing, form: str) -> str:
    stores = visible_stores(who)
    scope = "*" if stores is None else ",".join(sorted(stores))
    asked = (now.position, request.url.path, str(request.query_params), scope, who.role, form, request.headers.get("accept-language", ""))
    return blake2b("\n".join(asked).encode(), digest_size=16).hexdigest()


def _has(request: Request, key: str) -> bool:
    told = request.headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/").strip('"') == key for tag in told.split(","))


def _written(request: Request, page: Page, now: Standing, form: str) -> bytes:
    """The Link header's line, then the body: what is cached is the whole answer."""
    link = b""
    if page.after is not None:
        cursor = base64.urlsafe_b64encode(to_json(list(page.after))).decode().rstrip("=")
        link = f'<{request.url.include_query_params(after=cursor).replace(scheme="", netloc="")}>; rel="next"'.encode()
    if form == "csv":
        return link + b"\n" + as_csv(page.items if not isinstance(page.items, Mapping) else [page.items])
    meta = now.meta()
    content = {**page.items, "meta": meta} if isinstance(page.items, Mapping) else {"items": page.items, **page.extra, "meta": meta}
    return link + b"\n" + to_json(content)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as CSV with a header line; nested objects become ``name.fr`` columns, and no cell can run as a formula."""
    flat = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in flat)
    return out.getvalue().encode()


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _cell(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    if isinstance(value, str) and value.startswith(FORMULA) and not AMOUNT.fullmatch(value):
        return f"'{value}"
    return to_json(value).decode() if isinstance(value, list) else value
