"""Is no unit lost between two stores, through the real writer, whatever comes in between, twice, or from several writers at once?"""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, RowMapping, text

from schemas.envelope import Accepted, Recorded, canonical, fingerprint
from stock import holdings
from stock.restock import Line, Restock
from stock.restocks import UNITS
from tests.pipeline import pipeline, writer
from tests.restocking import CENTRE, Transfer, lost, on_the_way, stories
from tests.services import Services
from tests.telling import SHOP, delivered, folded, kept_levels, message, open_shops, own_engine, sale, told, whole_log

SOME = settings(max_examples=15)


class Telling:
    """One run of a story in stores of its own."""

    def __init__(self, engine: Engine, story: Sequence[Accepted]) -> None:
        self.engine = engine
        self._run = uuid4()
        self.stores = {name: f"s-{self._run.hex[:12]}-{number}" for number, name in enumerate((SHOP, CENTRE))}
        open_shops(engine, *self.stores.values(), skus=("apple", "pear"))
        self.facts = [self._here(each) for each in story]

    def _here(self, fact: Accepted) -> Accepted:
        """The same fact in the stores of this run, with ids of this run."""
        data = dict(fact.data)
        if "restock_id" in data:
            stores = {name: self.stores[data[name]] for name in ("from_store", "to_store")}
            data |= {"restock_id": str(uuid5(self._run, data["restock_id"])), **stores}
        store_id = self.stores[fact.store_id]
        return replace(
            fact,
            event_id=uuid5(self._run, str(fact.event_id)),
            store_id=store_id,
            data=data,
            fingerprint=fingerprint(fact.type, store_id, fact.occurred_at, canonical(data)),
        )

    @property
    def log(self) -> list[Recorded]:
        with self.engine.connect() as connection:
            return whole_log(connection, list(self.stores.values()))

    @property
    def restocks(self) -> list[Restock]:
        found: dict[UUID, Restock] = {}
        for row in self._rows("SELECT * FROM restock WHERE to_store = ANY(:stores)"):
            found[row["restock_id"]] = Restock(
                row["restock_id"], row["from_store"], row["to_store"], row["requested_by"], row["requested_at"], status=row["status"]
            )
        for row in self._rows("SELECT l.* FROM restock_line l JOIN restock r USING (restock_id) WHERE r.to_store = ANY(:stores)"):
            found[row["restock_id"]].lines[row["sku"]] = Line(*(int(row[name]) for name in UNITS))
        return list(found.values())

    def _rows(self, statement: str) -> Sequence[RowMapping]:
        with self.engine.connect() as connection:
            return connection.execute(text(statement), {"stores": list(self.stores.values())}).mappings().all()

    def moved(self, type_: str) -> int:
        """Units that the movements of one type made or took."""
        (row,) = self._rows(
            f"SELECT coalesce(sum(delta), 0) AS units FROM stock_movement WHERE store_id = ANY(:stores) AND type = '{type_}'"  # noqa: S608
        )
        return int(row["units"])

    def check(self) -> None:
        """What must hold after any story."""
        log, stores = self.log, list(self.stores.values())
        for store_id in stores:
            seqs = [event.seq for event in log if event.store_id == store_id]
            assert seqs == list(range(1, len(seqs) + 1))
        assert kept_levels(self.engine, stores) == folded(self.engine, stores)
        for restock in self.restocks:
            for sku, line in restock.lines.items():
                assert line.shipped == line.received + line.damaged + line.missing + restock.in_transit(sku) - line.surplus
        under_way = sum(map(on_the_way, self.restocks))
        # What left has arrived, is under way, or is lost with a name.
        assert self.moved("restock.shipped") + self.moved("restock.received") + under_way + sum(map(lost, self.restocks)) == 0
        assert self._shown_in_transit() == under_way
        decided = [event for event in log if event.type in {"restock.approved", "restock.rejected"} and event.outcome == "recorded"]
        assert len({event.subject for event in decided}) == len(decided), "two decisions about one request"
        if not any(event.type == "stock.counted" for event in log):
            made = sum(self.moved(type_) for type_ in ("sale.recorded", "delivery.received", "stock.adjusted"))
            on_hand = sum(level.on_hand for level in kept_levels(self.engine, stores).values())
            assert on_hand + under_way + sum(map(lost, self.restocks)) == made

    def _shown_in_transit(self) -> int:
        with self.engine.connect() as connection:
            rows = holdings.levels(connection, holdings.Wanted(stores=list(self.stores.values())), after=None, limit=100)
        return sum(row["in_transit"] for row in rows)


def jumbled(items: Sequence[Accepted], chance: random.Random) -> list[Accepted]:
    """The items roughly in order, as redelivery and competing writers leave it: some a little earlier or later, some twice."""
    told = [*((place + chance.uniform(0, 3), each) for place, each in enumerate(items))]
    told += [(place + chance.uniform(0, 10), each) for place, each in told if chance.random() < 0.4]
    return [each for _, each in sorted(told, key=lambda pair: pair[0])]


def cut(items: Sequence[Accepted], chance: random.Random) -> Iterator[Sequence[Accepted]]:
    at = 0
    while at < len(items):
        length = chance.randint(1, 6)
        yield items[at : at + length]
        at += length


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@SOME
@given(stories(), st.randoms(use_true_random=False))
def test_no_unit_is_lost_whatever_order_and_repetition_the_facts_come_in(
    engine: Engine, story: list[Accepted], chance: random.Random
) -> None:
    telling = Telling(engine, story)
    stock_writer = writer(engine, batch_events=chance.randint(1, 8))
    for each in cut(jumbled(telling.facts, chance), chance):
        stock_writer.settle([message(each)])
    telling.check()
    before = (telling.log, telling.restocks)
    stock_writer.settle([message(jumbled(telling.facts, chance))])
    assert (telling.log, telling.restocks) == before, "told again, nothing changes and no case opens twice"


@SOME
@given(stories(), st.randoms(use_true_random=False))
def test_no_unit_is_lost_between_writers_that_compete(engine: Engine, story: list[Accepted], chance: random.Random) -> None:
    telling = Telling(engine, story)
    messages = [message(each) for each in cut(jumbled(telling.facts, chance), chance)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: writer(engine, batch_events=4).settle([each]), messages))
    telling.check()
    recorded = {event.event_id for event in telling.log}
    assert {fact.event_id for fact in telling.facts} <= recorded


async def test_no_unit_is_lost_on_the_way_through_the_real_broker(engine: Engine, broker_url: str) -> None:
    chance = random.Random(7)  # noqa: S311 - an order of arrival, no secret
    ways = [Transfer(), Transfer(SHOP, CENTRE)]
    story = [told(delivered(("apple", 30)), store_id=CENTRE), *(way.requested(apple=9, pear=2) for way in ways)]
    story += [ways[0].approved(apple=7), ways[1].rejected(), ways[1].approved(), ways[0].shipped(apple=7, pear=1), ways[0].cancelled()]
    story += [told(sale(("apple", 3))), ways[0].received({"apple": 2}), ways[0].received({"apple": 1}, damaged={"pear": 1}, close=True)]
    story += [ways[0].received({"apple": 1, "plum": 1}), told(sale(("apple", 4)), store_id=CENTRE)]
    telling = Telling(engine, story)
    async with pipeline(broker_url, engine) as line, line.sound():
        for each in cut(jumbled(telling.facts, chance), chance):
            await line.tell(each)
        await line.until_recorded([fact.event_id for fact in telling.facts])
    telling.check()
