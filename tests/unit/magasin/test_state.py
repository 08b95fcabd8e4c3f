"""What another terminal sees of a running system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from magasin import state
from magasin.home import Claim, Running
from magasin.processes import Identity, identity_of, is_alive
from magasin.state import NotRunningError, WontStopError, addresses, shell_assignments, stop

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def me() -> Identity:
    identity = identity_of(os.getpid())
    assert identity
    return identity


def test_a_shell_reads_the_assignments_as_they_were_meant() -> None:
    meant = {"MAGASIN_URL": "http://127.0.0.1:8080", "MAGASIN_DEMO_PASSWORD": 'it\'s $HOME; `id` "x"\n\\'}
    show = 'eval "$1"; env -0'
    done = subprocess.run(["sh", "-c", show, "sh", shell_assignments(meant)], check=True, capture_output=True, text=True)
    found = dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    assert {name: found[name] for name in meant} == meant


def test_each_address_is_an_assignment_on_a_line_of_its_own() -> None:
    assert shell_assignments({"A": "1", "B": "2"}).splitlines() == ["A=1", "B=2", "export A B"]


def test_a_running_system_tells_its_addresses(tmp_path: Path) -> None:
    Running(me(), {}, {"MAGASIN_URL": "http://127.0.0.1:8080"}).save(tmp_path)
    assert addresses(tmp_path) == {"MAGASIN_URL": "http://127.0.0.1:8080"}


@pytest.mark.parametrize("last", [None, Running(Identity(1, 1), {}, {"MAGASIN_URL": "x"})])
def test_a_system_that_has_died_has_no_addresses(tmp_path: Path, last: Running | None) -> None:
    if last:
        last.save(tmp_path)
    with pytest.raises(NotRunningError):
        addresses(tmp_path)


def test_stop_waits_for_the_end_of_the_supervisor(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP) as supervisor:
        identity = identity_of(supervisor.pid)
        assert identity
        Running(identity).save(tmp_path)
        assert stop(tmp_path)
        assert not is_alive(identity)


def test_a_supervisor_that_does_not_stop_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(state, "signal_process", lambda *_: None)
    Running(me()).save(tmp_path)
    with pytest.raises(WontStopError):
        stop(tmp_path)


def test_stop_ends_what_a_killed_supervisor_left_behind(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as orphan:
        identity = identity_of(orphan.pid)
        assert identity
        Running(Identity(1, 1), {"redis": identity}).save(tmp_path)
        assert stop(tmp_path)
        assert not is_alive(identity)
    assert not stop(tmp_path)


def test_stop_of_what_never_ran_changes_nothing(tmp_path: Path) -> None:
    assert not stop(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_start_that_has_written_nothing_yet_is_not_taken_for_dead(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    with pytest.raises(WontStopError):
        stop(tmp_path)
    claim.release()
