"""How is everything that is recorded kept safe, while shops sell?

A backup is a folder: the database as ``pg_dump`` writes it, and a manifest. Figures and dump are of one moment, which they share as an
exported snapshot. What was accepted and isn't recorded yet lies in RabbitMQ's durable queues and is no part of it; so the backup waits,
within a bound, until the intake's queue is empty, and the manifest says what still lay there. Redis holds nothing that can't be made again.
"""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psycopg
from aio_pika.exceptions import ChannelClosed
from sqlalchemy import make_url

from infra.connection import BrokerUnavailable, brief_channel
from infra.settings import Settings
from infra.topology import STOCK_WRITER
from magasin import house
from magasin.home import write_private
from magasin.manifest import NAME, BackupError, Figures, Manifest, digest_of
from magasin.postgresql import installed
from magasin.servers import AMQP_URL, DATABASE_URL

DUMP: Final = "database.dump"
KEY: Final = "jwt.pem"
POLL_SECONDS: Final = 0.2
CONNECT_SECONDS: Final = 30
MOST_SECONDS: Final = 6 * 3_600
"""A dump or a restore that takes longer has hung."""
TAIL: Final = 1_500


@dataclass(frozen=True, slots=True)
class Made:
    """A backup, and the older ones that went for it."""

    folder: Path
    manifest: Manifest
    removed: Sequence[Path]

    def told(self) -> str:
        """For people."""
        manifest, waiting = self.manifest, self.manifest.waiting
        lines = [f"Backed up to {self.folder}: {manifest.figures.told()}; {manifest.bytes:,} bytes, SHA-256 {manifest.sha256}."]
        if waiting:
            lines.append(f"{waiting:,} messages still wait to be recorded: they are safe in RabbitMQ, and not in the backup.")
        if waiting is None:
            lines.append("RabbitMQ didn't say what waits to be recorded; that is not in the backup.")
        lines += [f"Removed {each}." for each in self.removed]
        return "\n".join(lines)


def back_up(addresses: Mapping[str, str], settings: Settings, backups: Path, *, keep: int, patience_seconds: float) -> Made:
    """Make a backup in a new folder of `backups`, and leave the newest `keep`. Raises BackupError; nothing is left over then."""
    waiting = asyncio.run(quiet(addresses[AMQP_URL], patience_seconds))
    made_at = datetime.now(UTC)
    name = made_at.strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    folder, scratch = backups / name, backups / f".{name}"
    scratch.mkdir(parents=True, mode=0o700)
    try:
        server, figures = _dump(addresses[DATABASE_URL], scratch / DUMP)
        size, digest = (scratch / DUMP).stat().st_size, digest_of(scratch / DUMP)
        manifest = Manifest(made_at.isoformat(), version("magasin"), server, DUMP, size, digest, waiting, figures)
        _keep_key(settings, scratch)
        manifest.write(scratch)
        scratch.rename(folder)
    except psycopg.Error as error:
        message = f"the database doesn't let itself be read: {error}"
        raise BackupError(message) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Made(folder, manifest, _prune(backups, keep))


async def quiet(amqp_url: str, patience_seconds: float) -> int | None:
    """Wait until nothing lies in the intake's queue, that long at most: how many messages do. None when the broker doesn't tell."""
    deadline = time.monotonic() + patience_seconds
    try:
        async with brief_channel(amqp_url, name="backup") as channel:
            while True:
                found = await channel.declare_queue(STOCK_WRITER.name, passive=True)
                waiting = found.declaration_result.message_count or 0
                if not waiting or time.monotonic() > deadline:
                    return waiting
                await asyncio.sleep(POLL_SECONDS)
    except (BrokerUnavailable, ChannelClosed):
        return None


def _dump(database_url: str, file: Path) -> tuple[str, Figures]:
    """Write the dump; the server's version, and the figures of the same moment."""
    with psycopg.connect(
        plain(database_url), connect_timeout=CONNECT_SECONDS, autocommit=True, application_name="magasin-backup"
    ) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
        run("pg_dump", database_url, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={file}")
        file.chmod(0o600)
        figures = Figures.of(connection)
        connection.execute("COMMIT")
        return str(connection.info.parameter_status("server_version")), figures


def run(program: str, database_url: str, *options: str) -> None:
    """Run one of PostgreSQL's programs on a database; the password isn't in its arguments, which everybody sees. Raises BackupError."""
    url = make_url(plain(database_url))
    command = [found(program), *options, f"--dbname={url.set(password=None).render_as_string(hide_password=False)}"]
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "PGAPPNAME": "magasin-backup",
        "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
    }
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired as error:
        message = f"{program} has hung"
        raise BackupError(message) from error
    if done.returncode != 0:
        message = f"{program} failed: {done.stderr.strip()[-TAIL:]}"
        raise BackupError(message)


def found(program: str) -> str:
    """Where the newest of that program is. Raises BackupError."""
    programs = [folder / program for folder in installed().values()]
    there = next((str(each) for each in programs if each.exists()), None) or shutil.which(program)
    if there is None:
        message = f"{program} isn't here. Install it: apt-get install postgresql-client"
        raise BackupError(message)
    return there


def plain(database_url: str) -> str:
    """The URL as PostgreSQL's own programs read it."""
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def key_file(settings: Settings) -> Path:
    """Where this installation keeps a signing key that nobody named."""
    return house.home_of(settings) / "keys" / KEY


def _keep_key(settings: Settings, folder: Path) -> None:
    """A key that was named is somebody's own to keep."""
    if not settings.jwt_private_key and not settings.jwt_private_key_path and key_file(settings).exists():
        write_private(folder / KEY, key_file(settings).read_text(encoding="ascii"))


def _prune(backups: Path, keep: int) -> list[Path]:
    """Remove all but the newest; what isn't a whole backup is nobody's business here."""
    whole = sorted(each.parent for each in backups.glob(f"[0-9]*/{NAME}"))
    for each in whole[:-keep]:
        shutil.rmtree(each)
    return whole[:-keep]
