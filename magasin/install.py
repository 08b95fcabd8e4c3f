"""How do the servers get onto this machine without anything else starting, and what can be done where that isn't allowed?"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

SECONDS = 1_800
POLICY = Path("/usr/sbin/policy-rc.d")
NOTHING_STARTS = "#!/bin/sh\n# Magasin installs packages and wants no service of theirs to start. Removed again at once.\nexit 101\n"
CLUSTER_DROP_IN = Path("/etc/postgresql-common/createcluster.d/magasin.conf")
UNITS = {"postgresql": "postgresql.service", "rabbitmq-server": "rabbitmq-server.service", "redis-server": "redis-server.service"}

Runner = Callable[[Sequence[str], Mapping[str, str]], None]


class CannotInstallError(RuntimeError):
    """The servers are missing and can't be installed; the message tells the ways out."""


def ways_out(packages: Sequence[str]) -> str:
    """What somebody can do who may not install anything."""
    return (
        f"Missing on this machine: {', '.join(packages)}. There are two ways out:\n"
        f"  1. let an administrator install them:  apt-get install --no-install-recommends {' '.join(packages)}\n"
        "  2. use Docker:  docker compose up\n"
        "Servers that run elsewhere are named in MAGASIN_DATABASE_URL, MAGASIN_AMQP_URL and MAGASIN_REDIS_URL."
    )


def apt(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one command of the package manager. Raises CannotInstallError with the end of what it said."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=dict(environment), timeout=SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        message = f"{' '.join(command)} took more than {SECONDS // 60} minutes."
        raise CannotInstallError(message) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-1_500:]
        message = f"{' '.join(command)} failed:\n{said}\nCheck the network and the package sources of this machine, then start again."
        raise CannotInstallError(message)


def install(packages: Sequence[str], run: Runner = apt) -> None:
    """Install Debian packages; no service of theirs starts, now or at the next boot, and no cluster is made.

    Raises CannotInstallError.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise CannotInstallError(ways_out(packages))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    waiting = ("-o", "DPkg::Lock::Timeout=300")
    with replaced(POLICY, NOTHING_STARTS, mode=0o755), replaced(CLUSTER_DROP_IN, "create_main_cluster = false\n", mode=0o644):
        run(("apt-get", *waiting, "-q", "update"), environment)
        run(("apt-get", *waiting, "-q", "-y", "--no-install-recommends", "install", *packages), environment)
    units = [UNITS[package] for package in packages if package in UNITS]
    if units and shutil.which("systemctl"):
        # Only what was installed just now: it was nobody's service before.
        run(("systemctl", "disable", *units), environment)


@contextmanager
def replaced(path: Path, content: str, *, mode: int) -> Iterator[None]:
    """A block during which `path` has another content. Afterwards all is as it was: content, mode, or absence (also of its folder)."""
    before = (path.read_bytes(), path.stat().st_mode & 0o7777) if path.exists() else None
    new_folder = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, content.encode(), mode)
    try:
        yield
    finally:
        if before is not None:
            _write(path, *before)
        else:
            path.unlink(missing_ok=True)
            if new_folder:
                _remove_empty(path.parent)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def _remove_empty(folder: Path) -> None:
    while folder != folder.parent and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
