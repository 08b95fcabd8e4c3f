"""How does the demonstration talk to the REST interface whatever the moment: busy, restarting, or with a token that has expired?

Repeating a command is always safe here: every command of the demonstration carries its own id.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, TypedDict, TypeVar, Unpack
from uuid import UUID

import httpx2
from pydantic import BaseModel, ConfigDict, ValidationError

BASE: Final = "/api/v2"
PARALLEL: Final = 16
"""Requests under way at once: as many as a dozen busy shops would have."""
CONNECTIONS: Final = 48
"""The most there may be. Loading takes them all: the fuller groups that the API can make of them cost the whole system a quarter less."""
PAGE: Final = 500
"""The most a list gives at once."""
TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
UNAUTHORIZED: Final = 401
NOT_FOUND: Final = 404
UNPROCESSABLE: Final = 422
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 30.0
SIGN_INS: Final = 2
TOKEN_MARGIN_SECONDS: Final = 60.0

T = TypeVar("T")
Shaped = TypeVar("Shaped", bound=BaseModel)


class DemonstrationError(RuntimeError):
    """The demonstration can't go on; the message says what was seen and what to do."""


class _Parts(TypedDict, total=False):
    content: bytes
    params: httpx2.QueryParams


class Answer(BaseModel):
    """The part of an answer that is read here; the interface may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Token(Answer):
    """What signing in gives."""

    access_token: str
    expires_in: float


class Trouble(Answer):
    """Problem details (RFC 9457)."""

    code: str = "unknown"
    detail: str = ""


class RefusedError(DemonstrationError):
    """The interface answered that a request is wrong, and would answer so again. `status` is HTTP's, `code` the contract's."""

    def __init__(self, request: httpx2.Request, status: int, trouble: Trouble) -> None:
        """Keep what the answer said."""
        super().__init__(f"{request.method} {request.url.path} was refused: {status} {trouble.code}. {trouble.detail}".strip())
        self.status = status
        self.code = trouble.code


class Outcome(Answer):
    """What became of an event."""

    event_id: UUID
    status: Literal["accepted", "recorded", "refused", "dead_lettered"]
    seq: int | None = None
    projections: dict[str, bool] = {}

    @property
    def settled(self) -> bool:
        """Nothing more will happen by itself: in every projection, or never to be there."""
        return self.status in {"refused", "dead_lettered"} or (self.status == "recorded" and all(self.projections.values()))


@dataclass(frozen=True, slots=True)
class _Signed:
    authorization: str
    until: float


class Client:
    """One pool of connections, and as many accounts as there are tills, all with the demonstration's password.

    `patience_seconds` bounds how long one request is repeated, and how long nothing may move while waiting for events.
    `pause` is `asyncio.sleep` outside of tests.
    """

    def __init__(
        self,
        base_url: str,
        password: str,
        *,
        patience_seconds: float = 90.0,
        transport: httpx2.AsyncBaseTransport | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Open nothing yet: connections come with the first requests."""
        self.requests = 0
        self.repeated = 0
        self._password = password
        self._patience_seconds = patience_seconds
        self._pause = pause
        self._signed: dict[str, _Signed] = {}
        self._signing: dict[str, asyncio.Lock] = {}
        self._http = httpx2.AsyncClient(
            base_url=base_url.rstrip("/"),
            timeout=REQUEST_SECONDS,
            limits=httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            headers={"Accept-Language": "en"},
            # The system is on this machine or named outright: never by way of a proxy of the environment.
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def command(
        self, account: str, method: Literal["POST", "PUT"], path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Send a command as `account`, again and again while the interface is away or busy.

        Raises RefusedError for what would be answered so again, DemonstrationError when patience ends.
        """
        answer = await self._send(account, method, path, content=body, headers={"Content-Type": "application/json", **(headers or {})})
        if not answer.is_success:
            raise _refusal(answer)
        return answer

    async def fetch(self, account: str, path: str, shape: type[Shaped]) -> Shaped | None:
        """The answer to a GET in its shape, or None when there is no such thing. Raises like `command`."""
        answer = await self._send(account, "GET", path)
        if answer.status_code == NOT_FOUND:
            return None
        if not answer.is_success:
            raise _refusal(answer)
        return _shaped(shape, answer)

    async def pages(self, account: str, path: str, shape: type[Shaped], query: Mapping[str, str] | None = None) -> AsyncIterator[Shaped]:
        """Every page of a list or report, in its shape. Follows ``Link: rel="next"``, on our own address whatever host it names."""
        params = httpx2.QueryParams({"limit": PAGE, **(query or {})})
        while True:
            answer = await self._send(account, "GET", path, params=params)
            if not answer.is_success:
                raise _refusal(answer)
            yield _shaped(shape, answer)
            following = answer.links.get("next")
            if following is None:
                return
            params = httpx2.URL(following["url"]).params

    async def outcome(self, account: str, event_id: UUID) -> Outcome | None:
        """What became of an event so far, None when the system has never recorded it."""
        return await self.fetch(account, f"/events/{event_id}", Outcome)

    async def settle(
        self, account: str, event_ids: Collection[UUID], progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> dict[UUID, Outcome]:
        """Wait until each of these accepted events is recorded and in every projection, or refused.

        Asks again with growing pauses, which shrink back whenever something moved. Raises DemonstrationError when nothing moves for
        `patience_seconds`.
        """
        settled: dict[UUID, Outcome] = {}

        async def look(event_id: UUID) -> None:
            outcome = await self.outcome(account, event_id)
            if outcome is not None and outcome.settled:
                settled[event_id] = outcome
                progress(len(settled), len(event_ids))

        waiting = list(event_ids)
        # The last ones first: as long as they are on their way, asking for two thousand others is only a load.
        probe = waiting[-PARALLEL:]
        seconds, moved_at = FIRST_PAUSE_SECONDS, time.monotonic()
        while waiting:
            before = len(settled)
            await in_parallel(probe, look)
            waiting = [event_id for event_id in waiting if event_id not in settled]
            still = [event_id for event_id in probe if event_id not in settled]
            probe = still[:PARALLEL] or waiting
            if len(settled) > before:
                seconds, moved_at = FIRST_PAUSE_SECONDS, time.monotonic()
            if still:
                if time.monotonic() - moved_at > self._patience_seconds:
                    raise DemonstrationError(_stuck(len(waiting), still[0], self._patience_seconds))
                await self._pause(seconds)
                seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)
        return settled

    async def _send(
        self, account: str, method: str, path: str, *, headers: Mapping[str, str] | None = None, **parts: Unpack[_Parts]
    ) -> httpx2.Response:
        for _ in range(SIGN_INS):
            token = await self._token(account)
            sent = {"Authorization": token.authorization, **(headers or {})}
            answer = await self._insist(self._http.build_request(method, BASE + path, headers=sent, **parts))
            if answer.status_code != UNAUTHORIZED:
                break
            # The token was good when we looked: it ended on the way, or the keys have changed. Once is bad luck, twice an answer.
            if self._signed.get(account) is token:
                del self._signed[account]
        return answer

    async def _token(self, account: str) -> _Signed:
        async with self._signing.setdefault(account, asyncio.Lock()):
            token = self._signed.get(account)
            if token is None or token.until < time.monotonic():
                token = self._signed[account] = await self._sign_in(account)
            return token

    async def _sign_in(self, account: str) -> _Signed:
        request = self._http.build_request("POST", f"{BASE}/auth/token", data={"username": account, "password": self._password})
        asked_at = time.monotonic()
        answer = await self._insist(request)
        if not answer.is_success:
            raise _refusal(answer)
        token = _shaped(Token, answer)
        margin = min(TOKEN_MARGIN_SECONDS, token.expires_in / 2)
        return _Signed(f"Bearer {token.access_token}", asked_at + token.expires_in - margin)

    async def _insist(self, request: httpx2.Request) -> httpx2.Response:
        give_up_at = time.monotonic() + self._patience_seconds
        seconds = FIRST_PAUSE_SECONDS
        while True:
            asked: float | None = None
            self.requests += 1
            try:
                answer = await self._http.send(request)
            except httpx2.TransportError as error:
                seen = f"{type(error).__name__} {error}".strip()
            else:
                if answer.status_code not in TRY_AGAIN:
                    return answer
                seen = f"status {answer.status_code}"
                asked = _retry_after(answer)
            wait = min(seconds if asked is None else asked, LONGEST_PAUSE_SECONDS) * random.uniform(1.0, 1.2)  # noqa: S311 - spreads retries
            if time.monotonic() + wait > give_up_at:
                raise DemonstrationError(_away(request, seen, self._patience_seconds))
            self.repeated += 1
            await self._pause(wait)
            seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)


async def in_parallel(work: Iterable[T], do: Callable[[T], Awaitable[None]], *, parallel: int = PARALLEL) -> None:
    """Do all the work in its order, at most so much at a time. The first failure ends the rest, and is raised as it is."""
    rest = iter(work)

    async def drain() -> None:
        for one in rest:
            await do(one)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(parallel):
                group.create_task(drain())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _retry_after(answer: httpx2.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _shaped(shape: type[Shaped], answer: httpx2.Response) -> Shaped:
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError as error:
        raise DemonstrationError(_misshapen(answer, error)) from error


def _refusal(answer: httpx2.Response) -> RefusedError:
    try:
        trouble = Trouble.model_validate_json(answer.content)
    except ValidationError:
        trouble = Trouble()
    return RefusedError(answer.request, answer.status_code, trouble)


def _misshapen(answer: httpx2.Response, error: ValidationError) -> str:
    return f"{answer.request.method} {answer.request.url.path} answered in an unexpected shape: {error}"


def _away(request: httpx2.Request, seen: str, seconds: float) -> str:
    return f"{request.method} {request.url} has failed for {seconds:.0f} s, the last time with: {seen}. Is the system running (make run)?"


def _stuck(count: int, example: UUID, seconds: float) -> str:
    return (
        f"{count} accepted events, {example} among them, are not yet recorded and in every projection, and nothing has moved for "
        f"{seconds:.0f} s. Do the stock-writer and the projector run? See GET {BASE}/ops/overview."
    )
