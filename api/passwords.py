"""Is this the account's password, found out at a price that nobody can make us pay too often?

Argon2id takes 64 MiB and 130-180 ms of two cores, so two are computed at a time and a bounded number of callers wait. An unknown user
costs the same as a known one.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from pwdlib import PasswordHash

from api.problems import Problem

AT_A_TIME: Final = 2
MOST_WAITING: Final = 64
SHORTEST: Final = 8
LONGEST: Final = 128
_HASHER: Final = PasswordHash.recommended()


def hash_of(password: str) -> str:
    """The Argon2id hash of a password, with a salt of its own. Blocks for 130-180 ms."""
    return _HASHER.hash(password)


@cache
def hash_once(password: str) -> str:
    """`hash_of`, computed once a process: for the demonstration, whose accounts all have the one published password."""
    return hash_of(password)


@cache
def _nobodys_hash() -> str:
    return hash_of(secrets.token_urlsafe())


def matches(password: str, password_hash: str | None) -> bool:
    """Whether that is the password; as slow for an account that doesn't exist (None)."""
    nobodys = _nobodys_hash()
    return _HASHER.verify(password, password_hash or nobodys) and password_hash is not None


class Passwords:
    """The two places where passwords are checked; one for a process."""

    def __init__(self) -> None:
        self._places = CapacityLimiter(AT_A_TIME)
        self._threads = CapacityLimiter(AT_A_TIME)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for one of the places. Raises a 503 `Problem` when too many wait already."""
        if self._places.statistics().tasks_waiting >= MOST_WAITING:
            raise Problem("overloaded")
        async with self._places:
            yield

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether that is the password; to be asked in a place."""
        return await run_sync(matches, password, password_hash, limiter=self._threads)

    async def hash_of(self, password: str) -> str:
        """The hash of a new password; waits for a place."""
        async with self.place():
            return await run_sync(hash_of, password, limiter=self._threads)
