"""The supervisor, with programs of a few lines."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from magasin.processes import Identity, dying_with_parent, is_alive
from magasin.supervise import Child, ChildFailedError, Supervisor, tail_of, trim

PATIENCE_SECONDS = 20


def program(name: str, code: str, folder: Path, **more: object) -> Child:
    return Child(name=name, command=(sys.executable, "-c", code), env=dict(os.environ), cwd=folder, **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)


async def test_what_dies_is_started_again_as_another_process(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start(program("sleeper", "import time; time.sleep(600)", tmp_path))
    await supervisor.ready("sleeper")
    first = supervisor.running()["sleeper"]
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: supervisor.running().get("sleeper", first) != first)
    second = supervisor.running()["sleeper"]
    assert not is_alive(first)
    assert is_alive(second)
    await supervisor.stop()
    assert not is_alive(second)
    assert "ended with status -9; starting again" in tail_of(supervisor.log_of("sleeper"))


async def test_what_never_gets_ready_is_given_up_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    supervisor = Supervisor(tmp_path)
    supervisor.start(program("broken", "raise SystemExit('no configuration')", tmp_path, ready=never, early_deaths=2))
    with pytest.raises(ChildFailedError, match="broken ended 2 times before it was ready") as failure:
        await supervisor.ready("broken")
    assert "no configuration" in failure.value.tail
    await supervisor.stop()


async def test_what_takes_too_long_is_a_failure_too(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    supervisor = Supervisor(tmp_path)
    supervisor.start(program("slow", "import time; time.sleep(600)", tmp_path, ready=never, ready_seconds=0.2))
    with pytest.raises(ChildFailedError, match="slow is not ready after 0 s"):
        await supervisor.ready("slow")
    await supervisor.stop()


async def test_a_program_that_does_not_exist_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.start(Child(name="absent", command=("/no/such/program",), env={}, cwd=tmp_path, early_deaths=1))
    with pytest.raises(ChildFailedError, match="could not be started"):
        await supervisor.ready("absent")
    await supervisor.stop()


async def test_the_highest_stage_stops_first(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time;"
        "signal.signal(signal.SIGTERM, lambda *_: (open('ends', 'a').write('{0} '), sys.exit()));"
        "open('{0}', 'w'); time.sleep(600)"
    )
    supervisor = Supervisor(tmp_path / "logs")
    for stage, name in enumerate(("server", "worker", "api")):
        supervisor.start(program(name, code.format(name), tmp_path, stage=stage))
    await until(lambda: all((tmp_path / name).exists() for name in ("server", "worker", "api")))
    await supervisor.stop()
    assert (tmp_path / "ends").read_text(encoding="utf-8").split() == ["api", "worker", "server"]


async def test_what_ignores_the_polite_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "open('child', 'w').write(str(child.pid)); time.sleep(600)"
    )
    supervisor = Supervisor(tmp_path / "logs")
    supervisor.start(program("deaf", code, tmp_path, stop_seconds=0.3))
    await until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text(encoding="utf-8") != "")
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    await supervisor.stop()
    await until(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


async def test_the_running_processes_are_told_after_every_start(tmp_path: Path) -> None:
    told: list[dict[str, Identity]] = []
    supervisor = Supervisor(tmp_path, told.append)
    supervisor.start(program("sleeper", "import time; time.sleep(600)", tmp_path))
    await supervisor.ready("sleeper")
    await supervisor.stop()
    assert [sorted(children) for children in told] == [["sleeper"], []]


async def test_a_name_is_given_once(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    child = program("one", "import time; time.sleep(600)", tmp_path)
    supervisor.start(child)
    with pytest.raises(ValueError, match="one"):
        supervisor.start(child)
    await supervisor.stop()


def test_a_log_is_bounded_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("a", encoding="utf-8") as writer:
        writer.write("x" * 200)
        writer.flush()
        trim(log, limit_bytes=100)
        writer.write("after")
    assert log.read_text(encoding="utf-8") == "after"
    assert len((tmp_path / "api.log.1").read_text(encoding="utf-8")) == 200


def test_the_tail_of_a_missing_log_is_empty(tmp_path: Path) -> None:
    assert not tail_of(tmp_path / "none.log")


def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    sleeper = dying_with_parent((sys.executable, "-c", "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"))
    code = f"import subprocess, time; subprocess.Popen({sleeper!r}); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) as parent:
        note = tmp_path / "pid"
        wait(lambda: note.exists() and note.read_text(encoding="utf-8") != "")
        parent.kill()
    wait(lambda: not is_running(int(note.read_text(encoding="utf-8"))))


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
