"""Through which door does the operators' command line come in: the API, or the same application in this very process?

When nobody answers at the API's address, the application is mounted here and goes straight to PostgreSQL and the broker: the same routes,
the same checks, the same lines in the audit log. What that takes is what a process of the system has anyway, the addresses of the servers
and the key that signs tokens; the audit log then names the person of this machine.
"""

import asyncio
import getpass
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Self

import httpx2

from infra.settings import Settings, settings
from magasin import house, state

PREFIX: Final = "/api/v2/ops"
USER: Final = "MAGASIN_OPS_USER"
PASSWORD: Final = "MAGASIN_OPS_PASSWORD"  # noqa: S105 - the name of a variable
DATABASE: Final = "MAGASIN_DATABASE_URL"
TIMEOUT_SECONDS: Final = 60.0
HERE: Final = "http://operator"
"""Stands for the application in this process."""
LONGEST_NAME: Final = 64
SignIn = Callable[[httpx2.AsyncClient], Coroutine[None, None, str]]
"""Gets a token."""
Leave = Callable[[], Coroutine[None, None, None]]
"""Closes what the application in this process has opened."""


class NobodyAnswers(Exception):
    """Neither the API nor the servers can be reached: the message says what to do."""


class Declined(Exception):
    """The API said no. `problem` is its answer (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Way:
    """How to come in: the address that was asked for, and whether only the direct way will do."""

    url: str | None = None
    direct: bool = False


class Door:
    """An open door: `ask` as often as you like, then `close`."""

    def __init__(self, runner: asyncio.Runner, client: httpx2.AsyncClient, sign_in: SignIn, leave: Leave | None = None) -> None:
        self.direct = leave is not None
        self._runner = runner
        self._client = client
        self._sign_in = sign_in
        self._leave = leave
        self._open = True
        client.headers["accept-language"] = "fr" if os.environ.get("LANG", "").startswith("fr") else "en"

    @classmethod
    def open(cls, way: Way) -> Self:
        """The API if it answers, else the direct way. Raises NobodyAnswers and Declined."""
        if not way.direct:
            client = httpx2.AsyncClient(base_url=way.url or _address(), timeout=TIMEOUT_SECONDS, trust_env=False)
            try:
                return cls(asyncio.Runner(), client, _by_password).entered()
            except httpx2.TransportError as error:
                if way.url is not None:
                    raise NobodyAnswers(f"Nobody answers at {way.url}: {error}") from error
        return cls(asyncio.Runner(), *_mounted()).entered()

    def ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """The answer's JSON. Raises Declined when it isn't a success, NobodyAnswers when there is none."""
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            found = self._send(method, path, asked, body)
            if found.status_code == HTTPStatus.UNAUTHORIZED:  # a token lives for a quarter of an hour, and some jobs take longer
                self.entered()
                found = self._send(method, path, asked, body)
        except httpx2.TransportError as error:
            raise NobodyAnswers(f"The API doesn't answer any more: {error}") from error
        return _content(found)

    def _send(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> httpx2.Response:  # noqa: ANN401 - JSON
        return self._runner.run(self._client.request(method, PREFIX + path, params=query, json=body))

    def entered(self) -> Self:
        """With a token that is valid now. Raises Declined, and httpx2.TransportError; then the door is closed."""
        try:
            self._client.headers["authorization"] = f"Bearer {self._runner.run(self._sign_in(self._client))}"
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Leave nothing open."""
        if self._open:
            self._open = False
            self._runner.run(self._client.aclose())
            if self._leave is not None:
                self._runner.run(self._leave())
            self._runner.close()


def _address() -> str:
    """Where the API of this system is, or would be."""
    if url := os.environ.get("MAGASIN_URL"):
        return url
    try:
        return state.addresses(house.home_of(settings()))["MAGASIN_URL"]
    except (state.NotRunningError, KeyError):
        return house.base_url(settings())


async def _by_password(client: httpx2.AsyncClient) -> str:
    """A token for the account that the environment names; the demonstration's operator when it names none."""
    form = {"username": os.environ.get(USER, "operateur"), "password": os.environ.get(PASSWORD, settings().demo_password)}
    try:
        found = _content(await client.post("/api/v2/auth/token", data=form))
    except Declined as declined:
        if declined.status == HTTPStatus.UNAUTHORIZED:
            raise Declined(declined.status, {"detail": f"Not signed in. Say who you are: {USER} and {PASSWORD}."}) from None
        raise
    return str(found["access_token"])


def _mounted() -> tuple[httpx2.AsyncClient, SignIn, Leave]:
    """The application in this process, without anything that a server of many would keep running beside it."""
    from api.app import create_app  # noqa: PLC0415 - the whole API, which nobody needs who comes in by HTTP

    app = create_app(_servers())
    person = f"{getpass.getuser()}@{os.uname().nodename}"[:LONGEST_NAME]

    async def by_key(_: httpx2.AsyncClient) -> str:
        return str(app.state.tokens.issue(person, "operateur", ["*"]))

    async def leave() -> None:
        parts = app.state
        parts.outgoing.close()
        parts.management.close()
        await parts.redis.aclose()
        parts.engine.dispose()

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(base_url=HERE, timeout=TIMEOUT_SECONDS, transport=transport), by_key, leave


def _servers() -> Settings:
    """The servers that the environment names, or those of the system that runs here. Raises NobodyAnswers."""
    home = house.home_of(settings())
    if DATABASE not in os.environ:
        try:
            os.environ.update(state.addresses(home))
        except state.NotRunningError:
            raise NobodyAnswers(
                f"The API doesn't answer, and no servers are known. Start the system (make run) or name its servers ({DATABASE} …)."
            ) from None
    return Settings().model_copy(update={"home": home, "log_level": "ERROR"})


def _content(found: httpx2.Response) -> dict[str, Any]:
    try:
        content = found.json()
    except ValueError:
        content = {}
    if not found.is_success:
        raise Declined(found.status_code, content if isinstance(content, dict) else {})
    return dict(content)
