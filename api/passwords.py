"""Is this the account's password, found out at a price that nobody can make us pay too often?

Argon2id takes 64 MiB and 130-180 ms of two cores, so two are computed at a time and a bounded number of callers wait. An unknown user
costs the same as a known one.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

from pwdlib import PasswordHash

from api.problems import Problem

AT_A_TIME: Final = 2
MOST_WAITING: Final = 64
SHORTEST: Final = 8
LONGEST: Final = 128
HASHER: Final = PasswordHash.recommended()


def hash_of(password: str) -> str:
    """The Argon2id hash of a password, with a salt of its own. Blocks for 130-180 ms."""
    return HASHER.hash(password)


@cache
def hash_once(password: str) -> str:
    """`hash_of`, computed once a process: for the demonstration, whose accounts all have the one published password."""
    return hash_of(password)


@cache
def nobodys_hash() -> str:
    """What an unknown user's password is compared with."""
    return hash_of(secrets.token_urlsafe())


def matches(password: str, password_hash: str | None) -> bool:
    """Whether that is the password; as slow for an account that doesn't exist (None)."""
    nobodys = nobodys_hash()
    return HASHER.verify(password, password_hash or nobodys) and password_hash is not None


class Passwords:
    """The two places where passwords are checked; one for a process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for one of the places. Raises a 503 `Problem` when too many wait already."""
        if self._waiting >= MOST_WAITING:
            raise Problem("overloaded")
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether that is the password; to be asked in a place."""
        return await asyncio.to_thread(matches, password, password_hash)

    async def hash_of(self, password: str) -> str:
        """The hash of a new password; waits for a place."""
        async with self.place():
            return await asyncio.to_thread(hash_of, password)
