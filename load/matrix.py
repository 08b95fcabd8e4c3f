"""Which deployments are loaded with how many people, and what was found of each?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

ALGORITHMS = ("rr", "lc", "hash", "weighted")
INSTANCES = (1, 5, 10, 15)
USERS = (1, 10, 50)


@dataclass(frozen=True)
class Matrix:
    """Every algorithm with every number of instances and of virtual users; each cell takes so many seconds."""

    algorithms: Sequence[str] = ALGORITHMS
    instances: Sequence[int] = INSTANCES
    users: Sequence[int] = USERS
    seconds: int = 10

    def deployments(self) -> Iterator[tuple[str, int]]:
        """Each once. Those of one number of instances follow each other: then only the gateway changes."""
        return ((algorithm, instances) for instances in self.instances for algorithm in self.algorithms)

    def __len__(self) -> int:
        """How many cells."""
        return len(self.algorithms) * len(self.instances) * len(self.users)


class Seen(BaseModel):
    """What is read of somebody's answer; it may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Named(Seen):
    """The requests of one kind."""

    name: str
    requests: int
    errors: int
    p95_ms: float


class Difference(Seen):
    """A shelf that doesn't hold what it should, in units."""

    store_id: str
    sku: str
    expected: int
    found: int


class Verified(Seen):
    """Facts that the system has accepted by kind, the shelves and units that they moved, and where the stock is another."""

    facts: Mapping[str, int]
    cells: int
    units: int
    unknown: int
    differences: Sequence[Difference]


class Told(Seen):
    """What `load/locustfile.py` has found; times in seconds since 1970 and in milliseconds."""

    began: float
    ended: float
    requests: int
    errors: int
    sales: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    by_name: Sequence[Named]
    refusals: Mapping[str, int]
    verified: Verified

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / max(0.001, self.ended - self.began)

    @property
    def sales_per_second(self) -> float:
        """Sales a second that were accepted."""
        return self.sales / max(0.001, self.ended - self.began)


class Taken(Seen):
    """What a process took while the cell ran: per cent of one core, and megabytes at its end."""

    cpu_percent: float
    rss_mb: float


class Cell(Seen):
    """One cell of the matrix. `algorithm` and `instances` are None where nobody could change the deployment."""

    algorithm: str | None
    instances: int | None
    users: int
    told: Told
    taken: Mapping[str, Taken]
    machine_load: float
    """How many processes of the machine wanted a core during the last minute."""


class Found(Seen):
    """Everything that one run of the matrix has found."""

    when: str
    machine: str
    system: str
    seconds: int
    planned: int
    ended_early: str | None
    cells: Sequence[Cell]
