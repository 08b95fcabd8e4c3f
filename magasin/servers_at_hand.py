"""Which servers does a command work on: those that the environment names, those that run, or the private ones, started for it?"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from infra.settings import settings
from magasin import state
from magasin.home import AlreadyRunningError, Claim
from magasin.manifest import BackupError
from magasin.servers import AMQP_URL, DATABASE_URL, REDIS_URL, end_leftovers, servers_for
from magasin.supervise import ChildFailedError, Supervisor

T = TypeVar("T")


def with_servers(home: Path, work: Callable[[Mapping[str, str]], T]) -> T:
    """What `work` answers, given the servers' addresses. Raises BackupError where there are none and none can be started."""
    if os.environ.get(DATABASE_URL):
        named = settings()
        return work({DATABASE_URL: named.database_url, AMQP_URL: named.amqp_url, REDIS_URL: named.redis_url})
    try:
        return work(state.addresses(home))
    except state.NotRunningError:
        return _with_own(home, work)


def _with_own(home: Path, work: Callable[[Mapping[str, str]], T]) -> T:
    try:
        claim = Claim(home)
    except AlreadyRunningError:
        message = "it is just starting or stopping here; try again in a minute"
        raise BackupError(message) from None
    try:
        end_leftovers(home)
        return asyncio.run(_started(home, work))
    except ChildFailedError as error:
        message = f"{error}. The end of its log:\n{error.tail}"
        raise BackupError(message) from error
    finally:
        claim.release()


async def _started(home: Path, work: Callable[[Mapping[str, str]], T]) -> T:
    servers = servers_for(home, os.environ)
    supervisor = Supervisor(home / "logs")
    try:
        for child in servers.children:
            supervisor.start(child)
        await asyncio.gather(*(supervisor.ready(child.name) for child in servers.children))
        return await asyncio.to_thread(work, servers.addresses)
    finally:
        await supervisor.stop()
