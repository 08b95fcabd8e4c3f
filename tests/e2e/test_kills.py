"""Is anything lost or counted twice when every part of the system is killed in the middle of the traffic?

The real system, started as a user starts it, with servers of its own. The tills post 5,000 sales; the parts die by signal 9 one after the
other, PostgreSQL by its immediate stop, and at last all of them at once. Nobody mends anything: the tills repeat, the supervisor restarts.
"""

import asyncio
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import aio_pika
import httpx2
import psycopg
import pytest

from infra.topology import QUEUES
from magasin.home import LOOPBACK, Memory, Running, is_free
from magasin.processes import PROC, Identity, is_alive, session_of
from magasin.servers import AMQP_URL, DATABASE_URL, missing
from tests.e2e.tills import PRICES, STORES, Sale, Tills, days_after, levels_after, sales, with_repeats
from tests.services import ROOT, run_folder

pytestmark = [
    pytest.mark.skipif(bool(missing({})), reason="RabbitMQ, PostgreSQL or Redis is not installed here"),
    pytest.mark.timeout(400),
]
SALES = 5_000
BEFORE_THE_BLOW = 250
START_SECONDS = 120
STOP_SECONDS = 90
RECOVERY_SECONDS = 90
LOOK_SECONDS = 0.05
PASSWORD = "magasin-demo"  # noqa: S105 - the published password of the demonstration
FAULTS = {
    "api": {"api": signal.SIGKILL},
    "stock writer": {"stock-writer": signal.SIGKILL},
    "projector": {"projector": signal.SIGKILL},
    "broker": {"rabbitmq": signal.SIGKILL},
    # PostgreSQL's "immediate" stop: every session is cut, nothing is written out, the next start recovers from its journal.
    "PostgreSQL": {"postgresql": signal.SIGQUIT},
    "all at once": {
        "api": signal.SIGKILL,
        "stock-writer": signal.SIGKILL,
        "projector": signal.SIGKILL,
        "rabbitmq": signal.SIGKILL,
        "postgresql": signal.SIGQUIT,
    },
}


@dataclass
class Machine:
    """A machine on which somebody started Magasin. `seen` are all processes that it ever told of."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    seen: set[Identity] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def running(self) -> Running:
        found = Running.of(self.home)
        assert found
        self.seen |= {found.supervisor, *found.children.values()}
        return found

    def address(self, name: str) -> str:
        return self.running().addresses[name]

    def strike(self, fault: Mapping[str, signal.Signals]) -> dict[str, Identity]:
        """Kill these children: who they were."""
        children = self.running().children
        victims = {name: children[name] for name in fault}
        for name, number in fault.items():
            os.kill(victims[name].pid, number)
        return victims

    def replaced(self, victims: Mapping[str, Identity]) -> bool:
        """Whether each of them is gone and another one lives in its place."""
        now = self.running().children
        return all(name in now and now[name] != victim and is_alive(now[name]) and not is_alive(victim) for name, victim in victims.items())

    def left_behind(self) -> list[str]:
        """What still runs of all that was ever started here."""
        sessions = {pid for identity in self.seen for pid in session_of(identity)}
        return [f"{pid}: {_command(pid)}" for pid in sessions | set(_speaking_of(self.home)) if pid != os.getpid()]


@contextmanager
def started() -> Iterator[Machine]:
    """The system of ``magasin run --no-demonstration`` in a folder of its own, ready; stopped in the end, however that comes."""
    home = run_folder() / f"kills-{secrets.token_hex(4)}"
    home.mkdir(mode=0o711)
    # Not one of the kernel's ephemeral ports: while the API is dead, a till that calls such a port may get connected to itself.
    port = Memory.of(home).port("api")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAGASIN_")}
    environment |= {"MAGASIN_HOME": str(home), "MAGASIN_PORT": str(port)}
    log = home / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            (sys.executable, "-m", "magasin", "run", "--no-demonstration"),
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Magasin is ready" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(LOOK_SECONDS)
        yield Machine(home, port, process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _speaking_of(home: Path) -> Iterator[int]:
    """The processes whose command or environment names that folder."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if any(str(home).encode() in (entry / what).read_bytes() for what in ("cmdline", "environ")):
                    yield int(entry.name)


def _command(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "gone"


@dataclass(frozen=True)
class Sight:
    """What stood in the database at one moment (Unix seconds)."""

    at: float
    recorded: int
    """Sales in the log."""
    projected: int
    """Steps that all projections together have made."""
    behind: int
    """Steps that they still have to make."""


SIGHT = """
    SELECT (SELECT count(*) FROM event_log WHERE type = 'sale.recorded'),
           coalesce(sum(c.seq), 0), coalesce(sum(h.seq - coalesce(c.seq, 0)), 0)
    FROM store_head h CROSS JOIN (SELECT DISTINCT projection FROM checkpoint) p
    LEFT JOIN checkpoint c ON c.store_id = h.store_id AND c.projection = p.projection AND c.generation = 0
"""


@dataclass
class Watcher:
    """Looks into the database all the time, when it can."""

    database_url: str
    sights: list[Sight] = field(default_factory=list)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._look_always())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def settled(self, recorded: int) -> bool:
        """Whether that many sales are in the log, and every projection is at its end."""
        last = self.sights[-1] if self.sights else None
        return last is not None and last.recorded == recorded and last.behind == 0

    async def _look_always(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self.database_url, connect_timeout=2, autocommit=True) as connection:
                    while True:
                        row = await (await connection.execute(SIGHT)).fetchone()
                        assert row
                        self.sights.append(Sight(time.time(), *map(int, row)))
                        await asyncio.sleep(LOOK_SECONDS)
            except psycopg.OperationalError:
                await asyncio.sleep(LOOK_SECONDS)


@dataclass(frozen=True)
class Blow:
    """One fault, and for how long (seconds) nothing was accepted, recorded, projected; at last everything was caught up."""

    name: str
    unaccepted: float
    unrecorded: float
    unprojected: float
    caught_up: float

    def __str__(self) -> str:
        """A line of the table below `HEADING`."""
        return f"{self.name:<14}{self.unaccepted:>10.1f}{self.unrecorded:>10.1f}{self.unprojected:>11.1f}{self.caught_up:>13.1f}"


HEADING = "seconds without a sale that is …\nkilled          accepted  recorded  projected   all caught up after"


def longest_silence(since: float, moments: Sequence[float]) -> float:
    """The longest time from one of the moments, or from `since`, to the next."""
    after = [since, *(moment for moment in moments if moment > since)]
    return max((later - earlier for earlier, later in pairwise(after)), default=0.0)


def progress(sights: Sequence[Sight], figure: Callable[[Sight], int]) -> list[float]:
    """The moments at which the figure was seen to have moved."""
    return [after.at for before, after in pairwise(sights) if figure(after) != figure(before)]


async def until(condition: Callable[[], bool], seconds: float = RECOVERY_SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(LOOK_SECONDS)


async def in_time(work: Awaitable[None]) -> None:
    async with asyncio.timeout(RECOVERY_SECONDS):
        await work


def open_shops(http: httpx2.Client) -> str:
    """Sign `http` in, and define the stores and the products: the access token."""
    answer = http.post("/api/v2/auth/token", data={"username": "admin", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    token = str(answer.json()["access_token"])
    http.headers["Authorization"] = f"Bearer {token}"
    for store_id in STORES:
        put(http, f"stores/{store_id}", {"name": store_id, "kind": "store", "timezone": "America/Toronto", "currency": "CAD"})
    for sku, price in PRICES.items():
        name = {"fr": f"Article {sku}", "en": f"Item {sku}"}
        put(http, f"products/{sku}", {"name": name, "category": {"fr": "Divers", "en": "Various"}, "price": f"{price:.2f}"})
    return token


def put(http: httpx2.Client, what: str, body: Mapping[str, Any]) -> None:
    answer = http.put(f"/api/v2/{what}", json=body, headers={"Prefer": "wait=10"})
    assert answer.status_code == 201, answer.text


def read(http: httpx2.Client, what: str, **parameters: str | int) -> list[dict[str, Any]]:
    """The items of a read that says itself that it is complete."""
    answer = http.get(f"/api/v2/{what}", params=parameters)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["meta"]["complete"], found["meta"]
    return list(found["items"])


async def strike_each(machine: Machine, tills: Tills, posted: Sequence[Sale]) -> list[Blow]:
    """Post the sales, a part of them with each fault, and wait after each until everything has caught up."""
    watcher = Watcher(machine.address(DATABASE_URL))
    size = -(-len(posted) // len(FAULTS))
    blows = []
    async with watcher.looking():
        for place, (name, fault) in enumerate(FAULTS.items()):
            part = posted[place * size : (place + 1) * size]
            goal = place * size + len(part)
            tills.give(with_repeats(part))
            await in_time(tills.accepted_again(BEFORE_THE_BLOW))
            struck = time.time()
            victims = machine.strike(fault)
            await in_time(tills.all_accepted())
            await until(lambda goal=goal: watcher.settled(goal))  # type: ignore[misc]
            since = [sight for sight in watcher.sights if sight.at > struck]
            blows.append(
                Blow(
                    name,
                    longest_silence(struck, tills.moments),
                    longest_silence(struck, progress(since, lambda sight: sight.recorded)),
                    longest_silence(struck, progress(since, lambda sight: sight.projected)),
                    next(sight.at for sight in reversed(since) if sight.behind or sight.recorded < goal) - struck,
                )
            )
            await until(lambda victims=victims: machine.replaced(victims))  # type: ignore[misc]
    return blows


def check_log(database_url: str, posted: Sequence[Sale], accepted: set[UUID]) -> None:
    """Every accepted sale is in the log, once; nothing else is; no number is missing; nothing was given up."""
    with psycopg.connect(database_url, connect_timeout=5) as connection:
        recorded = [row[0] for row in connection.execute("SELECT event_id FROM event_log WHERE type = 'sale.recorded'")]
        assert len(recorded) == len(set(recorded)) == len(posted)
        assert set(recorded) == accepted == {sale.sale_id for sale in posted}
        broken = "SELECT store_id FROM event_log GROUP BY store_id HAVING min(seq) <> 1 OR max(seq) <> count(*)"
        assert connection.execute(broken).fetchall() == []
        heads = "SELECT store_id, seq FROM store_head EXCEPT SELECT store_id, max(seq) FROM event_log GROUP BY store_id"
        assert connection.execute(heads).fetchall() == []
        assert connection.execute("SELECT count(*) FROM event_log WHERE outcome <> 'recorded'").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM dead_letter").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM checkpoint WHERE state <> 'live'").fetchone() == (0,)


def check_figures(http: httpx2.Client, posted: Sequence[Sale]) -> None:
    """Stock and report say exactly what the sales themselves say."""
    levels = {
        (item["store_id"], item["sku"]): item["on_hand"] for store_id in STORES for item in read(http, "stock", store=store_id, limit=500)
    }
    assert levels == levels_after(posted)
    days = {
        (row["store_id"], row["business_date"]): (row["sales"], row["units"], Decimal(row["revenue"]))
        for row in read(http, "reports/daily-sales", group_by="business_date,store_id")
    }
    assert days == days_after(posted)


async def check_ready(machine: Machine) -> None:
    """Every process says that it is ready, and no queue holds anything any more."""
    addresses = machine.running().addresses
    probes = [machine.url, *(addresses[f"MAGASIN_{name}_URL"] for name in ("STOCK_WRITER", "PROJECTOR", "DEAD_LETTERS"))]
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as http:
        for probe in probes:
            answer = await http.get(f"{probe}/readyz")
            assert answer.status_code == 200, f"{probe}: {answer.text}"
            assert answer.json()["database"] is True, f"{probe}: {answer.text}"
        async with asyncio.timeout(RECOVERY_SECONDS):
            while await waiting(addresses[AMQP_URL]) or await held(http, probes[1:]):
                await asyncio.sleep(LOOK_SECONDS)


async def waiting(amqp_url: str) -> int:
    """How many messages are ready in the queues."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queues = [await channel.declare_queue(queue.name, passive=True) for queue in QUEUES]
    return sum(queue.declaration_result.message_count or 0 for queue in queues)


async def held(http: httpx2.AsyncClient, probes: Sequence[str]) -> bool:
    """Whether a worker has a message that it hasn't acknowledged."""
    metrics = "".join([(await http.get(f"{probe}/metrics")).text for probe in probes])
    ages = re.findall(r"^magasin_oldest_message_seconds\{.*\} (.*)$", metrics, re.MULTILINE)
    assert len(ages) == len(probes), metrics
    return any(float(age) > 0 for age in ages)


async def test_whatever_is_killed_in_the_middle_of_5_000_sales_nothing_is_lost_and_nothing_counts_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    posted = sales(SALES)
    clock = [time.monotonic()]
    with started() as machine:
        clock.append(time.monotonic())
        with httpx2.Client(base_url=machine.url, timeout=20, trust_env=False) as http:
            token = await asyncio.to_thread(open_shops, http)
            clock.append(time.monotonic())
            async with Tills.open(LOOPBACK, machine.port, token) as tills:
                blows = await strike_each(machine, tills, posted)
            clock.append(time.monotonic())
            with capsys.disabled():
                tell(blows, tills, clock)
            await asyncio.to_thread(check_log, machine.address(DATABASE_URL), posted, set(tills.accepted))
            await asyncio.to_thread(check_figures, http, posted)
            await check_ready(machine)
        children = machine.running().children
    assert sum(count > 1 for count in tills.accepted.values()) >= SALES // 10
    assert machine.process.returncode == 0
    assert machine.left_behind() == []
    assert not any(is_alive(child) for child in children.values())
    assert is_free(machine.port)


def tell(blows: Sequence[Blow], tills: Tills, clock: Sequence[float]) -> None:
    """Write what was measured where whoever runs the tests sees it."""
    times = ", ".join(
        f"{what} {after - before:.1f} s" for what, (before, after) in zip(("start", "shops", "sales"), pairwise(clock), strict=True)
    )
    lines = ["", HEADING, *map(str, blows), f"answers: {dict(tills.answers)}", times, ""]
    sys.stdout.write("\n".join(lines))
    sys.stdout.flush()
