"""Does the API deny a sale that another of its processes has accepted, when Redis never heard of it?"""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from api.known import Known
from api.problems import Problem
from infra.memory import Memory, Seen
from schemas.envelope import Accepted
from tests.telling import SHOP, keep, open_shops, sale, told


class Forgetful(Memory):
    """Knows nothing; what it is asked for the second time has been recorded since."""

    def __init__(self, engine: Engine, sold: Accepted) -> None:
        super().__init__(None, ttl_seconds=60, timeout_seconds=1)
        self.asked = 0
        self._engine = engine
        self._sold = sold

    async def recall(self, event_id: UUID) -> Seen | None:
        self.asked += 1
        if event_id == self._sold.event_id:
            keep(self._engine, self._sold)
        return None


async def test_it_is_waited_for_and_one_that_never_comes_is_unknown(engine: Engine) -> None:
    open_shops(engine, SHOP)
    sold = told(sale(("apple", 1)))
    memory = Forgetful(engine, sold)
    known = Known(engine, memory)
    await known.sale(SHOP, sold.event_id)
    assert memory.asked == 1
    with pytest.raises(Problem) as refused:
        await known.sale(SHOP, uuid4())
    assert refused.value.code == "unknown_sale"
    assert memory.asked > 2, "it was looked for again"
