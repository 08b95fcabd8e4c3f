"""Installing packages without a trace beside the packages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from magasin import install as installing
from magasin.install import CannotInstallError, apt, install, replaced


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of files: root's, with apt-get and systemctl."""
    monkeypatch.setattr(installing, "POLICY", tmp_path / "usr/sbin/policy-rc.d")
    monkeypatch.setattr(installing, "CLUSTER_DROP_IN", tmp_path / "etc/postgresql-common/createcluster.d/magasin.conf")
    monkeypatch.setattr("magasin.install.os.geteuid", lambda: 0)
    monkeypatch.setattr("magasin.install.shutil.which", lambda name: f"/usr/bin/{name}")
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    return tmp_path


def files(machine: Path) -> dict[str, str]:
    return {str(path.relative_to(machine)): path.read_text(encoding="utf-8") for path in machine.rglob("*") if path.is_file()}


class Apt:
    """Keeps what was run, and what the machine's files were then."""

    def __init__(self, machine: Path, *, fails_at: str = "") -> None:
        self._machine = machine
        self._fails_at = fails_at
        self.commands: list[str] = []
        self.seen: list[dict[str, str]] = []

    def __call__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        self.commands.append(" ".join(command))
        self.seen.append(files(self._machine))
        if self._fails_at and self._fails_at in command:
            raise CannotInstallError


def test_nothing_starts_and_no_cluster_is_made_while_packages_are_installed(machine: Path) -> None:
    runner = Apt(machine)
    install(["postgresql", "redis-server"], runner)
    update, packages, disable = runner.commands
    assert update.endswith("update")
    assert packages.endswith("-y --no-install-recommends install postgresql redis-server")
    assert disable == "systemctl disable postgresql.service redis-server.service"
    during = runner.seen[1]
    assert during["usr/sbin/policy-rc.d"].endswith("exit 101\n")
    assert during["etc/postgresql-common/createcluster.d/magasin.conf"] == "create_main_cluster = false\n"


def test_afterwards_the_machine_is_as_it_was(machine: Path) -> None:
    install(["postgresql"], Apt(machine))
    assert files(machine) == {}
    assert not (machine / "etc/postgresql-common").exists()


@pytest.mark.parametrize("fails_at", ["", "update", "install"])
def test_a_policy_of_the_machine_comes_back_exactly(machine: Path, fails_at: str) -> None:
    policy = machine / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 104\n", encoding="utf-8")
    policy.chmod(0o711)
    if fails_at:
        with pytest.raises(CannotInstallError):
            install(["redis-server"], Apt(machine, fails_at=fails_at))
    else:
        install(["redis-server"], Apt(machine))
    assert files(machine) == {"usr/sbin/policy-rc.d": "#!/bin/sh\nexit 104\n"}
    assert policy.stat().st_mode & 0o777 == 0o711


def test_a_folder_that_the_package_filled_stays(machine: Path) -> None:
    drop_in = machine / "etc/postgresql-common/createcluster.d/magasin.conf"
    with replaced(drop_in, "x", mode=0o644):
        (drop_in.parent.parent / "createcluster.conf").write_text("theirs", encoding="utf-8")
    assert files(machine) == {"etc/postgresql-common/createcluster.conf": "theirs"}


def test_without_root_both_ways_out_are_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magasin.install.os.geteuid", lambda: 1_000)
    runner = Apt(machine)
    with pytest.raises(CannotInstallError) as refusal:
        install(["rabbitmq-server", "redis-server"], runner)
    assert "apt-get install --no-install-recommends rabbitmq-server redis-server" in str(refusal.value)
    assert "docker compose up" in str(refusal.value)
    assert runner.commands == []


def test_a_failing_command_tells_its_last_words() -> None:
    with pytest.raises(CannotInstallError, match=r"(?s)no such package.*Check the network"):
        apt(("sh", "-c", "echo no such package >&2; exit 100"), {})


def test_a_hanging_command_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installing, "SECONDS", 0.1)
    with pytest.raises(CannotInstallError, match="took more than"):
        apt(("sleep", "600"), {})
