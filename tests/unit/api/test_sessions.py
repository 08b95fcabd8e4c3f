"""Does an instance refuse what another one signed out, and what it missed while it wasn't listening?"""

import asyncio
from collections.abc import Mapping

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from api.sessions import Sessions
from api.tokens import BadTokenError, Tokens
from tests.unit.api.test_tokens import clock, tokens

__all__ = ["clock", "tokens"]


class Reading(Sessions):
    """Its database answers what a test says, after so many failures."""

    found: Mapping[str, int] = {}
    failures = 0

    def _lately(self) -> dict[str, int]:
        if self.failures:
            self.failures -= 1
            raise OperationalError("SELECT", None, ConnectionError())
        return dict(self.found)


def sessions(tokens: Tokens, left: list[str]) -> Reading:
    return Reading(create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing"), tokens, None, left.append)


def test_what_another_instance_announces_counts_here_and_is_told_once(tokens: Tokens) -> None:
    left: list[str] = []
    token = tokens.issue("alice", "caissier", ["a"])
    for _ in range(2):
        sessions(tokens, left).heard({"username": "alice", "generation": 1})
    assert left == ["alice"]
    with pytest.raises(BadTokenError):
        tokens.verify(token)


async def test_what_was_missed_is_read_as_soon_as_the_database_answers(tokens: Tokens) -> None:
    left: list[str] = []
    made = sessions(tokens, left)
    made.found, made.failures = {"alice": 3, "bob": 1}, 1
    made.joined()
    made.joined()
    async with asyncio.timeout(10):
        while len(left) < 2:
            await asyncio.sleep(0.01)
    await made.close()
    assert sorted(left) == ["alice", "bob"]
