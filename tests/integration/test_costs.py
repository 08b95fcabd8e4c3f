"""Does the stock writer keep the moving average of what units cost, and do all who read it come to the same?"""

import importlib
import random
from collections.abc import Iterator
from decimal import Decimal

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, select, text

from events.base import Event
from operations.verify import verify
from projections import REPORTS, explain
from projections.explanation import Explanation, Listing
from projections.question import Question
from projections.stock_valuation import store_sku
from stock.costs import stock_cost
from tests.pipeline import NOBODY, pipeline, rebuilt
from tests.services import Services
from tests.telling import Branch, adjusted, cells, counted, delivered, minutes, own_engine, sale
from workers.projector import Projector

STEP = importlib.import_module("migrations.versions.0015_moving_average")


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    return Branch(engine).opened()


def known(branch: Branch) -> dict[str, tuple[int, int]]:
    """Units and cents by SKU, as the stock writer keeps them."""
    with branch.engine.connect() as connection:
        rows = connection.execute(select(stock_cost).where(stock_cost.c.store_id == branch.store_id)).all()
    return {row.sku: (row.units, row.cost_cents) for row in rows}


def shown(branch: Branch) -> dict[str, tuple[int, int]]:
    """The same as the projection keeps it, once it has come so far."""
    Projector(branch.engine, NOBODY).catch_up()
    with branch.engine.connect() as connection:
        rows = connection.execute(select(store_sku).where(store_sku.c.store_id == branch.store_id)).all()
    return {row.sku: (row.units, row.cost_cents) for row in rows}


def explained(branch: Branch, sku: str) -> Explanation:
    report = REPORTS["stock-valuation"]
    asked = explain.Asked(report, explain.measures_of(report)["value"], Question((), stores={branch.store_id}, sku=sku), Listing(limit=100))
    with branch.engine.connect() as connection:
        return explain.explain(connection, asked)


def differences(branch: Branch) -> int:
    return verify(branch.engine, branch.store_id, lambda: None).count


STORY: tuple[Event, ...] = (
    delivered(("apple", 10, "1.00"), ("pear", 4)),
    sale(("apple", 7), ("pear", 1)),
    delivered(("apple", 1, "2.05"), ("apple", 2, "3.00"), ("pear", 2, "0.40")),
    adjusted(("apple", 4), ("pear", -9)),
    delivered(("apple", 5, "2.00"), ("pear", 1, "0.50")),
)
"""Apples: 10 at 1.00; 3 left, with 3 for 8.05; 10 there by then, for 18.4166…, with 5 for 10.00. Of the pears nothing is left."""
APPLES, PEARS = (15, 2_842), (1, 50)


async def test_through_the_real_broker_a_delivery_weighs_what_is_still_there(branch: Branch, broker_url: str) -> None:
    facts = [branch.told(event) for event in STORY]
    async with pipeline(broker_url, branch.engine) as line, line.sound():
        for fact in facts:
            await line.tell([fact], [fact])
        await line.until_recorded([fact.event_id for fact in facts])
        await line.until_projected({branch.store_id: branch.log[-1].seq})
    assert known(branch) == shown(branch) == {"apple": APPLES, "pear": PEARS}
    assert cells(branch.engine, [branch.store_id]) == rebuilt(branch.engine, [branch.store_id])
    found = explained(branch, "apple")
    assert found.reported == found.recomputed == str((15 * Decimal(2_842) / 15 / 100).quantize(Decimal("0.01")))
    assert differences(branch) == 0


def test_deliveries_of_one_batch_see_each_other_and_of_one_that_comes_again_nobody_takes_notice(branch: Branch) -> None:
    facts = [branch.told(event) for event in STORY]
    branch.keep(*facts, facts[2])
    branch.keep(*facts[::-1])
    assert known(branch) == shown(branch) == {"apple": APPLES, "pear": PEARS}


def test_however_batches_are_cut_the_writer_and_the_projection_agree_at_every_place(engine: Engine) -> None:
    chance = random.Random(20_261_123)  # noqa: S311 - an example, not a secret
    for _ in range(4):
        branch, other = Branch(engine).opened(), Branch(engine).opened()
        story: list[Event] = []
        for _ in range(14):
            sku, units = chance.choice(("apple", "pear")), chance.randint(1, 9)
            happens = (sale((sku, units)), delivered((sku, units, f"{chance.randint(1, 999) / 100:.2f}")), counted((sku, units)))
            story.append(chance.choice((*happens, delivered((sku, units)), happens[1])))
        facts = [branch.told(event, at=minutes(late)) for event, late in zip(story, chance.sample(range(14), 14), strict=True)]
        start = 0
        while start < len(facts):
            length = chance.randint(1, 5)
            branch.keep(*facts[start : start + length])
            assert known(branch) == shown(branch)
            start += length
        other.keep(*(other.told(event, at=fact.occurred_at) for event, fact in zip(story, facts, strict=True)))
        assert known(other) == known(branch)
        assert (differences(branch), differences(other)) == (0, 0)


def test_a_sale_does_not_touch_the_costs(branch: Branch) -> None:
    branch.keep(delivered(("apple", 2, "1.00")))
    with branch.engine.connect() as connection:
        place = text("SELECT ctid, xmin FROM stock_cost WHERE store_id = :store_id")
        before = connection.execute(place, {"store_id": branch.store_id}).one()
        branch.keep(sale(("apple", 1)), counted(("apple", 7)), delivered(("apple", 3)))
        assert connection.execute(place, {"store_id": branch.store_id}).one() == before


def test_what_was_delivered_before_the_writer_kept_costs_counts_with_all_its_units(services: Services) -> None:
    with own_engine(services) as engine:
        branch = Branch(engine).opened()
        branch.keep(*STORY[:3])
        told_by_writer = known(branch)
        again(engine)
        assert known(branch) == told_by_writer, "what the log tells of it counts, too"
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE event_log DISABLE TRIGGER USER"))
            connection.execute(text("UPDATE event_log SET effect = NULL"))
            connection.execute(text("ALTER TABLE event_log ENABLE TRIGGER USER"))
        again(engine)
        assert known(branch) == shown(branch) == {"apple": (13, 1_805), "pear": (2, 80)}
        branch.keep(delivered(("apple", 4, "1.00")))
        assert known(branch) == shown(branch) == {"apple": (10, 6 * 1_805 // 13 + 400), "pear": (2, 80)}
        assert differences(branch) == 0


def again(engine: Engine) -> None:
    """The step of the migration that makes the table, on a log that is there already."""
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        STEP.downgrade()
        STEP.upgrade()
