"""Do dead letters go back, each once, whoever dies meanwhile, and no further than they should?"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from infra.publisher import ConfirmingPublisher
from infra.redriven import Mark
from infra.settings import Settings
from infra.topology import EVENTS
from operations import dead_letters, edits, job, job_orders, redrive, selections, shelving
from operations.deed import Refused
from operations.job import Job, Stride
from operations.letter_query import Query
from operations.redrive import Redrive, Wish
from schemas.envelope import Accepted, canonical, encode_accepted, encode_recorded, join
from tests.brokers import until
from tests.pipeline import Crash, Dying, Pipeline, pipeline, writer
from tests.services import Services
from tests.telling import Branch, delivered, delivery, letters, log_of, own_engine, sale, shop, told, void, wire
from workers.dead_letters import DeadLetters
from workers.operator import Operator
from workers.projector import Projector

PATIENCE_SECONDS = 20.0
WHY = "le magasin existe maintenant"
BY = "operateur"


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    """A shop that nobody has opened: whatever is told of it fails until someone does."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM dead_letter"))
    return Branch(engine)


def fails(branch: Branch, *events: Accepted | bytes, **headers: str) -> list[dict[str, Any]]:
    """Let these come to the stock writer, one message each; the letters of this shop."""
    bodies = [join([each if isinstance(each, bytes) else wire(each)]) for each in events]
    writer(branch.engine).settle([delivery(body, message_id=uuid4().hex, headers=headers) for body in bodies])
    return [letter for letter in letters(branch.engine) if letter["store_id"] in {branch.store_id, None}]


def open_shop(branch: Branch) -> None:
    branch.keep(told(shop(), store_id=branch.store_id))


def chosen(branch: Branch, **query: Any) -> selections.Selection:  # noqa: ANN401 - as a query takes it
    return selections.freeze(branch.engine, Query(store_id=branch.store_id, **query), by=BY)


def begun(branch: Branch, selection: selections.Selection | None = None, **wish: Any) -> UUID:  # noqa: ANN401 - as a wish takes it
    found = selection or chosen(branch)
    return redrive.start(branch.engine, Wish(found.id, reason=WHY, **{"max_per_second": 1_000.0, **wish}), by=BY).id


def shown(engine: Engine, redrive_id: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        found = job.find(connection, redrive_id, redrive.KIND)
        assert found
        return redrive.told(connection, found, datetime.now(UTC))


def items(engine: Engine, redrive_id: UUID) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return redrive.items(connection, redrive_id, outcome=None, after=None, limit=100)


@dataclass
class Desk:
    """An operator process, and a stock writer behind a real broker."""

    engine: Engine
    line: Pipeline
    config: Settings

    @asynccontextmanager
    async def at_work(self, publisher: ConfirmingPublisher | None = None) -> AsyncIterator[Operator]:
        """The operator for the length of a block."""
        made = Operator(self.engine, self.config, [Redrive(self.engine, publisher or self.line.publisher)])
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            made.stop()
            await task

    async def over(self, redrive_id: UUID) -> dict[str, Any]:
        """The redrive when it no longer runs."""
        await until(lambda: shown(self.engine, redrive_id)["state"] != "running", PATIENCE_SECONDS)
        return shown(self.engine, redrive_id)

    async def done(self, redrive_id: UUID) -> dict[str, Any]:
        """The same with an operator and a stock writer at work."""
        async with self.at_work(), self.line.sound(without="projector"):
            return await self.over(redrive_id)


@pytest.fixture
async def desk(engine: Engine, broker_url: str) -> AsyncIterator[Desk]:
    config = Settings(env="test", database_url=engine.url.render_as_string(hide_password=False))
    async with pipeline(broker_url, engine) as line:
        yield Desk(engine, line, config)


def sold(branch: Branch) -> list[str]:
    return [str(event.event_id) for event in log_of(branch.engine, branch.store_id) if event.type == "sale.recorded"]


async def test_a_group_goes_back_when_its_cause_is_gone_and_each_is_recorded_once(desk: Desk, branch: Branch) -> None:
    told_ = [branch.told(sale(("apple", 1))) for _ in range(20)]
    fails(branch, *told_)
    open_shop(branch)
    found = await desk.done(begun(branch, canary=3))
    assert (found["state"], found["total"], found["done"], found["succeeded"], found["failed"]) == ("done", 20, 20, 20, 0)
    assert found["outcomes"] == {"recorded": 20}
    assert sorted(sold(branch)) == sorted(str(each.event_id) for each in told_)
    assert {letter["status"] for letter in letters(branch.engine)} == {"redriven"}
    assert {each["outcome"] for each in items(branch.engine, found["id"])} == {"recorded"}
    with branch.engine.connect() as connection:
        noted = connection.execute(
            text("SELECT actor, action, reason, outcome FROM audit_log WHERE target = :id ORDER BY id"), {"id": str(found["id"])}
        ).all()
    assert [tuple(each) for each in noted] == [(BY, "redrive.start", WHY, "done"), ("magasin", "redrive.done", None, "done")]


async def test_a_canary_that_fails_stops_everything_and_the_letter_keeps_both_failures(desk: Desk, branch: Branch) -> None:
    fails(branch, *(branch.told(sale(("apple", 1))) for _ in range(5)))
    found = await desk.done(begun(branch))
    assert (found["state"], found["error"], found["outcomes"], found["waiting"]) == ("stopped", "canary_failed", {"failed": 1}, 4)
    after = letters(branch.engine)
    assert [letter["status"] for letter in after] == ["waiting"] * 5
    (again,) = (letter for letter in after if letter["redrives"])
    assert (again["attempts"], len(again["earlier"]), again["earlier"][0]["error"]) == (2, 1, f"UnknownStore: {branch.store_id}")
    assert again["failed_at"] > max(letter["failed_at"] for letter in after if letter["id"] != again["id"])
    open_shop(branch)
    job_orders.order(branch.engine, redrive.KIND, found["id"], "resume", by=BY, reason=WHY)
    last = await desk.done(found["id"])
    assert (last["state"], last["outcomes"]) == ("done", {"failed": 1, "recorded": 4})


async def test_one_that_fails_again_stops_the_others_unless_they_are_to_go_on(desk: Desk, branch: Branch) -> None:
    good = [branch.told(sale(("apple", 1))) for _ in range(3)]
    bad = branch.told(sale(("apple", 1)))
    spoilt = json.dumps({**json.loads(wire(bad)), "data": {"lines": []}}).encode()
    fails(branch, good[0])
    fails(branch, spoilt)
    fails(branch, *good[1:])
    open_shop(branch)
    selection = chosen(branch)
    first = await desk.done(begun(branch, selection, max_per_second=2.0))
    assert (first["state"], first["error"], first["outcomes"]) == ("stopped", "failed_again", {"failed": 1, "recorded": 1})
    second = await desk.done(begun(branch, selection, canary=0, stop_on_failure=False))
    assert (second["state"], second["outcomes"]) == ("done", {"failed": 1, "recorded": 2, "skipped": 1})
    assert sorted(sold(branch)) == sorted(str(each.event_id) for each in good)


@pytest.mark.parametrize("at", [1, 4])
async def test_an_operator_that_dies_while_it_sends_is_followed_by_one_that_goes_on(desk: Desk, branch: Branch, at: int) -> None:
    told_ = [branch.told(sale(("apple", 1))) for _ in range(6)]
    fails(branch, *told_)
    open_shop(branch)
    redrive_id = begun(branch, canary=0)
    dying = Dying(desk.line.url, at=at)
    await dying.start()
    try:
        with branch.engine.connect() as connection:
            found = job.find(connection, redrive_id)
        assert found
        with pytest.raises(Crash):
            await Redrive(branch.engine, dying).step(found, 6)
    finally:
        await dying.close()
    assert {each["state"] for each in items(branch.engine, redrive_id)} <= {"sending", "sent"}
    last = await desk.done(redrive_id)
    assert (last["state"], last["outcomes"]) == ("done", {"recorded": 6})
    assert sorted(sold(branch)) == sorted(str(each.event_id) for each in told_)


async def test_a_redrive_waits_when_it_is_told_to_and_ends_when_it_is_told_to(desk: Desk, branch: Branch) -> None:
    fails(branch, *(branch.told(sale(("apple", 1))) for _ in range(4)))
    open_shop(branch)
    redrive_id = begun(branch, max_per_second=0.5)
    orders = [job_orders.order(branch.engine, redrive.KIND, redrive_id, "pause", by=BY, reason=WHY) for _ in range(2)]
    assert [(found.state, changed) for found, changed in orders] == [("paused", True), ("paused", False)]
    async with desk.at_work(), desk.line.sound(without="projector"):
        job_orders.order(branch.engine, redrive.KIND, redrive_id, "resume", by=BY, reason=None)
        await until(lambda: shown(branch.engine, redrive_id)["done"] == 1, PATIENCE_SECONDS)
        job_orders.order(branch.engine, redrive.KIND, redrive_id, "cancel", by=BY, reason=WHY)
        found = shown(branch.engine, redrive_id)
        assert (found["state"], found["waiting"], found["outcomes"]) == ("cancelled", 3, {"recorded": 1})
    assert sorted(letter["status"] for letter in letters(branch.engine)) == ["redriven", "waiting", "waiting", "waiting"]
    with pytest.raises(Refused, match="wrong_status"):
        job_orders.order(branch.engine, redrive.KIND, redrive_id, "resume", by=BY, reason=WHY)
    with pytest.raises(Refused, match="unknown_job"):
        job_orders.order(branch.engine, "rebuild", redrive_id, "pause", by=BY, reason=WHY)


async def test_a_dry_run_tells_what_would_become_of_each_and_leaves_nothing(desk: Desk, branch: Branch) -> None:
    sales = [branch.told(sale(("apple", 2))), branch.told(sale(("apple", 1))), branch.told(sale(("apple", 1), if_insufficient="refuse"))]
    twice = branch.told(sale(("pear", 1)))
    spoilt = json.dumps({**json.loads(wire(branch.told(sale(("apple", 1))))), "data": {"lines": []}}).encode()
    fails(branch, *sales, twice, spoilt)
    open_shop(branch)
    branch.keep(branch.told(delivered(("apple", 2), ("pear", 1))), replace(twice, fingerprint="other"))
    before = (branch.log, branch.levels, [{**letter} for letter in letters(branch.engine)])
    found = await desk.done(begun(branch, dry_run=True))
    assert (found["state"], found["done"], found["succeeded"], found["failed"]) == ("done", 5, 2, 1)
    verdicts = {each["event_id"]: (each["outcome"], each["detail"]) for each in items(branch.engine, found["id"])}
    assert verdicts[sales[0].event_id] == ("would_succeed", None)
    assert verdicts[sales[1].event_id] == ("would_go_negative", "apple: -1")
    assert verdicts[sales[2].event_id] == ("would_be_refused", "insufficient_stock")
    assert verdicts[twice.event_id] == ("would_conflict", "id_reuse")
    assert "ValidationError" in next(detail for outcome, detail in verdicts.values() if outcome == "would_fail")
    assert (branch.log, branch.levels, letters(branch.engine)) == before


async def test_what_killed_its_worker_is_not_tried_and_what_is_no_event_at_all_fails_again(desk: Desk, branch: Branch) -> None:
    with branch.engine.begin() as connection:
        writer(branch.engine).settle([delivery(b"no list", message_id="m-whole")])
        fails(branch, branch.told(sale(("apple", 1))))
        connection.execute(text("UPDATE dead_letter SET reason = 'gave_up' WHERE store_id = :store_id"), {"store_id": branch.store_id})
    selection = selections.freeze(branch.engine, Query(), by=BY)
    tried = await desk.done(begun(branch, selection, dry_run=True))
    assert tried["outcomes"] == {"not_tried": 1, "would_fail": 1}
    open_shop(branch)
    found = await desk.done(begun(branch, selection, canary=0, stop_on_failure=False))
    assert found["outcomes"] == {"recorded": 1, "failed": 1}
    assert len(letters(branch.engine)) == 2


def test_a_mark_that_nobody_put_there_hides_no_letter(branch: Branch) -> None:
    (first,) = fails(branch, branch.told(sale(("apple", 1))))
    both = fails(branch, branch.told(sale(("pear", 1))), **Mark(first["id"], uuid4()).headers())
    assert len(both) == 2
    assert len(fails(branch, branch.told(sale(("pear", 2))), **{"magasin-letter": "nonsense", "magasin-redrive": "more"})) == 3
    redrive_id = begun(branch)
    for store_id in (branch.store_id, Branch(branch.engine).opened().store_id):
        other = told(sale(("fig", 1)), store_id=store_id)
        fails(branch, other, **Mark(first["id"], redrive_id).headers())
    assert {each["state"] for each in items(branch.engine, redrive_id)} == {"waiting"}
    assert [each["status"] for each in letters(branch.engine)] == ["waiting"] * 4


def test_what_the_broker_gave_up_on_its_way_back_waits_again(branch: Branch) -> None:
    (letter,) = fails(branch, branch.told(sale(("apple", 1))))
    redrive_id = begun(branch)
    mark = Mark(letter["id"], redrive_id).headers()
    body = join([letter["payload"]])
    for _ in range(2):
        DeadLetters(branch.engine).keep([delivery(body, message_id=uuid4().hex, routing_key="stock-writer", headers=mark)])
    (after,) = letters(branch.engine)
    assert (after["reason"], after["attempts"], len(after["earlier"])) == ("gave_up", 2, 1)
    assert shown(branch.engine, redrive_id)["outcomes"] == {"failed": 1}


async def test_what_the_projector_could_not_read_goes_back_to_the_projector_alone(desk: Desk, branch: Branch) -> None:
    open_shop(branch)
    branch.keep(branch.told(delivered(("apple", 1))))
    event = branch.log[-1]
    bad = json.dumps({**json.loads(encode_recorded(event)), "seq": 0}).encode()
    Projector(branch.engine, desk.line.publisher).project([delivery(join([bad, encode_recorded(event)]), exchange=EVENTS)])
    (letter,) = letters(branch.engine)
    with branch.engine.begin() as connection:
        connection.execute(text("UPDATE dead_letter SET payload = :payload"), {"payload": encode_recorded(event)})
    selection = chosen(branch, consumer="projector")
    with pytest.raises(Refused, match="not_editable"):
        edits.edit(branch.engine, letter["id"], [{"op": "remove", "path": "/seq"}], by=BY, reason=WHY, four_eyes=False)
    tried = await desk.done(begun(branch, selection, dry_run=True))
    assert tried["outcomes"] == {"would_succeed": 1}
    redrive_id = begun(branch, selection)
    async with desk.at_work(), desk.line.sound():
        found = await desk.over(redrive_id)
    assert (found["outcomes"], letters(branch.engine)[0]["status"]) == ({"recorded": 1}, "redriven")
    assert desk.line.published == []


def test_a_selection_is_what_was_there_when_it_was_made(branch: Branch) -> None:
    fails(branch, branch.told(sale(("apple", 1))), branch.told(sale(("apple", 2))))
    one, same = chosen(branch), chosen(branch)
    assert (one.count, one.digest) == (2, same.digest)
    fails(branch, branch.told(sale(("apple", 3))))
    assert chosen(branch).digest != one.digest
    with branch.engine.connect() as connection:
        assert selections.require(connection, one.id) == one
        assert selections.statuses(connection, one.id) == {"waiting": 2}
    with pytest.raises(Refused, match="selection_changed"):
        redrive.start(branch.engine, Wish(one.id, count=3), by=BY)
    with pytest.raises(Refused, match="unknown_selection"):
        redrive.start(branch.engine, Wish(uuid4()), by=BY)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"fingerprint": "nothing"}, 0),
        ({"type": "sale.voided"}, 1),
        ({"search": "UNKNOWNSTORE"}, 3),
        ({"search": '"sku":"pear"'}, 1),
        ({"search": "'; DROP TABLE job; --"}, 0),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, 0),
        ({"since": datetime(2020, 1, 1, tzinfo=UTC), "reason": "unknown_store"}, 3),
        ({"consumer": "projector"}, 0),
        ({"status": "parked"}, 0),
    ],
)
def test_letters_are_found_by_what_is_known_of_them(branch: Branch, query: Mapping[str, Any], count: int) -> None:
    fails(branch, branch.told(sale(("apple", 1))), branch.told(sale(("pear", 1))), branch.told(void(uuid4())))
    assert chosen(branch, **query).count == count


def test_groups_tell_how_many_and_what_they_have_in_common(branch: Branch) -> None:
    fails(branch, branch.told(sale(("apple", 1))), branch.told(sale(("pear", 1))), branch.told(void(uuid4())))
    with branch.engine.connect() as connection:
        by_type = dead_letters.groups(connection, Query(store_id=branch.store_id), "type")
        (by_store,) = dead_letters.groups(connection, Query(store_id=branch.store_id), "store")
        pages = [dead_letters.page(connection, Query(store_id=branch.store_id), before=None, limit=2)]
        pages.append(
            dead_letters.page(connection, Query(store_id=branch.store_id), before=(pages[0][1]["failed_at"], pages[0][1]["id"]), limit=2)
        )
    assert [(each["type"], each["count"]) for each in by_type] == [("sale.recorded", 2), ("sale.voided", 1)]
    assert (by_store["store"], by_store["count"], by_store["types"]) == (branch.store_id, 3, ["sale.recorded", "sale.voided"])
    assert [len(page) for page in pages] == [2, 1]
    assert len({letter["id"] for page in pages for letter in page}) == 3


async def test_an_edited_letter_is_another_event_and_each_names_the_other(desk: Desk, branch: Branch) -> None:
    open_shop(branch)
    accepted = branch.told(sale(("apple", 1)))
    data = canonical({"lines": [{"sku": "apple", "quantity": 0, "unit_price": "2.50"}]})
    (letter,) = fails(branch, encode_accepted(replace(accepted, reply_to="somebody"), data))
    patch = [{"op": "replace", "path": "/data/lines/0/quantity", "value": 2}]
    with pytest.raises(Refused, match="bad_edit"):
        edits.edit(branch.engine, letter["id"], [{**patch[0], "value": -2}], by=BY, reason=WHY, four_eyes=False)
    made = edits.edit(branch.engine, letter["id"], patch, by=BY, reason=WHY, four_eyes=False)
    old, new = (next(each for each in letters(branch.engine) if each["id"] == made[name]) for name in ("letter_id", "new_letter_id"))
    assert (old["status"], old["edited_id"], old["payload"]) == ("edited", new["id"], letter["payload"])
    assert (new["status"], new["original_id"], new["event_id"]) == ("waiting", old["id"], made["event_id"])
    assert new["event_id"] != old["event_id"]
    with pytest.raises(Refused, match="wrong_status"):
        edits.edit(branch.engine, letter["id"], patch, by=BY, reason=WHY, four_eyes=False)
    found = await desk.done(begun(branch))
    assert found["outcomes"] == {"recorded": 1}
    assert sold(branch) == [str(new["event_id"])]
    with branch.engine.connect() as connection:
        trace = dead_letters.one(connection, new["id"])
    assert trace["traces"]["event"]["outcome"] == "recorded"
    assert [each["state"] for each in trace["traces"]["edits"]] == ["approved"]
    assert trace["summary"]["en"].endswith("1 line")


def test_with_four_eyes_a_second_person_agrees_or_not(branch: Branch) -> None:
    (letter,) = fails(branch, branch.told(sale(("apple", 1))))
    patch = [{"op": "replace", "path": "/data/lines/0/quantity", "value": 2}]
    for _ in range(2):
        assert edits.edit(branch.engine, letter["id"], patch, by="one", reason=WHY, four_eyes=True)["state"] == "proposed"
        with pytest.raises(Refused, match="edit_proposed"):
            edits.edit(branch.engine, letter["id"], patch, by="two", reason=WHY, four_eyes=True)
        with pytest.raises(Refused, match="second_person"):
            edits.decide(branch.engine, letter["id"], agree=True, by="one", reason=WHY)
        assert edits.decide(branch.engine, letter["id"], agree=False, by="one", reason=WHY)["state"] == "rejected"
        with branch.engine.connect() as connection:
            trace = dead_letters.one(connection, letter["id"])["traces"]["audit"]
        assert [each["outcome"] for each in trace[-4:]] == ["done", "failed", "denied", "done"]
        with pytest.raises(Refused, match="no_edit"):
            edits.decide(branch.engine, letter["id"], agree=True, by="two", reason=WHY)
    assert [each["status"] for each in letters(branch.engine)] == ["waiting"]
    edits.edit(branch.engine, letter["id"], patch, by="one", reason=WHY, four_eyes=True)
    made = edits.decide(branch.engine, letter["id"], agree=True, by="two", reason=WHY)
    assert (made["state"], made["proposed_by"], made["decided_by"]) == ("approved", "one", "two")
    assert sorted(each["status"] for each in letters(branch.engine)) == ["edited", "waiting"]


def test_what_is_parked_waits_for_nobody_until_it_is_restored(branch: Branch) -> None:
    first, second = fails(branch, branch.told(sale(("apple", 1))), branch.told(sale(("apple", 2))))
    both = chosen(branch)
    assert shelving.shelve(branch.engine, first["id"], "park", by=BY, reason=WHY) == {
        "id": first["id"],
        "status": "parked",
        "changed": True,
    }
    assert shelving.shelve(branch.engine, first["id"], "park", by=BY, reason=WHY)["changed"] is False
    assert chosen(branch).count == 1
    assert shelving.shelve_selection(branch.engine, both.id, "park", by=BY, reason=WHY)["changed"] == 1
    assert shelving.shelve_selection(branch.engine, both.id, "restore", by=BY, reason=WHY)["changed"] == 2
    with branch.engine.begin() as connection:
        connection.execute(text("UPDATE dead_letter SET status = 'redriven' WHERE id = :id"), {"id": second["id"]})
    with pytest.raises(Refused, match="wrong_status"):
        shelving.shelve(branch.engine, second["id"], "restore", by=BY, reason=WHY)
    with pytest.raises(Refused, match="unknown_dead_letter"):
        shelving.shelve(branch.engine, uuid4(), "park", by=BY, reason=WHY)


def test_a_letter_that_a_dead_redrive_left_under_way_can_be_restored(branch: Branch) -> None:
    (letter,) = fails(branch, branch.told(sale(("apple", 1))))
    redrive_id = begun(branch)
    with branch.engine.begin() as connection:
        connection.execute(text("UPDATE dead_letter SET status = 'redriving', redrive_id = :id"), {"id": redrive_id})
    with pytest.raises(Refused, match="wrong_status"):
        shelving.shelve(branch.engine, letter["id"], "restore", by=BY, reason=WHY)
    job_orders.order(branch.engine, redrive.KIND, redrive_id, "cancel", by=BY, reason=WHY)
    assert shelving.shelve(branch.engine, letter["id"], "restore", by=BY, reason=WHY)["status"] == "waiting"


def test_of_two_processes_with_one_job_only_one_saves_a_step(branch: Branch) -> None:
    redrive_id = begun(branch)
    with branch.engine.begin() as connection:
        found = job.find(connection, redrive_id)
    assert isinstance(found, Job)
    with branch.engine.begin() as connection:
        assert job.save(connection, found, Stride(done=1, place={"at": 1})).done == 1
    with suppress(job.Overtaken), branch.engine.begin() as connection:
        job.save(connection, found, Stride(done=2))
        pytest.fail("it saved a step that another one had saved")
    with branch.engine.connect() as connection:
        after = job.find(connection, redrive_id)
    assert after
    assert (after.done, after.place, after.step) == (1, {"at": 1}, 1)
