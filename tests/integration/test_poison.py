"""One bad event among good ones: is it parked alone, with all that is known of it, and are faults that pass parked never?"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from infra.database import engine_for
from infra.faults import is_transient
from infra.settings import Settings
from projections import PROJECTIONS
from schemas.envelope import Accepted, canonical, encode_recorded, fingerprint, join
from stock import record as recording
from stock.chapter import Incoming
from tests.pipeline import NOBODY, pipeline, writer
from tests.services import Services
from tests.telling import Branch, delivered, delivery, letters, levels_of, marks, own_engine, sale, wire
from workers import stock_writer
from workers.dead_letters import DeadLetters
from workers.projector import Projector


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Iterator[Branch]:
    """A store; the dead letters are this test's alone."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM dead_letter"))
    yield Branch(engine).opened()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM dead_letter"))


def good(branch: Branch) -> bytes:
    return wire(branch.told(delivered(("apple", 1))))


def spoilt(branch: Branch, **changed: Any) -> bytes:  # noqa: ANN401 - anything may be sent
    """A sound event with some attributes changed, written as no machine of ours would."""
    return json.dumps({**json.loads(good(branch)), **changed}, indent=1).encode()


BAD: dict[str, dict[str, Any]] = {
    "malformed_event": {"time": "yesterday"},
    "unknown_type": {"type": "sale.dreamt", "dataschema": "urn:magasin:schema:sale.dreamt:1"},
    "invalid_content": {"data": {"supplier": "Nord", "lines": [{"sku": "a\x00b", "quantity": True}]}},
    "not_allowed": {"type": "case.opened", "dataschema": "urn:magasin:schema:case.opened:1", "data": {"kind": "oversell", "events": []}},
    "unknown_store": {"storeid": "atlantis"},
}
ODD_BYTES = [b'{"id": "\\ud800"}', b"5", b"null", b'"event"', b"[]", b'{"dataschema": "x"}', b"1" * 5_000]


@pytest.mark.parametrize("reason", BAD)
def test_of_a_message_only_the_bad_event_is_parked_with_all_that_is_known(branch: Branch, reason: str) -> None:
    bad = spoilt(branch, **BAD[reason])
    message = delivery(b"[ " + good(branch) + b" ,\n" + bad + b"," + good(branch) + b"]", delivery_count=4, headers={"x": 1})
    settled = writer(branch.engine).settle([message])
    assert len([event for event in settled.published if event.type == "delivery.received"]) == 2
    assert branch.levels == {"apple": 2}
    (letter,) = letters(branch.engine)
    sent = json.loads(bad)
    assert bytes(letter["payload"]) == bad
    assert (letter["reason"], letter["status"], letter["consumer"]) == (reason, "waiting", "stock-writer")
    assert (letter["event_id"], letter["type"], letter["store_id"]) == (UUID(sent["id"]), sent["type"], sent["storeid"])
    assert (letter["message_id"], letter["exchange"], letter["routing_key"]) == ("m-1", "magasin.intake", "intake.v1")
    assert letter["attempts"] == 5
    assert letter["headers"] == {"x": "1"}
    assert "Traceback" in letter["stack"]
    assert letter["error"]
    assert isinstance(letter["failed_at"], datetime)


@pytest.mark.parametrize("bad", ODD_BYTES)
def test_what_is_no_event_at_all_leaves_its_neighbours_alone(branch: Branch, bad: bytes) -> None:
    writer(branch.engine).settle([delivery(join((good(branch), bad, good(branch))))])
    assert branch.levels == {"apple": 2}
    (letter,) = letters(branch.engine)
    assert bytes(letter["payload"]) == bad
    assert letter["reason"] == "malformed_event"


@pytest.mark.parametrize("body", [b"", b"{}", b"not json", b"\xff\x00", b"[1,"])
def test_a_message_that_is_no_list_is_parked_whole(branch: Branch, body: bytes) -> None:
    message = delivery(body, message_id="m-\x00", headers={"n\x00": "v\x00"}, routing_key="k\x00", exchange="e\x00")
    writer(branch.engine).settle([message, delivery(join([good(branch)]))])
    assert branch.levels == {"apple": 1}
    (letter,) = letters(branch.engine)
    assert bytes(letter["payload"]) == body
    assert (letter["reason"], letter["message_id"], letter["headers"]) == ("malformed_message", "m-�", {"n�": "v�"})


def test_the_same_poison_again_is_the_same_letter(branch: Branch) -> None:
    message = delivery(join([spoilt(branch, time="yesterday")]))
    for _ in range(3):
        writer(branch.engine).settle([message])
    assert len(letters(branch.engine)) == 1


def test_messages_without_an_id_of_their_own_lose_no_letter(branch: Branch) -> None:
    for number in range(3):
        writer(branch.engine).settle([delivery(f"poison {number}".encode(), message_id=None)])
    assert sorted(bytes(letter["payload"]) for letter in letters(branch.engine)) == [b"poison 0", b"poison 1", b"poison 2"]


def test_an_event_that_fails_each_time_is_tried_alone_and_parked_and_its_neighbours_never_notice(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = branch.told(sale(("apple", 1)))
    tries = [0]

    def settling(each: Incoming, *more: Any) -> Any:  # noqa: ANN401 - the writer's own
        if each.head.event_id == poison.event_id:
            tries[0] += 1
            raise ArithmeticError("a bug of ours")
        return original(each, *more)

    original = recording._settle  # noqa: SLF001 - a bug has to be put somewhere
    monkeypatch.setattr(recording, "_settle", settling)
    writer(branch.engine).settle([delivery(join([good(branch), wire(poison), good(branch)]))])
    assert branch.levels == {"apple": 2}
    (letter,) = letters(branch.engine)
    assert (letter["reason"], letter["error"], letter["attempts"]) == ("failed", "ArithmeticError: a bug of ours", 2)
    assert "in settling" in letter["stack"]
    assert bytes(letter["payload"]) == wire(poison)
    assert tries == [1 + 2]
    monkeypatch.undo()
    writer(branch.engine).settle([delivery(join([wire(poison)]))])
    assert branch.levels == {"apple": 1}


def test_errors_of_one_kind_have_one_fingerprint(branch: Branch) -> None:
    stores = ("atlantis", "avalon")
    for store_id in stores:
        writer(branch.engine).settle([delivery(join([spoilt(branch, time=f"day {uuid4()}"), spoilt(branch, storeid=f"{store_id} 5")]))])
    assert len({letter["fingerprint"] for letter in letters(branch.engine) if "Invalid isoformat" in letter["error"]}) == 1


def test_a_bad_event_among_recorded_ones_is_parked_alone_and_the_others_are_projected(branch: Branch) -> None:
    branch.keep(delivered(("apple", 1)), sale(("apple", 1)))
    log = [encode_recorded(event) for event in branch.log]
    Projector(branch.engine, NOBODY).project([delivery(join([log[0], b'{"seq": 0}', *log[1:]])), delivery(b"poison")])
    assert set(marks(branch.engine, [branch.store_id]).values()) == {(3, "live")}
    found = {letter["reason"]: bytes(letter["payload"]) for letter in letters(branch.engine)}
    assert found == {"malformed_event": b'{"seq": 0}', "malformed_message": b"poison"}
    assert {letter["consumer"] for letter in letters(branch.engine)} == {"projector"}


def test_what_the_broker_gave_up_is_kept_event_by_event_and_only_once(branch: Branch) -> None:
    events = [good(branch), b" 7 "]
    message = delivery(
        join(events), exchange="magasin.dead", routing_key="stock-writer", headers={"x-first-death-reason": "delivery_limit"}
    )
    for _ in range(2):
        DeadLetters(branch.engine).keep([message])
    found = letters(branch.engine)
    assert sorted(bytes(letter["payload"]) for letter in found) == sorted([events[0], b"7"])
    assert {(letter["reason"], letter["consumer"]) for letter in found} == {("gave_up", "stock-writer")}
    assert all("delivery_limit" in letter["error"] for letter in found)


def test_what_was_parked_before_is_not_kept_again_when_the_broker_gives_it_up(branch: Branch) -> None:
    body = join([spoilt(branch, time="yesterday")])
    writer(branch.engine).settle([delivery(body)])
    DeadLetters(branch.engine).keep([delivery(body, exchange="magasin.dead", routing_key="stock-writer")])
    DeadLetters(branch.engine).keep([delivery(b"", message_id=None, exchange="magasin.dead", routing_key="")])
    assert [letter["reason"] for letter in letters(branch.engine)] == ["malformed_event", "gave_up"]


# Faults that pass.


def nowhere() -> Engine:
    """Connections to a server that isn't there."""
    return engine_for(
        Settings(env="test", database_url="postgresql://nobody@127.0.0.1:1/nothing", database_connect_timeout_seconds=1), name="test"
    )


def test_a_database_that_is_away_is_told_to_the_caller_and_nothing_is_parked(branch: Branch) -> None:
    away = nowhere()
    recorded = join([encode_recorded(branch.log[0])])
    for work in (
        lambda: writer(away).settle([delivery(join([good(branch), b"5"]))]),
        lambda: writer(away).settle([delivery(join([good(branch)]))]),
        lambda: Projector(away, NOBODY).project([delivery(recorded)]),
        lambda: Projector(away, NOBODY).catch_up(),
        lambda: DeadLetters(away).keep([delivery(recorded)]),
    ):
        with pytest.raises(OperationalError) as raised:
            work()
        assert is_transient(raised.value)
    assert letters(branch.engine) == []
    assert marks(branch.engine, [branch.store_id]) == {}


def test_a_database_that_does_not_exist_is_a_fault_that_passes(engine: Engine) -> None:
    missing = create_engine(engine.url.set(database="nothing_here"))
    with pytest.raises(OperationalError) as raised:
        writer(missing).settle([delivery(b"[5]")])
    assert is_transient(raised.value)


def test_a_connection_that_breaks_in_the_middle_is_a_fault_that_passes_and_the_work_is_done_later(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = delivery(join([good(branch), good(branch)]))

    def broken(connection: Any, *more: Any, **options: Any) -> Any:  # noqa: ANN401 - the writer's own
        result = original(connection, *more, **(options | {"commit": False}))
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return result

    original = recording.record
    with monkeypatch.context() as breaking:
        breaking.setattr(stock_writer, "record", broken)
        with pytest.raises(OperationalError) as raised:
            writer(branch.engine).settle([message])
        assert is_transient(raised.value)
    assert (letters(branch.engine), branch.levels) == ([], {})
    writer(branch.engine).settle([message])
    assert branch.levels == {"apple": 2}


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "SELECT * FROM no_such_table", "INSERT INTO store_head VALUES (NULL)"])
def test_what_comes_back_however_often_one_tries_does_not_pass(engine: Engine, statement: str) -> None:
    with pytest.raises(Exception, match=r"\w") as raised, engine.connect() as connection:
        connection.execute(text(statement))
    assert not is_transient(raised.value)
    assert not is_transient(ValueError("no database in it"))


def test_a_statement_that_takes_too_long_passes(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 5"))
        with pytest.raises(OperationalError) as raised:
            connection.execute(text("SELECT pg_sleep(5)"))
    assert is_transient(raised.value)


# Through the broker.


async def test_poison_on_the_queue_is_parked_and_the_queue_goes_on(engine: Engine, branch: Branch, broker_url: str) -> None:
    told: list[Accepted] = [branch.told(delivered(("apple", 1))) for _ in range(3)]
    content = {"supplier": "Nord", "lines": []}
    bad = branch.told(delivered(("apple", 1)))
    spoiled = replace(bad, data=content, fingerprint=fingerprint("x", "y", None, canonical(content)))
    async with pipeline(broker_url, engine) as line, line.sound():
        await line.tell([told[0], spoiled, told[1]], [spoiled], [told[2]])
        await line.until_recorded([each.event_id for each in told])
        await line.until_projected({branch.store_id: 4})
    assert levels_of(engine, branch.store_id) == {"apple": 3}
    assert {letter["reason"] for letter in letters(engine)} == {"invalid_content"}
    assert {letter["event_id"] for letter in letters(engine)} == {bad.event_id}
    assert len(PROJECTIONS) * [(4, "live")] == list(marks(engine, [branch.store_id]).values())
