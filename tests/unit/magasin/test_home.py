"""What a home remembers."""

import socket
import stat
from pathlib import Path

import pytest

from magasin import home
from magasin.home import LOOPBACK, AlreadyRunningError, Claim, Memory, NoFreePortError, Running, is_free, write_private
from magasin.processes import Identity


def test_ports_and_passwords_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = Memory.of(tmp_path)
    port, password = first.port("redis"), first.password("redis")
    second = Memory.of(tmp_path)
    assert (second.port("redis"), second.password("redis")) == (port, password)


def test_a_port_that_somebody_has_taken_is_chosen_again(tmp_path: Path) -> None:
    port = Memory.of(tmp_path).port("redis")
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        other = Memory.of(tmp_path).port("redis")
        assert other != port
    assert Memory.of(tmp_path).port("redis") == other


def test_two_servers_never_get_the_same_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "LAST_PORT", home.FIRST_PORT + 2)
    monkeypatch.setattr(home, "is_free", lambda _port: True)
    memory = Memory.of(tmp_path)
    assert memory.port("one") != memory.port("two")
    with pytest.raises(NoFreePortError):
        memory.port("three")


def test_passwords_differ_and_need_no_quoting(tmp_path: Path) -> None:
    memory = Memory.of(tmp_path)
    assert memory.password("redis") != memory.password("postgresql")
    assert memory.password("redis").isalnum()


def test_what_is_private_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Memory.of(tmp_path).password("redis")
    Running(Identity(1, 2)).save(tmp_path)
    write_private(tmp_path / "cookie", "secret", mode=0o400)
    write_private(tmp_path / "cookie", "another", mode=0o400)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"servers.json": 0o600, "run.json": 0o600, "cookie": 0o400}
    assert (tmp_path / "cookie").read_text(encoding="utf-8") == "another"


def test_one_supervisor_at_a_time_runs_from_a_home(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    with pytest.raises(AlreadyRunningError):
        Claim(tmp_path)
    claim.release()
    Claim(tmp_path).release()


def test_the_state_of_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    running = Running(Identity(1, 2), {"redis": Identity(3, 4)}, {"MAGASIN_URL": "http://127.0.0.1:8080"})
    running.save(tmp_path)
    assert Running.of(tmp_path) == running
    assert not running.is_alive()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"supervisor": {"pid": 1}}'])
def test_a_damaged_state_is_no_state(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    assert Running.of(tmp_path) is None
