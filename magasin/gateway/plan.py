"""Which requests go to which instances, in what order, and what may not pass at all?

The plan is all that there is to say; `magasin.gateway.kong` and `magasin.gateway.envoy` write it down for one gateway each. Every instance
is the whole API: a service is a name for some of its paths, so that each can have as many instances as it needs and its own order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

Algorithm = Literal["rr", "lc", "hash", "weighted"]
"""Round-robin; least connections; consistent hashing of who asks; round-robin in proportion to weights."""

STICKY_HEADER: Final = "X-Client-Id"
"""What consistent hashing looks at; where a client doesn't send it, its address."""
MOST_INSTANCES: Final = 64
MOST_WEIGHT: Final = 100
KIB: Final = 1_024


@dataclass(frozen=True, slots=True)
class Service:
    """Some paths of the API. A path belongs to the service with the longest of the prefixes that fit.

    `open_paths` are the prefixes that need no token; `most_body_bytes` is what one request may bring; `per_minute` is how many requests one
    person may send; `streams`: an answer may last as long as it likes.
    """

    name: str
    prefixes: tuple[str, ...]
    open_paths: tuple[str, ...] = ()
    most_body_bytes: int = 1_024 * KIB
    per_minute: int = 1_200
    streams: bool = False


API: Final = "/api/v2"
SERVICES: Final = (
    Service(
        "auth",
        (f"{API}/auth", f"{API}/users", "/.well-known"),
        open_paths=(f"{API}/auth/token", f"{API}/auth/refresh", f"{API}/auth/logout", "/.well-known"),
        most_body_bytes=64 * KIB,
        per_minute=300,
    ),
    Service("products", (f"{API}/products", f"{API}/imports", f"{API}/stock"), most_body_bytes=16_384 * KIB),
    Service("sales", (f"{API}/stores", f"{API}/restocks", f"{API}/cases", f"{API}/events"), most_body_bytes=8_192 * KIB, per_minute=6_000),
    Service("reports", (f"{API}/reports",)),
    Service("live", (f"{API}/live",), per_minute=120, streams=True),
    Service("ops", (f"{API}/ops", f"{API}/webhooks")),
    Service("pages", ("/",), open_paths=("/",), most_body_bytes=64 * KIB),
)
HIDDEN: Final = ("/metrics", "/readyz")
"""What an instance tells its own house only."""


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
class Plan:
    """The pool of every service, by the service's name. `own` are the services with instances of their own; the others share theirs."""

    pools: Mapping[str, Pool]
    own: frozenset[str] = frozenset()

    def instances(self) -> dict[str, list[str]]:
        """The names of each service's instances: sales-1, sales-2 … of those that have their own, and api-1, api-2 … of the others."""
        return {
            service.name: [f"{service.name if service.name in self.own else 'api'}-{place + 1}" for place in range(pool.instances)]
            for service, pool in self.services()
        }

    def services(self) -> Iterator[tuple[Service, Pool]]:
        """Each service with its pool."""
        return ((service, self.pools[service.name]) for service in SERVICES)


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


def service_of(path: str) -> Service:
    """The service that answers a path."""
    found = [(len(prefix), service) for service in SERVICES for prefix in service.prefixes if fits(path, prefix)]
    return max(found, key=lambda each: each[0])[1]


def is_open(path: str) -> bool:
    """Whether a path needs no token."""
    return any(fits(path, prefix) for prefix in service_of(path).open_paths)


def fits(path: str, prefix: str) -> bool:
    """Whether a path is the prefix or lies below it: /api/v2/stock is not below /api/v2/stoc."""
    return prefix in {"/", path} or path.startswith(f"{prefix}/")


def routes() -> Sequence[tuple[str, Service]]:
    """Every prefix with its service, the longest first: the first that fits is the right one."""
    return sorted(((prefix, service) for service in SERVICES for prefix in service.prefixes), key=lambda each: (-len(each[0]), each[0]))
