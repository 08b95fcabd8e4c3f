"""Which system is loaded, one started for this alone or one that stands at MAGASIN_URL; and how does it change between two cells?"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from bench.usage import Usage, usages
from load.shops import BASE, Chain
from magasin import state
from magasin.home import LOOPBACK, Memory
from magasin.house import ROOT
from magasin.processes import dying_with_parent

START_SECONDS: Final = 600
DEPLOY_SECONDS: Final = 900
STOP_SECONDS: Final = 120
LOOK_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 60


class Unusable(RuntimeError):
    """There is nothing to load; the message says what to do."""


@dataclass(frozen=True)
class Ground:
    """A system and what one may do with it.

    `home` is None where its processes can't be looked at; `changes`: its deployment can be changed from here.
    """

    url: str
    env: Mapping[str, str]
    home: Path | None
    changes: bool
    words: str

    def deploy(self, algorithm: str, instances: int) -> None:
        """Have so many instances of everything, shared out like that. Raises Unusable."""
        command = (sys.executable, "-m", "magasin", "deploy", "--others", str(instances), algorithm)
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **self.env}, check=False, capture_output=True, text=True, timeout=DEPLOY_SECONDS
        )
        if done.returncode:
            raise Unusable(done.stderr.strip())

    def usages(self) -> dict[str, Usage]:
        """What each process of the system has taken so far; nothing where they run elsewhere."""
        if self.home is None:
            return {}
        running = state.running(self.home)
        return usages({name: child.pid for name, child in running.children.items()})


def standing(url: str, *, changes: bool) -> Ground:
    """Somebody's system. With `changes` it is the one that `magasin deploy` here changes."""
    return Ground(url.rstrip("/"), {}, None, changes, "the system at MAGASIN_URL")


@contextmanager
def started(folder: Path) -> Iterator[Ground]:
    """A system of our own with the demonstration's data, behind a gateway; stopped at the end. Raises Unusable."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True, mode=0o711)
    port = Memory.of(home).port("door")
    own = {"MAGASIN_HOME": str(home), "MAGASIN_PORT": str(port), "MAGASIN_ENV": "demo", "MAGASIN_HOST": LOOPBACK}
    command = dying_with_parent((sys.executable, "-m", "magasin", "run", "--instances", "1"))
    with (folder / "system.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        url = f"http://{LOOPBACK}:{port}"
        _wait(process, home, folder / "system.log")
        _hire(url)
        yield Ground(url, {**own, "MAGASIN_LOAD_MANAGER": "gestionnaire-{store}"}, home, True, "Envoy in front of instances on one machine")  # noqa: FBT003 - `changes`
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait(process: "subprocess.Popen[bytes]", home: Path, log: Path) -> None:
    """Return when the demonstration's data is there: then the supervisor says where it is."""
    give_up_at = time.monotonic() + START_SECONDS
    while "MAGASIN_URL" not in _addresses(home) or "Magasin is ready" not in log.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise Unusable(f"the system doesn't start:\n{log.read_text(encoding='utf-8', errors='replace')[-2_000:]}")
        time.sleep(LOOK_SECONDS)


def _addresses(home: Path) -> Mapping[str, str]:
    try:
        return state.addresses(home)
    except state.NotRunningError:
        return {}


def _hire(url: str) -> None:
    """A manager for each shop: one for all of them would soon ask more often than one person may."""
    password = os.environ.get("MAGASIN_DEMO_PASSWORD", "magasin-demo")
    chain = Chain(url, password)
    admin, manager = chain.bearer("admin"), chain.bearer("gestionnaire")
    with httpx2.Client(base_url=url + BASE, timeout=ANSWER_SECONDS, trust_env=False) as client:
        for store in client.get("/stores?limit=500", headers=manager).raise_for_status().json()["items"]:
            if store["kind"] == "store":
                stores = [store["store_id"], *([store["centre"]] if store["centre"] else [])]
                body = {"username": f"gestionnaire-{store['store_id']}", "password": password, "role": "gestionnaire", "stores": stores}
                answer = client.post("/users", headers=admin, json=body)
                if answer.status_code != httpx2.codes.CONFLICT:
                    answer.raise_for_status()
