"""A database, a virtual host and a Redis number of a test's own, on the servers of the run."""

import asyncio
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString
from urllib.parse import quote

import aio_pika
import httpx2
import psycopg
import redis
from psycopg import sql
from sqlalchemy import make_url

from infra.topology import EXCHANGES, QUEUES
from magasin.migrate import migrate
from tests.services import Services, alone, run_folder, run_name

HTTP_SECONDS = 30
REDIS_NUMBERS = 15


def with_path(url: str, path: str) -> str:
    """The same server, user and password, with another database, virtual host or number."""
    return make_url(url).set(database=path).render_as_string(hide_password=False)


def _execute(services: Services, statement: LiteralString, *names: str) -> None:
    with psycopg.connect(services.database_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def template(services: Services) -> str:
    """The name of a database that the migrations built, for this run. CREATE DATABASE from it takes about 65 ms."""
    name = f"{run_name()}_template"
    done = run_folder() / "template.done"
    with alone("template"):
        if not done.exists():
            _execute(services, "CREATE DATABASE {}", name)
            migrate(with_path(services.database_url, name))
            done.touch()
    return name


def drop_template(services: Services) -> None:
    """Leave nothing on servers that others use too."""
    if (run_folder() / "template.done").exists():
        _execute(services, "DROP DATABASE IF EXISTS {} WITH (FORCE)", f"{run_name()}_template")


@contextmanager
def empty_database(services: Services) -> Iterator[str]:
    """The URL of a database without any table, dropped afterwards even if connections are still open."""
    with _database(services, "template0") as url:
        yield url


@contextmanager
def fresh_database(services: Services) -> Iterator[str]:
    """The URL of a migrated database without any row, dropped afterwards even if connections are still open."""
    with _database(services, template(services)) as url:
        yield url


@contextmanager
def _database(services: Services, model: str) -> Iterator[str]:
    name = f"{run_name()}_{secrets.token_hex(6)}"
    _execute(services, "CREATE DATABASE {} TEMPLATE {}", name, model)
    try:
        yield with_path(services.database_url, name)
    finally:
        _execute(services, "DROP DATABASE {} WITH (FORCE)", name)
        _drop_roles(services, name)


def _drop_roles(services: Services, database: str) -> None:
    """Those that were made for a database which is gone."""
    with psycopg.connect(services.database_url, autocommit=True, connect_timeout=10) as connection:
        for (role,) in connection.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", [f"{database}_"]).fetchall():
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@contextmanager
def fresh_broker(services: Services) -> Iterator[str]:
    """The AMQP URL of an empty virtual host. Without a management API: the given one, with what is ours deleted."""
    if services.management_url is None:
        _in_thread(services.amqp_url)
        yield services.amqp_url
        return
    name = f"{run_name()}_{secrets.token_hex(6)}"
    user = make_url(services.amqp_url).username or "guest"
    with httpx2.Client(base_url=services.management_url, timeout=HTTP_SECONDS, trust_env=False) as management:
        management.put(f"/api/vhosts/{name}").raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        management.put(f"/api/permissions/{name}/{quote(user, safe='')}", json=rights).raise_for_status()
        try:
            yield with_path(services.amqp_url, name)
        finally:
            management.delete(f"/api/vhosts/{name}").raise_for_status()


def _in_thread(amqp_url: str) -> None:
    """Run the deletion on an event loop of its own: the test's loop may already exist in this thread."""
    worker = threading.Thread(target=asyncio.run, args=(_delete_ours(amqp_url),))
    worker.start()
    worker.join()


async def _delete_ours(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url, timeout=HTTP_SECONDS) as connection:
        for queue in QUEUES:
            await (await connection.channel()).queue_delete(queue.name)
        for exchange in EXCHANGES:
            await (await connection.channel()).exchange_delete(exchange)


@contextmanager
def fresh_redis(services: Services) -> Iterator[str]:
    """The URL of an empty database number, one for each process of the run."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = with_path(services.redis_url, str(1 + int(worker) % REDIS_NUMBERS))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()
