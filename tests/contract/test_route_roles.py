"""Who may knock at which door?

The table below is written by hand, apart from the code that decides. Every route of the application has a line in it, so a new route
without one fails; and every line is tried with every kind of caller, on a store of theirs and on somebody else's.
"""

import asyncio
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.security import ROLES
from api.tokens import Tokens, tokens_of
from infra.settings import Settings
from projections import REPORTS

OWN, FOREIGN = "mine", "not-mine"
IDENTIFIER = "01890a5d-ac96-774b-bcce-b302099a8057"
FILL = {"sku": "A-1", "username": "somebody", "report": min(REPORTS)}

# Each kind of caller: its role, and the stores of its token.
CALLERS = {
    "cashier": ("caissier", [OWN]),
    "manager": ("gestionnaire", [OWN]),
    "chief": ("gestionnaire", ["*"]),
    "operator": ("operateur", ["*"]),
    "admin": ("admin", ["*"]),
}
BOUND = {"cashier", "manager"}

PATH, FILTER, WHOLE = "store in the path", "store in the query", "no store"
SHOP = "cashier manager chief admin"
MANAGERS = "manager chief admin"
EVERYBODY = "cashier manager chief operator admin"
HEADQUARTERS = "manager chief operator admin"


class Door(NamedTuple):
    """Who may pass, and where the store is named."""

    callers: str
    scope: str


OPEN = Door("", "no token needed")

DOORS = {
    # outside the API
    "GET ": OPEN,  # the pages: at every path that nothing else answers
    "GET /swagger-ui": OPEN,
    "GET /asyncapi.json": OPEN,
    **{f"{method} /api/{{rest:path}}": OPEN for method in ("DELETE", "GET", "PATCH", "POST", "PUT")},
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /openapi.json": OPEN,
    "GET /.well-known/jwks.json": OPEN,
    # signing in
    "POST /api/v2/auth/token": OPEN,
    "POST /api/v2/auth/refresh": OPEN,
    "POST /api/v2/auth/logout": OPEN,
    "GET /api/v2/auth/me": Door(EVERYBODY, WHOLE),
    "POST /api/v2/auth/password": Door(EVERYBODY, WHOLE),
    "GET /api/v2/users": Door("admin", WHOLE),
    "POST /api/v2/users": Door("admin", WHOLE),
    "GET /api/v2/users/{username}": Door("admin", WHOLE),
    "PATCH /api/v2/users/{username}": Door("admin", WHOLE),
    "POST /api/v2/users/{username}/sign-out": Door("admin", WHOLE),
    "GET /api/v2/ops/audit-log": Door("operator admin", WHOLE),
    "GET /api/v2/ops/overview": Door("operator admin", WHOLE),
    "GET /api/v2/ops/queues": Door("operator admin", WHOLE),
    "GET /api/v2/ops/consumers": Door("operator admin", WHOLE),
    "GET /api/v2/ops/projections": Door("operator admin", WHOLE),
    "POST /api/v2/ops/consumers/{name}/pause": Door("operator admin", WHOLE),
    "POST /api/v2/ops/consumers/{name}/resume": Door("operator admin", WHOLE),
    "POST /api/v2/ops/projections/{name}/pause": Door("operator admin", WHOLE),
    "POST /api/v2/ops/projections/{name}/resume": Door("operator admin", WHOLE),
    "GET /api/v2/ops/rebuilds": Door("operator admin", WHOLE),
    "POST /api/v2/ops/rebuilds": Door("operator admin", WHOLE),
    "GET /api/v2/ops/rebuilds/{rebuild_id}": Door("operator admin", WHOLE),
    **{
        f"POST /api/v2/ops/rebuilds/{{rebuild_id}}/{verb}": Door("operator admin", WHOLE)
        for verb in ("pause", "resume", "cancel", "promote", "rollback")
    },
    "GET /api/v2/ops/replays": Door("operator admin", WHOLE),
    "POST /api/v2/ops/replays": Door("operator admin", WHOLE),
    "GET /api/v2/ops/replays/{replay_id}": Door("operator admin", WHOLE),
    **{f"POST /api/v2/ops/replays/{{replay_id}}/{verb}": Door("operator admin", WHOLE) for verb in ("pause", "resume", "cancel")},
    "GET /api/v2/ops/verifications": Door("operator admin", WHOLE),
    "POST /api/v2/ops/verifications": Door("operator admin", WHOLE),
    "GET /api/v2/ops/verifications/{verification_id}": Door("operator admin", WHOLE),
    **{
        f"POST /api/v2/ops/verifications/{{verification_id}}/{verb}": Door("operator admin", WHOLE)
        for verb in ("pause", "resume", "cancel")
    },
    "GET /api/v2/ops/dead-letters": Door("operator admin", WHOLE),
    "GET /api/v2/ops/dead-letters/{letter_id}": Door("operator admin", WHOLE),
    "POST /api/v2/ops/dead-letters/{letter_id}/park": Door("operator admin", WHOLE),
    "POST /api/v2/ops/dead-letters/{letter_id}/restore": Door("operator admin", WHOLE),
    "POST /api/v2/ops/dead-letters/{letter_id}/edit": Door("operator admin", WHOLE),
    "POST /api/v2/ops/dead-letters/{letter_id}/edit/approve": Door("operator admin", WHOLE),
    "POST /api/v2/ops/dead-letters/{letter_id}/edit/reject": Door("operator admin", WHOLE),
    "GET /api/v2/ops/jobs": Door("operator admin", WHOLE),
    "GET /api/v2/ops/selections": Door("operator admin", WHOLE),
    "POST /api/v2/ops/selections": Door("operator admin", WHOLE),
    "GET /api/v2/ops/selections/{selection_id}": Door("operator admin", WHOLE),
    "POST /api/v2/ops/selections/{selection_id}/park": Door("operator admin", WHOLE),
    "POST /api/v2/ops/selections/{selection_id}/restore": Door("operator admin", WHOLE),
    "GET /api/v2/ops/redrives": Door("operator admin", WHOLE),
    "POST /api/v2/ops/redrives": Door("operator admin", WHOLE),
    "GET /api/v2/ops/redrives/{redrive_id}": Door("operator admin", WHOLE),
    "GET /api/v2/ops/redrives/{redrive_id}/items": Door("operator admin", WHOLE),
    "POST /api/v2/ops/redrives/{redrive_id}/pause": Door("operator admin", WHOLE),
    "POST /api/v2/ops/redrives/{redrive_id}/resume": Door("operator admin", WHOLE),
    "POST /api/v2/ops/redrives/{redrive_id}/cancel": Door("operator admin", WHOLE),
    # other systems
    "GET /api/v2/webhooks": Door("admin", WHOLE),
    "POST /api/v2/webhooks": Door("admin", WHOLE),
    "GET /api/v2/webhooks/{webhook_id}": Door("admin", WHOLE),
    "PATCH /api/v2/webhooks/{webhook_id}": Door("admin", WHOLE),
    "DELETE /api/v2/webhooks/{webhook_id}": Door("admin", WHOLE),
    "POST /api/v2/webhooks/{webhook_id}/rotate-secret": Door("admin", WHOLE),
    "POST /api/v2/webhooks/{webhook_id}/test": Door("admin", WHOLE),
    "GET /api/v2/webhooks/{webhook_id}/deliveries": Door("admin", WHOLE),
    "POST /api/v2/webhooks/{webhook_id}/deliveries/{delivery_id}/retry": Door("admin", WHOLE),
    "POST /api/v2/webhooks/{webhook_id}/deliveries/{delivery_id}/skip": Door("admin", WHOLE),
    # commands
    "POST /api/v2/stores/{store_id}/sales": Door(SHOP, PATH),
    "POST /api/v2/stores/{store_id}/sales/batch": Door(SHOP, PATH),
    "POST /api/v2/stores/{store_id}/sales/{sale_id}/returns": Door(SHOP, PATH),
    "POST /api/v2/stores/{store_id}/sales/{sale_id}/void": Door(SHOP, PATH),
    "POST /api/v2/stores/{store_id}/stock-changes": Door(MANAGERS, PATH),
    "POST /api/v2/stores/{store_id}/stock-counts": Door(MANAGERS, PATH),
    "POST /api/v2/stores/{store_id}/deliveries": Door(MANAGERS, PATH),
    "PUT /api/v2/stores/{store_id}": Door("admin", PATH),
    "PUT /api/v2/products/{sku}": Door("chief admin", WHOLE),
    "PUT /api/v2/stores/{store_id}/products/{sku}": Door(MANAGERS, PATH),
    "POST /api/v2/imports/products": Door("chief admin", WHOLE),
    "POST /api/v2/imports/stores": Door("admin", WHOLE),
    "POST /api/v2/imports/stock-counts": Door(MANAGERS, WHOLE),
    "POST /api/v2/restocks": Door(SHOP, WHOLE),
    "POST /api/v2/restocks/{restock_id}/approve": Door(MANAGERS, WHOLE),
    "POST /api/v2/restocks/{restock_id}/reject": Door(MANAGERS, WHOLE),
    "POST /api/v2/restocks/{restock_id}/cancel": Door(SHOP, WHOLE),
    "POST /api/v2/restocks/{restock_id}/ship": Door(MANAGERS, WHOLE),
    "POST /api/v2/restocks/{restock_id}/receive": Door(SHOP, WHOLE),
    # reads
    "GET /api/v2/events/{event_id}": Door(EVERYBODY, WHOLE),
    "GET /api/v2/stores": Door(EVERYBODY, WHOLE),
    "GET /api/v2/stores/{store_id}": Door(EVERYBODY, PATH),
    "GET /api/v2/products": Door(EVERYBODY, WHOLE),
    "GET /api/v2/products/{sku}": Door(EVERYBODY, WHOLE),
    "GET /api/v2/stock": Door(EVERYBODY, FILTER),
    "GET /api/v2/stock/shortages": Door(EVERYBODY, FILTER),
    "GET /api/v2/stores/{store_id}/stock/{sku}/movements": Door(EVERYBODY, PATH),
    "GET /api/v2/stores/{store_id}/sales": Door(EVERYBODY, PATH),
    "GET /api/v2/stores/{store_id}/sales/{sale_id}": Door(EVERYBODY, PATH),
    "GET /api/v2/stores/{store_id}/stock-counts": Door(EVERYBODY, PATH),
    "GET /api/v2/stores/{store_id}/stock-counts/{count_id}": Door(EVERYBODY, PATH),
    "GET /api/v2/stores/{store_id}/count-sheet": Door(EVERYBODY, PATH),
    "GET /api/v2/restocks": Door(EVERYBODY, FILTER),
    "GET /api/v2/restocks/suggestions": Door(EVERYBODY, FILTER),
    "GET /api/v2/restocks/{restock_id}": Door(EVERYBODY, WHOLE),
    "GET /api/v2/cases": Door(HEADQUARTERS, FILTER),
    "GET /api/v2/cases/{case_id}": Door(HEADQUARTERS, WHOLE),
    "POST /api/v2/cases/{case_id}/resolve": Door(MANAGERS, WHOLE),
    "GET /api/v2/reports/tills": Door(HEADQUARTERS, FILTER),
    "POST /api/v2/stores/{store_id}/tills/{till_id}/waivers": Door(MANAGERS, PATH),
    "GET /api/v2/reports": Door(HEADQUARTERS, WHOLE),
    "GET /api/v2/reports/{report}": Door(HEADQUARTERS, FILTER),
    "GET /api/v2/reports/{name}/explain": Door(HEADQUARTERS, FILTER),
    "GET /api/v2/live": Door(EVERYBODY, FILTER),
}


def nowhere(home: Path) -> Settings:
    """Settings whose servers are all away: a door decides before anything behind it is asked."""
    return Settings(
        env="test",
        home=home,
        database_url="postgresql://magasin@127.0.0.1:1/magasin",
        amqp_url="amqp://guest:guest@127.0.0.1:1/",
        redis_url="redis://127.0.0.1:1/0",
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return nowhere(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def tokens(settings: Settings) -> Tokens:
    return tokens_of(settings)


@pytest.fixture(scope="module")
def app(settings: Settings, tokens: Tokens) -> FastAPI:
    """The application, wired but not started."""
    made = create_app(settings)
    made.state.tokens = tokens
    return made


def routes(app: FastAPI) -> Iterator[str]:
    """Every route as ``METHOD path``; HEAD goes with GET, and the routes of reports are one line."""
    for route in iter_route_contexts(app.routes):
        path = str(route.path)
        if path.removeprefix("/api/v2/reports/") in REPORTS:
            path = "/api/v2/reports/{report}"
        for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
            yield f"{method} {path}"


async def status_of(app: FastAPI, line: str, store_id: str, token: str | None) -> int:
    """The status with which a route answers; the body of the answer, which may never end, isn't waited for."""
    method, target = line.split(" ", 1)
    target = target.replace(":path", "").format_map(_Filled(store_id=store_id))
    scope_query = f"store={store_id}" if DOORS[line].scope == FILTER else ""
    headers = [(b"host", b"test"), (b"content-type", b"application/json")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": urlsplit(target).path,
        "raw_path": target.encode(),
        "root_path": "",
        "query_string": scope_query.encode(),
        "headers": headers,
        "client": ("192.0.2.1", 5_000),
        "server": ("test", 80),
        "state": {},
    }
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asked = asyncio.create_task(_ask(app, scope, begun))
    either: set[asyncio.Future[Any]] = {asked, begun}
    await asyncio.wait(either, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    return begun.result()


class _Filled(dict[str, str]):
    """The parameters of a path: the store, well-known names, and an identifier for all others."""

    def __missing__(self, key: str) -> str:
        return FILL.get(key, IDENTIFIER)


async def _ask(app: FastAPI, scope: dict[str, Any], begun: asyncio.Future[int]) -> None:
    body = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if body:
            return body.pop()
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and not begun.done():
            begun.set_result(message["status"])

    await app(scope, receive, send)


def test_every_route_has_a_line_and_every_line_a_route(app: FastAPI) -> None:
    assert set(routes(app)) == set(DOORS)


def test_a_route_without_a_line_is_noticed(settings: Settings) -> None:
    app = create_app(settings)
    app.add_api_route("/api/v2/back-door", lambda: None, methods=["DELETE"])
    assert set(routes(app)) - set(DOORS) == {"DELETE /api/v2/back-door"}


def test_the_table_knows_every_role() -> None:
    assert {role for role, _ in CALLERS.values()} == set(ROLES)


@pytest.mark.parametrize("line", DOORS)
async def test_a_door_opens_for_those_in_the_table_and_for_nobody_else(app: FastAPI, tokens: Tokens, line: str) -> None:
    door = DOORS[line]
    if door is OPEN:
        assert await status_of(app, line, OWN, None) not in {401, 403} or line.startswith("POST /api/v2/auth/")
        return
    assert await status_of(app, line, OWN, None) == 401
    assert await status_of(app, line, OWN, "nonsense") == 401
    found, expected = {}, {}
    for caller, (role, stores) in CALLERS.items():
        token = tokens.issue(caller, role, stores)
        for store_id in (OWN, FOREIGN):
            status = await status_of(app, line, store_id, token)
            assert status not in {401, 500}
            found[caller, store_id] = status != 403
            foreign = store_id == FOREIGN and door.scope in {PATH, FILTER} and caller in BOUND
            expected[caller, store_id] = caller in door.callers.split() and not foreign
    assert found == expected
