"""Which gateway do the tests ask: one that they start themselves, or one that stands already?

MAGASIN_GATEWAY_URL names one that stands: Envoy of `make run INSTANCES=2`, or Kong of `magasin deploy` with Docker Compose. It is changed
by `magasin deploy`, as its owner would. MAGASIN_GATEWAY_CA is the file of a certificate to trust; the key that signs tokens is found as
the API finds it (MAGASIN_HOME, or MAGASIN_JWT_PRIVATE_KEY_PATH). Without an address the tests start Envoy in front of instances of their
own.
"""

import asyncio
import os
import secrets
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2

from api.keys import key_of
from api.tokens import Tokens
from infra.settings import Settings
from magasin import house as places
from magasin import state
from magasin.gateway.compose import program
from magasin.gateway.deployed import FIRST
from magasin.gateway.entrance import Entrance
from magasin.gateway.plan import SHARED, Plan, shared
from magasin.gateway.policy import INSTANCE, STICKY_HEADER
from magasin.home import Memory
from magasin.supervise import Supervisor
from tests.e2e.system import Json, System, environment, eventually, free_port

PATIENCE_SECONDS = 240.0
ANSWER_SECONDS = 30
READS = {"sales": "/api/v2/stores?limit=1", "products": "/api/v2/products?limit=1"}
"""What is asked of a service to see which of its instances answers."""
Answer = TypeVar("Answer")


class Owner(Protocol):
    """Whoever may change what stands behind the door."""

    def change(self, plan: Plan) -> None: ...

    def replace(self) -> None: ...

    def kill(self, name: str) -> None: ...


@dataclass
class House:
    """The door, and its owner. `speaks`: what the door itself refuses has the API's own form."""

    url: str
    tokens: Tokens
    owner: Owner
    speaks: bool = True
    verify: ssl.SSLContext | bool = True

    def bearer(self, name: str) -> dict[str, str]:
        """The token of a person of that name."""
        return {"Authorization": f"Bearer {self.tokens.issue(name, 'admin', ['*'])}"}

    def client(self, headers: dict[str, str] | None = None) -> httpx2.Client:
        """Somebody with a connection that is kept."""
        return httpx2.Client(base_url=self.url, headers=headers, timeout=ANSWER_SECONDS, trust_env=False, verify=self.verify)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """One question on a connection of its own."""
        return httpx2.get(f"{self.url}{path}", headers=headers, timeout=ANSWER_SECONDS, trust_env=False, verify=self.verify)

    def ask(self, service: str, **headers: str) -> str:
        """Ask something of a service: the name of the instance that answered."""
        answer = self.get(READS[service], **headers)
        assert answer.status_code == 200, answer.text
        return answer.headers[INSTANCE]

    def shares(self, service: str, times: int, headers: dict[str, str]) -> Counter[str]:
        """How many of so many questions each instance answers."""
        return Counter(self.ask(service, **headers) for _ in range(times))

    def change(self, plan: Plan) -> None:
        """Another plan; returns when all instances that it names answer, and no others."""
        self.owner.change(plan)
        person = self.bearer(f"p-{secrets.token_hex(5)}")
        for service in READS:
            wanted, seen = set(plan.instances()[service]), set[str]()

            def settled(service: str = service, wanted: set[str] = wanted, seen: set[str] = seen) -> bool | None:
                name = self.ask(service, **person, **{STICKY_HEADER: secrets.token_hex(4)})
                seen.add(name) if name in wanted else seen.clear()
                return seen == wanted or None

            eventually(settled, seconds=60)

    def open_store(self) -> "Shelf":
        """A shop of the test's own."""
        shelf = Shelf(self, f"t-{secrets.token_hex(5)}")
        body = {"name": "Essai", "kind": "store", "timezone": "America/Toronto", "currency": "CAD"}
        with self.client(self.bearer("opener")) as client:
            answer = client.put(shelf.path, json=body, headers={"Prefer": "wait=10"})
        assert answer.status_code in {201, 202}, answer.text
        eventually(lambda: self.get(shelf.path, **self.bearer("opener")).status_code == httpx2.codes.OK or None)
        return shelf


@dataclass
class Shelf:
    """A shop, as one sees it through the door."""

    house: House
    store_id: str

    @property
    def path(self) -> str:
        """Its own address."""
        return f"/api/v2/stores/{self.store_id}"

    def on_hand(self, sku: str) -> int | None:
        """What the stock read says."""
        items: list[Json] = self.house.get(f"/api/v2/stock?store={self.store_id}&sku={sku}", **self.house.bearer("counter")).json()["items"]
        return int(items[0]["on_hand"]) if items else None


@dataclass
class Own:
    """The owner of an Envoy that the tests have started, on a loop of its own."""

    entrance: Entrance
    supervisor: Supervisor
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Something of the supervisor's or the entrance's."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_SECONDS)

    def change(self, plan: Plan) -> None:
        """At once."""
        self.do(self.entrance.change(plan))

    def replace(self) -> None:
        """One after the other."""
        self.do(self.entrance.replace())

    def kill(self, name: str) -> None:
        """By the machine."""
        os.kill(self.supervisor.running()[name].pid, signal.SIGKILL)


class Foreign:
    """The owner of a gateway that stands: somebody with a command line."""

    def change(self, plan: Plan) -> None:
        """By `magasin deploy`."""
        words = {"others" if name == "rest" else name: pool for name, pool in plan.words().items()}
        self._deploy(*(word for name, pool in words.items() for word in (f"--{name}", *pool.split(" "))))

    def replace(self) -> None:
        """By `magasin deploy --replace`."""
        self._deploy("--replace")

    def kill(self, name: str) -> None:
        """The process, or all that a container has beside its first process: then the container ends, and is started again."""
        try:
            os.kill(state.running(places.home_of(Settings())).children[name].pid, signal.SIGKILL)
        except state.NotRunningError:
            service = SHARED if name == FIRST else name
            command = (*(program() or ()), "--profile", "gateway", "exec", "-T", service, "sh", "-c", "kill -9 -1")
            subprocess.run(command, cwd=places.ROOT, check=False, timeout=PATIENCE_SECONDS)

    def _deploy(self, *words: str) -> None:
        subprocess.run((sys.executable, "-m", "magasin", "deploy", *words), cwd=places.ROOT, check=True, timeout=PATIENCE_SECONDS)


def standing(url: str) -> House:
    """The gateway that the environment names."""
    settings = Settings()
    authority = os.environ.get("MAGASIN_GATEWAY_CA")
    verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=authority) if authority else True
    try:
        envoy = "gateway" in state.running(places.home_of(settings)).children
    except state.NotRunningError:
        envoy = False
    return House(url, Tokens(key_of(settings), lifetime_seconds=900), Foreign(), speaks=envoy, verify=verify)


@contextmanager
def started(system: System, folder: Path) -> Iterator[House]:
    """Envoy, and instances of this system's API behind it."""
    memory = Memory.of(folder)
    settings = system.settings.model_copy(update={"port": free_port()})
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def opened() -> Own:
        supervisor = Supervisor(folder / "logs")
        entrance = Entrance(settings, environment(settings), memory, supervisor)
        await entrance.open(shared("2 rr"))
        return Own(entrance, supervisor, loop)

    made = asyncio.run_coroutine_threadsafe(opened(), loop).result(PATIENCE_SECONDS)
    try:
        yield House(f"http://127.0.0.1:{settings.port}", system.tokens, made)
    finally:
        made.do(made.supervisor.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
