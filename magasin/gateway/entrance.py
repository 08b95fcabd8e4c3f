"""How do many instances stand behind one door on this machine, and change places without anybody noticing?

Envoy is the door; the supervisor keeps it and the instances running, and `magasin.gateway.change` says in which order they change: no
request is dropped.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from api.keys import key_of
from infra.settings import Settings
from magasin import house
from magasin.gateway import envoy, orders
from magasin.gateway.change import Deployment
from magasin.gateway.plan import BadPlan, Plan, Target
from magasin.home import LOOPBACK, Memory
from magasin.listening import is_ready
from magasin.processes import dying_with_parent
from magasin.supervise import Child, ChildFailedError, Supervisor

NAME: Final = "gateway"
GATEWAY_STAGE: Final = house.API_STAGE + 1
"""It stops first: nobody knocks any more when the instances go."""
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

    drain_seconds = 2.0
    """Envoy sees a new file at once and ends idle connections."""

    def __init__(self, settings: Settings, addresses: Mapping[str, str], memory: Memory, supervisor: Supervisor) -> None:
        self._home = house.home_of(settings)
        self._settings = settings.model_copy(update={"home": self._home})
        self._addresses = addresses
        self._memory = memory
        self._supervisor = supervisor
        self._plan: Plan | None = None
        self._deployment = Deployment(self)
        self._taken: set[str] = set()

    async def open(self, plan: Plan) -> None:
        """Start the instances and the door; returns when a request gets through. Raises NoGateway or ChildFailedError."""
        command = program()
        orders.forget(self._home)
        await self.change(plan)
        self._supervisor.start(self._gateway(command, self._folder() / envoy.BOOTSTRAP))
        await self._supervisor.ready(NAME)

    async def change(self, plan: Plan) -> None:
        """Bring the instances to another plan while requests come in. Raises ChildFailedError: then the old plan goes on."""
        await self._deployment.change(plan)
        self._plan = plan

    async def replace(self) -> None:
        """Start every instance anew, one after the other, while requests come in. Raises ChildFailedError."""
        if self._plan:
            await self._deployment.replace(self._plan)

    async def follow(self, told: Callable[[str], None]) -> None:
        """Carry out every order that is left in the home, one after the other, for ever."""
        while True:
            order = orders.next_order(self._home)
            if order is None:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            try:
                await self._carry_out(order)
            except (BadPlan, ChildFailedError) as error:
                orders.carried_out(self._home, order, str(error))
                told(f"The deployment was not changed: {error}")
            else:
                orders.carried_out(self._home, order, None)
                told(f"Deployed: {order.words()}")

    async def _carry_out(self, order: orders.Order) -> None:
        if order.services or not order.replace:
            await self.change(order.plan())
        if order.replace:
            await self.replace()

    async def start(self, names: Collection[str]) -> None:
        """Start these instances; returns when all of them work. Raises ChildFailedError."""
        for name in names:
            self._supervisor.start(house.api(self._at(name), self._addresses, name))
        await asyncio.gather(*(self._supervisor.ready(name) for name in names))

    async def tell(self, plan: Plan) -> None:
        """Replace Envoy's files."""
        await asyncio.to_thread(envoy.write, self._folder(), plan, self._targets(plan), self._door())

    async def stop(self, names: Collection[str]) -> None:
        """End these instances, each after what it has under way."""
        await asyncio.gather(*(self._supervisor.remove(name) for name in names))

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
            service: [Target(LOOPBACK, self._port(member.name), member.weight) for member in members]
            for service, members in plan.members().items()
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
