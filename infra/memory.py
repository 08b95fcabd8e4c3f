"""Was this id seen with other content? A fast answer from Redis, many ids in one round trip.

The log decides in the end; this only lets a mismatch be refused at once. So Redis may be away, slow or empty: then the answer is
"don't know", and after a failure it isn't asked for a second.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.envelope import Accepted

CLAIM = """
local found = {}
for place, key in ipairs(KEYS) do
  local before = redis.call('GET', key)
  if before then found[place] = before else
    redis.call('SET', key, ARGV[place + 1], 'EX', ARGV[1])
    found[place] = ''
  end
end
return found
"""
REST_SECONDS = 1.0
MOST_NOTED = 10_000
log = structlog.get_logger(__name__)

Claim = tuple[UUID, str]


class Unsure(LookupError):
    """Redis doesn't answer, and this process hasn't seen the id itself."""


class Seen(NamedTuple):
    """What was accepted under an id."""

    type: str
    store_id: str


class Memory:
    """Remembers what each id stands for, `ttl_seconds` long."""

    def __init__(self, redis: Redis | None, *, ttl_seconds: int, timeout_seconds: float) -> None:
        self._redis = redis
        self._claim = None if redis is None else redis.register_script(CLAIM)
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._rest_until = 0.0
        # What was accepted while Redis didn't answer: so that this process at least doesn't deny it.
        self._noted: OrderedDict[UUID, str] = OrderedDict()

    async def agree(self, events: Sequence[Accepted]) -> list[bool]:
        """Remember the events, in one round trip; False for each whose id is known with another fingerprint."""
        return await self._asked([_claim(event) for event in events]) if events else []

    async def recall(self, event_id: UUID) -> Seen | None:
        """What was accepted lately under that id; None when nothing was. Raises Unsure when Redis can't say."""
        found = self._noted.get(event_id)
        if found is None:
            found = await self._found(event_id)
        return None if found is None else Seen(*found.split(" ")[1:])

    async def _found(self, event_id: UUID) -> str | None:
        if self._redis is None or self._resting():
            raise Unsure
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = await self._redis.get(_key(event_id))
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            raise Unsure from error
        return found.decode() if isinstance(found, bytes) else found

    async def _asked(self, claims: Sequence[Claim]) -> list[bool]:
        if self._claim is not None and not self._resting():
            keys = [_key(event_id) for event_id, _ in claims]
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    found = await self._claim(keys=keys, args=[self._ttl_seconds, *(text for _, text in claims)])
            except (RedisError, OSError, TimeoutError) as error:
                self._rest(error)
            else:
                return [before in (b"", text.encode()) for before, (_, text) in zip(found, claims, strict=True)]
        self._note(claims)
        return [True] * len(claims)

    def _note(self, claims: Sequence[Claim]) -> None:
        for event_id, text in claims:
            self._noted.setdefault(event_id, text)
            if len(self._noted) > MOST_NOTED:
                self._noted.popitem(last=False)

    def _resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._rest_until

    def _rest(self, error: Exception) -> None:
        self._rest_until = asyncio.get_running_loop().time() + REST_SECONDS
        log.warning("redis_away", error=f"{type(error).__name__}: {error}"[:200])


def _claim(event: Accepted) -> Claim:
    return event.event_id, f"{event.fingerprint} {event.type} {event.store_id}"


def _key(event_id: UUID) -> str:
    return f"magasin:id:{event_id.hex}"
