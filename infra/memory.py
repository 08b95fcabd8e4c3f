"""Was this id seen with other content? A fast answer from Redis, many ids in one round trip.

The log decides in the end; this only lets a mismatch be refused at once. So Redis may be away, slow or empty: then the answer is
"don't know", and after a failure it isn't asked for a second.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

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
MOST_CLAIMS = 500
log = structlog.get_logger(__name__)

Pair = tuple[UUID, str]


class Memory:
    """Remembers the fingerprint of each id for `ttl_seconds`. Claims that wait at the same moment share one round trip."""

    def __init__(self, redis: Redis | None, *, ttl_seconds: int, timeout_seconds: float) -> None:
        self._redis = redis
        self._claim = None if redis is None else redis.register_script(CLAIM)
        self._ttl_seconds = ttl_seconds
        self._timeout_seconds = timeout_seconds
        self._rest_until = 0.0
        self._waiting: list[tuple[Pair, asyncio.Future[bool]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def agrees(self, event_id: UUID, fingerprint: str) -> bool:
        """Remember the pair; False only when the id is known with another fingerprint."""
        if self._claim is None or self._resting():
            return True
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(((event_id, fingerprint), answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def agree(self, pairs: Sequence[Pair]) -> list[bool]:
        """The same for many pairs at once."""
        if self._claim is None or self._resting():
            return [True] * len(pairs)
        return await self._asked(pairs)

    async def knows(self, event_id: UUID) -> bool | None:
        """Whether the id was accepted lately; None when Redis can't say."""
        if self._redis is None or self._resting():
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return bool(await self._redis.exists(_key(event_id)))
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return None

    async def _ask(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:MOST_CLAIMS], self._waiting[MOST_CLAIMS:]
            answers = await self._asked([pair for pair, _ in group])
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _asked(self, pairs: Sequence[Pair]) -> list[bool]:
        if self._claim is None:
            return [True] * len(pairs)
        keys = [_key(event_id) for event_id, _ in pairs]
        try:
            async with asyncio.timeout(self._timeout_seconds):
                found = await self._claim(keys=keys, args=[self._ttl_seconds, *(print_ for _, print_ in pairs)])
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return [True] * len(pairs)
        return [before in (b"", print_.encode()) for before, (_, print_) in zip(found, pairs, strict=True)]

    def _resting(self) -> bool:
        return asyncio.get_running_loop().time() < self._rest_until

    def _rest(self, error: Exception) -> None:
        self._rest_until = asyncio.get_running_loop().time() + REST_SECONDS
        log.warning("redis_away", error=f"{type(error).__name__}: {error}"[:200])


def _key(event_id: UUID) -> str:
    return f"magasin:id:{event_id.hex}"
