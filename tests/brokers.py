"""What tests do to brokers that the others must not feel: a broker of one's own to kill, and a cable to cut."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
from sqlalchemy import make_url

from magasin import rabbitmq
from magasin.home import LOOPBACK, Memory
from magasin.processes import end_session, identity_of
from magasin.supervise import Child
from tests.sandbox import with_path
from tests.services import Services

START_SECONDS = 60.0
POLL_SECONDS = 0.05


async def until(condition: Callable[[], bool], within_seconds: float = 10.0) -> float:
    """Wait for a fact. Returns how long it took, raises TimeoutError."""
    began = time.perf_counter()
    async with asyncio.timeout(within_seconds):
        while not condition():
            await asyncio.sleep(0.01)
    return time.perf_counter() - began


class OwnBroker:
    """A private RabbitMQ that a test may kill, start again and put under alarm."""

    def __init__(self, home: Path) -> None:
        memory = Memory.of(home)
        self._children, self.amqp_url, self.management_url = rabbitmq.servers(home, memory, stop_signal=signal.SIGKILL)
        self._ports = [memory.ports["epmd"], memory.ports["rabbitmq"]]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log = (home / "broker.log").open("ab")

    @property
    def services(self) -> Services:
        return Services("private", "", self.amqp_url, "", self.management_url)

    def start(self) -> None:
        """Start what does not run, and return when the broker takes connections."""
        self.spawn()
        _wait_for(self.answers)

    def spawn(self) -> None:
        """Start what does not run. Call it from the main thread: the kernel ends the children with the thread that made them."""
        for child in self._children[len(self._processes) :]:
            child.prepare()
            self._processes.append(self._spawn(child))
            if child.name == "epmd":
                _wait_for(lambda: _listens(self._ports[0]))

    def answers(self) -> bool:
        """Whether the broker takes connections."""
        return _listens(self._ports[1])

    def kill(self) -> None:
        """Kill the broker by signal 9: no good-bye to anybody."""
        process = self._processes.pop()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def control(self, *arguments: str) -> str:
        """What rabbitmqctl answers."""
        command = (str(rabbitmq.DEBIAN / "rabbitmqctl"), "-q", *arguments)
        env = dict(self._children[-1].env)
        return subprocess.run(command, env=env, cwd="/", check=True, capture_output=True, text=True).stdout

    @asynccontextmanager
    async def alarm(self) -> AsyncIterator[None]:
        """A memory alarm for the length of the block."""
        await asyncio.to_thread(self.control, "set_vm_memory_high_watermark", "0")
        try:
            while "memory" not in await asyncio.to_thread(self.control, "eval", "rabbit_alarm:get_alarms()."):
                await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            await asyncio.to_thread(self.control, "set_vm_memory_high_watermark", "0.4")

    def close(self) -> None:
        """End everything that `start` started."""
        for process in reversed(self._processes):
            identity = identity_of(process.pid)
            if identity:
                end_session(identity, signal.SIGKILL, 0)
            process.wait()
        self._log.close()

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            child.command,
            env=dict(child.env),
            cwd=child.cwd,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)


@dataclass
class Cable:
    """A TCP line to a server that can be frozen (it stays connected and carries nothing) or cut."""

    url: str
    frozen: bool = False
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _lines: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def to(cls, url: str) -> AsyncIterator[Self]:
        """A cable whose near end is `Cable.url`."""
        far = make_url(url)
        cable = cls(url)

        def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            cable._lines.add(asyncio.create_task(cable._join(far.host or LOOPBACK, far.port or 5672, reader, writer)))

        server = await asyncio.start_server(join, LOOPBACK, 0)
        cable.url = far.set(host=LOOPBACK, port=server.sockets[0].getsockname()[1]).render_as_string(hide_password=False)
        try:
            yield cable
        finally:
            server.close()
            cable.frozen = False
            # A connection may be there that nobody has looked at yet: its task starts in the next round of the loop.
            await asyncio.sleep(0)
            cable.cut()
            await asyncio.gather(*cable._lines)

    @property
    def host(self) -> str:
        """Host and port of the near end."""
        near = make_url(self.url)
        return f"{near.host}:{near.port}"

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    async def _join(self, host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        ends = {writer, far_writer}
        self._writers |= ends
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        self._writers -= ends

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65_536):
                while self.frozen:
                    await asyncio.sleep(0.01)
                target.write(chunk)
                await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()
            with suppress(ConnectionError):
                await target.wait_closed()


@dataclass(frozen=True)
class Management:
    """The broker's own view of one virtual host, over its management API."""

    base_url: str
    vhost: str

    @classmethod
    def of(cls, services: Services, amqp_url: str) -> Self | None:
        """None where there is no management API."""
        return cls(services.management_url, make_url(amqp_url).database or "/") if services.management_url else None

    def put(self, path: str, body: dict[str, Any]) -> None:
        with httpx2.Client(base_url=self.base_url, timeout=30, trust_env=False) as client:
            client.put(path.format(vhost=self.vhost), json=body).raise_for_status()

    def post(self, path: str, body: dict[str, Any]) -> None:
        with httpx2.Client(base_url=self.base_url, timeout=30, trust_env=False) as client:
            client.post(path.format(vhost=self.vhost), json=body).raise_for_status()

    def delete(self, path: str) -> None:
        with httpx2.Client(base_url=self.base_url, timeout=30, trust_env=False) as client:
            client.delete(path.format(vhost=self.vhost)).raise_for_status()

    def url_for(self, amqp_url: str, user: str, password: str) -> str:
        return make_url(with_path(amqp_url, self.vhost)).set(username=user, password=password).render_as_string(hide_password=False)
