"""How long does no till get an answer when a node of a three-node broker dies? ``python -m bench.cluster``, about two minutes.

Everything is started privately: three brokers, PostgreSQL, Redis, one API and the workers. Tills post all the time, each sale under its id
until it is accepted. Node after node is killed by signal 9 and started again; in the end the log has every accepted sale, once.
The one API is the worst case: with more of them, the others go on.
"""

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise, product
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final, Self

import httpx2
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text
from uuid_utils.compat import uuid7

from api.tokens import tokens_of
from bench.report import machine, write
from bench.system import private_folder
from infra.connection import brief_channel
from infra.database import engine_for
from infra.settings import Settings, settings
from infra.topology import QUEUES, STOCK_WRITER, declare
from magasin import house
from magasin.home import Memory
from magasin.migrate import migrate
from magasin.rabbitmq_cluster import NODES, Cluster, Node
from magasin.servers import AMQP_URL, DATABASE_URL, REDIS_URL, servers_for
from magasin.supervise import Supervisor

UNSEEN_WIDTH: Final = 140
FILE: Final = "bench-cluster.json"
STORE: Final = "grappe"
SKU: Final = "G-1"
TILLS: Final = 8
BEFORE_SECONDS: Final = 3.0
AFTER_SECONDS: Final = 12.0
AGAIN_SECONDS: Final = 0.05
"""How soon a till repeats what was not accepted."""
PATIENCE_SECONDS: Final = 120.0
TELL_SECONDS: Final = 6.0
"""The brokers tell who is connected to whom every five seconds."""
PUBLISHER: Final = "magasin-api-publisher"
PARTS: Final = tuple(product((True, False), repeat=2))
"""Whether the node that dies orders what comes in for the stock writer, and whether the API publishes through it."""
LOOK_SECONDS: Final = 0.05
ACCEPTED: Final = 202
RECORDED: Final = text("SELECT recorded_at FROM event_log WHERE store_id = :store AND type = 'sale.recorded' ORDER BY seq")


class LostSaleError(RuntimeError):
    """The log hasn't what was accepted, or has it twice."""


@dataclass(frozen=True)
class Chain:
    """A cluster with one API and its workers."""

    url: str
    settings: Settings
    cluster: Cluster
    supervisor: Supervisor
    engine: Engine

    def headers(self) -> dict[str, str]:
        """What an administrator's request carries, for a quarter of an hour."""
        return {"Authorization": f"Bearer {tokens_of(self.settings).issue('bench', 'admin', ['*'])}"}

    async def recorded(self) -> list[float]:
        """When each sale of the store was recorded, in seconds since 1970."""
        return await asyncio.to_thread(self._recorded)

    def _recorded(self) -> list[float]:
        with self.engine.connect() as connection:
            return [row.recorded_at.timestamp() for row in connection.execute(RECORDED, {"store": STORE})]


@asynccontextmanager
async def running(home: Path, environ: Mapping[str, str], *, workers: tuple[str, ...] = house.WORKERS) -> AsyncIterator[Chain]:
    """The chain, ready for sales; PostgreSQL and Redis are those that `environ` names, or private ones."""
    memory, supervisor = Memory.of(home), Supervisor(home / "logs")
    try:
        cluster = Cluster(home, memory, supervisor)
        servers = servers_for(home, {**environ, AMQP_URL: cluster.amqp_url}, throwaway=True)
        for child in servers.children:
            supervisor.start(child)
        await cluster.start()
        await asyncio.gather(*(supervisor.ready(child.name) for child in servers.children))
        async with brief_channel(cluster.amqp_url, name="bench-topology") as channel:
            await declare(channel)
        told = Settings(
            env="test",
            home=home,
            port=memory.port("api"),
            database_url=servers.addresses[DATABASE_URL],
            amqp_url=cluster.amqp_url,
            redis_url=servers.addresses[REDIS_URL],
        )
        await asyncio.to_thread(migrate, told.database_url)
        children = [child for child in house.processes(told, servers, memory) if child.name in {house.API, *workers}]
        for child in children:
            supervisor.start(child)
        await asyncio.gather(*(supervisor.ready(child.name) for child in children))
        engine = engine_for(told, name="bench-cluster")
        try:
            chain = Chain(house.base_url(told), told, cluster, supervisor, engine)
            await _open_store(chain)
            yield chain
        finally:
            engine.dispose()
    finally:
        await supervisor.stop()


async def _open_store(chain: Chain) -> None:
    body = {"name": "Grappe", "kind": "store", "timezone": "America/Toronto", "currency": "CAD"}
    async with httpx2.AsyncClient(base_url=chain.url, headers=chain.headers(), timeout=30, trust_env=False) as client:
        answer = await client.put(f"/api/v2/stores/{STORE}", json=body, headers={"Prefer": "wait=10"})
        answer.raise_for_status()


class Tills:
    """Tills that sell one piece each, all the time, until the block ends; then each sale has been accepted."""

    def __init__(self, chain: Chain, number: int = TILLS) -> None:
        self.accepted: list[float] = []
        """When each sale was accepted, on `perf_counter`'s clock."""
        self.refused: Counter[str] = Counter()
        self._number = number
        self._over = asyncio.Event()
        # One for all tills: each of its own would read all certificates of the machine first.
        self._client = httpx2.AsyncClient(base_url=chain.url, headers=chain.headers(), timeout=30, trust_env=False)
        self._work: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Begin to sell."""
        self._work = [asyncio.create_task(self._sell()) for _ in range(self._number)]
        await self.until_accepted(self._number)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End when every sale that was begun has been accepted. Raises TimeoutError."""
        self._over.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*self._work)
        await self._client.aclose()

    def longest_gap(self, since: float) -> float:
        """The longest time from that instant on in which no till had a sale accepted."""
        return max((after - before for before, after in pairwise(sorted(self.accepted)) if after > since), default=float("inf"))

    async def until_accepted(self, more: int) -> None:
        """Return when so many more sales have been accepted. Raises TimeoutError."""
        goal = len(self.accepted) + more
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if len(self.accepted) >= goal:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def _sell(self) -> None:
        while not self._over.is_set():
            body = {"sale_id": str(uuid7()), "lines": [{"sku": SKU, "quantity": 1, "unit_price": "1.00"}]}
            while True:
                if await self._took(body):
                    break
                await asyncio.sleep(AGAIN_SECONDS)

    async def _took(self, body: dict[str, Any]) -> bool:
        try:
            answer = await self._client.post(f"/api/v2/stores/{STORE}/sales", json=body)
        except httpx2.HTTPError as error:
            self.refused[type(error).__name__] += 1
            return False
        if answer.status_code != ACCEPTED:
            self.refused[str(answer.status_code)] += 1
            return False
        self.accepted.append(perf_counter())
        return True


async def until_recorded(chain: Chain, sales: int) -> None:
    """Return when the log has exactly so many sales. Raises LostSaleError when it has more, or never gets them."""
    deadline = perf_counter() + PATIENCE_SECONDS
    while (found := len(await chain.recorded())) != sales:
        if found > sales or perf_counter() > deadline:
            message = f"{sales} sales were accepted, the log has {found}"
            raise LostSaleError(message)
        await asyncio.sleep(LOOK_SECONDS)


@dataclass(frozen=True)
class Death:
    """What the death of one node cost."""

    node: str
    led: bool
    """Whether it ordered what comes in for the stock writer."""
    carried: bool
    """Whether the API published through it."""
    accepted_gap_seconds: float
    recorded_gap_seconds: float
    accepted: int
    repeated: dict[str, int]


async def die(chain: Chain, *, led: bool, carried: bool) -> Death:
    """Kill a node with that part under load, bring it back, and wait until every queue has all its copies again."""
    node = await _placed(chain, led=led, carried=carried)
    before = len(await chain.recorded())
    async with Tills(chain) as tills:
        await asyncio.sleep(BEFORE_SECONDS)
        killed, killed_at = perf_counter(), time()
        await chain.cluster.kill(node)
        await asyncio.sleep(AFTER_SECONDS)
    await until_recorded(chain, before + len(tills.accepted))
    recorded = max(after - earlier for earlier, after in pairwise(await chain.recorded()) if after > killed_at)
    await chain.cluster.revive(node)
    await _until_copied(chain)
    return Death(
        node.child.name,
        led=led,
        carried=carried,
        accepted_gap_seconds=round(tills.longest_gap(killed), 3),
        recorded_gap_seconds=round(recorded, 3),
        accepted=len(tills.accepted),
        repeated=dict(tills.refused),
    )


async def _placed(chain: Chain, *, led: bool, carried: bool) -> Node:
    """A node with that part; the API's connection is closed until it lies where that needs it."""
    cluster = chain.cluster
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            leader = await asyncio.to_thread(cluster.leader_of, STOCK_WRITER.name)
            carrier = await asyncio.to_thread(cluster.carrier_of, PUBLISHER)
            parts = {node.child.name: (node is leader, node is carrier) for node in cluster.nodes}
            if leader and carrier:
                for node in cluster.nodes:
                    if parts[node.child.name] == (led, carried):
                        return node
                await asyncio.to_thread(cluster.hang_up, PUBLISHER)
            await asyncio.sleep(TELL_SECONDS)


async def _until_copied(chain: Chain) -> None:
    """Return when every quorum queue has a copy on every node again. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for queue in QUEUES:
            while True:
                if queue.only_wakes or len(await asyncio.to_thread(chain.cluster.copies_of, queue.name)) == NODES:
                    break
                await asyncio.sleep(LOOK_SECONDS)


async def main() -> None:
    """Kill nodes that lead and nodes that don't, and tell what that cost."""
    console, parent = Console(width=None if sys.stdout.isatty() else UNSEEN_WIDTH), house.home_of(settings())
    home = private_folder(parent)
    facts = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    try:
        async with running(home, {}) as chain:
            deaths = []
            for led, carried in PARTS:
                deaths.append(await die(chain, led=led, carried=carried))
                console.print(deaths[-1], soft_wrap=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    _show(console, deaths)
    write(parent / FILE, {**facts, "load_after": round(os.getloadavg()[0], 1), "deaths": [vars(death) for death in deaths]})


def _show(console: Console, deaths: list[Death]) -> None:
    table = Table(
        "node killed", "led", "carried", "longest time without an accepted sale", "… without a recorded one", "accepted", "answers repeated"
    )
    for each in deaths:
        repeated = ", ".join(f"{count} × {what}" for what, count in each.repeated.items())
        roles = ("yes" if role else "no" for role in (each.led, each.carried))
        gaps = (f"{each.accepted_gap_seconds:.2f} s", f"{each.recorded_gap_seconds:.2f} s")
        table.add_row(each.node, *roles, *gaps, f"{each.accepted:,}", repeated)
    console.print(table)


if __name__ == "__main__":
    asyncio.run(main())
