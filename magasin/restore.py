"""How does a backup become the database again, without a moment in which half of it is there?

It is put into a database beside the real one, compared with its manifest, brought to the newest step, and verified whole: the log folded
again and compared with ledger, levels and every projection. Only then the two change places by their names. What waits for the
projector is of a time that is no more, and the log makes up for it, so that queue is emptied; the intake's is kept: what lies there was
accepted and comes into the log now, or is recognised. Redis is emptied: its answers are kept under positions that will come again.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from aio_pika.exceptions import ChannelClosed
from psycopg import Connection, sql
from sqlalchemy import Engine, make_url, text

from infra.connection import BrokerUnavailable, brief_channel
from infra.database import engine_for
from infra.settings import Settings
from infra.topology import PROJECTOR
from magasin.backup import CONNECT_SECONDS, KEY, key_file, plain, run
from magasin.home import write_private
from magasin.manifest import BackupError, Figures, Manifest
from magasin.migrate import migrate
from magasin.servers import AMQP_URL, DATABASE_URL, REDIS_URL
from operations.verify import verify
from operations.verify_chain import verify_chain

MAINTENANCE: Final = "postgres"
MOST_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Proof:
    """What was put back, and what proving it found."""

    manifest: Manifest
    checked: int
    mismatches: Sequence[str]
    left: Sequence[str]

    @property
    def right(self) -> bool:
        """Whether every figure equals the log."""
        return not self.mismatches

    def told(self) -> str:
        """For people."""
        figures = self.manifest.figures
        lines = [f"Restored as of {self.manifest.made_at}: {figures.told()}. All of it equals the manifest."]
        if self.right:
            lines.append(f"Verified: {figures.events:,} events against {self.checked:,} rows, nothing differs.")
        else:
            lines.append(f"Verified: {len(self.mismatches):,} figures differ from the log, as they did when it was backed up:")
            lines += [f"  {each}" for each in self.mismatches[:MOST_TOLD]]
        return "\n".join([*lines, *self.left])


def put_back(folder: Path, addresses: Mapping[str, str], settings: Settings, *, force: bool) -> Proof:
    """Put the backup in the place of the database. Raises BackupError; then everything is as it was."""
    manifest = Manifest.of(folder)
    manifest.check(folder)
    url = addresses[DATABASE_URL]
    name = make_url(url).database or ""
    scratch = f"{name}_restored_{secrets.token_hex(4)}"
    beside = make_url(url).set(database=scratch).render_as_string(hide_password=False)
    try:
        with _maintaining(url) as server:
            _require_room(server, url, name, force=force)
            _do(server, "CREATE DATABASE {} TEMPLATE template0", scratch)
            try:
                run("pg_restore", beside, "--exit-on-error", "--no-owner", "--no-privileges", str(folder / manifest.file))
                checked, mismatches = _proven(beside, manifest, settings)
                _exchange(server, name, scratch)
            finally:
                _do(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", scratch)
    except psycopg.Error as error:
        message = f"the database refuses: {error}"
        raise BackupError(message) from error
    return Proof(manifest, checked, mismatches, _afterwards(folder, addresses, settings))


def _require_room(server: Connection[Any], url: str, name: str, *, force: bool) -> None:
    """Raise BackupError while somebody works there, and when something is recorded there that nobody wants to lose."""
    if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        return
    busy = server.execute("SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = %s", [name]).fetchall()
    if busy:
        message = f"somebody works there: {', '.join(sorted(each or 'unnamed' for (each,) in busy))}. Stop that first (make stop)"
        raise BackupError(message)
    with psycopg.connect(plain(url), connect_timeout=CONNECT_SECONDS) as connection:
        ((there,),) = connection.execute("SELECT to_regclass('event_log') IS NOT NULL").fetchall()
        recorded = there and connection.execute("SELECT 1 FROM event_log LIMIT 1").fetchone()
    if recorded and not force:
        message = "there are events in the log already. --force replaces them by the backup"
        raise BackupError(message)


def _proven(url: str, manifest: Manifest, settings: Settings) -> tuple[int, list[str]]:
    """Compare with the manifest, then with the log: how many rows were looked at, and what differs."""
    with psycopg.connect(plain(url), connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
        connection.execute("ANALYZE")
        differing = manifest.figures.differing(Figures.of(connection))
    if differing:
        message = f"what was restored isn't what was backed up: {', '.join(differing)}"
        raise BackupError(message)
    migrate(url)
    engine = engine_for(settings.model_copy(update={"database_url": url}), name="restore")
    try:
        return _verified(engine)
    finally:
        engine.dispose()


def _verified(engine: Engine) -> tuple[int, list[str]]:
    with engine.connect() as connection:
        stores = list(connection.scalars(text("SELECT store_id FROM store_head WHERE seq > 0 ORDER BY store_id")))
    verdicts = [*(verify(engine, store_id, _at_once) for store_id in stores), verify_chain(engine, _at_once)]
    return sum(each.checked for each in verdicts), [str(found.told()) for each in verdicts for found in each.mismatches]


def _exchange(server: Connection[Any], name: str, scratch: str) -> None:
    """Names change in one transaction; a process that comes back meanwhile finds the one or the other."""
    old = f"{scratch}_old"
    with server.transaction():
        there = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if there:
            _do(server, "ALTER DATABASE {} RENAME TO {}", name, old)
        _do(server, "ALTER DATABASE {} RENAME TO {}", scratch, name)
    _do(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", old)


def _afterwards(folder: Path, addresses: Mapping[str, str], settings: Settings) -> list[str]:
    """Roles, key, queue and cache; what couldn't be done, for people to do."""
    left = []
    if settings.role_passwords:
        # Its module imports every projection.
        from magasin.database_roles import apply  # noqa: PLC0415

        apply(addresses[DATABASE_URL], settings.role_passwords)
    if (folder / KEY).exists() and not key_file(settings).exists():
        write_private(key_file(settings), (folder / KEY).read_text(encoding="ascii"))
    if not asyncio.run(_emptied(addresses[AMQP_URL])):
        left.append(
            f"The queue {PROJECTOR.name} could not be emptied. Do it before the projector starts: rabbitmqctl purge_queue projector"
        )
    with suppress(redis.RedisError), redis.Redis.from_url(addresses[REDIS_URL], socket_timeout=5) as cache:
        cache.flushdb()
        return left
    return [*left, "Redis could not be emptied. Do it before the API starts: redis-cli flushdb"]


async def _emptied(amqp_url: str) -> bool:
    try:
        async with brief_channel(amqp_url, name="restore") as channel:
            await (await channel.get_queue(PROJECTOR.name, ensure=False)).purge()
    except (BrokerUnavailable, ChannelClosed) as error:
        return "NOT_FOUND" in str(error)
    return True


def _maintaining(url: str) -> Connection[Any]:
    """A connection to the server that isn't to our database, which is about to be renamed."""
    elsewhere = make_url(plain(url)).set(database=MAINTENANCE).render_as_string(hide_password=False)
    return psycopg.connect(elsewhere, connect_timeout=CONNECT_SECONDS, autocommit=True, application_name="magasin-restore")


def _do(server: Connection[Any], statement: str, *names: str) -> None:
    server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _at_once() -> None:
    """Waits for nobody: nothing else is at work."""
