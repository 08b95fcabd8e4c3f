"""Does signing in, renewing, signing out and managing accounts work on a real database and a real Redis?"""

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx2 import Response
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from redis.asyncio import Redis
from sqlalchemy import Connection, Engine, func, insert, select, update
from starlette.testclient import TestClient

from api import auth, passwords, users
from api.accounts import create_account, prepare_accounts
from api.keys import make_once
from api.passwords import hash_of
from api.problems import install
from api.sessions import Sessions
from api.tokens import tokens_of
from infra import accounts
from infra.accounts import account, refresh_token
from infra.database import engine_for
from infra.settings import Settings
from stock.tables import store

PASSWORD = "correct horse"  # noqa: S105 - of accounts that live as long as a test
ANOTHER = "battery staple"
NEVER = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Argon2id at a hundredth of its price, except where the price is the point."""
    if "real_price" not in request.fixturenames:
        monkeypatch.setattr(passwords, "HASHER", PasswordHash((Argon2Hasher(time_cost=1, memory_cost=1_024, parallelism=1),)))
    passwords.nobodys_hash.cache_clear()
    passwords.hash_once.cache_clear()


@pytest.fixture
def real_price() -> None:
    """Asked for by a test in which hashing has to cost what it costs."""


@pytest.fixture(scope="module")
def key_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One signing key for all: making one takes a tenth of a second."""
    path = tmp_path_factory.mktemp("keys") / "jwt.pem"
    make_once(path)
    return path


@pytest.fixture
def settings(database: str, redis_url: str, tmp_path: Path, key_path: Path) -> Settings:
    return Settings(env="test", home=tmp_path, database_url=database, redis_url=redis_url, jwt_private_key_path=key_path)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    pool = engine_for(settings, name="test-auth")
    password_hash = hash_of(PASSWORD)
    with pool.begin() as connection:
        for username, role, stores in (
            ("alice", "caissier", ["a"]),
            ("chief", "gestionnaire", ["*"]),
            ("olga", "operateur", ["*"]),
            ("root", "admin", ["*"]),
        ):
            accounts.add(connection, username, password_hash, role, stores)
    yield pool
    pool.dispose()


def application(settings: Settings, engine: Engine, *, redis_url: str | None) -> FastAPI:
    """The routes of this module's subject on an application of their own."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.redis = Redis.from_url(redis_url) if redis_url else None
        yield
        if app.state.redis:
            await app.state.redis.aclose()

    app = FastAPI(lifespan=lifespan)
    app.state.settings, app.state.engine, app.state.tokens = settings, engine, tokens_of(settings)
    app.state.sessions = Sessions(engine, app.state.tokens, None, lambda _: None)
    for router in (auth.router, auth.keys_router, users.router):
        app.include_router(router)
    install(app)
    return app


Start = Callable[..., TestClient]


@pytest.fixture
def start(settings: Settings, engine: Engine) -> Iterator[Start]:
    """Starts applications: with the test's Redis, or another, or none; as a demonstration or not."""
    running: list[TestClient] = []

    def run(redis_url: str | None = settings.redis_url, address: str = "192.0.2.1", **changes: object) -> TestClient:
        app = application(settings.model_copy(update=changes), engine, redis_url=redis_url)
        client = TestClient(app, raise_server_exceptions=False, client=(address, 5_000))
        running.append(client.__enter__())
        return client

    yield run
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def client(start: Start) -> TestClient:
    return start()


def sign_in(client: TestClient, username: str, password: str = PASSWORD) -> Response:
    return client.post("/api/v2/auth/token", data={"username": username, "password": password})


def renew(client: TestClient, token: str) -> Response:
    return client.post("/api/v2/auth/refresh", json={"refresh_token": token})


def bearer(client: TestClient, username: str) -> dict[str, str]:
    return {"Authorization": "Bearer " + sign_in(client, username).json()["access_token"]}


def count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(refresh_token)) or 0


def test_signing_in_gives_tokens_that_say_who_one_is(client: TestClient, engine: Engine) -> None:
    response = sign_in(client, "alice")
    body = response.json()
    assert response.status_code == 200
    assert (body["token_type"], body["expires_in"], body["role"], body["stores"]) == ("Bearer", 900, "caissier", ["a"])
    assert response.headers["cache-control"] == "no-store"
    me = client.get("/api/v2/auth/me", headers={"Authorization": f"Bearer {body['access_token']}"})
    assert me.json() == {"username": "alice", "role": "caissier", "stores": ["a"]}
    with engine.connect() as connection:
        kept = connection.execute(select(refresh_token.c.token_hash)).scalar_one()
    assert kept == hashlib.sha256(body["refresh_token"].encode()).digest()


@pytest.mark.parametrize(
    ("username", "password"), [("alice", ANOTHER), ("nobody", PASSWORD), ("x'; DROP TABLE account", "x"), ("\x00", "x")]
)
def test_a_wrong_name_and_a_wrong_password_look_the_same(client: TestClient, username: str, password: str) -> None:
    response = sign_in(client, username, password)
    assert (response.status_code, response.json()["code"]) == (401, "bad_credentials")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert username not in response.text or username == "x"


def test_an_unknown_name_costs_what_a_known_one_costs(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted and not timed: one comparison with a hash of the same parameters, whoever asks."""
    compared: list[str] = []

    class Counting(PasswordHash):
        def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002 - the library's name
            compared.append(str(hash).rsplit("$", 2)[0])
            return super().verify(password, hash)

    monkeypatch.setattr(passwords, "HASHER", Counting(passwords.HASHER.hashers))
    for username in ("alice", "nobody"):
        assert sign_in(client, username, ANOTHER).status_code == 401
    known, unknown = compared
    assert known == unknown


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"username=alice", "application/x-www-form-urlencoded", 422, "invalid_content"),
        (b"username=alice&password=" + b"x" * 129, "application/x-www-form-urlencoded", 422, "invalid_content"),
        (b"", "application/x-www-form-urlencoded", 422, "invalid_content"),
        (b'{"username": "alice", "password": "x"}', "application/json", 415, "unsupported_media_type"),
        (b"%ff=%00&=&&username=%ED%A0%80&password=%ED%A0%80", "application/x-www-form-urlencoded", 401, "bad_credentials"),
    ],
)
def test_a_form_that_is_none_is_refused(client: TestClient, content: bytes, media_type: str, status: int, code: str) -> None:
    response = client.post("/api/v2/auth/token", content=content, headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "xxxx" not in response.text


def test_each_refresh_token_works_once_and_its_reuse_ends_the_session(client: TestClient, engine: Engine) -> None:
    first = sign_in(client, "alice").json()["refresh_token"]
    other_session = sign_in(client, "alice").json()["refresh_token"]
    second = renew(client, first).json()["refresh_token"]
    third = renew(client, second).json()
    assert third["role"] == "caissier"
    assert third["refresh_token"] not in {first, second}
    assert renew(client, first).json()["code"] == "bad_refresh_token"
    assert renew(client, third["refresh_token"]).status_code == 401
    assert renew(client, other_session).status_code == 200
    assert count(engine) == 2


def test_of_two_that_renew_at_once_one_wins_and_the_session_ends(client: TestClient) -> None:
    token = sign_in(client, "alice").json()["refresh_token"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: renew(client, token), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    (winner,) = (answer.json()["refresh_token"] for answer in answers if answer.status_code == 200)
    assert renew(client, winner).status_code == 401


def test_a_session_ends_with_its_time_and_is_tidied_away(client: TestClient, engine: Engine) -> None:
    token = sign_in(client, "alice").json()["refresh_token"]
    with engine.begin() as connection:
        connection.execute(update(refresh_token).values(expires_at=func.now()))
    assert renew(client, token).status_code == 401
    sign_in(client, "alice")
    assert count(engine) == 1


def test_signing_out_ends_one_session(client: TestClient) -> None:
    here, there = (sign_in(client, "alice").json()["refresh_token"] for _ in range(2))
    for _ in range(2):
        response = client.post("/api/v2/auth/logout", json={"refresh_token": here})
        assert (response.status_code, response.content) == (204, b"")
    assert renew(client, here).status_code == 401
    assert renew(client, there).status_code == 200


def test_bodies_of_the_wrong_kind_are_refused(client: TestClient) -> None:
    for path in ("refresh", "logout"):
        assert client.post(f"/api/v2/auth/{path}", data={"refresh_token": "x"}).status_code == 415
        response = client.post(f"/api/v2/auth/{path}", json={"token": "x"})
        assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [
            ("/refresh_token", "missing"),
            ("/token", "unknown_field"),
        ]


@pytest.mark.parametrize("redis", ["shared", "away", "none"])
def test_whoever_keeps_failing_has_to_wait(start: Start, settings: Settings, redis: str) -> None:
    client = start({"shared": settings.redis_url, "away": NEVER, "none": None}[redis])
    assert [sign_in(client, "alice", ANOTHER).status_code for _ in range(5)] == [401] * 5
    blocked = sign_in(client, "alice")
    assert (blocked.status_code, blocked.json()["code"]) == (429, "too_many_requests")
    seconds = int(blocked.headers["retry-after"])
    assert 1 <= seconds <= 2
    assert sign_in(client, "chief").status_code == 200
    time.sleep(seconds)
    assert sign_in(client, "alice").status_code == 200
    assert sign_in(client, "alice", ANOTHER).status_code == 401


def test_processes_that_share_redis_share_the_count(start: Start) -> None:
    one, other = start(), start()
    for _ in range(5):
        sign_in(one, "alice", ANOTHER)
    assert sign_in(other, "alice").status_code == 429


def test_an_address_that_tries_many_names_has_to_wait_too(start: Start) -> None:
    client = start(address="2001:db8:1:2::3")
    assert {sign_in(client, f"guess-{number}", "x").status_code for number in range(20)} == {401}
    assert sign_in(client, "alice").status_code == 429
    assert sign_in(start(address="2001:db8:1:2::4"), "alice").status_code == 429
    assert sign_in(start(address="2001:db8:1:3::3"), "alice").status_code == 200


@pytest.mark.usefixtures("real_price")
def test_only_so_many_may_wait_for_their_turn(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 1)
    with ThreadPoolExecutor(8) as pool:
        codes = [answer.status_code for answer in pool.map(lambda _: sign_in(client, "alice"), range(8))]
    assert {200, 503} == set(codes)


def test_an_administrator_makes_changes_and_closes_accounts(client: TestClient) -> None:
    root = bearer(client, "root")
    made = client.post(
        "/api/v2/users", headers=root, json={"username": "bob", "password": PASSWORD, "role": "gestionnaire", "stores": ["b", "a", "a"]}
    )
    assert made.status_code == 201
    assert made.headers["location"] == "/api/v2/users/bob"
    assert made.json() | {"created_at": ""} == {
        "username": "bob",
        "role": "gestionnaire",
        "stores": ["a", "b"],
        "disabled": False,
        "created_at": "",
    }
    session = sign_in(client, "bob").json()["refresh_token"]
    change = client.patch("/api/v2/users/bob", headers=root, json={"role": "caissier", "stores": ["c"]})
    assert (change.json()["role"], change.json()["stores"]) == ("caissier", ["c"])
    session = renew(client, session).json()
    assert (session["role"], session["stores"]) == ("caissier", ["c"])

    assert client.patch("/api/v2/users/bob", headers=root, json={"password": ANOTHER}).status_code == 200
    assert renew(client, session["refresh_token"]).status_code == 401
    assert sign_in(client, "bob").status_code == 401
    session = sign_in(client, "bob", ANOTHER).json()

    assert client.patch("/api/v2/users/bob", headers=root, json={"disabled": True}).json()["disabled"] is True
    assert renew(client, session["refresh_token"]).status_code == 401
    assert sign_in(client, "bob", ANOTHER).json()["code"] == "bad_credentials"
    assert client.get("/api/v2/users/bob", headers=root).json()["disabled"] is True


def test_the_last_administrator_stays(client: TestClient, engine: Engine) -> None:
    root = bearer(client, "root")
    for change in ({"disabled": True}, {"role": "operateur"}):
        response = client.patch("/api/v2/users/root", headers=root, json=change)
        assert (response.status_code, response.json()["code"]) == (409, "last_admin")
    with engine.begin() as connection:
        assert create_account(connection, "deputy", ANOTHER, "admin", ["*"])
    assert client.patch("/api/v2/users/root", headers=root, json={"disabled": True}).status_code == 200
    deputy = {"Authorization": "Bearer " + sign_in(client, "deputy", ANOTHER).json()["access_token"]}
    assert client.patch("/api/v2/users/deputy", headers=deputy, json={"disabled": True}).status_code == 409


def test_accounts_are_listed_page_by_page(client: TestClient) -> None:
    root, path, names = bearer(client, "root"), "/api/v2/users?limit=3", []
    while path:
        response = client.get(path, headers=root)
        assert set(response.json()["meta"]) == {"as_of", "lag_seconds", "complete", "stalled_stores", "timezone"}
        names += [user["username"] for user in response.json()["items"]]
        assert "password" not in response.text
        path = response.links.get("next", {}).get("url", "")
    assert names == ["alice", "chief", "olga", "root"]


@pytest.mark.parametrize("username", ["alice", "chief", "olga"])
def test_only_administrators_manage_accounts(client: TestClient, username: str) -> None:
    headers = bearer(client, username)
    body = {"username": "eve", "password": PASSWORD, "role": "admin"}
    for answer in (
        client.get("/api/v2/users", headers=headers),
        client.get("/api/v2/users/root", headers=headers),
        client.post("/api/v2/users", headers=headers, json=body),
        client.patch("/api/v2/users/alice", headers=headers, json={"role": "admin"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_accounts_that_cannot_be_are_refused_with_every_fault(client: TestClient) -> None:
    root = bearer(client, "root")
    body = {"username": "Été", "password": "short", "role": "owner", "stores": ["A!"], "shoe_size": 42}
    response = client.post("/api/v2/users", headers=root, json=body)
    assert {(error["pointer"], error["code"]) for error in response.json()["errors"]} == {
        ("/username", "bad_format"),
        ("/password", "too_short"),
        ("/role", "not_allowed_value"),
        ("/stores/0", "bad_format"),
        ("/shoe_size", "unknown_field"),
    }
    response = client.post("/api/v2/users", headers=root, json={"username": "bob", "password": PASSWORD, "role": "caissier"})
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [("/stores", "missing")]
    body = {"username": "alice", "password": PASSWORD, "role": "admin"}
    assert client.post("/api/v2/users", headers=root, json=body).json()["code"] == "account_exists"
    assert client.get("/api/v2/users/nobody", headers=root).json()["code"] == "unknown_account"
    assert client.patch("/api/v2/users/nobody", headers=root, json={}).json()["code"] == "unknown_account"
    assert client.get("/api/v2/users/Nobody!", headers=root).status_code == 422


def test_the_widest_account_still_gets_a_token_that_is_taken(client: TestClient) -> None:
    root = bearer(client, "root")
    stores = [f"{number:02}".ljust(32, "x") for number in range(users.MOST_STORES)]
    body = {"username": "w" * 64, "password": PASSWORD, "role": "gestionnaire", "stores": stores}
    assert client.post("/api/v2/users", headers=root, json=body).status_code == 201
    assert client.get("/api/v2/auth/me", headers=bearer(client, "w" * 64)).json()["stores"] == stores


def define_store(connection: Connection, store_id: str) -> None:
    connection.execute(
        insert(store).values(store_id=store_id, name=store_id, kind="store", timezone="UTC", currency="CAD", oversell="allow")
    )


def test_the_demonstration_has_its_accounts_and_a_cashier_for_every_store(start: Start, engine: Engine, settings: Settings) -> None:
    demo = settings.model_copy(update={"env": "demo"})
    with engine.begin() as connection:
        define_store(connection, "321")
    prepare_accounts(engine, demo)
    prepare_accounts(engine, demo)
    client = start(env="demo")
    for username, role, stores in (
        ("gestionnaire", "gestionnaire", ["*"]),
        ("operateur", "operateur", ["*"]),
        ("admin", "admin", ["*"]),
        ("caissier-321", "caissier", ["321"]),
    ):
        body = sign_in(client, username, "magasin-demo").json()
        assert (body["role"], body["stores"]) == (role, stores)
    assert sign_in(client, "caissier-new", "magasin-demo").status_code == 401
    with engine.begin() as connection:
        define_store(connection, "new")
    assert sign_in(client, "caissier-new", "magasin-demo").json()["stores"] == ["new"]


def test_the_demonstrations_password_is_the_settings(start: Start, engine: Engine, settings: Settings) -> None:
    for password in ("magasin-demo", "another-demo"):
        demo = settings.model_copy(update={"env": "demo", "demo_password": password})
        prepare_accounts(engine, demo)
        assert sign_in(start(env="demo", demo_password=password), "operateur", password).status_code == 200


def test_elsewhere_there_is_no_demonstration_account(client: TestClient, engine: Engine, settings: Settings) -> None:
    prepare_accounts(engine, settings)
    assert {sign_in(client, username, "magasin-demo").status_code for username in ("gestionnaire", "operateur", "admin")} == {401}


def test_the_first_administrator_comes_from_the_settings_once(client: TestClient, engine: Engine, settings: Settings) -> None:
    chosen = settings.model_copy(update={"admin_password": ANOTHER})
    prepare_accounts(engine, chosen)
    assert sign_in(client, "admin", ANOTHER).status_code == 401
    with engine.begin() as connection:
        connection.execute(update(account).where(account.c.username == "root").values(disabled=True))
    prepare_accounts(engine, chosen)
    prepare_accounts(engine, chosen)
    assert sign_in(client, "admin", ANOTHER).json()["role"] == "admin"


def test_without_the_database_nobody_signs_in_and_nothing_breaks(start: Start, engine: Engine, settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://magasin@127.0.0.1:1/magasin"})
    client = start()
    unreachable = engine_for(away, name="away")
    prepare_accounts(unreachable, away.model_copy(update={"env": "demo"}))
    client.app.state.engine = unreachable  # type: ignore[attr-defined]  # a FastAPI application
    response = sign_in(client, "alice")
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.headers["retry-after"]
    assert count(engine) == 0


def test_the_keys_are_published(client: TestClient) -> None:
    (key,) = client.get("/.well-known/jwks.json").json()["keys"]
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    assert set(key) == {"kty", "use", "alg", "kid", "n", "e"}
