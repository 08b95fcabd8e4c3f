"""Do the same facts end the same through the real pipeline, in whatever order, however often and in whatever messages they come?"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from events.base import Event
from projections.shrinkage import OF_COUNTS
from schemas.envelope import Accepted, Recorded, join
from stock import desk, tills
from tests.pipeline import NOBODY, pipeline, rebuilt, writer
from tests.services import Services
from tests.telling import (
    adjusted,
    cells,
    counted,
    delivered,
    delivery,
    folded,
    kept_levels,
    marks,
    message,
    minutes,
    open_shops,
    own_engine,
    returned,
    sale,
    told,
    void,
    whole_log,
)
from workers.projector import Projector
from workers.stock_writer import messages

SKUS = ("apple", "pear", "strange")
STORES = 2
QUARTER_DAY_MINUTES = 360
SOME = settings(max_examples=15)


@dataclass(frozen=True)
class Step:
    """One fact of a story: `sold` names the step of the sale that a void or a return speaks of (or of none that ever comes).

    `damaged` also makes a sale one of a numbered till, and a count one whose lines have instants of their own.
    """

    kind: str
    store: int
    quarter_day: int
    lines: tuple[tuple[str, int], ...]
    sold: int = -1
    damaged: bool = False


@st.composite
def stories(draw: st.DrawFn) -> list[Step]:
    """Facts of two stores at few instants. A sale has at most one void: of two the one that comes first counts, by design."""
    lines = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 9)), min_size=1, max_size=3).map(tuple)
    story: list[Step] = []
    for _ in range(draw(st.integers(2, 10))):
        kind = draw(st.sampled_from(["sale", "sale", "sale", "void", "return", "return", "count", "adjustment", "delivery"]))
        step = Step(kind, draw(st.integers(0, STORES - 1)), draw(st.integers(0, 5)), draw(lines), damaged=draw(st.booleans()))
        if kind in {"void", "return"}:
            voided = {each.sold for each in story if each.kind == "void"}
            sales = [number for number, each in enumerate(story) if each.kind == "sale" and (kind == "return" or number not in voided)]
            again = kind == "void" and any((each.kind, each.sold, each.quarter_day) == ("void", -1, step.quarter_day) for each in story)
            if again and not sales:
                continue
            sold = draw(st.sampled_from(sales if again else [*sales, -1]))
            store = step.store if sold < 0 else story[sold].store
            step = Step(kind, store, step.quarter_day, step.lines, sold, step.damaged)
        story.append(step)
    return story


class Telling:
    """One run of a story in stores of its own. Ids keep the order of the steps, as they decide between counts of one instant."""

    def __init__(self, engine: Engine, story: Sequence[Step]) -> None:
        self.engine = engine
        self._base = uuid4().int >> 64 << 64
        self.stores = [f"s-{self._base >> 64:016x}-{number}" for number in range(STORES)]
        open_shops(engine, *self.stores, skus=SKUS[:2])
        self.facts = [self._fact(number, step) for number, step in enumerate(story)]

    def _fact(self, number: int, step: Step) -> Accepted:
        event_id, at = UUID(int=self._base + number + 1), minutes(step.quarter_day * QUARTER_DAY_MINUTES)
        return told(self._event(step), store_id=self.stores[step.store], event_id=event_id, at=at)

    def _event(self, step: Step) -> Event:
        # Without a sale: an id that no step has.
        sale_id = UUID(int=self._base + (step.sold + 1 if step.sold >= 0 else 2**32 + step.quarter_day))
        match step.kind:
            case "sale":
                lines = ((sku, quantity, f"{quantity}.33") for sku, quantity in step.lines)
                return sale(*lines, till="1", number=step.quarter_day + 1) if step.damaged else sale(*lines)
            case "void":
                return void(sale_id)
            case "return":
                return returned(sale_id, *step.lines, condition="damaged" if step.damaged else "resellable")
            case "count":
                own = enumerate(step.lines, start=step.quarter_day)
                return counted(*((*line, minutes(place * QUARTER_DAY_MINUTES / 4)) if step.damaged else line for place, line in own))
            case "adjustment":
                return adjusted(*((sku, quantity if step.damaged else -quantity) for sku, quantity in step.lines))
            case _:
                return delivered(*step.lines)

    def outcome(self) -> dict[str, Any]:
        """Everything that this run left behind, with its own stores and ids as the numbers that every run has.

        Without what is said of counts, for that depends on what was known: `check` has what must hold of it.
        """
        levels, cases = kept_levels(self.engine, self.stores), self._cases()
        return {
            "levels": {self._number(cell): (level.on_hand, level.counted_at) for cell, level in levels.items()},
            "movements": self._movements(),
            "facts": self._facts(),
            "cells": {
                table: sorted((self.stores.index(row[0]), *row[1:]) for row in rows if not OF_COUNTS & set(row))
                for table, rows in self.cells().items()
            },
            "over_returned": {(case["sku"], self._id(UUID(case["events"][0]))) for case in cases if case["kind"] == "over_return"},
            "strange": sorted(case["sku"] for case in cases if case["kind"] == "unknown_product"),
            "same_number": sorted(case["details"]["till_seq"] for case in cases if case["kind"] == "till_sequence"),
            "tills": self._tills(),
        }

    def cells(self) -> dict[str, list[tuple[Any, ...]]]:
        return cells(self.engine, self.stores)

    def log(self) -> list[Recorded]:
        with self.engine.connect() as connection:
            return whole_log(connection, self.stores)

    def check(self) -> None:
        """What must hold in every run: the log without a gap, every level the fold of its movements, every cell the sum of its events."""
        log, places = self.log(), marks(self.engine, self.stores)
        for store_id in self.stores:
            seqs = [event.seq for event in log if event.store_id == store_id]
            assert seqs == list(range(1, len(seqs) + 1))
            assert {place for (_, store), place in places.items() if store == store_id} == {(len(seqs), "live")}
        assert kept_levels(self.engine, self.stores) == folded(self.engine, self.stores)
        assert self._said_of_counts(log) == self._off_by_deltas()
        assert self.cells() == rebuilt(self.engine, self.stores)
        with self.engine.connect() as connection:
            found = desk.cases(connection, desk.Wanted(stores=self.stores), after=None, limit=500)
        assert [case["case_id"] for case in found] == [event.event_id for event in log if event.type == "case.opened"]

    def _said_of_counts(self, log: Sequence[Recorded]) -> dict[tuple[str, str], int]:
        """The variances that counts said, and what late events explained of them, by store and SKU."""
        said: dict[tuple[str, str], int] = defaultdict(int)
        for event in log:
            for sku, each in (event.effect or {}).get("variances", {}).items():
                said[event.store_id, sku] += each["units"]
        return {cell: units for cell, units in said.items() if units}

    def _off_by_deltas(self) -> dict[tuple[str, str], int]:
        """What is on hand, less what all deltas come to."""
        moved = text("SELECT store_id, sku, sum(delta) AS units FROM stock_movement WHERE store_id = ANY(:stores) GROUP BY store_id, sku")
        with self.engine.connect() as connection:
            deltas = {(row.store_id, row.sku): int(row.units or 0) for row in connection.execute(moved, {"stores": self.stores})}
        levels = kept_levels(self.engine, self.stores)
        return {cell: level.on_hand - deltas[cell] for cell, level in levels.items() if level.on_hand != deltas[cell]}

    def _tills(self) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            rows = tills.tills(connection, self.stores, silent_after_seconds=60, after=None, limit=50)
        return [(self.stores.index(row["store_id"]), row["contiguous_through"], row["missing"], row["last_sale_at"]) for row in rows]

    def _number(self, cell: tuple[str, str]) -> tuple[int, str]:
        return self.stores.index(cell[0]), cell[1]

    def _id(self, event_id: UUID) -> int:
        return event_id.int - self._base

    def _movements(self) -> set[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT * FROM stock_movement WHERE store_id = ANY(:stores)"), {"stores": self.stores})
            return {
                (
                    self.stores.index(row.store_id),
                    row.sku,
                    row.effective_at,
                    self._id(row.event_id),
                    row.line,
                    row.type,
                    row.delta,
                    row.counted,
                )
                for row in rows
            }

    def _facts(self) -> set[tuple[Any, ...]]:
        return {
            (
                self._id(event.event_id),
                event.type,
                event.outcome,
                event.reason,
                event.effective_at,
                event.local_at,
                str(event.data.get("lines")),
            )
            for event in self.log()
            if event.type not in {"store.defined", "case.opened"}
        }

    def _cases(self) -> list[dict[str, Any]]:
        return [event.data for event in self.log() if event.type == "case.opened"]


def cut(items: Sequence[Any], chance: random.Random) -> Iterator[Sequence[Any]]:
    """The items in stretches of any length."""
    at = 0
    while at < len(items):
        length = chance.randint(1, len(items) - at)
        yield items[at : at + length]
        at += length


def repeated(items: Sequence[Any], chance: random.Random) -> list[Any]:
    """The items in another order, some of them several times."""
    shuffled = [*items, *chance.choices(items, k=len(items) // 2)]
    chance.shuffle(shuffled)
    return shuffled


def settle_and_project(telling: Telling, chance: random.Random | None) -> None:
    """All facts through the writer and the projector: as told and at once, or in any order, repeated, in any messages and batches."""
    facts = telling.facts if chance is None else repeated(telling.facts, chance)
    intake = [message(facts)] if chance is None else [message(each) for each in cut(facts, chance)]
    batches = [intake] if chance is None else list(cut(intake, chance))
    batch_events = 500 if chance is None else chance.randint(1, 5)
    stock_writer = writer(telling.engine, batch_events=batch_events)
    published = [event for batch in batches for event in stock_writer.settle(batch).published]
    bodies = list(messages(published, batch_events))
    if chance is not None:
        bodies = repeated(bodies, chance)
    projector = Projector(telling.engine, NOBODY)
    for batch in [bodies] if chance is None else cut(bodies, chance):
        projector.project([delivery(body) for body in batch])
    projector.catch_up()


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@SOME
@given(stories(), st.randoms(use_true_random=False))
def test_order_repetition_and_splitting_change_nothing_that_is_left_behind(
    engine: Engine, story: list[Step], chance: random.Random
) -> None:
    straight, crooked = Telling(engine, story), Telling(engine, story)
    settle_and_project(straight, None)
    settle_and_project(crooked, chance)
    straight.check()
    crooked.check()
    assert crooked.outcome() == straight.outcome()


@SOME
@given(stories(), st.randoms(use_true_random=False))
def test_telling_everything_again_changes_nothing(engine: Engine, story: list[Step], chance: random.Random) -> None:
    telling = Telling(engine, story)
    settle_and_project(telling, None)
    before = telling.outcome()
    settle_and_project(telling, chance)
    telling.check()
    assert telling.outcome() == before


STORY = [
    Step("sale", 0, 1, (("apple", 3), ("apple", 1), ("pear", 2))),
    Step("sale", 1, 2, (("apple", 5), ("strange", 1))),
    Step("return", 0, 3, (("apple", 2), ("pear", 5)), sold=0),
    Step("void", 1, 4, (), sold=1),
    Step("count", 0, 2, (("apple", 9), ("pear", 4)), damaged=True),
    Step("sale", 0, 4, (("pear", 1),), damaged=True),
    Step("sale", 0, 4, (("apple", 1),), damaged=True),
    Step("delivery", 1, 0, (("apple", 9),)),
    Step("sale", 0, 5, (("apple", 2),)),
    Step("adjustment", 0, 2, (("pear", 1),)),
    Step("return", 1, 5, (("apple", 1),), damaged=True),
    Step("count", 1, 1, (("apple", 8),)),
]


async def test_through_the_real_broker_it_is_the_same(engine: Engine, broker_url: str) -> None:
    straight, crooked = Telling(engine, STORY), Telling(engine, STORY)
    await asyncio.to_thread(settle_and_project, straight, None)
    chance = random.Random(5)  # noqa: S311 - an order of arrival, no secret
    async with pipeline(broker_url, engine) as line, line.sound():
        for each in cut(repeated(crooked.facts, chance), chance):
            await line.tell(each)
        await line.until_recorded([event.event_id for event in crooked.facts])
        log = [event for event in crooked.log() if event.type != "store.defined"]
        await line.until_published(log)
        await line.until_projected({store_id: max(event.seq for event in log if event.store_id == store_id) for store_id in crooked.stores})
    straight.check()
    crooked.check()
    assert crooked.outcome() == straight.outcome()


def test_a_run_of_only_duplicates_in_one_message_is_one_fact(engine: Engine) -> None:
    telling = Telling(engine, STORY[:1])
    settled = writer(engine).settle([delivery(join([*[_wire(telling.facts[0])] * 5]))])
    assert [event.event_id for event in settled.published if event.type == "sale.recorded"] == [telling.facts[0].event_id]


def _wire(accepted: Accepted) -> bytes:
    return message([accepted]).body[1:-1]
