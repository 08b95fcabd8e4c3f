"""Which requests go to which instances, and in what order?

The plan is all that there is to say; `magasin.gateway.kong` and `magasin.gateway.envoy` write it down, with the policy, for one gateway
each.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from magasin.gateway.policy import SERVICES, Service

Algorithm = Literal["rr", "lc", "hash", "weighted"]
"""Round-robin; least connections; consistent hashing of who asks; round-robin in proportion to weights."""

MOST_INSTANCES: Final = 64
MOST_WEIGHT: Final = 100
SHARED: Final = "api"
"""What the instances of the services without their own are called."""


class BadPlan(ValueError):
    """What was asked for can't be deployed."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The instances of one service. `weights` has one for each instance, and matters where the algorithm is weighted."""

    instances: int
    algorithm: Algorithm = "rr"
    weights: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check. Raises BadPlan."""
        if not 1 <= self.instances <= MOST_INSTANCES:
            raise BadPlan(f"from 1 to {MOST_INSTANCES} instances, not {self.instances}")
        if self.weights and len(self.weights) != self.instances:
            raise BadPlan(f"{len(self.weights)} weights for {self.instances} instances")
        if any(not 1 <= weight <= MOST_WEIGHT for weight in self.weights):
            raise BadPlan(f"weights are from 1 to {MOST_WEIGHT}")

    def __str__(self) -> str:
        """The words that make it."""
        return f"{self.instances} {self.algorithm}" + (f":{','.join(map(str, self.weights))}" if self.weights else "")

    def weight(self, place: int) -> int:
        """The share of one instance among all: 1 each unless weighted; weighted without weights, the first has most and the last has 1."""
        if self.algorithm != "weighted":
            return 1
        return self.weights[place] if self.weights else self.instances - place


@dataclass(frozen=True, slots=True)
class Target:
    """Where an instance listens."""

    host: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a service, and its share of the requests."""

    name: str
    weight: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The pool of every service, by the service's name. `own` are the services with instances of their own; the others share theirs.

    `away` is an instance that gets no requests for the moment, with the one that stands in for it, if any.
    """

    pools: Mapping[str, Pool]
    own: frozenset[str] = frozenset()
    away: tuple[str, str | None] | None = None

    def members(self) -> dict[str, list[Member]]:
        """Each service's instances: sales-1, sales-2 … of those that have their own, and api-1, api-2 … of the others."""
        return {service.name: list(self._members(service.name, pool)) for service, pool in self.services()}

    def instances(self) -> dict[str, list[str]]:
        """Only their names."""
        return {service: [member.name for member in members] for service, members in self.members().items()}

    def names(self) -> list[str]:
        """Every instance once, in order."""
        return list(dict.fromkeys(name for names in self.instances().values() for name in names))

    def services(self) -> Iterator[tuple[Service, Pool]]:
        """Each service with its pool."""
        return ((service, self.pools[service.name]) for service in SERVICES)

    def without(self, name: str, stand_in: str | None) -> "Plan":
        """The same plan while an instance is away."""
        return replace(self, away=(name, stand_in))

    def words(self) -> dict[str, str]:
        """Every pool in the words that make it again, and under `rest` that of the services that share."""
        shared_by = [pool for service, pool in self.services() if service.name not in self.own]
        own = {service.name: str(pool) for service, pool in self.services() if service.name in self.own}
        return own | ({"rest": str(shared_by[0])} if shared_by else {})

    def _members(self, service: str, pool: Pool) -> Iterator[Member]:
        kind = service if service in self.own else SHARED
        for place in range(pool.instances):
            name: str | None = f"{kind}-{place + 1}"
            if self.away and name == self.away[0]:
                name = self.away[1]
            if name is not None:
                yield Member(name, pool.weight(place))


def shared(words: str) -> Plan:
    """The same instances for every service, from words such as ``"5 lc"``. Raises BadPlan."""
    one = pool(words)
    return Plan({service.name: one for service in SERVICES})


def asked(words: Mapping[str, str], rest: Pool) -> Plan:
    """A plan from words such as ``{"sales": "5 hash", "reports": "3 weighted:5,3,1"}``; services that aren't named share `rest`.

    Raises BadPlan with what is wrong.
    """
    unknown = sorted(set(words) - {service.name for service in SERVICES})
    if unknown:
        raise BadPlan(f"no service is called {', '.join(unknown)}")
    pools = {service.name: pool(words[service.name]) if service.name in words else rest for service in SERVICES}
    return Plan(pools, frozenset(words))


def pool(words: str) -> Pool:
    """A pool from ``"5"``, ``"5 hash"`` or ``"3 weighted:5,3,1"``. Raises BadPlan."""
    count, _, order = words.strip().partition(" ")
    name, _, weights = order.strip().partition(":")
    if not count.isdecimal():
        raise BadPlan(f"{words!r} doesn't begin with a number of instances")
    algorithm = name or "rr"
    if algorithm not in get_args(Algorithm):
        raise BadPlan(f"{algorithm!r} is none of {', '.join(get_args(Algorithm))}")
    if weights and algorithm != "weighted":
        raise BadPlan(f"{algorithm} has no weights")
    try:
        shares = tuple(int(each) for each in weights.split(",")) if weights else ()
    except ValueError as error:
        raise BadPlan(f"{weights!r} are no weights") from error
    return Pool(int(count), algorithm, shares)  # type: ignore[arg-type]  # one of them, as was looked at just before
