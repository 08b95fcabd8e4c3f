"""Does a batch become part of the truth once, whole, in order, whoever else writes at the same moment?"""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError

from events.catalogue import ProductStocked
from events.fields import Sku
from infra import event_log
from schemas.envelope import CATALOGUE_STREAM, Recorded
from stock.record import NotAllowed, UnknownStore, check, record
from tests.brokers import until
from tests.services import Services
from tests.telling import (
    NOON,
    Branch,
    adjusted,
    counted,
    delivered,
    folded,
    keep,
    kept_levels,
    log_of,
    minutes,
    own_engine,
    product,
    returned,
    sale,
    shop,
    told,
    void,
)

WRITERS = 4


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    return Branch(engine).opened()


def kinds(branch: Branch) -> list[str]:
    return [case["kind"] for case in branch.cases]


def contiguous(log: list[Recorded]) -> bool:
    return [event.seq for event in log] == list(range(1, len(log) + 1))


def rows(engine: Engine, statement: str, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - SQL's
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(statement), values).mappings()]


# Order and identity.


def test_each_store_counts_its_own_events_without_a_gap_through_many_batches(engine: Engine, branch: Branch) -> None:
    other = Branch(engine).opened()
    for _ in range(3):
        keep(engine, branch.told(sale(("apple", 1))), other.told(delivered(("apple", 1))), branch.told(delivered(("apple", 3))))
    for each in (branch, other):
        assert contiguous(each.log)
    assert len(branch.log) >= 1 + 6
    assert len(other.log) == 1 + 3


def test_an_event_is_kept_as_it_was_told_with_its_place_and_both_clocks(branch: Branch) -> None:
    trace = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    told_ = replace(branch.told(delivered(("apple", 2)), at=minutes(-30), received_at=NOON), traceparent=trace)
    now = datetime.now(UTC)
    (event,) = branch.keep(told_, now=now).recorded
    assert event == branch.log[-1]
    for name in ("event_id", "type", "version", "store_id", "source", "occurred_at", "received_at", "data", "actor", "traceparent"):
        assert getattr(event, name) == getattr(told_, name)
    assert (event.effective_at, event.recorded_at) == (minutes(-30), now)
    assert event.local_at == datetime(2026, 3, 14, 7, 30)  # noqa: DTZ001 - the shop's wall clock
    assert (event.outcome, event.reason, event.effect) == ("recorded", None, None)


def test_the_same_event_twice_in_one_batch_counts_once(branch: Branch) -> None:
    told_ = branch.told(delivered(("apple", 5)))
    result = branch.keep(told_, told_, told_)
    assert [event.event_id for event in result.recorded] == [told_.event_id]
    assert branch.levels == {"apple": 5}


def test_an_event_that_the_log_has_changes_nothing_and_is_handed_back_for_publishing(branch: Branch) -> None:
    told_ = branch.told(delivered(("apple", 5)))
    first = branch.keep(told_).recorded
    again = branch.keep(told_, told_)
    assert again.recorded == []
    assert {event.event_id: event for event in again.repeated} == {told_.event_id: first[0]}
    assert branch.levels == {"apple": 5}
    assert contiguous(branch.log)


def test_an_id_used_again_for_other_content_is_a_case_once_and_the_first_wins(branch: Branch) -> None:
    first = branch.told(delivered(("apple", 5)))
    other = branch.told(delivered(("apple", 500)), event_id=first.event_id)
    branch.keep(first)
    for _ in range(3):
        result = branch.keep(other)
        assert result.conflicts == [other]
    assert branch.levels == {"apple": 5}
    (case,) = branch.cases
    assert (case["kind"], case["events"]) == ("id_reuse", [str(first.event_id)])
    assert case["details"]["refused"] == other.data
    assert [event.data for event in result.reopened] == [case]


def test_an_id_used_twice_within_one_batch_is_the_same_case(branch: Branch) -> None:
    first = branch.told(delivered(("apple", 5)))
    other, third = (branch.told(delivered(("apple", units)), event_id=first.event_id) for units in (6, 7))
    result = branch.keep(first, other, first, third, other)
    assert result.conflicts == [other, third, other]
    assert branch.levels == {"apple": 5}
    assert kinds(branch) == ["id_reuse", "id_reuse"]
    branch.keep(third)
    assert kinds(branch) == ["id_reuse", "id_reuse"]


def test_another_type_under_the_same_id_is_other_content(branch: Branch) -> None:
    first = branch.told(delivered(("apple", 5)))
    branch.keep(first)
    assert len(branch.keep(branch.told(counted(("apple", 5)), event_id=first.event_id)).conflicts) == 1


def test_instants_of_recording_never_run_backwards_in_a_store(branch: Branch) -> None:
    now = datetime.now(UTC) + timedelta(minutes=5)
    branch.keep(delivered(("apple", 1)), now=now)
    branch.keep(delivered(("apple", 1)), now=now - timedelta(hours=1))
    instants = [event.recorded_at for event in branch.log]
    assert instants == sorted(instants)
    assert instants[-1] == now


def test_an_empty_batch_is_nothing(engine: Engine) -> None:
    result = keep(engine)
    assert (result.recorded, result.repeated, result.reopened, result.conflicts) == ([], [], [], [])


# What may not be.


def test_an_event_of_a_store_nobody_defined_leaves_nothing_at_all(engine: Engine, branch: Branch) -> None:
    stranger = Branch(engine)
    with pytest.raises(UnknownStore, match=stranger.store_id):
        keep(engine, branch.told(delivered(("apple", 5))), stranger.told(delivered(("apple", 5))))
    assert (branch.levels, stranger.log) == ({}, [])


def test_a_shop_may_be_opened_and_sell_in_one_batch(engine: Engine) -> None:
    branch = Branch(engine)
    branch.keep(shop(timezone="Europe/Paris"), delivered(("apple", 5)))
    assert branch.levels == {"apple": 5}
    assert branch.log[1].local_at.hour == 13


def test_the_catalogues_stream_takes_products_and_nothing_else(engine: Engine) -> None:
    for event in (delivered(("apple", 1)), ProductStocked(sku=Sku("apple"), reorder_point=1)):
        with pytest.raises(UnknownStore):
            keep(engine, told(event, store_id=CATALOGUE_STREAM))


def test_nobody_else_opens_cases(branch: Branch) -> None:
    branch.keep(sale(("apple", 1)))
    opened = branch.log[-1]
    forged = replace(branch.told(sale(("apple", 1))), type=opened.type, data=opened.data)
    with pytest.raises(NotAllowed):
        check(forged)


@pytest.mark.parametrize(
    "statement", ["UPDATE event_log SET actor = 'me' WHERE seq = 1", "DELETE FROM event_log WHERE seq = 1", "TRUNCATE event_log"]
)
def test_the_database_itself_refuses_to_change_the_log(engine: Engine, branch: Branch, statement: str) -> None:
    before = branch.log
    with pytest.raises(DBAPIError, match="event_log is append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    assert branch.log == before


# Refusals.


def test_what_was_refused_stays_in_the_log_with_its_reason_and_moves_nothing(branch: Branch) -> None:
    branch.keep(delivered(("apple", 5)))
    asked = branch.told(sale(("apple", 3), ("apple", 3), if_insufficient="refuse"))
    (event,) = branch.keep(asked).recorded
    assert (event.outcome, event.reason, event.effect) == ("refused", "insufficient_stock", {"available": {"apple": 5}})
    assert branch.keep(asked).repeated == [event]
    assert branch.levels == {"apple": 5}
    assert rows(branch.engine, "SELECT * FROM stock_movement WHERE event_id = :id", id=asked.event_id) == []


def test_the_policy_of_the_shop_applies_from_its_definition_on_even_within_a_batch(engine: Engine) -> None:
    branch = Branch(engine)
    outcomes = branch.keep(shop(), sale(("apple", 1)), shop("refuse"), sale(("apple", 1)), shop(), sale(("apple", 1))).recorded
    assert [event.outcome for event in outcomes if event.type == "sale.recorded"] == ["recorded", "refused", "recorded"]


def test_a_batch_that_asks_to_be_refused_takes_exactly_what_is_there(branch: Branch) -> None:
    branch.keep(delivered(("apple", 5)))
    outcomes = Counter(event.outcome for event in branch.keep(*[sale(("apple", 1), if_insufficient="refuse")] * 8).recorded)
    assert outcomes == {"recorded": 5, "refused": 3}
    assert branch.levels == {"apple": 0}


def test_a_second_void_is_refused_in_the_same_batch_and_in_a_later_one(branch: Branch) -> None:
    sold = branch.told(sale(("apple", 2)))
    branch.keep(delivered(("apple", 5)), sold)
    first = branch.keep(void(sold.event_id), void(sold.event_id)).recorded
    later = branch.keep(void(sold.event_id)).recorded
    assert [event.reason for event in (*first, *later)] == [None, "already_voided", "already_voided"]
    assert branch.levels == {"apple": 5}


def test_over_return_is_refused_at_the_till_by_what_the_log_knows(branch: Branch) -> None:
    sold = branch.told(sale(("apple", 2)))
    branch.keep(delivered(("apple", 2)), sold, returned(sold.event_id, ("apple", 1)))
    (event,) = branch.keep(returned(sold.event_id, ("apple", 2), enforce=True)).recorded
    assert (event.reason, event.effect) == ("over_return", {"returnable": {"apple": 1}})


# Cases.


def test_a_product_nobody_knows_is_a_case_once_a_store_and_sku(engine: Engine, branch: Branch) -> None:
    strange, stranger = uuid4().hex, uuid4().hex
    branch.keep(delivered((strange, 2), (strange, 1)), delivered((strange, 2), (stranger, 1)))
    branch.keep(delivered((strange, 2)))
    assert [(case["kind"], case["sku"]) for case in branch.cases] == [("unknown_product", strange), ("unknown_product", stranger)]
    other = Branch(engine).opened()
    other.keep(delivered((strange, 1)))
    assert kinds(other) == ["unknown_product"]


def test_a_product_defined_earlier_in_the_batch_is_known(engine: Engine, branch: Branch) -> None:
    fresh = uuid4().hex
    keep(engine, told(product(fresh), store_id=CATALOGUE_STREAM), branch.told(delivered((fresh, 1))))
    assert kinds(branch) == []


def test_stock_that_falls_below_zero_is_a_case_each_time_it_crosses_and_only_then(branch: Branch) -> None:
    branch.keep(delivered(("apple", 1)), sale(("apple", 2)), sale(("apple", 2)))
    assert kinds(branch) == ["oversell"]
    branch.keep(delivered(("apple", 9)))
    branch.keep(sale(("apple", 4), ("apple", 4)))
    assert [(case["kind"], case["details"]) for case in branch.cases] == [("oversell", {"on_hand": -1}), ("oversell", {"on_hand": -2})]


def test_a_sale_that_comes_after_its_void_crosses_nothing(branch: Branch) -> None:
    sold = branch.told(sale(("apple", 3)))
    branch.keep(void(sold.event_id))
    branch.keep(sold)
    assert (kinds(branch), branch.levels) == ([], {"apple": 0})


def test_cases_stand_behind_the_event_that_opened_them_and_come_again_with_it(branch: Branch) -> None:
    strange = uuid4().hex
    sold = branch.told(sale((strange, 1), ("pear", 1)))
    opened = branch.keep(delivered(("apple", 1)), sold, delivered(("apple", 1))).recorded
    assert [event.type for event in opened] == ["delivery.received", "sale.recorded", *["case.opened"] * 3, "delivery.received"]
    again = branch.keep(sold)
    assert (again.repeated, again.reopened) == ([opened[1]], opened[2:5])


# Late facts.


def test_a_late_count_reads_back_what_moved_after_it(branch: Branch) -> None:
    branch.keep(branch.told(delivered(("apple", 100)), at=minutes(-60)), branch.told(sale(("apple", 4)), at=minutes(10)))
    branch.keep(branch.told(sale(("apple", 1)), at=minutes(20)), branch.told(counted(("apple", 50), ("pear", 7)), at=minutes(0)))
    assert branch.levels == {"apple": 45, "pear": 7}


def test_a_fact_from_before_the_count_changes_history_and_not_the_present(branch: Branch) -> None:
    branch.keep(branch.told(counted(("apple", 50)), at=NOON))
    branch.keep(branch.told(sale(("apple", 4)), at=minutes(-10)), branch.told(counted(("apple", 1)), at=minutes(-20)))
    assert branch.levels == {"apple": 50}
    cell = (branch.store_id, "apple")
    assert kept_levels(branch.engine)[cell] == folded(branch.engine)[cell]


def test_counts_of_hundreds_of_skus_ask_the_ledger_in_one_statement(engine: Engine, branch: Branch) -> None:
    skus = [f"sku-{number}" for number in range(300)]
    branch.keep(branch.told(delivered(*((sku, 1) for sku in skus)), at=minutes(5)))
    statements: list[str] = []
    with engine.begin() as connection:
        listen(connection, "before_cursor_execute", lambda *told_: statements.append(told_[2]))
        record(connection, [check(branch.told(counted(*((sku, 10) for sku in skus)), at=NOON))], datetime.now(UTC))
    assert set(branch.levels.values()) == {11}
    assert len(statements) <= 14


def test_a_void_that_waited_is_written_to_the_ledger_as_a_void(branch: Branch) -> None:
    sold = branch.told(sale(("apple", 3)))
    undone = branch.told(void(sold.event_id), at=minutes(30))
    branch.keep(undone)
    branch.keep(sold)
    written = rows(
        branch.engine,
        "SELECT event_id, type, delta, effective_at FROM stock_movement WHERE store_id = :s ORDER BY delta",
        s=branch.store_id,
    )
    assert [tuple(row.values()) for row in written] == [
        (sold.event_id, "sale.recorded", -3, NOON),
        (undone.event_id, "sale.voided", 3, NOON),
    ]


def test_a_new_time_zone_counts_from_its_definition_on_even_within_a_batch(engine: Engine) -> None:
    branch = Branch(engine)
    branch.keep(shop(timezone="UTC"), sale(("apple", 1)), shop(timezone="Asia/Tokyo"), sale(("apple", 1)))
    assert [event.local_at.hour for event in branch.log if event.type != "case.opened"] == [12, 12, 21, 21]


# Several writers at once.


def test_writers_on_the_same_stores_leave_no_gap_no_duplicate_and_no_deadlock(engine: Engine) -> None:
    branches = [Branch(engine).opened() for _ in range(3)]
    told_ = [each.told(delivered(("apple", 1))) for _ in range(15) for each in branches]
    gate = threading.Barrier(WRITERS)

    def write(number: int) -> int:
        mine = told_ if number % 2 == 0 else list(reversed(told_))
        gate.wait()
        return sum(len(keep(engine, *mine[start : start + 6]).recorded) for start in range(0, len(mine), 6))

    with ThreadPoolExecutor(WRITERS) as pool:
        assert sum(pool.map(write, range(WRITERS))) == len(told_)
    for each in branches:
        assert contiguous(each.log)
        assert each.levels == {"apple": 15}


def test_of_one_id_sent_to_two_stores_at_once_one_wins_and_the_other_is_a_case(engine: Engine) -> None:
    one, two = Branch(engine).opened(), Branch(engine).opened()
    event_id = uuid4()
    told_ = [each.told(delivered(("apple", 5)), event_id=event_id) for each in (one, two)]
    gate = threading.Barrier(2)

    def write(number: int) -> str:
        gate.wait()
        try:
            keep(engine, told_[number])
        except psycopg.Error as error:
            return str(error.sqlstate)
        return "kept"

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(write, range(2)))
    assert outcomes in (["23505", "kept"], ["kept", "kept"])  # a unique violation is tried again alone, and then it is found
    keep(engine, *told_)
    assert sorted([one.levels.get("apple", 0), two.levels.get("apple", 0)]) == [0, 5]
    assert kinds(one) + kinds(two) == ["id_reuse"]


async def test_a_writer_that_waited_for_the_lock_decides_by_the_shop_as_it_is_then(engine: Engine) -> None:
    branch = Branch(engine).opened()
    with ThreadPoolExecutor(1) as pool, engine.begin() as first:
        record(first, [check(branch.told(shop("refuse", "Asia/Tokyo")))], datetime.now(UTC))
        second = pool.submit(branch.keep, sale(("apple", 1)))
        await until(lambda: _waits_for_a_lock(engine))
        first.commit()
        (event,) = second.result().recorded
    assert (event.outcome, event.local_at.hour) == ("refused", 21)


def _waits_for_a_lock(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())


# Reading back.


def test_the_log_is_read_in_stretches(engine: Engine, branch: Branch) -> None:
    branch.keep(*[delivered(("apple", 1))] * 5)
    with engine.connect() as connection:
        assert [event.seq for event in event_log.read(connection, branch.store_id, after=2, through=4)] == [3, 4]
        assert event_log.read(connection, branch.store_id, after=6, through=9) == []


def test_a_subject_that_a_foreign_publisher_gives_a_sale_keeps_nobody_from_voiding_it(branch: Branch) -> None:
    sold = replace(branch.told(sale(("apple", 2))), subject=uuid4())
    branch.keep(delivered(("apple", 2)), sold)
    branch.keep(replace(branch.told(void(sold.event_id)), subject=None))
    assert branch.levels == {"apple": 2}
    assert [event.subject for event in branch.log if event.type != "delivery.received"] == [None, None, sold.event_id]


def test_nothing_of_a_transaction_that_fails_stays(engine: Engine, branch: Branch) -> None:
    def fail(connection: Connection) -> None:
        record(connection, [check(branch.told(adjusted(("apple", 7))))], datetime.now(UTC))
        raise InterruptedError

    with pytest.raises(InterruptedError), engine.begin() as connection:
        fail(connection)
    assert (branch.levels, len(branch.log)) == ({}, 1)
    branch.keep(adjusted(("apple", 7)))
    assert contiguous(log_of(engine, branch.store_id))
