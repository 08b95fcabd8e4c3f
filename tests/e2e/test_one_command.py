"""``magasin run``: one command starts the system, keeps it running, and a signal ends it without a rest."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from infra.settings import Settings
from magasin.home import Running
from magasin.house import ROOT
from magasin.processes import Identity, is_alive
from tests.e2e.system import free_port

PATIENCE_SECONDS = 60.0
MAGASIN = (sys.executable, "-m", "magasin")


def environment(settings: Settings, port: int) -> dict[str, str]:
    named = {
        "MAGASIN_DATABASE_URL": settings.database_url,
        "MAGASIN_AMQP_URL": settings.amqp_url,
        "MAGASIN_REDIS_URL": settings.redis_url,
        "MAGASIN_HOME": str(settings.home),
        "MAGASIN_PORT": str(port),
    }
    return {**os.environ, **named}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/readyz", timeout=5, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


@contextmanager
def started(env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        system = subprocess.Popen((*MAGASIN, "run", "--no-demonstration"), cwd=ROOT, env=env, stdout=output, stderr=output)
    try:
        until(lambda: "Magasin is ready" in log.read_text(encoding="utf-8") or system.poll() is not None)
        assert system.poll() is None, log.read_text(encoding="utf-8")
        yield system
    finally:
        system.terminate()
        system.wait(PATIENCE_SECONDS)


def children(home: Path) -> dict[str, Identity]:
    running = Running.of(home)
    return running.children if running else {}


@pytest.mark.timeout(240)
def test_one_command_starts_keeps_and_ends_the_whole_system(settings_for_test: Settings, tmp_path: Path) -> None:
    home, port = settings_for_test.home, free_port()
    env = environment(settings_for_test, port)
    with started(env, tmp_path / "output") as system:
        first = children(home)
        assert sorted(first) == ["api", "dead-letters", "operator", "outbound", "projector", "stock-writer"]

        told = subprocess.run((*MAGASIN, "env"), cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
        assert f"MAGASIN_URL=http://127.0.0.1:{port}\n" in told

        again = subprocess.run((*MAGASIN, "run"), cwd=ROOT, env=env, check=False, capture_output=True, text=True)
        assert again.returncode == 1
        assert "already running" in again.stdout

        os.kill(first["api"].pid, signal.SIGKILL)
        os.kill(first["projector"].pid, signal.SIGKILL)
        until(lambda: not {first["api"], first["projector"]} & set(children(home).values()) and len(children(home)) == len(first))
        until(lambda: is_ready(port))
        second = children(home)

        system.send_signal(signal.SIGINT)
        assert system.wait(PATIENCE_SECONDS) == 0
    assert not any(is_alive(identity) for identity in (*first.values(), *second.values()))
    assert not (home / "run.json").exists()
    assert "Everything that was started has stopped." in (tmp_path / "output").read_text(encoding="utf-8")


@pytest.mark.timeout(240)
def test_stop_ends_a_system_from_another_terminal(settings_for_test: Settings, tmp_path: Path) -> None:
    env = environment(settings_for_test, free_port())
    with started(env, tmp_path / "output") as system:
        running = children(settings_for_test.home)
        done = subprocess.run((*MAGASIN, "stop"), cwd=ROOT, env=env, check=True, capture_output=True, text=True)
        assert done.stdout == "Stopped.\n"
        assert system.wait(PATIENCE_SECONDS) == 0
    assert not any(is_alive(identity) for identity in running.values())
