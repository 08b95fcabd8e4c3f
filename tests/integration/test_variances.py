"""Are counts in the report of losses, on their day, with what came too late for them?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, Table, text

from events.stock import StockCounted
from infra.event_log import Stretch
from operations.verify import verify
from projections import PROJECTIONS, REPORTS, explain
from projections.base import Cells
from projections.explanation import Explanation, Listing
from projections.fold import fold
from projections.question import Question
from projections.shrinkage import reason_day
from schemas.envelope import Recorded
from stock import counts
from stock.counting import findings
from tests.pipeline import NOBODY, pipeline, rebuilt
from tests.services import Services
from tests.telling import Branch, adjusted, cells, counted, delivered, minutes, own_engine, sale, void
from workers.projector import Projector

DAY, EARLIER = date(2026, 3, 14), date(2026, 3, 13)
A_DAY = 1_440
NOBODY_SAW, TOLD_LATER = "stock_count", "explained_later"


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    """Ten apples and ten pears, the day before."""
    made = Branch(engine).opened()
    made.keep(made.told(delivered(("apple", 10, "1.00"), ("pear", 10)), at=minutes(-A_DAY)))
    return made


def losses(branch: Branch) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Units lost and found by day, SKU and reason, once the projector has come so far."""
    Projector(branch.engine, NOBODY).catch_up()
    question = Question(("business_date", "sku", "reason"), stores={branch.store_id}, limit=100)
    with branch.engine.connect() as connection:
        rows = REPORTS["shrinkage"].find(connection, question).rows
    return {(str(row["business_date"]), row["sku"], row["reason"]): (row["lost_units"], row["found_units"]) for row in rows}


def explained(branch: Branch, reason: str) -> Explanation:
    """Units found on the day of the count, by one reason."""
    report = REPORTS["shrinkage"]
    question = Question((), stores={branch.store_id}, since=DAY, through=DAY, options=(("reason", reason),))
    asked = explain.Asked(report, explain.measures_of(report)["net_lost_units"], question, Listing(limit=100))
    with branch.engine.connect() as connection:
        return explain.explain(connection, asked)


def effects(branch: Branch) -> list[dict[str, Any] | None]:
    return [event.effect for event in branch.log if event.type not in {"store.defined", "case.opened"}]


async def test_through_the_real_broker_a_late_sale_explains_what_a_count_missed(branch: Branch, broker_url: str) -> None:
    count = branch.told(counted(("apple", 6), ("pear", 11)))
    late = branch.told(sale(("apple", 3), ("pear", 1)), at=minutes(-A_DAY // 2))
    async with pipeline(broker_url, branch.engine) as line, line.sound():
        for fact in (count, late):
            await line.tell([fact], [fact])
            await line.until_recorded([fact.event_id])
        await line.until_projected({branch.store_id: branch.log[-1].seq})
    assert losses(branch) == {
        (str(DAY), "apple", NOBODY_SAW): (4, 0),
        (str(DAY), "pear", NOBODY_SAW): (0, 1),
        (str(DAY), "apple", TOLD_LATER): (0, 3),
        (str(DAY), "pear", TOLD_LATER): (0, 1),
    }
    assert cells(branch.engine, [branch.store_id]) == rebuilt(branch.engine, [branch.store_id])
    content = StockCounted.model_validate(count.data)
    with branch.engine.connect() as connection:
        expected = counts.expected(connection, branch.store_id, count.event_id, findings(content, count))
    assert expected == {"apple": 7, "pear": 9}, "the count itself tells, too, that one apple is missing and two pears are too many"


def test_an_ordinary_sale_has_nothing_to_say(branch: Branch) -> None:
    branch.keep(sale(("apple", 1)), counted(("apple", 9)), branch.told(sale(("apple", 1)), at=minutes(5)))
    assert effects(branch)[-3::2] == [None, None]
    assert effects(branch)[-2] == {"variances": {"apple": {"units": 0, "day": str(DAY), "reason": NOBODY_SAW}}}
    assert losses(branch) == {}


@pytest.mark.parametrize("length", [1, 3, 9])
def test_what_comes_late_concerns_the_next_count_wherever_it_is_found(branch: Branch, length: int) -> None:
    gone = branch.told(sale(("pear", 2)), at=minutes(-A_DAY))
    story = [
        branch.told(counted(("apple", 8)), at=minutes(-A_DAY + 10)),
        branch.told(counted(("apple", 8), ("pear", 7))),
        branch.told(sale(("apple", 2)), at=minutes(-A_DAY + 5)),
        branch.told(adjusted(("apple", -1), ("pear", -1)), at=minutes(-5)),
        gone,
        branch.told(void(gone.event_id), at=minutes(9)),
        branch.told(delivered(("pear", 5, "0.30")), at=minutes(-7)),
    ]
    for start in range(0, len(story), length):
        branch.keep(*story[start : start + length])
    assert losses(branch) == {
        (str(EARLIER), "apple", NOBODY_SAW): (2, 0),
        (str(EARLIER), "apple", TOLD_LATER): (0, 2),
        (str(DAY), "apple", "correction"): (1, 0),
        (str(DAY), "pear", "correction"): (1, 0),
        (str(DAY), "pear", NOBODY_SAW): (3, 0),
        (str(DAY), "apple", TOLD_LATER): (0, 1),
        (str(DAY), "pear", TOLD_LATER): (7, 3),
    }
    assert verify(branch.engine, branch.store_id, lambda: None).count == 0


def test_figures_of_counts_are_explained_with_what_came_from_another_day(branch: Branch) -> None:
    count = branch.told(counted(("apple", 6)))
    late = branch.told(sale(("apple", 3)), at=minutes(-A_DAY // 2))
    branch.keep(count)
    branch.keep(late)
    Projector(branch.engine, NOBODY).catch_up()
    for reason, event, units in ((NOBODY_SAW, count, 4), (TOLD_LATER, late, -3)):
        found = explained(branch, reason)
        assert (found.reported, found.recomputed, [part.event.event_id for part in found.parts]) == (units, units, [event.event_id])


def test_what_a_store_begins_with_is_no_find(engine: Engine) -> None:
    branch = Branch(engine).opened()
    branch.keep(branch.told(counted(("apple", 40), ("pear", 0))))
    branch.keep(branch.told(sale(("apple", 2)), at=minutes(-10)), branch.told(counted(("pear", 3)), at=minutes(5)))
    assert losses(branch) == {("2026-03-14", "pear", NOBODY_SAW): (0, 3)}
    assert branch.levels == {"apple": 40, "pear": 3}


def test_counts_of_the_time_before_variances_were_told_have_no_part_in_it(services: Services) -> None:
    with own_engine(services) as engine:
        branch = Branch(engine).opened()
        branch.keep(delivered(("apple", 10)), branch.told(counted(("apple", 6)), at=minutes(10)))
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE event_log DISABLE TRIGGER USER"))
            connection.execute(text("UPDATE event_log SET effect = NULL"))
            connection.execute(text("ALTER TABLE event_log ENABLE TRIGGER USER"))
        branch.keep(branch.told(sale(("apple", 1)), at=minutes(5)), branch.told(counted(("apple", 5)), at=minutes(20)))
        branch.keep(branch.told(sale(("apple", 1)), at=minutes(5)), branch.told(sale(("apple", 1)), at=minutes(15)))
        assert losses(branch) == {(str(DAY), "apple", NOBODY_SAW): (1, 0), (str(DAY), "apple", TOLD_LATER): (0, 1)}


def test_a_rebuild_reads_no_ordinary_sale_and_comes_to_the_same(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    branch.keep(sale(("apple", 1)), branch.told(counted(("apple", 6)), at=minutes(10)))
    branch.keep(branch.told(sale(("apple", 3)), at=minutes(5)), adjusted(("pear", -2)), sale(("pear", 1)))
    projection, log, read, put = PROJECTIONS["shrinkage"], branch.log, list[Recorded](), dict[Table, Cells]()
    increments = projection.increments
    expected = increments(log)

    def noticed(events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        read.extend(events)
        return increments(events)

    monkeypatch.setattr(projection, "increments", noticed)
    with branch.engine.connect() as connection:
        fold(connection, projection, [Stretch(branch.store_id, 0, log[-1].seq)], put.update)
    assert put == expected
    assert len(expected[reason_day]) == 3
    assert [event.type for event in read if event.type == "sale.recorded"] == ["sale.recorded"], "the late one"
