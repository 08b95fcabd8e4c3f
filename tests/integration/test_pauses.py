"""Does what was told to wait wait, and nothing else; and does it miss nothing when it goes on?"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from infra.pauses import Kind, Target, holding
from operations import pauses, progress
from operations.deed import SYSTEM, Refused
from operations.pauses import Outcome, expire, keep_to_pauses
from projections import PROJECTIONS, checkpoint
from projections.project import follow
from projections.standing import projection_standing
from tests.pipeline import NOBODY
from tests.services import Services
from tests.telling import Branch, cells, marks, own_engine, sale
from workers.projector import Projector

ALL = sorted(PROJECTIONS)
DAILY = "daily-sales"
WHY = {"by": "operateur", "reason": "a doubtful figure"}


@pytest.fixture(scope="module")
def shared(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def engine(shared: Engine) -> Iterator[Engine]:
    """A database in which nothing waits when the test has ended."""
    yield shared
    with shared.begin() as connection:
        connection.execute(text("DELETE FROM pause"))
        checkpoint.obey_pauses(connection)


@pytest.fixture
def branch(engine: Engine) -> Branch:
    branch = Branch(engine).opened()
    branch.keep(sale(("apple", 2)), sale(("pear", 1)))
    Projector(engine, NOBODY).catch_up()
    return branch


def live(*branches: Branch) -> None:
    """What the projector does when events of these stores have arrived."""
    follow(branches[0].engine, {each.store_id: each.log for each in branches})


def places(branch: Branch) -> dict[str, tuple[int, str]]:
    return {name: place for (name, _), place in marks(branch.engine, [branch.store_id]).items()}


def everywhere(branch: Branch) -> dict[str, tuple[int, str]]:
    return dict.fromkeys(ALL, (len(branch.log), "live"))


def pause(engine: Engine, name: str = DAILY, store_id: str | None = None, **more: Any) -> Outcome:  # noqa: ANN401 - as `pause` takes it
    return pauses.pause(engine, Target("projection", name, store_id), **{**WHY, **more})


def resume(engine: Engine, name: str = DAILY, store_id: str | None = None) -> Outcome:
    return pauses.resume(engine, Target("projection", name, store_id), by="operateur", reason="looked at")


def audited(engine: Engine, target: str) -> list[tuple[str, str, str, str | None]]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT actor, action, outcome, reason FROM audit_log WHERE target = :t ORDER BY id"), {"t": target})
        return [tuple(row) for row in rows]


def test_one_store_of_one_projection_waits_and_everything_else_goes_on(branch: Branch, engine: Engine) -> None:
    other = Branch(engine).opened()
    before = len(branch.log)
    assert pause(engine, store_id=branch.store_id).told()["state"] == "paused"
    branch.keep(sale(("apple", 1)))
    other.keep(sale(("apple", 1)))
    Projector(engine, NOBODY).catch_up()
    live(branch, other)
    assert places(branch) == everywhere(branch) | {DAILY: (before, "paused")}
    assert places(other) == everywhere(other)
    with engine.connect() as connection:
        standing = projection_standing(connection, DAILY, [branch.store_id, other.store_id])
        (told,) = [each for each in progress.projections(connection, holding(connection)) if each["name"] == DAILY]
    assert standing.stalled_stores == (branch.store_id,)
    assert not standing.meta()["complete"]
    assert (told["state"], told["lag_events"], told["paused_count"], told["stalled"]) == ("live", 1, 1, [])
    assert [(each["store_id"], each["reason"], each["by"]) for each in told["paused"]] == [(branch.store_id, WHY["reason"], WHY["by"])]
    assert told["lag_seconds"] > 0

    assert resume(engine, store_id=branch.store_id).told() == {
        "name": DAILY,
        "state": "live",
        "changed": True,
        "pauses": [],
        "store_id": branch.store_id,
    }
    assert Projector(engine, NOBODY).catch_up() == 1
    assert places(branch) == everywhere(branch)
    assert cells(engine, [branch.store_id])["daily_sales.store_day"][0][2:5] == (3, 4, 0)


def test_a_whole_projection_waits_also_in_stores_that_are_opened_meanwhile(branch: Branch, engine: Engine) -> None:
    pause(engine)
    new = Branch(engine).opened()
    new.keep(sale(("apple", 1)))
    branch.keep(sale(("apple", 1)))
    Projector(engine, NOBODY).catch_up()
    assert places(new) == everywhere(new) | {DAILY: (0, "paused")}
    assert places(branch)[DAILY] == (len(branch.log) - 1, "paused")
    resume(engine)
    Projector(engine, NOBODY).catch_up()
    assert (places(new), places(branch)) == (everywhere(new), everywhere(branch))


def test_a_store_that_slipped_in_beside_the_pause_is_caught(branch: Branch, engine: Engine) -> None:
    pause(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE checkpoint SET state = 'live' WHERE store_id = :s"), {"s": branch.store_id})
    keep_to_pauses(engine)
    assert places(branch)[DAILY][1] == "paused"


def test_ending_the_pause_of_a_store_doesnt_end_that_of_the_whole_nor_the_other_way_round(branch: Branch, engine: Engine) -> None:
    pause(engine)
    told = pause(engine, store_id=branch.store_id).told()
    assert (told["state"], told["changed"], [each["store_id"] for each in told["pauses"]]) == ("paused", True, [None, branch.store_id])
    assert resume(engine, store_id=branch.store_id).state == "paused"
    assert places(branch)[DAILY][1] == "paused"
    pause(engine, store_id=branch.store_id)
    whole = resume(engine)
    assert (whole.state, [each.target.store_id for each in whole.pauses]) == ("live", [branch.store_id])
    assert places(branch)[DAILY][1] == "paused"


def test_pausing_again_changes_reason_and_end_and_resuming_again_nothing(branch: Branch, engine: Engine) -> None:
    del branch
    later = datetime.now(UTC) + timedelta(hours=1)
    assert pause(engine).changed
    again = pause(engine, reason="still doubtful", until=later)
    assert (again.changed, again.pauses[0].reason, again.pauses[0].until) == (False, "still doubtful", later)
    assert [resume(engine).changed, resume(engine).changed] == [True, False]


def test_a_pause_ends_by_itself_and_the_audit_log_says_so(branch: Branch, engine: Engine) -> None:
    target = f"{DAILY}/{branch.store_id}"
    pause(engine, store_id=branch.store_id, until=datetime.now(UTC) + timedelta(hours=1))
    assert not expire(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE pause SET until = now() - interval '1 second'"))
    with engine.connect() as connection:
        assert holding(connection) == []
    assert expire(engine)
    assert not expire(engine)
    assert places(branch) == everywhere(branch)
    assert audited(engine, target) == [
        ("operateur", "projection.pause", "done", WHY["reason"]),
        (SYSTEM, "projection.resume", "done", "expired"),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "store_id", "code"),
    [
        ("projection", "no-such", None, "unknown_projection"),
        ("projection", DAILY, "no-such-store", "unknown_store"),
        ("consumer", "nobody", None, "unknown_consumer"),
        ("consumer", "operator", None, "unknown_consumer"),
    ],
)
def test_what_nobody_knows_cant_wait_and_the_attempt_is_noted(
    engine: Engine, kind: Kind, name: str, store_id: str | None, code: str
) -> None:
    target = Target(kind, name, store_id)
    with pytest.raises(Refused) as refused:
        pauses.pause(engine, target, by="operateur", reason="why")
    with pytest.raises(Refused):
        pauses.resume(engine, target, by="operateur", reason="why")
    assert refused.value.code == code
    assert audited(engine, str(target)) == [("operateur", f"{kind}.{verb}", "failed", code) for verb in ("pause", "resume")]
    with engine.connect() as connection:
        assert holding(connection) == []


def test_what_stalled_stays_stalled_until_somebody_lets_it_try_again(branch: Branch, engine: Engine) -> None:
    with engine.begin() as connection:
        checkpoint.stall(connection, DAILY, branch.store_id, len(branch.log) + 1, "ValueError: a bug\n\nTraceback …")
    pause(engine)
    assert places(branch)[DAILY][1] == "stalled"
    with engine.connect() as connection:
        (told,) = [each for each in progress.projections(connection, holding(connection)) if each["name"] == DAILY]
    mine = [each for each in told["stalled"] if each["store_id"] == branch.store_id]
    assert [(each["seq"], each["error"]) for each in mine] == [(len(branch.log) + 1, "ValueError: a bug")]
    resume(engine, DAILY, Branch(engine).opened().store_id)
    assert places(branch)[DAILY][1] == "stalled"
    resume(engine, DAILY, branch.store_id)
    assert places(branch)[DAILY][1] == "paused"
    resume(engine)
    assert places(branch)[DAILY][1] == "live"


def test_pauses_come_and_go_under_projectors_at_work_and_nothing_is_missed(branch: Branch, engine: Engine) -> None:
    """Locks are taken in one order, so nobody deadlocks; the cells are those of the log afterwards."""
    branches = [branch, *(Branch(engine).opened() for _ in range(3))]
    failures: list[BaseException] = []
    over = threading.Event()

    def order() -> None:
        try:
            while not over.is_set():
                pause(engine)
                pause(engine, "hourly-sales", branch.store_id)
                resume(engine, "hourly-sales", branch.store_id)
                resume(engine)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=order) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        for each in branches:
            each.keep(sale(("apple", 1)))
        live(*branches)
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    Projector(engine, NOBODY).catch_up()
    assert [places(each) for each in branches] == [everywhere(each) for each in branches]
    days = {row[0]: row[2] for row in cells(engine, [each.store_id for each in branches])["daily_sales.store_day"]}
    assert days == {branch.store_id: 14, **{each.store_id: 12 for each in branches[1:]}}
