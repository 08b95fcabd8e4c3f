"""The private servers themselves, whatever the other tests run on: they come back, they recover, they keep to themselves."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import httpx2
import psycopg
import pytest
import redis

from magasin.home import Running
from magasin.processes import Identity, identity_of, is_alive
from magasin.servers import AMQP_URL, DATABASE_URL, MANAGEMENT_URL, REDIS_URL, Servers, end_leftovers, missing, servers_for
from magasin.supervise import Supervisor

pytestmark = [
    pytest.mark.skipif(bool(missing({})), reason="RabbitMQ, PostgreSQL or Redis is not installed here"),
    pytest.mark.timeout(300),
]
ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 60
SETTLED_SECONDS = 2.0
"""RabbitMQ registers a new quorum queue on the disk half a second after it has confirmed the declaration (seen on 3.10.8)."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[tuple[Servers, Supervisor]]:
    me = identity_of(os.getpid())
    assert me
    servers = servers_for(home, {})
    supervisor = Supervisor(home / "logs", lambda children: Running(me, children, {}).save(home))
    try:
        for child in servers.children:
            supervisor.start(child)
        await asyncio.gather(*(supervisor.ready(child.name) for child in servers.children))
        yield servers, supervisor
    finally:
        await supervisor.stop()


def write_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def rows(url: str) -> int:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row
        return int(row[0])


async def publish(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"one", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "kept", mandatory=True)


async def has_kept(url: str) -> bool:
    """Whether the message is there; asked by taking it, since a quorum queue's count follows seconds later."""
    async with await aio_pika.connect(url) as connection:
        queue = await (await connection.channel()).declare_queue("kept", passive=True)
        message = await queue.get(fail=False)
        if message is not None:
            await message.nack(requeue=True)
        return message is not None


async def until_other(supervisor: Supervisor, name: str, killed: Identity) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while supervisor.running().get(name, killed) == killed:
            await asyncio.sleep(0.05)
        await supervisor.ready(name)


async def test_killed_servers_come_back_on_the_same_addresses_with_what_they_had_confirmed(home: Path) -> None:
    async with running(home) as (servers, supervisor):
        addresses = servers.addresses
        await asyncio.to_thread(write_row, addresses[DATABASE_URL])
        await publish(addresses[AMQP_URL])
        await asyncio.sleep(SETTLED_SECONDS)
        before = supervisor.running()
        for name in ("postgresql", "rabbitmq", "redis", "epmd"):
            os.kill(before[name].pid, signal.SIGKILL)
        await asyncio.gather(*(until_other(supervisor, name, before[name]) for name in before))
        assert await asyncio.to_thread(rows, addresses[DATABASE_URL]) == 1
        assert await has_kept(addresses[AMQP_URL])
        after = supervisor.running()
    assert not any(is_alive(identity) for identity in (*before.values(), *after.values()))


async def test_a_second_start_keeps_data_ports_and_passwords_and_nobody_else_gets_in(home: Path) -> None:
    first = servers_for(home, {}).addresses
    async with running(home) as (servers, supervisor):
        assert servers.addresses == first
        assert await asyncio.to_thread(rows, first[DATABASE_URL]) == 1
        assert await has_kept(first[AMQP_URL])
        assert {place for place in listening(supervisor) if not place.startswith((LOOPBACK_4, LOOPBACK_6))} == set()
        await asyncio.to_thread(refuses_strangers, first)
        await asyncio.to_thread(loses_nothing_it_confirmed, first[DATABASE_URL])
    assert stat.S_IMODE((home / "rabbitmq/.erlang.cookie").stat().st_mode) == 0o400
    assert stat.S_IMODE((home / "servers.json").stat().st_mode) == 0o600


def refuses_strangers(addresses: dict[str, str]) -> None:
    with redis.Redis.from_url(addresses[REDIS_URL], decode_responses=True) as cache:
        assert cache.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"
    with redis.Redis.from_url(without_password(addresses[REDIS_URL])) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(without_password(addresses[DATABASE_URL]), connect_timeout=5)
    with httpx2.Client(base_url=addresses[MANAGEMENT_URL], trust_env=False) as management:
        assert [user["name"] for user in management.get("/api/users").json()] == ["magasin"]


def loses_nothing_it_confirmed(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        for option in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute("SELECT current_setting(%s)", [option]).fetchone() == ("on",)


LOOPBACK_4 = "0100007F:"
LOOPBACK_6 = "00000000000000000000000001000000:"
LISTEN = "0A"


def without_password(url: str) -> str:
    scheme, rest = url.split("://", 1)
    user, place = rest.split("@", 1)
    return f"{scheme}://{user.partition(':')[0]}{'@' if not user.startswith(':') else ''}{place}"


def listening(supervisor: Supervisor) -> Iterator[str]:
    """Address and port, as the kernel writes them, of every listening socket of the servers and what they started."""
    sessions = {identity.pid for identity in supervisor.running().values()}
    inodes, users = set[str](), set[int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and session(entry) in sessions:
            try:
                inodes |= {link for link in links(entry / "fd") if link.startswith("socket:")}
            except PermissionError:  # in a container root may not look into others' processes: then whatever that user listens on
                users.add(entry.stat().st_uid)
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and (f"socket:[{fields[9]}]" in inodes or int(fields[7]) in users):
                yield fields[1]


def session(process: Path) -> int:
    try:
        return int((process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[3])
    except OSError:
        return 0


def links(folder: Path) -> set[str]:
    found = set()
    for link in folder.iterdir():
        try:
            found.add(str(link.readlink()))
        except FileNotFoundError:
            continue
    return found


def test_what_a_killed_supervisor_left_is_ended_and_the_next_start_recovers(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-m", "tests.e2e.test_servers", str(home)], cwd=ROOT, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout
        assert supervisor.stdout.readline() == b"ready\n"
        children = Running.of(home)
        assert children
        supervisor.kill()
    end_leftovers(home)
    assert not any(is_alive(identity) for identity in children.children.values())
    asyncio.run(found_again(home))


async def found_again(home: Path) -> None:
    async with running(home) as (servers, _):
        assert rows(servers.addresses[DATABASE_URL]) == 1
        assert await has_kept(servers.addresses[AMQP_URL])


def test_a_named_server_is_used_and_no_private_one_is_started(tmp_path: Path) -> None:
    named = {DATABASE_URL: "postgresql://x/y", AMQP_URL: "amqp://x", MANAGEMENT_URL: "http://x"}
    servers = servers_for(tmp_path, named)
    assert [child.name for child in servers.children] == ["redis"]
    assert {**servers.addresses, **named} == servers.addresses


async def stay(home: Path) -> None:
    async with running(home):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(stay(Path(sys.argv[1])))
