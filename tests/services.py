"""Which PostgreSQL, RabbitMQ and Redis do the tests use? One set for the whole run, however many processes it has.

In this order: what the environment names; containers, where a Docker engine has their images or gets them; else the project's own
private servers.
Whoever needs them first starts a keeper (``python -m tests.services``), which ends with the test run, however that ended.
"""

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from magasin.home import write_private
from magasin.install import CannotInstallError, install
from magasin.processes import Identity, identity_of, is_alive, signal_process
from magasin.servers import AMQP_URL, DATABASE_URL, MANAGEMENT_URL, NAMES, REDIS_URL, missing, servers_for
from magasin.supervise import Supervisor
from tests.containers import docker_serves, started_containers

ROOT = Path(__file__).resolve().parent.parent
FOLDER_VARIABLE = "MAGASIN_TEST_FOLDER"
START_SECONDS = 180
STOP_SECONDS = 60
POLL_SECONDS = 0.05
Source = Literal["environment", "containers", "private"]


class ServersUnavailableError(RuntimeError):
    """The servers could not be started; the message is the keeper's own output."""


@dataclass(frozen=True)
class Services:
    """Where the servers are. `management_url` (with user and password) is None when nobody told it."""

    source: Source
    database_url: str
    amqp_url: str
    redis_url: str
    management_url: str | None = None


def named_by_environment() -> dict[str, str]:
    """The addresses that the environment names."""
    return {name: os.environ[name] for name in NAMES if os.environ.get(name)}


def source() -> Source:
    """Where those servers come from that the environment doesn't name."""
    if {DATABASE_URL, AMQP_URL, REDIS_URL} <= named_by_environment().keys():
        return "environment"
    return "containers" if docker_serves() else "private"


def begin_run() -> None:
    """Make the folder of this test run. Called once, by the process that the others belong to."""
    folder = Path(tempfile.mkdtemp(prefix="magasin-test-"))
    folder.chmod(0o711)
    (folder / "run.pid").write_text(str(os.getpid()), encoding="ascii")
    os.environ[FOLDER_VARIABLE] = str(folder)


def end_run() -> list[str]:
    """End the keeper, if there is one, and remove the folder. Returns the processes of the run that have not ended."""
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    note = folder / "keeper.json"
    if note.exists():
        keeper = Identity(**json.loads(note.read_text(encoding="utf-8")))
        if is_alive(keeper):
            signal_process(keeper.pid, signal.SIGTERM)
        _wait_for_end(keeper)
    shutil.rmtree(folder, ignore_errors=True)
    return remaining(folder)


def remaining(folder: Path) -> list[str]:
    """The processes of this run that are still there, besides the caller: by the run's mark in their environment or command."""
    mark = str(folder).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if command and (mark in command or mark in (entry / "environ").read_bytes()):
                    found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def run_folder() -> Path:
    """What the processes of this test run share."""
    return Path(os.environ[FOLDER_VARIABLE])


def run_name() -> str:
    """A prefix for what this run makes on servers that others use too."""
    return run_folder().name.replace("-", "_").lower()


@contextmanager
def alone(name: str) -> Iterator[None]:
    """A block that one process of the run enters at a time."""
    with (run_folder() / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def services() -> Services:
    """The servers of this run, started now if nobody needed them before. Raises ServersUnavailableError."""
    found = named_by_environment()
    if {DATABASE_URL, AMQP_URL, REDIS_URL} <= found.keys():
        return _services("environment", found)
    with alone("services"):
        if not (run_folder() / "services.json").exists():
            _start_keeper(run_folder())
    return Services(**json.loads((run_folder() / "services.json").read_text(encoding="utf-8")))


def _services(origin: Source, addresses: dict[str, str]) -> Services:
    return Services(origin, addresses[DATABASE_URL], addresses[AMQP_URL], addresses[REDIS_URL], addresses.get(MANAGEMENT_URL))


def _start_keeper(folder: Path) -> None:
    run = (folder / "run.pid").read_text(encoding="ascii")
    output = folder / "keeper.log"
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "tests.services", str(folder), run],
        {**os.environ, "PYTHONPATH": str(ROOT)},
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,
    )
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "services.json").exists():
        ended, _ = os.waitpid(pid, os.WNOHANG)
        if ended or time.monotonic() > deadline:
            raise ServersUnavailableError(output.read_text(encoding="utf-8"))
        time.sleep(POLL_SECONDS)


def _wait_for_end(keeper: Identity) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while is_alive(keeper) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


async def keep(folder: Path, run_pid: int) -> None:
    """Run the servers until the test run has ended or says so by SIGTERM."""
    me = identity_of(os.getpid())
    if me:
        write_private(folder / "keeper.json", json.dumps(asdict(me)))
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_reader(os.pidfd_open(run_pid), over.set)
    if source() == "containers":
        await _keep_containers(folder, over)
    else:
        await _keep_private(folder, over)


async def _keep_containers(folder: Path, over: asyncio.Event) -> None:
    with started_containers(named_by_environment()) as addresses:
        _tell(folder, "containers", addresses)
        await over.wait()


async def _keep_private(folder: Path, over: asyncio.Event) -> None:
    home = folder / secrets.token_hex(4)
    servers = servers_for(home, os.environ, throwaway=True)
    supervisor = Supervisor(home / "logs")
    try:
        for child in servers.children:
            supervisor.start(child)
        await asyncio.gather(*(supervisor.ready(child.name) for child in servers.children))
        _tell(folder, "private", servers.addresses)
        await over.wait()
    finally:
        await supervisor.stop()


def _tell(folder: Path, origin: Source, addresses: dict[str, str]) -> None:
    write_private(folder / "services.json", json.dumps(asdict(_services(origin, addresses))))


def prepare() -> None:
    """Install what a test run would miss. Exits with what to do when that can't be done."""
    packages = [*(missing(os.environ) if source() == "private" else ()), *(() if shutil.which("chromium") else ("chromium",))]
    # Whoever kills brokers has some of his own; such tests are skipped where nobody may install one.
    if os.geteuid() == 0 and "rabbitmq-server" in missing({}) and "rabbitmq-server" not in packages:
        packages.append("rabbitmq-server")
    if packages:
        try:
            install(packages)
        except CannotInstallError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    if sys.argv[1:] == ["--prepare"]:
        prepare()
    else:
        asyncio.run(keep(Path(sys.argv[1]), int(sys.argv[2])))
