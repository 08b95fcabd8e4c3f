"""What stops a start, and what is said then."""

import io
import os
import socket
from pathlib import Path

import pytest
from rich.console import Console

from infra.settings import Settings
from magasin import run as running
from magasin.demo_client import DemonstrationError
from magasin.demo_load import LoadResult
from magasin.home import LOOPBACK, Claim, NoFreePortError, Running
from magasin.install import CannotInstallError
from magasin.processes import Identity
from magasin.run import CannotStartError, explained, places_of, run
from magasin.servers import AMQP_URL, DATABASE_URL, REDIS_URL
from magasin.supervise import ChildFailedError


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=400)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def start(console: Console, home: Path, port: int) -> None:
    with pytest.raises(SystemExit) as end:
        run(Settings(env="test", home=home, port=port), console, demonstration=False)
    assert end.value.code == 1


def test_a_taken_port_is_named_with_the_way_to_another(console: Console, tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        start(console, tmp_path, port)
    assert f"Port {port} of 127.0.0.1 is taken by another program" in said(console)
    assert f"MAGASIN_PORT={port + 1} make run" in said(console)


def test_a_second_start_says_where_the_first_one_is(console: Console, tmp_path: Path) -> None:
    Running(Identity(1, 1), {}, {"MAGASIN_URL": "http://127.0.0.1:8080"}).save(tmp_path)
    claim = Claim(tmp_path)
    start(console, tmp_path, free_port())
    claim.release()
    assert "already running" in said(console)
    assert "http://127.0.0.1:8080" in said(console)
    assert "make stop" in said(console)


def test_a_named_server_that_does_not_answer_is_named_back(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    for name, scheme in ((DATABASE_URL, "postgresql"), (AMQP_URL, "amqp"), (REDIS_URL, "redis")):
        monkeypatch.setenv(name, f"{scheme}://{LOOPBACK}:{port}/x")
    start(console, tmp_path, free_port())
    assert f"{DATABASE_URL} names 127.0.0.1:{port}, where nothing answers" in said(console)
    assert not (tmp_path / "run.json").exists()


def test_a_named_database_that_refuses_us_is_told(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as mute:
        for name, scheme in ((DATABASE_URL, "postgresql"), (AMQP_URL, "amqp"), (REDIS_URL, "redis")):
            monkeypatch.setenv(name, f"{scheme}://{LOOPBACK}:{mute.getsockname()[1]}/x")
        monkeypatch.setattr("magasin.migrate.CONNECT_SECONDS", 1)
        start(console, tmp_path, free_port())
    assert "The database can't be used" in said(console)
    assert f"Check {DATABASE_URL}" in said(console)


def test_without_servers_and_without_root_the_ways_out_are_told(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "missing", lambda _: ["rabbitmq-server"])
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    start(console, tmp_path, free_port())
    assert "apt-get install --no-install-recommends rabbitmq-server" in said(console)
    assert "docker compose up" in said(console)


def test_the_end_of_a_failed_childs_log_is_shown(console: Console, tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("first\nKeyError: [port]\n", encoding="utf-8")
    with pytest.raises(SystemExit), explained(console):
        raise ChildFailedError("api", "ended 4 times before it was ready", log)
    assert "api ended 4 times before it was ready" in said(console)
    assert "  api | KeyError: [port]" in said(console)


@pytest.mark.parametrize(("fault", "words"), [(NoFreePortError(), "no free port"), (CannotInstallError("why"), "why")])
def test_every_failure_is_explained(console: Console, fault: Exception, words: str) -> None:
    with pytest.raises(SystemExit), explained(console):
        raise fault
    assert words in said(console)


def test_a_url_may_name_several_servers() -> None:
    assert places_of("amqp://user@one:5673,two/vhost", 5_672) == [("one", 5_673), ("two", 5_672)]
    assert places_of("redis:///0", 6_379) == [("127.0.0.1", 6_379)]


class Bars:
    """A screen without bars."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> str:
        return "progress"

    def __exit__(self, *_: object) -> None:
        return


@pytest.mark.parametrize("before", [True, False])
async def test_the_demonstration_is_loaded_once(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
    loads: list[str] = []

    async def is_loaded(url: str, _password: str) -> bool:
        assert url == "http://127.0.0.1:8081"
        return before

    async def load(url: str, _password: str, _progress: str) -> LoadResult:
        loads.append(url)
        return LoadResult(stores=12, products=9_855, deliveries=38, already=0, units=1, requests=1, repeated=0, seconds=1.0)

    monkeypatch.setattr("magasin.demo.Bars", Bars)
    monkeypatch.setattr("magasin.demo_load.is_loaded", is_loaded)
    monkeypatch.setattr("magasin.demo_load.load_demonstration", load)
    one = running.Run(Settings(env="demo", port=8_081), tmp_path, console, demonstration=True)
    await one.load_demonstration()
    one.tell()
    assert len(loads) == (0 if before else 1)
    assert ("Loaded 12 stores, 9,855 products" in said(console)) is not before
    assert "http://127.0.0.1:8081/docs" in said(console)
    assert "password magasin-demo" in said(console)


async def test_a_demonstration_that_fails_can_be_left_out(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_loaded(_url: str, _password: str) -> bool:
        message = "the API answers 503"
        raise DemonstrationError(message)

    monkeypatch.setattr("magasin.demo_load.is_loaded", is_loaded)
    with pytest.raises(CannotStartError, match=r"(?s)the API answers 503.*--no-demonstration"):
        await running.Run(Settings(env="demo"), tmp_path, console, demonstration=True).load_demonstration()
