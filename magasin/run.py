"""How does the whole system start with one command, and stop with one key?"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from sqlalchemy.exc import OperationalError

from infra.settings import Settings
from magasin import house
from magasin.gateway.entrance import Entrance, NoGateway
from magasin.gateway.plan import Plan
from magasin.home import LOOPBACK, AlreadyRunningError, Claim, Memory, NoFreePortError, Running, is_free
from magasin.install import CannotInstallError, install
from magasin.listening import listens
from magasin.migrate import migrate
from magasin.postgresql import NotInstalledError
from magasin.processes import Identity, identity_of
from magasin.servers import AMQP_URL, DATABASE_URL, MANAGEMENT_URL, REDIS_URL, Servers, end_leftovers, missing, servers_for
from magasin.supervise import Child, ChildFailedError, Supervisor

SPOKEN = {
    "postgresql": "PostgreSQL",
    "rabbitmq": "RabbitMQ",
    "redis": "Redis",
    "stock-writer": "The stock writer",
    "projector": "The projector",
    "dead-letters": "The dead letters' worker",
    "outbound": "The feed and the webhooks",
    "operator": "The operators' jobs",
    "api": "The API",
}
"""What a user knows by name; the others are parts of these."""

GATEWAY_HINT = "make gateway"
DEFAULT_PORTS = {DATABASE_URL: 5432, AMQP_URL: 5672, REDIS_URL: 6379}


class CannotStartError(RuntimeError):
    """The system can't start; the message says what to do."""


@contextmanager
def explained(console: Console) -> Iterator[None]:
    """A block whose failures end the program with an explanation instead of a trace. Raises SystemExit(1)."""
    try:
        yield
    except (CannotStartError, CannotInstallError, NotInstalledError) as error:
        console.print(f"[bold red]Magasin can't start.[/] {error}", highlight=False, soft_wrap=True)
    except NoFreePortError:
        console.print("[bold red]Magasin can't start:[/] no free port was found between 20000 and 32000.")
    except ChildFailedError as error:
        console.print(f"[bold red]{error}.[/] The end of its log ({error.log}):", highlight=False, soft_wrap=True)
        for line in error.tail.splitlines():
            console.print(f"  {error.name} | {line}", markup=False, highlight=False, soft_wrap=True)
        console.print("Mend what it complains about and start again: nothing is lost. Data that can't be mended: make clean.")
    else:
        return
    raise SystemExit(1)


def run(settings: Settings, console: Console, *, demonstration: bool, plan: Plan | None = None) -> None:
    """Start everything, stay until Ctrl-C or SIGTERM, stop everything that was started. Raises SystemExit(1) on a failure.

    With a `plan` many instances of the API stand behind a gateway; without, there is one, and it is what others talk to.
    """
    home = house.home_of(settings)
    with explained(console):
        try:
            claim = Claim(home)
        except AlreadyRunningError:
            raise CannotStartError(_already(home)) from None
        try:
            asyncio.run(Run(settings, home, console, demonstration=demonstration, plan=plan).all())
        finally:
            claim.release()


def _already(home: Path) -> str:
    running = Running.of(home)
    where = running.addresses.get("MAGASIN_URL", "an address it hasn't told yet") if running else "an address it hasn't told yet"
    return f"It is already running from {home}, at {where}. Stop that one first: make stop"


class Run:
    """One run, from the first check to the last stop."""

    def __init__(self, settings: Settings, home: Path, console: Console, *, demonstration: bool, plan: Plan | None = None) -> None:
        """Nothing is started yet."""
        self._plan = plan
        self._entrance: Entrance | None = None
        self._settings = settings
        self._home = home
        self._console = console
        self._demonstration = demonstration
        self._began = time.monotonic()
        self._addresses: dict[str, str] = {}

    async def all(self) -> None:
        """Everything, in order. A signal ends the current step and goes straight to the stop."""
        task = asyncio.current_task()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        cancel = _CancelOnce(task)
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, cancel)
        supervisor = Supervisor(self._home / "logs", self._remember)
        try:
            await self._start(supervisor)
            if self._entrance:
                await self._entrance.follow(self._done)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._console.print("Stopping …")
        finally:
            await supervisor.stop()
            (self._home / "run.json").unlink(missing_ok=True)
        self._console.print("Everything that was started has stopped.")

    def _remember(self, children: dict[str, Identity]) -> None:
        me = identity_of(os.getpid())
        if me:
            Running(me, children, self._addresses).save(self._home)

    async def _start(self, supervisor: Supervisor) -> None:
        if not is_free(self._settings.port, self._settings.host):
            port = self._settings.port
            message = (
                f"Port {port} of {self._settings.host} is taken by another program. Choose another one: MAGASIN_PORT={port + 1} make run"
            )
            raise CannotStartError(message)
        await self._install()
        await asyncio.to_thread(end_leftovers, self._home)
        servers = servers_for(self._home, os.environ)
        self._addresses = servers.addresses
        memory = Memory.of(self._home)
        children = self._children(supervisor, servers, memory)
        with self._console.status("Starting the servers …"):
            await _check_named(os.environ)
            for server in servers.children:
                supervisor.start(server)
            await asyncio.gather(
                self._project(supervisor, servers, children), *(self._ready(supervisor, server.name) for server in servers.children)
            )
        if self._demonstration:
            await self.load_demonstration()
        self.tell()

    async def _install(self) -> None:
        packages = missing(os.environ)
        if packages:
            self._console.print(f"Installing {', '.join(packages)} (a minute or two, once) …")
            with self._console.status("apt-get is at work …"):
                await asyncio.to_thread(install, packages)
            self._done(f"Installed {', '.join(packages)}")

    async def _project(self, supervisor: Supervisor, servers: Servers, children: list[Child]) -> None:
        """The project's own processes, as soon as their tables are there: they wait for RabbitMQ themselves, which boots longest."""
        if any(child.name == "postgresql" for child in servers.children):
            await supervisor.ready("postgresql")
        try:
            await asyncio.to_thread(migrate, servers.addresses[DATABASE_URL])
        except OperationalError as error:
            message = f"The database can't be used: {error.orig}\nCheck {DATABASE_URL}."
            raise CannotStartError(message) from error
        self._done("The database is up to date")
        for child in children:
            supervisor.start(child)
        await asyncio.gather(*(self._ready(supervisor, child.name) for child in children), self._open())

    def _children(self, supervisor: Supervisor, servers: Servers, memory: Memory) -> list[Child]:
        if self._plan is None:
            return house.processes(self._settings, servers, memory)
        children = house.workers(self._settings, servers, memory)
        servers.addresses[house.URL] = house.base_url(self._settings)
        self._entrance = Entrance(self._settings, servers.addresses, memory, supervisor)
        return children

    async def _open(self) -> None:
        """The gateway, and the instances behind it."""
        if self._plan is None or self._entrance is None:
            return
        try:
            await self._entrance.open(self._plan)
        except NoGateway:
            message = f"Envoy, which stands in front of many instances, isn't here. Install it: {GATEWAY_HINT}"
            raise CannotStartError(message) from None
        names = {name for names in self._plan.instances().values() for name in names}
        self._done(f"The gateway and {len(names)} instances of the API are ready")

    async def _ready(self, supervisor: Supervisor, name: str) -> None:
        await supervisor.ready(name)
        if name in SPOKEN:
            self._done(f"{SPOKEN[name]}: ready")

    async def load_demonstration(self) -> None:
        """Load the demonstration unless it is there. Raises CannotStartError."""
        # Its module reads the files of the demonstration, which a system without one never needs.
        from magasin.demo import Bars  # noqa: PLC0415
        from magasin.demo_client import DemonstrationError  # noqa: PLC0415
        from magasin.demo_load import is_loaded, load_demonstration  # noqa: PLC0415

        url, password = house.base_url(self._settings), self._settings.demo_password
        try:
            if await is_loaded(url, password):
                return
            self._console.print("Loading the demonstration (about a minute, once) …")
            with Bars(self._console) as progress:
                loaded = await load_demonstration(url, password, progress)
        except DemonstrationError as error:
            message = f"The demonstration could not be loaded: {error}\nmagasin run --no-demonstration starts without it."
            raise CannotStartError(message) from error
        self._done(f"Loaded {loaded.stores} stores, {loaded.products:,} products and their opening stock")

    def _done(self, what: str) -> None:
        self._console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - self._began:.1f} s)[/]", highlight=False)

    def tell(self) -> None:
        """Print where everything is."""
        url = house.base_url(self._settings)
        lines = [
            f"\n[bold green]Magasin is ready[/] after {time.monotonic() - self._began:.1f} s.",
            f"  Page       {url}/",
            f"  API        {url}/docs",
        ]
        if self._settings.env == "demo":
            lines.append(f"  Accounts   caissier-<store>, gestionnaire, operateur, admin; password {self._settings.demo_password}")
        if MANAGEMENT_URL in self._addresses:
            lines.append(f"  Queues     {_without_password(self._addresses[MANAGEMENT_URL])} (its password: magasin env)")
        baskets = " make demo posts the baskets, from another terminal." if self._demonstration else ""
        lines += [f"  Logs       {self._home / 'logs'}", f"Ctrl-C stops everything.{baskets}\n"]
        self._console.print("\n".join(lines), highlight=False, soft_wrap=True)


class _CancelOnce:
    """Cancels a task at the first call only: an impatient second Ctrl-C must not interrupt the stop."""

    def __init__(self, task: asyncio.Task[None] | None) -> None:
        """Nothing is cancelled yet."""
        self._task = task

    def __call__(self) -> None:
        """Cancel, once."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


async def _check_named(environ: Mapping[str, str]) -> None:
    """Refuse at once when nothing listens where the environment says that a server is."""
    for name, default_port in DEFAULT_PORTS.items():
        if environ.get(name):
            places = places_of(environ[name], default_port)
            if not any([await listens(port, host) for host, port in places]):
                named = ", ".join(f"{host}:{port}" for host, port in places)
                message = f"{name} names {named}, where nothing answers. Start that server, or unset {name} to use a private one."
                raise CannotStartError(message)


def places_of(url: str, default_port: int) -> list[tuple[str, int]]:
    """Host and port of each server that a URL names: of a cluster it may name several, ``amqp://user@one:5672,two/vhost``."""
    parts = [urlsplit(f"//{place}") for place in urlsplit(url).netloc.rpartition("@")[2].split(",")]
    return [(part.hostname or LOOPBACK, part.port or default_port) for part in parts]


def _without_password(url: str) -> str:
    parsed = urlsplit(url)
    return f"{parsed.scheme}://{parsed.hostname}:{parsed.port}, user {parsed.username}"
