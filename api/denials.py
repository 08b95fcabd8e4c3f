"""Who knocked at a watched door and was not let in?

It goes into the audit log, but the same attempt of the same person only once a minute: nobody can fill the log by knocking.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Final

import structlog
from sqlalchemy import Engine
from starlette.requests import Request

from api.tokens import Principal
from infra import audit
from infra.faults import is_transient

ONCE_IN_SECONDS: Final = 60.0
MOST_REMEMBERED: Final = 1_000
log = structlog.get_logger(__name__)


class Denials:
    """Notes refusals; one for a process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def note(self, who: Principal, permission: str, target: str) -> None:
        """Add a line. Without the database there is only a line in the log: the refusal itself needs no database."""
        now = time.monotonic()
        if now - self._noted.get((who.username, target), -ONCE_IN_SECONDS) < ONCE_IN_SECONDS:
            return
        self._noted[who.username, target] = now
        if len(self._noted) > MOST_REMEMBERED:
            self._noted.popitem(last=False)
        log.warning("denied", actor=who.username, permission=permission, target=target)
        try:
            await asyncio.to_thread(self._keep, who, permission, target)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("denial_not_kept", error=str(error)[:200])

    def _keep(self, who: Principal, permission: str, target: str) -> None:
        with self._engine.begin() as connection:
            audit.note(
                connection,
                actor=who.username,
                action=permission,
                target=target,
                outcome="denied",
                reason="forbidden",
                details={"role": who.role},
            )


async def note_denied(request: Request, permission: str) -> None:
    """Note that the caller of this request lacks that permission."""
    state = request.app.state
    if not hasattr(state, "denials"):
        state.denials = Denials(state.engine)
    denials: Denials = state.denials
    await denials.note(request.state.principal, permission, f"{request.method} {request.url.path}")
