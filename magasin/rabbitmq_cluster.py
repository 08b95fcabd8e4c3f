"""How do three brokers on one machine become one that outlives the death of any of them?

Each node is a RabbitMQ as ``magasin.rabbitmq`` starts it, with a name, ports, a log and data of its own; what they share is Erlang's
cookie and its name server. The first node comes up alone and the others find it by the list in their configuration, so nobody has to tell
them to join, after an end either. Quorum queues have a copy on every node that is up when they are declared: declare when all three are.
"""

import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from magasin.home import LOOPBACK, Memory
from magasin.listening import PLAIN, listens
from magasin.processes import dying_with_parent
from magasin.rabbitmq import USER, NotInstalledError, configuration, environment_of, epmd_program, make, server_script
from magasin.supervise import Child, Supervisor

NODES = 3
LOOK_TIMEOUT_SECONDS = 5.0
START_SECONDS = 600.0
"""A node that comes back first gets what it missed."""


@dataclass(frozen=True, slots=True)
class Node:
    """One broker of the cluster. `management_url` has user and password in it."""

    child: Child
    erlang_name: str
    port: int
    management_url: str


class Cluster:
    """The nodes and their name server, kept by `supervisor`. `amqp_url` names every node, in the order of `nodes`."""

    def __init__(self, home: Path, memory: Memory, supervisor: Supervisor, *, nodes: int = NODES) -> None:
        """Files and ports are chosen, nothing is started. Raises NotInstalledError."""
        self._supervisor = supervisor
        self._epmd, self.nodes = _children(home, memory, nodes)
        hosts = ",".join(f"{LOOPBACK}:{node.port}" for node in self.nodes)
        self.amqp_url = f"amqp://{USER}:{memory.password('rabbitmq')}@{hosts}/"

    async def start(self) -> None:
        """Start every node; return when all of them take connections as one cluster. Raises ChildFailedError."""
        self._supervisor.start(self._epmd)
        await self._supervisor.ready(self._epmd.name)
        first, *others = self.nodes
        await self.revive(first)
        for node in others:
            self._supervisor.start(node.child)
        for node in others:
            await self._supervisor.ready(node.child.name)

    async def kill(self, node: Node) -> None:
        """Kill a node by signal 9, with all that it started, and leave it dead."""
        await self._supervisor.remove(node.child.name)

    async def revive(self, node: Node) -> None:
        """Start a node that doesn't run, and return when it takes connections."""
        self._supervisor.start(node.child)
        await self._supervisor.ready(node.child.name)

    def leader_of(self, queue: str) -> Node | None:
        """The node that orders what comes into a quorum queue, as any node that answers knows it. None while nobody knows."""
        return self._named(self._queue(queue).get("leader"))

    def copies_of(self, queue: str) -> frozenset[str]:
        """The Erlang names of the nodes that have this quorum queue and run."""
        online = self._queue(queue).get("online")
        return frozenset(online) if isinstance(online, list) else frozenset()

    def carrier_of(self, connection: str) -> Node | None:
        """The node that has the client's connection of that name. The broker tells that some seconds late; None before."""
        return next((node for node, _ in self._connections(connection)), None)

    def hang_up(self, connection: str) -> None:
        """Let the broker close a client's connection of that name; the client opens its next one to another node."""
        for node, name in self._connections(connection):
            httpx2.delete(
                f"{node.management_url}/api/connections/{quote(name)}", timeout=LOOK_TIMEOUT_SECONDS, trust_env=False, verify=PLAIN
            )

    def _connections(self, name: str) -> list[tuple[Node, str]]:
        told = self._asked("connections?columns=name,node,client_properties.connection_name")
        found = told if isinstance(told, list) else []
        named = [each for each in found if each.get("client_properties", {}).get("connection_name") == name]
        return [(node, each["name"]) for each in named if (node := self._named(each.get("node")))]

    def _named(self, erlang_name: object) -> Node | None:
        return next((node for node in self.nodes if node.erlang_name == erlang_name), None)

    def _queue(self, name: str) -> dict[str, Any]:
        told = self._asked(f"queues/%2F/{name}")
        return told if isinstance(told, dict) else {}

    def _asked(self, path: str) -> object:
        """What the first node answers that has an answer."""
        for node in self.nodes:
            with suppress(httpx2.HTTPError, json.JSONDecodeError):
                found = httpx2.get(f"{node.management_url}/api/{path}", timeout=LOOK_TIMEOUT_SECONDS, trust_env=False, verify=PLAIN)
                if found.status_code == httpx2.codes.OK:
                    return found.json()
        return None


def _children(home: Path, memory: Memory, nodes: int) -> tuple[Child, list[Node]]:
    """The name server and the nodes. Raises NotInstalledError."""
    script, epmd = server_script(), epmd_program()
    if script is None or epmd is None:
        raise NotInstalledError
    names = [f"magasin-{number}@localhost" for number in range(1, nodes + 1)]
    found = [_node(home / f"rabbitmq-{number}", memory, number, names, str(script)) for number in range(1, nodes + 1)]
    port = memory.port("epmd")
    command = dying_with_parent((epmd, "-port", str(port), "-address", LOOPBACK))
    return Child("epmd", command, found[0].child.env, Path("/"), ready=lambda: listens(port)), found


def _node(folder: Path, memory: Memory, number: int, names: Sequence[str], script: str) -> Node:
    name = f"rabbitmq-{number}"
    amqp, management = memory.port(name), memory.port(f"{name}-management")
    password, cookie = memory.password("rabbitmq"), memory.password("erlang-cookie")
    epmd = memory.ports.get("epmd") or memory.port("epmd")
    erlang_name = names[number - 1]
    conf = configuration(amqp, management, password) + membership(names)
    child = Child(
        name=name,
        command=dying_with_parent((script,)),
        env=environment_of(folder, epmd_port=epmd, distribution_port=memory.port(f"{name}-distribution"), node=erlang_name),
        cwd=Path("/"),
        stage=1,
        stop_signal=signal.SIGKILL,
        stop_seconds=0,
        prepare=lambda: make(folder, cookie, conf),
        ready=lambda: listens(amqp),
        ready_seconds=START_SECONDS,
    )
    return Node(child, erlang_name, amqp, f"http://{USER}:{password}@{LOOPBACK}:{management}")


def membership(names: Sequence[str]) -> str:
    """What rabbitmq.conf says of the others. A node that is cut off from most of them stops serving, instead of going its own way."""
    return "\n".join((
        "cluster_formation.peer_discovery_backend = classic_config",
        *(f"cluster_formation.classic_config.nodes.{place} = {name}" for place, name in enumerate(names, start=1)),
        "cluster_partition_handling = pause_minority",
        "",
    ))  # fmt: skip
