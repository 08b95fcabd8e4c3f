"""Telling our processes from others."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from magasin.processes import Identity, dying_with_parent, end_session, identity_of, is_alive, session_of, signal_process

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
GONE = 4_194_304
"""Above the largest process number of Linux."""


def test_a_process_with_the_same_number_and_another_beginning_is_not_ours() -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as process:
        ours = identity_of(process.pid)
        assert ours is not None
        stranger = replace(ours, started_ticks=ours.started_ticks + 1)
        assert is_alive(ours)
        assert not is_alive(stranger)
        end_session(stranger, signal.SIGKILL, 0)
        assert is_alive(ours)
        end_session(ours, signal.SIGKILL, 5)
    assert not is_alive(ours)


def test_a_session_is_ended_also_when_its_leader_has_died_before_it(tmp_path: Path) -> None:
    code = f"import subprocess, sys; print(subprocess.Popen({SLEEP!r}, stdout=subprocess.DEVNULL).pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as leader:
        assert leader.stdout
        child = identity_of(int(leader.stdout.readline()))
        session = identity_of(leader.pid)
        assert child
        assert session
        leader.kill()
    assert list(session_of(session)) == [child.pid]
    end_session(session, signal.SIGTERM, 0.1)
    with_patience(child)


def with_patience(identity: Identity) -> None:
    for _ in range(200):
        if not is_alive(identity):
            return
        time.sleep(0.02)
    pytest.fail("still alive")


def test_a_signal_to_a_process_that_is_gone_is_no_error() -> None:
    signal_process(GONE, signal.SIGTERM)
    assert identity_of(GONE) is None


def test_without_setpriv_the_command_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magasin.processes.shutil.which", lambda _: None)
    assert dying_with_parent(("true",)) == ("true",)


def test_a_wrapped_command_is_still_one_process() -> None:
    done = subprocess.run(dying_with_parent(("sh", "-c", "echo $PPID")), check=True, capture_output=True, text=True)
    assert int(done.stdout) == os.getpid()
