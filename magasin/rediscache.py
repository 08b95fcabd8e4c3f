"""How does a Redis of our own run? It is a cache: bounded, and empty after a restart."""

import os
import shutil
import signal
from pathlib import Path

from magasin.home import LOOPBACK, Memory, write_private
from magasin.listening import listens
from magasin.processes import dying_with_parent
from magasin.supervise import Child

MEMORY_LIMIT = "128mb"


class NotInstalledError(RuntimeError):
    """There is no Redis on this machine."""


def program() -> str | None:
    """The server, None when there is none."""
    return shutil.which("redis-server")


def server(home: Path, memory: Memory, *, stop_signal: signal.Signals = signal.SIGTERM) -> tuple[Child, str]:
    """The server to run and its URL. Raises NotInstalledError."""
    found = program()
    if found is None:
        raise NotInstalledError
    folder = home / "redis"
    port, password = memory.port("redis"), memory.password("redis")
    child = Child(
        name="redis",
        command=dying_with_parent((found, str(folder / "redis.conf")), signal.SIGTERM),
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        cwd=Path("/"),
        stage=1,
        stop_signal=stop_signal,
        prepare=lambda: make(folder, configuration(folder, port, password)),
        ready=lambda: listens(port),
    )
    return child, f"redis://:{password}@{LOOPBACK}:{port}/0"


def configuration(folder: Path, port: int, password: str) -> str:
    """The content of redis.conf. The password stands there and not on the command line, which everybody can read."""
    return "\n".join((
        f"bind {LOOPBACK}",
        f"port {port}",
        f"requirepass {password}",
        f"maxmemory {MEMORY_LIMIT}",
        "maxmemory-policy allkeys-lru",
        'save ""',
        "appendonly no",
        "daemonize no",
        f'dir "{folder}"',
        "",
    ))  # fmt: skip


def make(folder: Path, conf: str) -> None:
    """Write what the server reads at its start."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(folder / "redis.conf", conf)
