"""Which processes of the project run on one machine, with which environment, and how do we know that they work?"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.settings import Settings
from magasin.home import LOOPBACK, Memory
from magasin.listening import is_ready
from magasin.processes import dying_with_parent
from magasin.servers import Servers
from magasin.supervise import Child

ROOT = Path(__file__).resolve().parent.parent
"""The checkout. The children start here, so that the flat packages are found."""

WORKERS = ("stock-writer", "projector", "dead-letters", "outbound", "operator")
API = "api"
URL = "MAGASIN_URL"
STOP_SECONDS = 20
"""Twice what the API and the workers give to the work at hand."""

EARLY_DEATHS = 12
"""The project's processes start while RabbitMQ still boots."""

WORKER_STAGE, API_STAGE = 2, 3


def home_of(settings: Settings) -> Path:
    """Where this checkout keeps its data: below the checkout, wherever the command was given."""
    return (ROOT / settings.home).absolute()


def base_url(settings: Settings) -> str:
    """Where a client on this machine finds the API."""
    host = LOOPBACK if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - what was asked for, not what we bind
    return f"http://{host}:{settings.port}"


def api_command() -> tuple[str, ...]:
    """The API, as everybody starts it: one process, many connections."""
    return (sys.executable, "-m", "api")


def worker_command(name: str) -> tuple[str, ...]:
    """A worker, as everybody starts it."""
    return (sys.executable, "-m", "workers", name)


def processes(settings: Settings, servers: Servers, memory: Memory) -> list[Child]:
    """The workers and the API. Their addresses are added to those of the servers."""
    servers.addresses[URL] = base_url(settings)
    return [*workers(settings, servers, memory), api(settings, servers.addresses)]


def workers(settings: Settings, servers: Servers, memory: Memory) -> list[Child]:
    """One of each. Where each tells how it does is added to the addresses of the servers."""
    common = _common(settings, servers.addresses)
    return [_worker(name, common, memory.port(f"{name}-probe"), servers) for name in WORKERS]


def api(settings: Settings, addresses: Mapping[str, str], name: str = API) -> Child:
    """The API, or one of many instances of it, where the settings say that it listens. One of many says its name."""
    env = {**_common(settings, addresses), "MAGASIN_HOST": settings.host, "MAGASIN_PORT": str(settings.port)}
    if name != API:
        env["MAGASIN_WORKER_NAME"] = name
    return _child(name, api_command(), env, base_url(settings), stage=API_STAGE)


def _common(settings: Settings, addresses: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **addresses, "MAGASIN_ENV": settings.env, "MAGASIN_HOME": str(home_of(settings))}


def _worker(name: str, common: Mapping[str, str], port: int, servers: Servers) -> Child:
    url = f"http://{LOOPBACK}:{port}"
    servers.addresses[f"MAGASIN_{name.replace('-', '_').upper()}_URL"] = url
    return _child(name, worker_command(name), {**common, "MAGASIN_PROBE_PORT": str(port)}, url, stage=WORKER_STAGE)


def _child(name: str, command: tuple[str, ...], env: Mapping[str, str], url: str, *, stage: int) -> Child:
    return Child(
        name=name,
        command=dying_with_parent(command),
        env=env,
        cwd=ROOT,
        stage=stage,
        stop_seconds=STOP_SECONDS,
        ready=lambda: is_ready(f"{url}/readyz"),
        ready_seconds=90,
        early_deaths=EARLY_DEATHS,
    )
