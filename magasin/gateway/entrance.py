"""How do many instances stand behind one door on this machine, and change places without anybody noticing?

Envoy is the door; the supervisor keeps it and the instances running. A change of plan starts what is new and waits until it works, tells
Envoy, waits until what is under way has ended, and stops what is no longer wanted: no request is dropped.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from api.keys import key_of
from infra.settings import Settings
from magasin import house
from magasin.gateway import envoy, orders
from magasin.gateway.plan import BadPlan, Plan, Target
from magasin.home import LOOPBACK, Memory
from magasin.listening import is_ready
from magasin.processes import dying_with_parent
from magasin.supervise import Child, ChildFailedError, Supervisor

NAME: Final = "gateway"
GATEWAY_STAGE: Final = house.API_STAGE + 1
"""It stops first: nobody knocks any more when the instances go."""
DRAIN_SECONDS: Final = 2.0
"""From the change of Envoy's file to the stop of what is no longer in it: Envoy sees the file at once and ends idle connections."""
LOOK_SECONDS: Final = 0.5


class NoGateway(RuntimeError):
    """Envoy isn't installed in this environment."""


def program() -> Path:
    """Envoy's program, which a package brings. Raises NoGateway."""
    found = find_spec("envoy")
    path = Path(found.origin).parent / "_bin" / "envoy" if found and found.origin else None
    if path is None or not path.exists():
        raise NoGateway
    return path


class Entrance:
    """The door and the instances behind it, as the plan of the moment has them."""

    def __init__(self, settings: Settings, addresses: Mapping[str, str], memory: Memory, supervisor: Supervisor) -> None:
        self._home = house.home_of(settings)
        self._settings = settings.model_copy(update={"home": self._home})
        self._addresses = addresses
        self._memory = memory
        self._supervisor = supervisor
        self._plan: Plan | None = None
        self._running: set[str] = set()
        self._taken: set[str] = set()

    async def open(self, plan: Plan) -> None:
        """Start the instances and the door; returns when a request gets through. Raises NoGateway or ChildFailedError."""
        command = program()
        orders.forget(self._home)
        await self._start_missing(plan)
        bootstrap = envoy.write(self._folder(), plan, self._targets(plan), self._door())
        self._supervisor.start(self._gateway(command, bootstrap))
        await self._supervisor.ready(NAME)
        self._plan = plan

    async def change(self, plan: Plan) -> None:
        """Bring the instances to another plan while requests come in. Raises ChildFailedError: then the old plan goes on."""
        wanted = {name for names in plan.instances().values() for name in names}
        before = set(self._running)
        try:
            await self._start_missing(plan)
        except ChildFailedError:
            await self._stop(self._running - before)
            raise
        envoy.write(self._folder(), plan, self._targets(plan), self._door())
        self._plan = plan
        if self._running - wanted:
            await asyncio.sleep(DRAIN_SECONDS)
            await self._stop(self._running - wanted)

    async def follow(self, told: Callable[[str], None]) -> None:
        """Carry out every order that is left in the home, one after the other, for ever."""
        while True:
            order = orders.next_order(self._home)
            if order is None:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            try:
                await self.change(order.plan())
            except (BadPlan, ChildFailedError) as error:
                orders.carried_out(self._home, order, str(error))
                told(f"The deployment was not changed: {error}")
            else:
                orders.carried_out(self._home, order, None)
                told(f"Deployed: {order.words()}")

    async def _start_missing(self, plan: Plan) -> None:
        new = sorted({name for names in plan.instances().values() for name in names} - self._running)
        for name in new:
            self._running.add(name)
            self._supervisor.start(house.api(self._at(name), self._addresses, name))
        await asyncio.gather(*(self._supervisor.ready(name) for name in new))

    async def _stop(self, names: set[str]) -> None:
        await asyncio.gather(*(self._supervisor.remove(name) for name in names))
        self._running -= names

    def _at(self, name: str) -> Settings:
        """The settings of one instance: only the door is open to others."""
        return self._settings.model_copy(update={"host": LOOPBACK, "port": self._port(name)})

    def _port(self, name: str) -> int:
        """Remembered for as long as the instance runs: asking the memory for the port of one that listens gives another one."""
        return self._memory.ports[name] if name in self._taken else self._take(name)

    def _take(self, name: str) -> int:
        self._taken.add(name)
        return self._memory.port(name)

    def _targets(self, plan: Plan) -> dict[str, list[Target]]:
        return {
            service: [Target(LOOPBACK, self._port(name), plan.pools[service].weight(place)) for place, name in enumerate(names)]
            for service, names in plan.instances().items()
        }

    def _door(self) -> envoy.Door:
        jwks = json.dumps({"keys": [key_of(self._settings).jwk]})
        listen = Target(self._settings.host, self._settings.port)
        return envoy.Door(listen, Target(LOOPBACK, self._port(f"{NAME}-admin")), jwks)

    def _folder(self) -> Path:
        return self._home / NAME

    def _gateway(self, command: Path, bootstrap: Path) -> Child:
        url = house.base_url(self._settings)
        options = ("-c", str(bootstrap), "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "5")
        return Child(
            name=NAME,
            command=dying_with_parent((str(command), *options)),
            env={"PATH": "/usr/bin:/bin"},
            cwd=house.ROOT,
            stage=GATEWAY_STAGE,
            stop_seconds=10,
            ready=lambda: is_ready(f"{url}/healthz"),
            ready_seconds=30,
        )
