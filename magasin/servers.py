"""Which PostgreSQL, RabbitMQ and Redis does this machine's Magasin use: those that the environment names, or private ones?"""

import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from magasin import postgresql, rabbitmq, rediscache
from magasin.home import Memory, Running
from magasin.processes import end_session
from magasin.supervise import Child

LEFTOVER_SECONDS = 20.0

DATABASE_URL = "MAGASIN_DATABASE_URL"
AMQP_URL = "MAGASIN_AMQP_URL"
REDIS_URL = "MAGASIN_REDIS_URL"
MANAGEMENT_URL = "MAGASIN_RABBITMQ_MANAGEMENT_URL"
NAMES = (DATABASE_URL, AMQP_URL, REDIS_URL, MANAGEMENT_URL)


@dataclass
class Servers:
    """The private servers to run, and the addresses of all servers under the names of their environment variables."""

    children: list[Child] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)


def missing(environ: Mapping[str, str]) -> list[str]:
    """Which of the servers that the environment doesn't name are not installed: ``postgresql``, ``rabbitmq-server``, ``redis-server``."""
    wanted = {
        DATABASE_URL: ("postgresql", postgresql.binaries() is not None),
        AMQP_URL: ("rabbitmq-server", rabbitmq.server_script() is not None and rabbitmq.epmd_program() is not None),
        REDIS_URL: ("redis-server", rediscache.program() is not None),
    }
    return [package for name, (package, installed) in wanted.items() if not environ.get(name) and not installed]


def servers_for(home: Path, environ: Mapping[str, str], *, throwaway: bool = False) -> Servers:
    """The servers of `home`. Files are made and ports are chosen, nothing is started.

    `throwaway` data is not worth a graceful stop: the servers are killed. Raises a NotInstalledError of the missing server.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True, mode=0o711)
    memory = Memory.of(home)
    servers = Servers(addresses={name: environ[name] for name in NAMES if environ.get(name)})
    hard: dict[str, signal.Signals] = {"stop_signal": signal.SIGKILL} if throwaway else {}
    if DATABASE_URL not in servers.addresses:
        child, servers.addresses[DATABASE_URL] = postgresql.server(home, memory, **hard)
        servers.children.append(child)
    if AMQP_URL not in servers.addresses:
        children, servers.addresses[AMQP_URL], servers.addresses[MANAGEMENT_URL] = rabbitmq.servers(home, memory, **hard)
        servers.children.extend(children)
    if REDIS_URL not in servers.addresses:
        child, servers.addresses[REDIS_URL] = rediscache.server(home, memory, **hard)
        servers.children.append(child)
    return servers


def end_leftovers(home: Path) -> list[str]:
    """End what a supervisor that was killed has left behind, so that data and ports are free. Returns the names.

    The caller holds the Claim of `home`, so nobody else runs from it.
    """
    last = Running.of(home)
    if last is None:
        return []
    for name, identity in last.children.items():
        with suppress(PermissionError):
            # SIGTERM is PostgreSQL's "smart" stop, which would wait for its clients.
            end_session(identity, signal.SIGINT if name == "postgresql" else signal.SIGTERM, LEFTOVER_SECONDS)
    return list(last.children)
