"""Do two stores and several writers agree about one restock?"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from schemas.envelope import Accepted, Recorded
from stock import holdings
from stock.book import Book
from stock.record import check
from stock.restock import Line
from stock.restocks import RestockLines, Restocks
from stock.transit import transports
from tests.restocking import Transfer
from tests.services import Services
from tests.telling import Branch, delivered, keep, minutes, own_engine, sale

ROUNDS = 12


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def sender(engine: Engine) -> Branch:
    return Branch(engine).opened()


@pytest.fixture
def receiver(engine: Engine) -> Branch:
    return Branch(engine).opened()


@pytest.fixture
def way(sender: Branch, receiver: Branch) -> Transfer:
    return Transfer(sender.store_id, receiver.store_id)


def row(engine: Engine, restock_id: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        asked = {"id": restock_id}
        return dict(connection.execute(text("SELECT * FROM restock WHERE restock_id = :id"), asked).mappings().one())


def lines(engine: Engine, restock_id: UUID) -> dict[str, Line]:
    with engine.connect() as connection:
        found = connection.execute(text("SELECT * FROM restock_line WHERE restock_id = :id"), {"id": restock_id})
        return {each.sku: Line(*each[2:]) for each in found}


def in_transit(engine: Engine, store_id: str) -> dict[str, int]:
    """What the stock of a store says of what is on its way."""
    with engine.connect() as connection:
        rows = holdings.levels(connection, holdings.Wanted(stores=[store_id]), after=None, limit=100)
        return {each["sku"]: each["in_transit"] for each in rows}


def outcomes(events: Sequence[Recorded]) -> list[tuple[str, str, str | None]]:
    return [(event.type, event.outcome, event.reason) for event in events if event.type != "case.opened"]


def test_goods_leave_one_store_are_in_transit_and_arrive_in_the_other(
    engine: Engine, sender: Branch, receiver: Branch, way: Transfer
) -> None:
    sender.keep(delivered(("apple", 20)))
    receiver.keep(delivered(("apple", 1)))
    for step in (way.requested(apple=10, pear=2), way.approved(apple=8), way.shipped(apple=8, pear=1)):
        keep(engine, step)
    assert (sender.levels, receiver.levels) == ({"apple": 12, "pear": -1}, {"apple": 1})
    assert in_transit(engine, receiver.store_id) == {"apple": 8, "pear": 1}, "also what was never there"
    assert in_transit(engine, sender.store_id) == {"apple": 0, "pear": 0}
    keep(engine, way.received({"apple": 5}))
    assert (receiver.levels, in_transit(engine, receiver.store_id)) == ({"apple": 6}, {"apple": 3, "pear": 1})
    keep(engine, way.received({"pear": 1}, damaged={"apple": 1}, close=True))
    assert (receiver.levels, in_transit(engine, receiver.store_id)) == ({"apple": 6, "pear": 1}, {"apple": 0, "pear": 0})
    assert lines(engine, way.restock_id) == {"apple": Line(10, 8, 8, 5, 1, 2), "pear": Line(2, 2, 1, 1)}
    assert [case["kind"] for case in receiver.cases] == ["damaged_receipt", "short_receipt"]
    assert [(case["kind"], case["sku"]) for case in sender.cases] == [("oversell", "pear")]


def test_all_steps_in_one_batch_are_the_same_as_each_in_its_own(engine: Engine) -> None:
    ends = []
    for together in (True, False):
        one, other = Branch(engine).opened(), Branch(engine).opened()
        way = Transfer(one.store_id, other.store_id)
        story = [way.requested(apple=9), way.approved(), way.shipped(apple=9), way.received({"apple": 4}), way.received({}, close=True)]
        for batch in [story] if together else [[each] for each in story]:
            keep(engine, *batch)
        kept = row(engine, way.restock_id)
        ends.append((one.levels, other.levels, lines(engine, way.restock_id), kept["status"], [case["kind"] for case in other.cases]))
    assert ends[0] == ends[1]
    assert ends[0][3:] == ("received", ["short_receipt"])


def test_a_row_says_who_asked_when_and_why_nothing_came_of_it(engine: Engine, way: Transfer) -> None:
    keep(engine, way.requested(minutes(5), apple=1))
    (event,) = keep(engine, way.rejected()).recorded
    found = row(engine, way.restock_id)
    assert found == {
        "restock_id": way.restock_id,
        "from_store": way.from_store,
        "to_store": way.to_store,
        "status": "rejected",
        "note": None,
        "reason": "vide",
        "requested_by": "test",
        "requested_at": minutes(5),
        "changed_at": event.recorded_at,
    }


def test_each_step_stands_in_the_log_of_who_takes_it_and_speaks_of_the_restock(
    engine: Engine, sender: Branch, receiver: Branch, way: Transfer
) -> None:
    keep(engine, way.requested(apple=1), way.approved(), way.shipped(apple=1), way.received({"apple": 1}))
    assert [(event.type, event.subject) for event in sender.log if event.type.startswith("restock.")] == [
        ("restock.approved", way.restock_id),
        ("restock.shipped", way.restock_id),
    ]
    assert [(event.type, event.subject) for event in receiver.log if event.type.startswith("restock.")] == [
        ("restock.requested", None),
        ("restock.received", way.restock_id),
    ]


def test_redelivery_moves_nothing_again_and_opens_no_case_twice(engine: Engine, sender: Branch, receiver: Branch, way: Transfer) -> None:
    story = [
        way.requested(apple=9),
        way.approved(),
        way.shipped(apple=9),
        way.received({"apple": 4}, damaged={"apple": 1}, close=True),
        way.received({"apple": 2}),
    ]
    first = [event for each in story for event in keep(engine, each).recorded]
    cases = [case["kind"] for case in receiver.cases]
    assert cases == ["damaged_receipt", "short_receipt", "late_receipt"]
    for batch in (story, story[::-1], story * 2):
        again = keep(engine, *batch)
        assert (again.recorded, again.conflicts) == ([], [])
        assert {event.event_id for event in (*again.repeated, *again.reopened)} == {event.event_id for event in first}
    assert [case["kind"] for case in receiver.cases] == cases
    assert (sender.levels["apple"], receiver.levels["apple"]) == (-9, 6)
    assert lines(engine, way.restock_id) == {"apple": Line(9, 9, 9, 6, 1, 2)}


def test_of_several_who_decide_at_once_exactly_one_wins(engine: Engine, sender: Branch, receiver: Branch) -> None:
    won = Counter[str]()
    with ThreadPoolExecutor(6) as pool:
        for _ in range(ROUNDS):
            way = Transfer(sender.store_id, receiver.store_id)
            keep(engine, way.requested(apple=5))
            rivals = [way.approved(), way.approved(apple=3), way.rejected(), way.rejected(), way.cancelled(), way.cancelled()]
            gate = threading.Barrier(len(rivals))

            def write(event: Accepted, gate: threading.Barrier = gate) -> Recorded:
                gate.wait()
                return keep(engine, event).recorded[0]

            decided = list(pool.map(write, rivals))
            winners = [event for event in decided if event.outcome == "recorded"]
            # What was approved may still be cancelled: that is no second decision about the request.
            final = row(engine, way.restock_id)["status"]
            assert [event.type for event in winners if event.type != "restock.cancelled"] in (
                [],
                ["restock.approved"],
                ["restock.rejected"],
            )
            assert len(winners) == 1 or {event.type for event in winners} == {"restock.approved", "restock.cancelled"}
            losers = [event for event in decided if event.outcome == "refused"]
            assert {event.reason for event in losers} == {"wrong_state"}
            assert all((event.effect or {})["state"] in {"approved", "rejected", "cancelled"} for event in losers)
            assert f"restock.{final}" in {event.type for event in winners}
            won[final] += 1
    assert sum(won.values()) == ROUNDS


def test_of_two_who_ship_at_once_one_does_and_the_goods_leave_once(engine: Engine, sender: Branch, way: Transfer) -> None:
    keep(engine, way.requested(apple=5), way.approved())
    gate = threading.Barrier(2)

    def write(event: Accepted) -> str:
        gate.wait()
        return keep(engine, event).recorded[0].outcome

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(write, [way.shipped(apple=5), way.shipped(apple=4)])) == ["recorded", "refused"]
    assert sender.levels["apple"] in {-5, -4}
    assert lines(engine, way.restock_id)["apple"].shipped == -sender.levels["apple"]


def test_receipts_of_several_writers_at_once_all_count(engine: Engine, receiver: Branch, way: Transfer) -> None:
    keep(engine, way.requested(apple=40), way.approved(), way.shipped(apple=40))
    receipts = [way.received({"apple": 1, "pear": 1}) for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda event: keep(engine, event), receipts))
    assert lines(engine, way.restock_id) == {"apple": Line(40, 40, 40, 20), "pear": Line(received=20)}
    assert receiver.levels == {"apple": 20, "pear": 20}


def test_writers_that_have_many_restocks_in_any_order_do_not_wait_for_each_other_for_ever(engine: Engine) -> None:
    stores = [Branch(engine).opened() for _ in range(3)]
    ways = [Transfer(stores[n % 3].store_id, stores[(n + 1) % 3].store_id) for n in range(12)]
    keep(engine, *(way.requested(apple=2) for way in ways))
    steps = [step for way in ways for step in (way.approved(), way.approved(apple=1), way.rejected(), way.cancelled())]
    gate = threading.Barrier(4)

    def write(number: int) -> int:
        mine = steps[number:] + steps[:number]
        gate.wait()
        return sum(
            event.outcome == "recorded" for start in range(0, len(mine), 8) for event in keep(engine, *mine[start : start + 8]).recorded
        )

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(write, range(0, 48, 12)))
    assert len(ways) <= done <= 2 * len(ways)
    assert {row(engine, way.restock_id)["status"] for way in ways} <= {"approved", "rejected", "cancelled"}


def test_one_id_requested_twice_is_one_restock(engine: Engine, way: Transfer) -> None:
    keep(engine, way.requested(apple=2))
    second = replace(way.requested(apple=9), event_id=uuid4())
    (event,) = keep(engine, second).recorded
    assert (event.outcome, event.reason, event.effect) == ("refused", "wrong_state", {"state": "requested"})
    assert lines(engine, way.restock_id) == {"apple": Line(2)}


def test_what_sets_out_and_what_ends_changes_the_mark_of_what_is_under_way(engine: Engine, receiver: Branch, way: Transfer) -> None:
    def mark() -> int:
        with engine.connect() as connection:
            return transports(connection, [receiver.store_id])

    marks = [mark()]
    for step in (way.requested(apple=2), way.approved(), way.shipped(apple=2), way.received({"apple": 1}), way.received({"apple": 1})):
        keep(engine, step)
        marks.append(mark())
    assert marks == [0, 0, 0, 1, 1, 0]


def test_a_batch_without_restocks_asks_nothing_about_them(receiver: Branch) -> None:
    batch = [check(receiver.told(sale(("apple", 1))))]
    assert (Restocks().reads(batch), RestockLines().reads(batch)) == (None, None)
    assert (Restocks().writes(Book(shops={}), {}), RestockLines().writes(Book(shops={}), {})) == ([], ())


def test_what_was_never_there_is_listed_in_its_place_when_it_is_under_way(engine: Engine, receiver: Branch, way: Transfer) -> None:
    receiver.keep(delivered(("b", 1), ("d", 1)))
    other = Transfer(way.from_store, way.to_store)
    for each in (way, other):
        keep(engine, each.requested(a=2, c=2, e=2), each.approved(), each.shipped(a=1, c=2))
    keep(engine, other.received({"c": 5}))
    keep(engine, other.received({"a": 1}, damaged={"a": 1}))

    def page(after: list[str] | None = None, **how: Any) -> list[tuple[str, int, int, str]]:  # noqa: ANN401 - fields of Wanted
        with engine.connect() as connection:
            rows = holdings.levels(connection, holdings.Wanted(stores=[receiver.store_id], **how), after=after, limit=2)
        return [(row["sku"], row["on_hand"], row["in_transit"], row["status"]) for row in rows]

    assert page() == [("a", 1, 1, "ok"), ("b", 1, 0, "ok")]
    assert page([receiver.store_id, "b"]) == [("c", 5, 2, "ok"), ("d", 1, 0, "ok")]
    another = Transfer(way.from_store, way.to_store)
    keep(engine, another.requested(cc=7, aa=1), another.approved(), another.shipped(cc=7, aa=1))
    assert page([receiver.store_id, "a"]) == [("aa", 0, 1, "out"), ("b", 1, 0, "ok")]
    assert page([receiver.store_id, "c"]) == [("cc", 0, 7, "out"), ("d", 1, 0, "ok")]
    assert (page(skus=["cc"]), page(skus=["e"])) == ([("cc", 0, 7, "out")], [])
    assert (page(status="out"), page(status="low")) == ([("aa", 0, 1, "out"), ("cc", 0, 7, "out")], [])
