"""The whole system as its users meet it: one API, a stock writer, a projector, the dead letters' worker, what goes outside; each a process.

One for all tests of a run (`system`), so every test opens stores of its own. `fragile` is a second API whose lines to the broker, to
PostgreSQL and to Redis a test can take away without the others noticing.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from api.keys import key_of
from api.tokens import Tokens
from infra.database import engine_for
from infra.settings import Settings
from magasin.home import LOOPBACK
from magasin.processes import dying_with_parent
from tests import sandbox
from tests.e2e.lines import Line
from tests.privileges import Environments, least
from tests.services import ROOT, Services

START_SECONDS = 120.0
STOP_SECONDS = 30.0
PATIENCE_SECONDS = 20.0
LOOK_SECONDS = 0.02
WORKERS = ("stock-writer", "projector", "dead-letters", "outbound", "operator")
PRICE = "2.50"
REFUSALS = ("permission denied", "InsufficientPrivilege", "ACCESS_REFUSED")

Found = TypeVar("Found")
Json = dict[str, Any]


def eventually(look: Callable[[], Found | None], *, seconds: float = PATIENCE_SECONDS) -> Found:
    """The first answer of `look` that isn't None. Fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(LOOK_SECONDS)
    return found


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class Running:
    """One process of the system, with its log."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._told = False
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                dying_with_parent(command), cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block in which the process stands still."""
        self.tell(signal.SIGSTOP)
        try:
            yield
        finally:
            self.tell(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """Send SIGTERM, unless that was done before: a second one would kill a process that is on its way out."""
        if not self._told and self.process.poll() is None:
            self.tell(signal.SIGTERM)
        self._told = True

    def stop(self) -> int:
        """Ask it to end, once, and wait: its exit code."""
        self.ask_to_stop()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def ready(self, url: str) -> None:
        """Return when it says that it is ready; fail with its log when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{self.name} doesn't start:\n{self.log.read_text(encoding='utf-8')[-4_000:]}")
            time.sleep(LOOK_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


@dataclass
class System:
    """A running API with everything behind it."""

    url: str
    settings: Settings
    processes: dict[str, Running]
    engine: Engine
    _clients: list[httpx2.Client] = field(default_factory=list)
    probes: dict[str, str] = field(default_factory=dict)
    """Where each worker tells how it does."""
    rights: Environments = field(default_factory=dict)
    """What each process is told besides: its own role and its own broker user."""

    @property
    def tokens(self) -> Tokens:
        """What signs tokens as the API itself does."""
        return self.tokens_for(900)

    def tokens_for(self, seconds: int) -> Tokens:
        """The same, with another life."""
        return Tokens(key_of(self.settings), lifetime_seconds=seconds)

    def headers(self, role: str = "admin", stores: Sequence[str] = ("*",), *, seconds: int = 900) -> dict[str, str]:
        """What a request of that role carries."""
        return {"Authorization": f"Bearer {self.tokens_for(seconds).issue(f'{role}-test', role, stores)}"}

    def client(self, role: str = "admin", stores: Sequence[str] = ("*",), **headers: str) -> httpx2.Client:
        """A client signed in as that role; closed with the system."""
        made = httpx2.Client(
            base_url=self.url, headers={**self.headers(role, stores), **headers}, timeout=PATIENCE_SECONDS, trust_env=False
        )
        self._clients.append(made)
        return made

    def open_store(self, **details: Any) -> "Shop":  # noqa: ANN401 - members of a request body
        """A shop of the test's own, open for sales."""
        shop = Shop(self, f"t-{secrets.token_hex(5)}", self.client())
        body = {"name": "Essai", "kind": "store", "timezone": "America/Toronto", "currency": "CAD", **details}
        answer = shop.http.put(shop.path, json=body, headers={"Prefer": "wait=10"})
        assert answer.status_code == 201, answer.text
        return shop

    def killed(self, names: Sequence[str], folder: Path) -> None:
        """Kill these workers as the machine would, by signal 9, and start them again."""
        for name in names:
            self.processes[name].tell(signal.SIGKILL)
        for name in names:
            self.processes[name].process.wait()
            port = free_port()
            self.probes[name] = f"{LOOPBACK}:{port}"
            env = {**environment(self.settings), **self.rights[name], "MAGASIN_PROBE_PORT": str(port)}
            self.processes[name] = Running(f"{name}-again", (sys.executable, "-m", "workers", name), env, folder)
        for name in names:
            self.processes[name].ready(f"http://{self.probes[name]}")

    def close(self) -> None:
        """Close the clients."""
        for each in self._clients:
            each.close()


@dataclass
class Shop:
    """One store of a test, and the usual ways to speak about it."""

    system: System
    store_id: str
    http: httpx2.Client

    @property
    def path(self) -> str:
        """The store's own address."""
        return f"/api/v2/stores/{self.store_id}"

    def post(self, what: str, body: Json, **headers: str) -> httpx2.Response:
        """Give a command below the store's address."""
        return self.http.post(f"{self.path}/{what}", json=body, headers=headers)

    def done(self, what: str, body: Json) -> Json:
        """Give a command, and wait until every projection has it: what became of it."""
        answer = self.post(what, body)
        assert answer.status_code == 202, answer.text
        return self.settled(answer.json()["event_id"])

    def settled(self, event_id: str | UUID) -> Json:
        """What became of an event, once it is settled and in every projection."""

        def look() -> Json | None:
            found: Json = self.http.get(f"/api/v2/events/{event_id}").json()
            return found if all(found.get("projections", {"": False}).values()) or found.get("status") == "dead_lettered" else None

        return eventually(look)

    def accepted(self, event_id: str) -> None:
        """Return when the API knows the event."""
        eventually(lambda: self.http.get(f"/api/v2/events/{event_id}").status_code == httpx2.codes.OK or None)

    def sell(self, sku: str, quantity: int = 1, **more: Any) -> Json:  # noqa: ANN401 - members of a request body
        """Sell one line, and wait until it is seen everywhere."""
        return self.done("sales", sale(sku, quantity, **more))

    def deliver(self, sku: str, quantity: int) -> Json:
        """Take a delivery, and wait until it is seen everywhere."""
        return self.done("deliveries", {"supplier": "Moulin", "lines": [{"sku": sku, "quantity": quantity}]})

    def on_hand(self, sku: str) -> int | None:
        """What the stock read says."""
        items = self.read("stock", store=self.store_id, sku=sku)["items"]
        return int(items[0]["on_hand"]) if items else None

    def day(self, **more: str) -> Json:
        """The only row of the store's daily sales."""
        (row,) = self.read("reports/daily-sales", store=self.store_id, **more)["items"]
        return dict(row)

    def read(self, what: str, **parameters: str | int) -> Json:
        """A read below ``/api/v2/``."""
        answer = self.http.get(f"/api/v2/{what}", params=parameters)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found


def sale(sku: str, quantity: int = 1, **more: Any) -> Json:  # noqa: ANN401 - members of a request body
    """The body of a sale with one line and an id of its own."""
    return {"sale_id": str(uuid7()), "lines": [{"sku": sku, "quantity": quantity, "unit_price": PRICE}], **more}


def sku() -> str:
    """A SKU that no other test uses."""
    return f"T-{secrets.token_hex(5)}"


@dataclass
class Fragile:
    """A second API in front of the same workers, and the lines that it hangs on."""

    system: System
    broker: Line
    database: Line
    redis: Line


def start_api(settings: Settings, name: str, folder: Path, **more: str) -> tuple[str, Running]:
    """An API process with these settings, ready: where it is, and the process."""
    url = f"http://{LOOPBACK}:{settings.port}"
    running = Running(name, (sys.executable, "-m", "api"), environment(settings) | more, folder)
    running.ready(url)
    return url, running


def environment(settings: Settings) -> dict[str, str]:
    """What a process of this system is told."""
    told = {
        "MAGASIN_ENV": settings.env,
        "MAGASIN_HOME": str(settings.home),
        "MAGASIN_DATABASE_URL": settings.database_url,
        "MAGASIN_AMQP_URL": settings.amqp_url,
        "MAGASIN_REDIS_URL": settings.redis_url,
        "MAGASIN_PORT": str(settings.port),
    }
    management = settings.rabbitmq_management_url
    return told if management is None else {**told, "MAGASIN_RABBITMQ_MANAGEMENT_URL": management}


@pytest.fixture(scope="session")
def system(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system of this run."""
    folder = tmp_path_factory.mktemp("system")
    with ExitStack() as stack:
        settings = Settings(
            env="test",
            home=folder / "home",
            port=free_port(),
            database_url=stack.enter_context(sandbox.fresh_database(services)),
            amqp_url=stack.enter_context(sandbox.fresh_broker(services)),
            redis_url=stack.enter_context(sandbox.fresh_redis(services)),
            rabbitmq_management_url=services.management_url,
        )
        processes: dict[str, Running] = {}
        stack.callback(lambda: _require_no_refusal(folder))
        rights = stack.enter_context(least(services, settings.database_url, settings.amqp_url, folder / "passwords"))
        stack.callback(lambda: _stop_all(processes))
        probes = {name: free_port() for name in WORKERS}
        for name, port in probes.items():
            env = {**environment(settings), **rights[name], "MAGASIN_PROBE_PORT": str(port)}
            processes[name] = Running(name, (sys.executable, "-m", "workers", name), env, folder)
        url, processes["api"] = start_api(settings, "api", folder, **rights["api"])
        for name, port in probes.items():
            processes[name].ready(f"http://{LOOPBACK}:{port}")
        engine = engine_for(settings, name="test-system")
        stack.callback(engine.dispose)
        addresses = {name: f"{LOOPBACK}:{port}" for name, port in probes.items()}
        found = System(url, settings, processes, engine, probes=addresses, rights=rights)
        stack.callback(found.close)
        yield found


def _stop_all(processes: Mapping[str, Running]) -> None:
    for each in processes.values():
        each.ask_to_stop()
    codes = {name: each.stop() for name, each in processes.items()}
    assert set(codes.values()) == {0}, codes


def _require_no_refusal(folder: Path) -> None:
    """No process was ever refused by PostgreSQL or RabbitMQ, also not where it goes on without."""
    refused = [
        f"{log.name}: {line[:1_000]}"
        for log in folder.glob("*.log")
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(each in line for each in REFUSALS)
    ]
    assert not refused, refused[:5]


@pytest.fixture
def shop(system: System) -> Shop:
    """A store of this test's own."""
    return system.open_store()


@pytest.fixture(scope="session")
def second_api(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    """The second API of this run; it gives up early, so that tests needn't wait."""
    folder = tmp_path_factory.mktemp("fragile")
    settings = system.settings
    with ExitStack() as stack:
        lines = [Line(settings.amqp_url, 5672), Line(settings.database_url, 5432), Line(settings.redis_url, 6379)]
        for line in lines:
            stack.callback(line.close)
        broker, database, redis = lines
        weak = settings.model_copy(
            update={"port": free_port(), "amqp_url": broker.url, "database_url": database.url, "redis_url": redis.url}
        )
        url, running = start_api(weak, "fragile", folder, MAGASIN_PUBLISH_TIMEOUT_SECONDS="1", MAGASIN_DATABASE_CONNECT_TIMEOUT_SECONDS="1")
        stack.callback(running.stop)
        found = System(url, weak, {"api": running}, system.engine)
        stack.callback(found.close)
        yield Fragile(found, broker, database, redis)


@pytest.fixture
def fragile(second_api: Fragile) -> Fragile:
    """It has got over what the test before took away: a connection that broke is noticed by the first who uses it."""
    client = second_api.system.client()
    for path in ("/api/v2/stores?limit=1", "/readyz"):
        eventually(lambda path=path: client.get(path).is_success or None)  # type: ignore[misc]
    return second_api
