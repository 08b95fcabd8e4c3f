"""How does what runs become what was asked for, and nobody notices?

New instances first, until they work; then the gateway is told; then what is under way ends; then what is no longer wanted stops. The same
order wherever the instances run: `magasin.gateway.entrance` has them as processes behind Envoy, `magasin.gateway.compose` as containers
behind Kong.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Protocol

from magasin.gateway.plan import Plan


class Ground(Protocol):
    """Where instances run and a gateway stands in front of them. What fails raises an exception of the ground's own."""

    @property
    def drain_seconds(self) -> float:
        """From the change of the gateway until nobody asks those any more that it no longer knows."""
        ...

    async def start(self, names: Collection[str]) -> None:
        """Start these instances; returns when all of them work."""
        ...

    async def tell(self, plan: Plan) -> None:
        """Have the gateway send requests where the plan says."""
        ...

    async def stop(self, names: Collection[str]) -> None:
        """End these instances, each after what it has under way."""
        ...


class Deployment:
    """What runs on a ground."""

    def __init__(self, ground: Ground, running: Iterable[str] = ()) -> None:
        self._ground = ground
        self._running = set(running)

    async def change(self, plan: Plan) -> None:
        """Bring the instances to this plan while requests come in. What fails is raised, and what ran before goes on as it did."""
        wanted = set(plan.names())
        new = sorted(wanted - self._running)
        try:
            await self._ground.start(new)
            await self._ground.tell(plan)
        except Exception:
            await self._ground.stop(new)
            raise
        left = sorted(self._running - wanted)
        self._running |= wanted
        if left:
            await asyncio.sleep(self._ground.drain_seconds)
            await self._ground.stop(left)
            self._running -= set(left)

    async def replace(self, plan: Plan) -> None:
        """Start every instance of the plan that runs anew, one after the other, as for a new version. One that is alone gets a stand-in."""
        for name in plan.names():
            alone = [name] in plan.instances().values()
            await self.change(plan.without(name, f"{name}-spare" if alone else None))
            await self.change(plan)
