"""How long must somebody wait who keeps failing to sign in?

Failures are counted per user name and per client address; after a few free ones each further failure doubles the wait. The counts are in
Redis, so that all API processes share them, and in this process's memory when Redis is away. Both forget after 15 minutes and are bounded.
"""

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.problems import Problem

REMEMBERED_SECONDS: Final = 900
MOST_REMEMBERED: Final = 10_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How many failures are free, and how long the wait may grow. Short for a name: else anybody could lock anybody out."""

    free: int
    longest_seconds: int

    def wait(self, failures: int) -> int:
        """Seconds to wait after that many failures."""
        return min(self.longest_seconds, 2 ** min(failures - self.free, 20)) if failures >= self.free else 0


WITH_NAME: Final = Patience(free=5, longest_seconds=60)
# Many tills may stand behind one address.
WITH_ADDRESS: Final = Patience(free=20, longest_seconds=300)


class Failures(Protocol):
    """Counts failures by key."""

    async def read(self, key: str) -> tuple[int, float]:
        """How many there were, and when the last one was."""

    async def add(self, key: str, now: float) -> None:
        """One more."""

    async def forget(self, key: str) -> None:
        """None any more."""


class InMemory:
    """Failures that this process saw; the oldest are forgotten when there are too many."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def read(self, key: str) -> tuple[int, float]:
        """How many there were, and when the last one was."""
        return self._counts.get(key, (0, 0.0))

    async def add(self, key: str, now: float) -> None:
        """One more; what is older than 15 minutes doesn't count."""
        failures, last = self._counts.pop(key, (0, now))
        self._counts[key] = ((failures if now - last < REMEMBERED_SECONDS else 0) + 1, now)
        if len(self._counts) > MOST_REMEMBERED:
            self._counts.popitem(last=False)

    async def forget(self, key: str) -> None:
        """None any more."""
        self._counts.pop(key, None)


class InRedis:
    """Failures that any process saw; one round trip a call."""

    def __init__(self, redis: Redis, timeout_seconds: float) -> None:
        self._redis = redis
        self._timeout_seconds = timeout_seconds

    async def read(self, key: str) -> tuple[int, float]:
        """How many there were, and when the last one was."""
        async with asyncio.timeout(self._timeout_seconds):
            failures, last = await self._redis.hmget(key, ["failures", "last"])
        return int(failures or 0), float(last or 0)

    async def add(self, key: str, now: float) -> None:
        """One more; Redis forgets the key 15 minutes after the last."""
        async with asyncio.timeout(self._timeout_seconds), self._redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(key, "failures", 1)
            pipe.hset(key, "last", str(now))
            pipe.expire(key, REMEMBERED_SECONDS)
            await pipe.execute()

    async def forget(self, key: str) -> None:
        """None any more."""
        async with asyncio.timeout(self._timeout_seconds):
            await self._redis.delete(key)


class Throttle:
    """The one who lets people try; asks Redis first and its own memory when that fails."""

    def __init__(self, shared: Failures | None, *, clock: Callable[[], float] = time.time) -> None:
        self._shared = shared
        self._own = InMemory()
        self._clock = clock

    async def admit(self, username: str, address: str) -> None:
        """Raise a 429 `Problem` with Retry-After while that name or that address has to wait."""
        now, waits = self._clock(), [0.0]
        for key, patience in ((_name(username), WITH_NAME), (_place(address), WITH_ADDRESS)):
            failures, last = await self._read(key)
            waits.append(last + patience.wait(failures) - now if failures and now - last < REMEMBERED_SECONDS else 0.0)
        seconds = math.ceil(max(waits))
        if seconds > 0:
            raise Problem("too_many_requests", headers={"Retry-After": str(seconds)}, seconds=seconds)

    async def failed(self, username: str, address: str) -> None:
        """Count a failure."""
        for key in (_name(username), _place(address)):
            try:
                if self._shared:
                    await self._shared.add(key, self._clock())
                    continue
            except (RedisError, OSError) as error:
                log.warning("throttle_without_redis", error=type(error).__name__)
            await self._own.add(key, self._clock())

    async def succeeded(self, username: str) -> None:
        """Forget the name's failures, not the address's: else one good account would pay for guesses at others."""
        await self._own.forget(_name(username))
        try:
            if self._shared:
                await self._shared.forget(_name(username))
        except (RedisError, OSError) as error:
            log.warning("throttle_without_redis", error=type(error).__name__)

    async def _read(self, key: str) -> tuple[int, float]:
        """The worse of what is shared and what this process saw while Redis was away."""
        own = await self._own.read(key)
        try:
            return max(own, await self._shared.read(key)) if self._shared else own
        except (RedisError, OSError) as error:
            log.warning("throttle_without_redis", error=type(error).__name__)
            return own


def _name(username: str) -> str:
    return "magasin:failed:name:" + hashlib.sha256(username.encode("utf-8", "replace")).hexdigest()[:32]


def _place(address: str) -> str:
    """The client's address; of IPv6 the /64, which is what one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "magasin:failed:address:" + hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()[:32]
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"magasin:failed:address:{ip_network((parsed, 64), strict=False)}"
    return f"magasin:failed:address:{parsed}"
