"""A worker dies between any two of its side effects: is anything lost, is anything there twice?

Each test lets a worker die at one point, on the real broker and the real database, and then lets sound ones take over.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.event import listen

from infra.database import engine_for
from infra.settings import Settings
from schemas.envelope import Accepted
from tests.pipeline import Crash, Dying, Forgetting, Pipeline, dying_after, pipeline, rebuilt, writer
from tests.services import Services
from tests.telling import Branch, cells, counted, delivered, folded, kept_levels, minutes, own_engine, returned, sale, void
from workers.projector import Projector


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
async def line(broker_url: str, engine: Engine) -> AsyncIterator[Pipeline]:
    async with pipeline(broker_url, engine) as made:
        yield made


@dataclass(frozen=True)
class Day:
    """What two stores tell in three messages: a void and a return before their sales, a duplicate, an unknown product, a late count."""

    one: Branch
    two: Branch
    messages: list[list[Accepted]]

    @property
    def facts(self) -> set[UUID]:
        return {event.event_id for message in self.messages for event in message}


@pytest.fixture
def day(engine: Engine) -> Day:
    one, two = Branch(engine).opened(), Branch(engine).opened()
    sold, gone = one.told(sale(("apple", 3), ("pear", 1))), two.told(sale(("pear", 2)))
    first = [one.told(delivered(("apple", 10)), at=minutes(-9)), one.told(returned(sold.event_id, ("apple", 1)), at=minutes(9)), sold]
    second = [two.told(void(gone.event_id)), sold, one.told(sale((f"strange-{one.store_id}", 1)))]
    third = [two.told(counted(("pear", 5)), at=minutes(-5)), gone, two.told(sale(("pear", 1)), at=minutes(5))]
    return Day(one, two, [first, second, third])


def dying_at_commit(engine: Engine, *, number: int = 1) -> Engine:
    """Connections of a process that ends when it is about to commit for the n-th time."""
    left = [number]

    class Doomed(psycopg.Connection[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> psycopg.Cursor[Any]:  # noqa: ANN401 - as psycopg takes them
            if query == "COMMIT":
                left[0] -= 1
                if left[0] == 0:
                    raise Crash
            return super().execute(query, *arguments, **options)

    def connect(_dialect: object, _record: object, arguments: list[Any], parameters: dict[str, Any]) -> Doomed:
        return Doomed.connect(*arguments, **parameters)

    pool = engine_for(Settings(env="test", database_url=engine.url.render_as_string(hide_password=False)), name="dying")
    listen(pool, "do_connect", connect)
    return pool


async def heal(line: Pipeline, day: Day) -> None:
    """Sound workers take over; then everything is there, and there once."""
    async with line.sound():
        await settle(line, day)
    check(line, day)


async def settle(line: Pipeline, day: Day) -> None:
    """Wait until all of the day is recorded, projected and published."""
    await line.until_recorded(day.facts)
    branches = (day.one, day.two)
    await line.until_published([event for each in branches for event in each.log if event.seq > 1])
    await line.until_projected({each.store_id: len(each.log) for each in branches})


def check(line: Pipeline, day: Day) -> None:
    """Every fact once in the log and in the ledger, levels and cells as they must be."""
    ids = Counter(event.event_id for each in (day.one, day.two) for event in each.log)
    assert set(ids.values()) == {1}
    assert day.one.levels == {"apple": 8, "pear": -1, f"strange-{day.one.store_id}": -1}
    assert day.two.levels == {"pear": 4}
    stores = [day.one.store_id, day.two.store_id]
    assert kept_levels(line.engine, stores) == folded(line.engine, stores)
    assert cells(line.engine, stores) == rebuilt(line.engine, stores)
    assert Counter(case["kind"] for case in day.one.cases) == {"oversell": 2, "unknown_product": 1}


async def test_without_any_crash_a_day_is_recorded_published_and_projected(line: Pipeline, day: Day) -> None:
    await line.tell(*day.messages)
    await heal(line, day)


async def test_the_writer_dies_before_its_commit(line: Pipeline, day: Day) -> None:
    await line.tell(*day.messages)
    dying = dying_at_commit(line.engine)
    await line.crash("stock-writer", writer(dying).handle)
    assert (len(day.one.log), len(day.two.log)) == (1, 1)
    dying.dispose()
    await heal(line, day)


async def test_the_writer_dies_between_two_commits_of_one_delivery(line: Pipeline, day: Day) -> None:
    await line.tell([event for message in day.messages for event in message])
    dying = dying_at_commit(line.engine, number=2)
    await line.crash("stock-writer", writer(dying, batch_events=4).handle)
    assert len(day.one.log) > 1
    assert line.published == []
    dying.dispose()
    await heal(line, day)


async def test_the_writer_dies_after_its_commit_and_before_it_publishes(line: Pipeline, day: Day) -> None:
    await line.tell(*day.messages)
    await line.crash("stock-writer", writer(line.engine, Dying(line.url, at=1)).handle)
    assert len(day.one.log) > 1
    assert line.published == []
    await heal(line, day)


async def test_the_writer_dies_while_it_publishes_several_messages(line: Pipeline, day: Day) -> None:
    await line.tell([event for message in day.messages for event in message])
    publisher = Dying(line.url, at=3)
    await publisher.start()
    await line.crash("stock-writer", writer(line.engine, publisher, batch_events=2).handle)
    await publisher.close()
    assert 0 < len(line.published) < len(day.one.log) + len(day.two.log) - 2
    await heal(line, day)


async def test_the_writer_dies_after_it_published_and_before_it_acknowledges(line: Pipeline, day: Day) -> None:
    await line.tell(*day.messages)
    await line.crash("stock-writer", dying_after(writer(line.engine, line.publisher).handle))
    await line.until_published([event for event in day.one.log if event.seq > 1])
    await heal(line, day)


async def test_the_writers_acknowledgement_is_lost(line: Pipeline, day: Day) -> None:
    await line.tell(*day.messages)
    async with (
        line.consuming("stock-writer", writer(line.engine, line.publisher).handle, Forgetting),
        line.consuming("projector", Projector(line.engine, line.publisher).handle),
    ):
        await settle(line, day)
    check(line, day)


@pytest.fixture
async def recorded(line: Pipeline, day: Day) -> Day:
    """The day, recorded and published: the projector has everything to do."""
    async with line.sound(without="projector"):
        await line.tell(*day.messages)
        await line.until_recorded(day.facts)
        await line.until_published([event for each in (day.one, day.two) for event in each.log if event.seq > 1])
    return day


def own_rows(line: Pipeline, day: Day) -> int:
    return sum(len(rows) for rows in cells(line.engine, [day.one.store_id, day.two.store_id]).values())


async def test_the_projector_dies_before_its_commit(line: Pipeline, recorded: Day) -> None:
    dying = dying_at_commit(line.engine)
    await line.crash("projector", Projector(dying, line.publisher).handle)
    assert own_rows(line, recorded) == 0
    dying.dispose()
    await heal(line, recorded)


async def test_the_projector_dies_after_its_commit_and_before_it_announces(line: Pipeline, recorded: Day) -> None:
    await line.crash("projector", Projector(line.engine, Dying(line.url, at=1)).handle)
    assert own_rows(line, recorded) > 0
    await heal(line, recorded)


async def test_the_projector_dies_after_it_announced_and_before_it_acknowledges(line: Pipeline, recorded: Day) -> None:
    await line.crash("projector", dying_after(Projector(line.engine, line.publisher).handle))
    assert own_rows(line, recorded) > 0
    await heal(line, recorded)


async def test_the_projectors_acknowledgement_is_lost(line: Pipeline, recorded: Day) -> None:
    async with line.consuming("projector", Projector(line.engine, line.publisher).handle, Forgetting):
        await settle(line, recorded)
    check(line, recorded)


async def test_both_die_again_and_again_and_the_day_is_right_in_the_end(line: Pipeline, day: Day) -> None:
    await line.tell(*day.messages)
    await line.crash("stock-writer", writer(line.engine, Dying(line.url, at=1)).handle)
    await line.crash("stock-writer", dying_after(writer(line.engine, line.publisher).handle))
    await line.crash("projector", dying_after(Projector(line.engine, line.publisher).handle))
    dying = dying_at_commit(line.engine)
    await line.crash("projector", Projector(dying, line.publisher).handle)
    dying.dispose()
    await heal(line, day)
