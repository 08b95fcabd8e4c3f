"""What is measured, and how is it started?

The private servers and processes of `make run`, in a folder of their own, and beside them the baselines, each with a database that is a
copy of the same seeded one. What isn't being measured idles.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from api.tokens import tokens_of
from bench.baselines import DATABASE_URL as BASELINE_DATABASE_URL
from bench.sales import STORES
from bench.seed import seed
from infra.database import engine_for
from infra.settings import Settings
from magasin import house
from magasin.home import LOOPBACK, Memory
from magasin.listening import listens
from magasin.migrate import migrate
from magasin.processes import dying_with_parent
from magasin.servers import AMQP_URL, DATABASE_URL, REDIS_URL, servers_for
from magasin.supervise import Child, Supervisor

FRONTS: Final = {
    "sync": "bench.baselines.sync",
    "faststream": "bench.baselines.faststream_api",
    "floor": "bench.baselines.floor",
    "floor_shortcut": "bench.baselines.floor_shortcut",
}
COPIES: Final = ("sync", "faststream")
FASTSTREAM_WORKER: Final = "bench.baselines.faststream_worker:app"
PIPELINE: Final = "pipeline"


@dataclass(frozen=True, slots=True)
class Target:
    """One system to post to. `roots` are the processes that work for it; `database_url` is None when it stores nothing."""

    name: str
    port: int
    roots: tuple[str, ...]
    database_url: str | None


@dataclass(frozen=True, slots=True)
class System:
    """Everything that runs."""

    targets: Mapping[str, Target]
    amqp_url: str
    redis_url: str
    tokens: dict[str, str]
    supervisor: Supervisor

    def pids(self, target: Target) -> dict[str, int]:
        """The processes that work for a target, by name."""
        running = self.supervisor.running()
        return {name: running[name].pid for name in target.roots if name in running}


@asynccontextmanager
async def started(parent: Path) -> AsyncIterator[System]:
    """Everything, ready; ended and removed at the end. The data lies below `parent`, on the disk where the project's own lies."""
    home = private_folder(parent)
    servers = servers_for(home, {}, throwaway=True)
    memory = Memory.of(home)
    supervisor = Supervisor(home / "logs")
    try:
        for child in servers.children:
            supervisor.start(child)
        await asyncio.gather(*(supervisor.ready(child.name) for child in servers.children))
        settings = _settings(home, memory, servers.addresses)
        copies = await asyncio.to_thread(_databases, settings)
        # Asked for once: a port that somebody listens on is not given again.
        ports = {PIPELINE: settings.port, **{name: memory.port(name) for name in FRONTS}}
        processes = [*house.processes(settings, servers, memory), *_baselines(settings, ports, servers.addresses, copies)]
        for child in processes:
            supervisor.start(child)
        await asyncio.gather(*(supervisor.ready(child.name) for child in processes))
        yield System(
            targets=_targets(settings, ports, copies),
            amqp_url=servers.addresses[AMQP_URL],
            redis_url=servers.addresses[REDIS_URL],
            tokens=_tokens(settings),
            supervisor=supervisor,
        )
    finally:
        await supervisor.stop()
        shutil.rmtree(home, ignore_errors=True)


def private_folder(parent: Path) -> Path:
    """A new folder below `parent` for the data of private servers."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    # PostgreSQL's own user has to pass through.
    home.chmod(0o711)
    return home


def _settings(home: Path, memory: Memory, addresses: Mapping[str, str]) -> Settings:
    return Settings(
        env="demo",
        home=home,
        port=memory.port("api"),
        database_url=addresses[DATABASE_URL],
        amqp_url=addresses[AMQP_URL],
        redis_url=addresses[REDIS_URL],
    )


def _databases(settings: Settings) -> dict[str, str]:
    """Migrate and seed the pipeline's database, and copy it for each baseline that has one. Answers their URLs."""
    migrate(settings.database_url)
    engine = engine_for(settings, name="bench")
    seed(engine)
    engine.dispose()
    url = make_url(settings.database_url).set(drivername="postgresql")
    template = str(url.database)
    with psycopg.connect(url.set(database="postgres").render_as_string(hide_password=False), autocommit=True) as connection:
        for name in COPIES:
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(f"bench_{name}"), sql.Identifier(template))
            connection.execute(statement)
    copies = {name: url.set(database=f"bench_{name}").render_as_string(hide_password=False) for name in COPIES}
    for each in (url.render_as_string(hide_password=False), *copies.values()):
        with psycopg.connect(each, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    return copies


def _baselines(settings: Settings, ports: Mapping[str, int], addresses: Mapping[str, str], copies: Mapping[str, str]) -> list[Child]:
    """The baselines' processes: one for HTTP each, with the options of our own."""
    common = {**os.environ, **addresses, "MAGASIN_ENV": settings.env, "MAGASIN_HOME": str(settings.home)}
    children = []
    for name, module in FRONTS.items():
        options = ("--host", LOOPBACK, "--port", str(ports[name]), "--no-access-log", "--no-server-header")
        command = (sys.executable, "-m", "uvicorn", f"{module}:create_app", "--factory", *options)
        env = {**common, BASELINE_DATABASE_URL: copies.get(name, "")}
        children.append(_child(name, command, env, ports[name]))
    worker = (sys.executable, "-m", "faststream", "run", FASTSTREAM_WORKER)
    return [*children, _child("faststream-worker", worker, {**common, BASELINE_DATABASE_URL: copies["faststream"]}, None)]


def _child(name: str, command: tuple[str, ...], env: Mapping[str, str], port: int | None) -> Child:
    child = Child(name=name, command=dying_with_parent(command), env=env, cwd=house.ROOT, stage=house.API_STAGE, stop_seconds=5)
    return child if port is None else replace(child, ready=lambda: listens(port), ready_seconds=60)


def _targets(settings: Settings, ports: Mapping[str, int], copies: Mapping[str, str]) -> dict[str, Target]:
    database = ("postgresql",)
    roots = {
        PIPELINE: ("api", "stock-writer", "projector", "postgresql", "rabbitmq", "redis"),
        "sync": ("sync", *database),
        "faststream": ("faststream", "faststream-worker", *database, "rabbitmq"),
        "floor": ("floor",),
        "floor_shortcut": ("floor_shortcut",),
    }
    own = make_url(settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    databases = {PIPELINE: own, **copies}
    return {name: Target(name, ports[name], parts, databases.get(name)) for name, parts in roots.items()}


def _tokens(settings: Settings) -> dict[str, str]:
    """A cashier's token for each store, signed with the key that every API process here reads."""
    tokens = tokens_of(settings)
    return {store_id: tokens.issue(f"caissier-{store_id}", "caissier", [store_id]) for store_id in STORES}


def address(target: Target) -> tuple[str, int]:
    """Where a target listens."""
    return LOOPBACK, target.port
