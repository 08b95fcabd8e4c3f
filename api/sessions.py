"""Which access tokens are refused before their time is over?

Those of accounts that were signed out everywhere, disabled, or given another password, role or stores. No request asks anybody: each API
instance keeps the few accounts that this concerns in memory, hears of new ones by the announcements, and reads them again whenever it
begins to listen, so that what it missed while the broker was away counts too.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from pydantic_core import to_json
from sqlalchemy import Engine

from api.tokens import LONGEST_LIFE_SECONDS, Tokens
from infra import accounts
from infra.accounts import Account
from infra.connection import Backoff, BrokerUnavailable
from infra.faults import is_transient
from infra.publisher import ConfirmingPublisher

ANNOUNCED: Final = "accounts"
MARGIN_SECONDS: Final = 60
log = structlog.get_logger(__name__)


class Sessions:
    """Refuses tokens here, and tells the other instances. `left` hears the name of each account whose tokens are refused."""

    def __init__(self, engine: Engine, tokens: Tokens, publisher: ConfirmingPublisher | None, left: Callable[[str], None]) -> None:
        self._engine = engine
        self._tokens = tokens
        self._publisher = publisher
        self._left = left
        self._loading: asyncio.Task[None] | None = None

    async def refuse(self, account: Account) -> None:
        """Refuse the account's tokens of earlier generations, here at once and elsewhere as soon as they hear it."""
        self._refuse(account.username, account.generation)
        if self._publisher is None:
            return
        body = to_json({"username": account.username, "generation": account.generation})
        try:
            await self._publisher.announce(body, content_type="application/json", type=ANNOUNCED, app_id="api")
        except BrokerUnavailable as error:
            # The others read it from the database when they listen again; at the latest the tokens end by themselves.
            log.warning("sign_out_not_announced", username=account.username, error=error.reason)

    def heard(self, content: Mapping[str, Any]) -> None:
        """Do what another instance has announced."""
        self._refuse(str(content["username"]), int(content["generation"]))

    def joined(self) -> None:
        """Read what may have been missed; called whenever this instance begins to listen."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load(), name="sessions")

    async def close(self) -> None:
        """Stop reading."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait({self._loading})

    async def _load(self) -> None:
        backoff = Backoff(0.5, 10.0)
        while True:
            try:
                found = await asyncio.to_thread(self._lately)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("sessions_not_loaded", error=str(error)[:200])
                await asyncio.sleep(backoff.next_seconds())
            else:
                for username, generation in found.items():
                    self._refuse(username, generation)
                return

    def _lately(self) -> dict[str, int]:
        with self._engine.connect() as connection:
            return accounts.lately_refused(connection, within_seconds=LONGEST_LIFE_SECONDS + MARGIN_SECONDS)

    def _refuse(self, username: str, generation: int) -> None:
        if self._tokens.refuse_older(username, generation):
            self._left(username)
