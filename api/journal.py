"""Which commands were accepted, under which ids?

One log line for all that were accepted in one turn of the event loop, with each one's ids: alone, a request has its own line; under load a
line a request cost 35 µs of a sale's 200 in this process (measured), and this 3.
"""

import asyncio

import structlog
from starlette.requests import Request

from schemas.envelope import Accepted

log = structlog.get_logger(__name__)


class Journal:
    """Collects what was accepted and writes it down before the loop goes on to anything else."""

    def __init__(self) -> None:
        self._accepted: list[dict[str, str]] = []

    def note(self, event: Accepted, request: Request) -> None:
        """Note an accepted event with the ids by which it is found again."""
        if not self._accepted:
            asyncio.get_running_loop().call_soon(self._write)
        state = request.scope["state"]
        self._accepted.append(
            {
                "event_id": str(event.event_id),
                "type": event.type,
                "store_id": event.store_id,
                "trace_id": state["trace_id"],
                "request_id": state["request_id"],
            }
        )

    def _write(self) -> None:
        accepted, self._accepted = self._accepted, []
        log.info("accepted", events=accepted)
