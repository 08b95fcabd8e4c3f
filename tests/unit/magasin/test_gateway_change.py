"""Do instances change places in the order in which nobody is cut, and does what fails leave everything as it was?"""

from collections.abc import Collection

import pytest

from magasin.gateway.change import Deployment
from magasin.gateway.plan import Plan, asked, pool, shared


class Paper:
    """A ground that only writes down what it is told; `broken` is an instance that never works."""

    drain_seconds = 0.0

    def __init__(self, broken: str | None = None) -> None:
        self.told: list[str] = []
        self._broken = broken

    async def start(self, names: Collection[str]) -> None:
        self.told += [f"start {name}" for name in names]
        if self._broken in names:
            raise RuntimeError(self._broken)

    async def tell(self, plan: Plan) -> None:
        self.told.append(f"tell {' '.join(plan.names())}")

    async def stop(self, names: Collection[str]) -> None:
        self.told += [f"stop {name}" for name in names]


async def test_what_is_new_works_before_the_gateway_is_told_and_what_is_old_stops_after() -> None:
    ground = Paper()
    deployment = Deployment(ground, ["api-1", "sales-9"])
    await deployment.change(asked({"sales": "2 hash"}, pool("1 rr")))
    assert ground.told == ["start sales-1", "start sales-2", "tell api-1 sales-1 sales-2", "stop sales-9"]
    ground.told.clear()
    await deployment.change(shared("1 rr"))
    assert ground.told == ["tell api-1", "stop sales-1", "stop sales-2"]


async def test_an_instance_that_never_works_is_stopped_and_the_gateway_hears_nothing_of_it() -> None:
    ground = Paper(broken="api-3")
    deployment = Deployment(ground, ["api-1"])
    with pytest.raises(RuntimeError, match="api-3"):
        await deployment.change(shared("3 lc"))
    assert ground.told == ["start api-2", "start api-3", "stop api-2", "stop api-3"]
    ground.told.clear()
    await deployment.change(shared("1 lc"))
    assert ground.told == ["tell api-1"]


async def test_every_instance_is_replaced_and_there_is_always_one_that_answers() -> None:
    ground = Paper()
    deployment = Deployment(ground, ["api-1", "sales-1", "sales-2"])
    await deployment.replace(asked({"sales": "2 rr"}, pool("1 rr")))
    assert ground.told == [
        "start api-1-spare", "tell api-1-spare sales-1 sales-2", "stop api-1",
        "start api-1", "tell api-1 sales-1 sales-2", "stop api-1-spare",
        "tell api-1 sales-2", "stop sales-1", "start sales-1", "tell api-1 sales-1 sales-2",
        "tell api-1 sales-1", "stop sales-2", "start sales-2", "tell api-1 sales-1 sales-2",
    ]  # fmt: skip
