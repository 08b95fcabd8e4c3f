"""How does somebody sign in, stay signed in, and sign out?

The steps behind the routes of `api.auth`: each is one transaction in a thread. A refresh token is 256 random bits; only its digest is kept.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection, Engine
from starlette.requests import Request

from api.accounts import demonstration_account
from api.passwords import Passwords
from api.problems import Fault, Problem
from api.security import CHALLENGE
from api.sessions import Sessions
from api.throttle import InRedis, Throttle
from api.tokens import Tokens
from infra import accounts, audit
from infra.accounts import Account, ReusedTokenError
from infra.settings import Settings

T = TypeVar("T")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """What signing in or renewing gives: the account and both tokens."""

    account: Account
    access_token: str
    refresh_token: str


class Reception:
    """Where people sign in; one for a process."""

    def __init__(self, settings: Settings, engine: Engine, tokens: Tokens, throttle: Throttle, sessions: Sessions) -> None:
        self.settings = settings
        self.passwords = Passwords()
        self.sessions = sessions
        self._engine = engine
        self._tokens = tokens
        self._throttle = throttle

    async def sign_in(self, username: str, password: str, address: str) -> Session:
        """A new session. Raises a `Problem`: 401 for whatever is wrong with name or password, 429 while one has to wait, 503."""
        async with self.passwords.place():
            # In here, so that only two guesses are under way before their failure counts.
            await self._throttle.admit(username, address)
            account = await self.transact(lambda connection: self._find(connection, username))
            right = await self.passwords.matches(password, account.password_hash if account else None)
            if account is None or not right or account.disabled:
                await self._throttle.failed(username, address)
                raise _refusal("bad_credentials")
        await self._throttle.succeeded(username)
        return await self._open(account)

    async def renew(self, refresh_token: str) -> Session:
        """The same session with new tokens; the old refresh token is spent. Raises a 401 `Problem`."""
        fresh = secrets.token_urlsafe(32)
        account = await self.transact(lambda connection: self._renew(connection, refresh_token, fresh))
        if account is None:
            raise _refusal("bad_refresh_token")
        return self._session(account, fresh)

    async def sign_out(self, refresh_token: str) -> None:
        """Close the session of that token; nothing happens when there is none."""
        await self.transact(lambda connection: accounts.close_session(connection, _digest(refresh_token)))

    async def change_password(self, username: str, current: str, new: str, address: str) -> Session:
        """Give an account another password by the present one. Every session ends; the answer is the only one left.

        Raises a `Problem`: 422 for a wrong present password, 429 while one has to wait, 503.
        """
        async with self.passwords.place():
            await self._throttle.admit(username, address)
            account = await self.transact(lambda connection: accounts.find(connection, username))
            right = await self.passwords.matches(current, account.password_hash if account else None)
            if account is None or not right or account.disabled:
                await self._throttle.failed(username, address)
                await self.transact(lambda connection: _note_password(connection, username, reason="wrong_password"))
                raise Problem("invalid_content", errors=[Fault("/current", "wrong_password")])
        await self._throttle.succeeded(username)
        password_hash = await self.passwords.hash_of(new)

        def step(connection: Connection) -> Account | None:
            now = accounts.find(connection, username, lock=True)
            if now is None or now.password_hash != account.password_hash:
                return None
            accounts.change(connection, username, {"password_hash": password_hash})
            accounts.close_all_sessions(connection, username)
            _note_password(connection, username)
            return accounts.refuse_tokens(connection, username)

        changed = await self.transact(step)
        if changed is None:
            raise _refusal("bad_credentials")
        await self.sessions.refuse(changed)
        return await self._open(changed)

    async def transact(self, step: Callable[[Connection], T]) -> T:
        """One transaction in a thread."""

        def run() -> T:
            with self._engine.begin() as connection:
                return step(connection)

        return await asyncio.to_thread(run)

    def _find(self, connection: Connection, username: str) -> Account | None:
        if not NAME.fullmatch(username):
            return None
        return accounts.find(connection, username) or demonstration_account(connection, username, self.settings)

    async def _open(self, checked: Account) -> Session:
        """A session for the account as it was when its password was checked; it may have been changed since."""
        fresh = secrets.token_urlsafe(32)

        def step(connection: Connection) -> Account | None:
            now = accounts.find(connection, checked.username, lock=True)
            if now is None or now.disabled or now.password_hash != checked.password_hash:
                return None
            lifetime_seconds = self.settings.refresh_token_seconds
            accounts.open_session(connection, now.username, _digest(fresh), lifetime_seconds=lifetime_seconds)
            return now

        account = await self.transact(step)
        if account is None:
            raise _refusal("bad_credentials")
        return self._session(account, fresh)

    def _renew(self, connection: Connection, old: str, fresh: str) -> Account | None:
        lifetime_seconds = self.settings.refresh_token_seconds
        try:
            return accounts.renew_session(connection, _digest(old), _digest(fresh), lifetime_seconds=lifetime_seconds)
        except ReusedTokenError as error:
            # Not raised further: the transaction that closed the session has to commit.
            log.warning("refresh_token_reused", username=str(error))
            return None

    def _session(self, account: Account, refresh_token: str) -> Session:
        return Session(account, self._tokens.issue(account.username, account.role, account.stores, account.generation), refresh_token)


def reception_of(request: Request) -> Reception:
    """The application's reception, set up at the first question from its settings, engine, tokens and Redis."""
    state = request.app.state
    if not hasattr(state, "reception"):
        redis = getattr(state, "redis", None)
        shared = InRedis(redis, state.settings.redis_timeout_seconds) if redis else None
        state.reception = Reception(state.settings, state.engine, state.tokens, Throttle(shared), state.sessions)
    reception: Reception = state.reception
    return reception


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _note_password(connection: Connection, username: str, reason: str | None = None) -> None:
    audit.note(connection, actor=username, action="self.password", target=username, outcome="failed" if reason else "done", reason=reason)


def _refusal(code: str) -> Problem:
    return Problem(code, headers={"WWW-Authenticate": CHALLENGE})
