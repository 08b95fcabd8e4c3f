"""Is an import that travels as one message recorded exactly once, whatever dies, and does it let others go first?"""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, text

from infra.topology import INTAKE, INTAKE_KEY
from schemas.envelope import Accepted, join
from schemas.parcel import CONTENT_TYPE, pack
from tests.brokers import until
from tests.pipeline import Dying, Forgetting, Pipeline, dying_after, pipeline, writer
from tests.telling import Branch, delivered, sale, wire
from workers.stock_writer import NAME

BATCHES, EVENTS = 4, 3
EVERYTHING = BATCHES * EVENTS


@pytest.fixture
async def line(broker_url: str, engine: Engine) -> AsyncIterator[Pipeline]:
    async with pipeline(broker_url, engine) as made:
        yield made


@dataclass(frozen=True)
class Import:
    """A parcel of deliveries of one shop, and a sale that comes right behind it."""

    branch: Branch
    batches: list[list[Accepted]]
    sold: Accepted

    @property
    def body(self) -> bytes:
        return pack(join(wire(event) for event in batch) for batch in self.batches)

    async def send(self, line: Pipeline) -> None:
        await post(line, self.body)
        await line.tell([self.sold])

    async def recorded_once(self, line: Pipeline) -> None:
        """Everything is in the log, in the ledger and out of the exchange; in the log and the ledger once."""
        await line.until_recorded({event.event_id for batch in self.batches for event in batch} | {self.sold.event_id})
        log = [event for event in self.branch.log if event.seq > 1]
        await line.until_published(log)
        assert set(Counter(event.event_id for event in log).values()) == {1}
        assert self.branch.levels == {"apple": EVERYTHING - 5}


@pytest.fixture
def file(engine: Engine) -> Import:
    branch = Branch(engine).opened()
    batches = [[branch.told(delivered(("apple", 1))) for _ in range(EVENTS)] for _ in range(BATCHES)]
    return Import(branch, batches, branch.told(sale(("apple", 5))))


async def post(line: Pipeline, body: bytes) -> None:
    await line.publisher.publish(INTAKE, INTAKE_KEY, body, content_type=CONTENT_TYPE, type="accepted", app_id="test")


async def test_batch_after_batch_is_recorded_and_others_go_in_between(line: Pipeline, file: Import) -> None:
    await file.send(line)
    async with line.consuming(NAME, writer(line.engine, line.publisher).handle):
        await file.recorded_once(line)
    places = {event.event_id: event.seq for event in file.branch.log}
    assert places[file.sold.event_id] < min(places[event.event_id] for event in file.batches[-1]), (
        "the sale didn't wait for the whole import"
    )
    for earlier, later in zip(file.batches, file.batches[1:], strict=False):
        assert max(places[event.event_id] for event in earlier) < min(places[event.event_id] for event in later)


@pytest.mark.parametrize("at", [1, 2])
async def test_the_writer_dies_before_or_while_it_gives_back_the_rest(line: Pipeline, file: Import, at: int) -> None:
    await post(line, file.body)
    publisher = Dying(line.url, at=at)
    await publisher.start()
    await line.crash(NAME, writer(line.engine, publisher).handle)
    await publisher.close()
    assert len(file.branch.log) == 1 + EVENTS
    await line.tell([file.sold])
    async with line.consuming(NAME, writer(line.engine, line.publisher).handle):
        await file.recorded_once(line)


async def test_the_writer_dies_when_the_rest_is_given_back_and_the_parcel_is_not_acknowledged(line: Pipeline, file: Import) -> None:
    await file.send(line)
    good = writer(line.engine, line.publisher).handle
    await line.crash(NAME, dying_after(good))
    async with line.consuming(NAME, good):
        await file.recorded_once(line)


async def test_an_acknowledgement_is_lost(line: Pipeline, file: Import) -> None:
    await file.send(line)
    async with line.consuming(NAME, writer(line.engine, line.publisher).handle, Forgetting):
        await file.recorded_once(line)


async def test_a_damaged_parcel_is_parked_whole_and_the_others_go_on(line: Pipeline, file: Import, engine: Engine) -> None:
    await post(line, file.body[:-1])
    await file.send(line)
    async with line.consuming(NAME, writer(line.engine, line.publisher).handle):
        await file.recorded_once(line)

        def parked() -> bool:
            with engine.connect() as connection:
                return connection.execute(text("SELECT reason FROM dead_letter")).scalars().all() == ["malformed_message"]

        await until(parked, 10.0)
