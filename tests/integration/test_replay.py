"""Does a stretch of the log go to one queue again, whole and in order, without changing anything that the system keeps?"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aio_pika.abc import AbstractIncomingMessage
from pydantic_core import from_json
from sqlalchemy import Engine

from infra.connection import brief_channel
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from operations import job, replay, stretch
from operations.replay import KIND, Replay
from operations.stretch import Cursor, Stretch
from schemas.envelope import Recorded
from tests.brokers import until
from tests.pipeline import Crash, Dying, Pipeline, pipeline, writer
from tests.services import Services
from tests.telling import Branch, adjusted, cells, counted, delivered, kept_levels, letters, minutes, own_engine, sale, void
from workers import dead_letters, projector, stock_writer
from workers.dead_letters import DeadLetters
from workers.operator import Operator
from workers.projector import Projector
from workers.replays import only_news

PATIENCE_SECONDS = 20.0
QUEUE = "somebody-elses"
BY = "operateur"


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    """A store with facts of several kinds, recorded one minute after the other."""
    made = Branch(engine).opened()
    gone = made.told(sale(("pear", 2)))
    facts: list[Any] = [  # events, and one that was told already
        delivered(("apple", 9)),
        sale(("apple", 1), ("pear", 1)),
        gone,
        adjusted(("apple", -1)),
        void(gone.event_id),
        counted(("pear", 3)),
    ]
    for minute, fact in enumerate(facts):
        made.keep(fact, now=datetime.now(UTC) + timedelta(minutes=minute))
    return made


@dataclass
class Desk:
    """An operator process beside a real broker, and a queue of somebody else's."""

    engine: Engine
    line: Pipeline
    config: Settings

    @asynccontextmanager
    async def at_work(self, publisher: ConfirmingPublisher | None = None) -> AsyncIterator[None]:
        made = Operator(self.engine, self.config, [Replay(self.engine, publisher or self.line.publisher)])
        task = asyncio.create_task(made.run())
        try:
            yield
        finally:
            made.stop()
            await task

    def order(self, meant: Stretch, queue: str = QUEUE, **how: Any) -> UUID:  # noqa: ANN401 - as `order` takes it
        usual = {"by": BY, "reason": "un abonné a tout perdu", "max_per_second": None, "dry_run": False}
        return replay.order(self.engine, meant, queue, **{**usual, **how}).id

    def shown(self, replay_id: UUID) -> dict[str, Any]:
        with self.engine.connect() as connection:
            found = job.find(connection, replay_id, KIND)
        assert found
        return replay.told(found, datetime.now(UTC))

    async def over(self, replay_id: UUID) -> dict[str, Any]:
        await until(lambda: self.shown(replay_id)["state"] != "running", PATIENCE_SECONDS)
        return self.shown(replay_id)

    async def messages(self, queue: str = QUEUE) -> list[AbstractIncomingMessage]:
        """What lies in the queue, taken out."""
        found: list[AbstractIncomingMessage] = []
        async with brief_channel(self.line.url, name="reader") as channel:
            kept = await channel.declare_queue(queue, durable=True)
            while (message := await kept.get(fail=False)) is not None:
                await message.ack()
                found.append(message)
        return found


@pytest.fixture
async def desk(engine: Engine, broker_url: str) -> AsyncIterator[Desk]:
    config = Settings(env="test", database_url=engine.url.render_as_string(hide_password=False))
    async with pipeline(broker_url, engine) as line:
        async with brief_channel(broker_url, name="maker") as channel:
            await channel.declare_queue(QUEUE, durable=True)
        yield Desk(engine, line, config)


def seqs(messages: Sequence[AbstractIncomingMessage]) -> list[int]:
    return [int(str(each.headers["ce-seq"])) for each in messages]


def naive(events: Sequence[Recorded], meant: Stretch) -> list[int]:
    """The places of the events that are meant, by the words of the definition."""
    found = []
    for event in events:
        lines = [*event.data.get("lines", []), *((event.effect or {}).get("sale") or {}).get("lines", [])]
        if (
            (meant.since is None or event.recorded_at >= meant.since)
            and (meant.until is None or event.recorded_at < meant.until)
            and (meant.type is None or event.type == meant.type)
            and (meant.sku is None or meant.sku in {event.data.get("sku"), *(line["sku"] for line in lines)})
        ):
            found.append(event.seq)
    return found


def walked(engine: Engine, meant: Stretch) -> tuple[list[int], int]:
    """The places that walking the stretch finds, and how many counting does."""
    found, counted_, cursor = list[int](), 0, Cursor()
    with engine.connect() as connection:
        while (places := stretch.window(connection, meant, cursor)) is not None:
            counted_ += stretch.count(connection, meant, places)
            found += [event.seq for event in stretch.events(connection, meant, places, 1_000)]
            cursor = Cursor(places.store_id, places.through)
    return found, counted_


async def step_for_ever(kind: Replay, replay_id: UUID, engine: Engine) -> None:
    """Step after step of ten events, until something escapes."""
    while True:
        with engine.connect() as connection:
            found = job.find(connection, replay_id)
        assert found
        await kind.step(found, 10)


@pytest.mark.parametrize("bounds", [(None, None), (1, None), (None, 4), (2, 5), (5, 2), (0, 99)])
@pytest.mark.parametrize("only", [{}, {"type": "sale.recorded"}, {"sku": "pear"}, {"type": "sale.voided", "sku": "pear"}, {"sku": "plum"}])
def test_a_stretch_is_what_its_words_say(
    branch: Branch, monkeypatch: pytest.MonkeyPatch, bounds: tuple[int | None, int | None], only: dict[str, str]
) -> None:
    monkeypatch.setattr(stretch, "WINDOW_EVENTS", 2)
    log = branch.log
    since, until_ = (None if each is None else log[min(each, len(log) - 1)].recorded_at for each in bounds)
    meant = Stretch(since, until_, branch.store_id, only.get("type"), only.get("sku"))
    expected = naive(log, meant)
    assert walked(branch.engine, meant) == (expected, len(expected))


async def test_first_it_is_counted_and_shown_then_published_in_order_each_with_the_mark(desk: Desk, branch: Branch) -> None:
    meant = Stretch(store_id=branch.store_id, sku="pear", until=datetime.now(UTC) + timedelta(days=1))
    expected = naive(branch.log, meant)
    preview = desk.shown(desk.order(meant, dry_run=True))
    assert (preview["state"], preview["total"], preview["done"], preview["dry_run"]) == ("done", len(expected), 0, True)
    assert [each["seq"] for each in preview["sample"]] == expected
    async with desk.at_work():
        told = await desk.over(desk.order(meant))
    assert (told["state"], told["total"], told["done"], told["succeeded"]) == ("done", len(expected), len(expected), len(expected))
    messages = await desk.messages()
    assert seqs(messages) == expected
    by_seq = {event.seq: event for event in branch.log}
    for message in messages:
        event = by_seq[int(str(message.headers["ce-seq"]))]
        assert from_json(message.body) == event.data
        assert message.headers["magasin-replay"] == str(told["id"])
        assert message.headers["magasin-routing-key"] == f"{event.type}.v1.{branch.store_id}"


async def test_an_operator_that_dies_meanwhile_is_followed_by_one_that_goes_on(desk: Desk, branch: Branch) -> None:
    branch.keep(*(branch.told(sale(("apple", 1)), at=minutes(number)) for number in range(40)))
    replay_id = desk.order(Stretch(store_id=branch.store_id, until=datetime.now(UTC) + timedelta(days=1)), max_per_second=20.0)
    dying = Dying(desk.line.url, at=15)
    await dying.start()
    try:
        with pytest.raises(Crash):
            await step_for_ever(Replay(desk.engine, dying), replay_id, desk.engine)
    finally:
        await dying.close()
    assert desk.shown(replay_id)["done"] == 10
    async with desk.at_work():
        told = await desk.over(replay_id)
    places = seqs(await desk.messages())
    assert (told["state"], told["done"]) == ("done", len(branch.log))
    assert sorted(set(places)) == [event.seq for event in branch.log]
    assert len(places) - len(set(places)) <= 10


async def test_what_lands_in_the_systems_own_queues_changes_nothing(desk: Desk, branch: Branch) -> None:
    engine = desk.engine
    Projector(engine, desk.line.publisher).catch_up()

    def everything() -> Any:  # noqa: ANN401 - whatever is kept
        stores = [branch.store_id]
        return [event.seq for event in branch.log], kept_levels(engine, stores), cells(engine, stores), letters(engine)

    before = everything()
    handlers = {
        stock_writer.NAME: writer(engine, desk.line.publisher).handle,
        projector.NAME: Projector(engine, desk.line.publisher).handle,
        dead_letters.NAME: DeadLetters(engine).handle,
    }
    async with desk.at_work():
        for queue, handler in handlers.items():
            told = await desk.over(desk.order(Stretch(store_id=branch.store_id, until=datetime.now(UTC) + timedelta(days=1)), queue))
            assert told["done"] == len(branch.log)
            taken: list[int] = []
            watched = only_news(queue, handler)

            async def handle(deliveries: list[Any], watched: Any = watched, taken: list[int] = taken) -> None:  # noqa: ANN401 - a handler
                await watched(deliveries)
                taken.append(len(deliveries))

            async with desk.line.consuming(queue, handle):
                await until(lambda taken=taken: sum(taken) == len(branch.log), PATIENCE_SECONDS)  # type: ignore[misc]
    assert everything() == before


async def test_a_queue_that_is_gone_fails_the_replay_and_says_so(desk: Desk, branch: Branch) -> None:
    replay_id = desk.order(Stretch(store_id=branch.store_id, until=datetime.now(UTC) + timedelta(days=1)), "nobody-made-it")
    async with desk.at_work():
        told = await desk.over(replay_id)
    assert (told["state"], told["done"]) == ("failed", 0)
    assert "nobody-made-it" in told["error"]
