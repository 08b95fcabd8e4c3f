"""Do projections follow the log whatever arrives, and does a failing one stop alone?"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, Table, text
from sqlalchemy.exc import OperationalError

from infra.publisher import ConfirmingPublisher
from projections import PROJECTIONS, Projection, checkpoint
from projections import project as following
from projections.base import Cells
from projections.daily_sales import DailySales
from projections.hourly_sales import HourlySales
from projections.project import Progress, follow
from projections.standing import projection_standing
from projections.store_performance import StorePerformance, store_day
from schemas.envelope import Recorded
from tests.services import Services
from tests.telling import Branch, cells, delivered, marks, minutes, own_engine, returned, sale, shop, void
from workers.projector import Projector

ALL = sorted(PROJECTIONS)
PROJECTORS = 4


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    """A store with a short history: two sales, one of them voided, and a return."""
    branch = Branch(engine).opened()
    first, second = branch.told(sale(("apple", 2), ("pear", 1))), branch.told(sale(("apple", 4)), at=minutes(70))
    branch.keep(delivered(("apple", 9), ("pear", 9)), first, second, void(second.event_id), returned(first.event_id, ("apple", 1)))
    return branch


def head(branch: Branch) -> int:
    return len(branch.log)


def places(branch: Branch) -> dict[str, tuple[int, str]]:
    """How far each projection has come in this store."""
    return {name: place for (name, _), place in marks(branch.engine, [branch.store_id]).items()}


def own_cells(branch: Branch) -> Mapping[str, list[tuple[Any, ...]]]:
    return cells(branch.engine, [branch.store_id])


def everywhere(branch: Branch, state: str = "live") -> dict[str, tuple[int, str]]:
    return dict.fromkeys(ALL, (head(branch), state))


def arrive(branch: Branch, *seqs: int) -> Progress:
    log = branch.log
    return follow(branch.engine, {branch.store_id: [log[seq - 1] for seq in seqs]})


def fail_on(monkeypatch: pytest.MonkeyPatch, projection: type[Projection], branch: Branch, seq: int, error: Exception) -> None:
    """From now on the projection can't take that event of that store."""
    increments = projection.increments

    def failing(self: Projection, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        if any((event.store_id, event.seq) == (branch.store_id, seq) for event in events):
            raise error
        return increments(self, events)

    monkeypatch.setattr(projection, "increments", failing)


def resume(branch: Branch) -> None:
    with branch.engine.begin() as connection:
        connection.execute(
            text("UPDATE checkpoint SET state = 'live', error = NULL, failed_seq = NULL WHERE store_id = :s"), {"s": branch.store_id}
        )


def test_what_arrives_is_in_the_cells_of_its_day_and_hour(branch: Branch) -> None:
    arrive(branch, *range(1, head(branch) + 1))
    found = own_cells(branch)
    assert [row[1:] for row in found["daily_sales.store_day"]] == [(found["daily_sales.store_day"][0][1], 1, 3, 1, 500)]
    assert {row[2]: row[3:] for row in found["daily_sales.sku_day"]} == {"apple": (1, 2, 1, 250), "pear": (1, 1, 0, 250)}
    assert {row[2]: row[3:] for row in found["hourly_sales.store_hour"]} == {8: (1, 3, 500), 9: (0, 0, 0)}
    assert [row[2:] for row in found["store_performance.store_day"]] == [(1, 3, 1, 1, 1, 500, 250, 1000, 4)]
    assert places(branch) == everywhere(branch)


def test_duplicates_old_and_new_change_nothing(branch: Branch) -> None:
    arrive(branch, 1, 2, 3, 4)
    before = own_cells(branch)
    assert arrive(branch, 2, 3, 3).applied == 0
    assert own_cells(branch) == before
    arrive(branch, 3, 4, 4, 5, 5, 6)
    once = own_cells(branch)
    assert arrive(branch, *range(1, 7)).applied == 0
    assert own_cells(branch) == once


@pytest.mark.parametrize("arrivals", [[(6,)], [(3,), (6,)], [(6, 2)], [(5, 3, 1), (6, 4, 2)], [(2, 4, 6), (1,)]])
def test_a_gap_is_read_from_the_log(branch: Branch, arrivals: list[tuple[int, ...]]) -> None:
    for seqs in arrivals:
        arrive(branch, *seqs)
    live = own_cells(branch)
    assert places(branch) == everywhere(branch)
    assert live["daily_sales.store_day"][0][2:] == (1, 3, 1, 500)


def test_a_long_gap_is_closed_chunk_by_chunk(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "CHUNK_EVENTS", 2)
    assert arrive(branch, 6).applied == 6
    assert places(branch) == everywhere(branch)


def test_what_someone_announced_and_the_log_has_not_is_waited_for_and_not_invented(branch: Branch) -> None:
    beyond = replace(branch.log[-1], seq=head(branch) + 50)
    assert follow(branch.engine, {branch.store_id: [beyond]}).applied == head(branch)
    assert places(branch) == everywhere(branch)
    assert follow(branch.engine, {branch.store_id: [beyond]}).applied == 0
    branch.keep(sale(("apple", 1)))
    arrive(branch, head(branch))
    assert places(branch) == everywhere(branch)


def test_a_failing_projection_stalls_for_its_store_only_and_the_others_go_on(
    branch: Branch, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Branch(engine).opened()
    other.keep(sale(("apple", 1)))
    fail_on(monkeypatch, HourlySales, branch, 3, ZeroDivisionError("no such \x00 hour"))
    progress = follow(engine, {each.store_id: each.log for each in (branch, other)})
    assert progress.stalled == [("hourly-sales", branch.store_id, "ZeroDivisionError: no such \x00 hour")]
    assert places(branch) == everywhere(branch) | {"hourly-sales": (2, "stalled")}
    assert places(other) == everywhere(other)
    assert own_cells(other)["hourly_sales.store_hour"] != []
    assert own_cells(branch)["hourly_sales.store_hour"] == []
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT error, failed_seq FROM checkpoint WHERE state = 'stalled' AND store_id = :s"), {"s": branch.store_id}
        ).one()
        standing = projection_standing(connection, "hourly-sales", [branch.store_id, other.store_id])
    assert row.failed_seq == 3
    assert row.error.startswith("ZeroDivisionError: no such � hour")
    assert "in failing" in row.error
    assert standing.stalled_stores == (branch.store_id,)
    assert not standing.meta()["complete"]


def test_a_stalled_projection_stays_where_it_is_until_it_is_resumed_and_then_misses_nothing(
    branch: Branch, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        fail_on(broken, DailySales, branch, 4, ValueError("a bug"))
        arrive(branch, *range(1, 7))
        assert places(branch)["daily-sales"] == (3, "stalled")
        branch.keep(sale(("pear", 1)))
        assert follow(engine, {branch.store_id: branch.log[-1:]}).stalled == []
    arrive(branch, head(branch))
    assert places(branch)["daily-sales"] == (3, "stalled")
    with engine.connect() as connection:
        assert branch.store_id not in checkpoint.behind(connection, PROJECTIONS)
    resume(branch)
    with engine.connect() as connection:
        assert checkpoint.behind(connection, PROJECTIONS)[branch.store_id] == head(branch)
    assert Projector(engine, NOBODY).catch_up() >= 1
    assert places(branch) == everywhere(branch)
    assert own_cells(branch)["daily_sales.store_day"][0][2:] == (2, 4, 1, 750)


def test_an_error_of_the_database_itself_stalls_as_well(branch: Branch, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    increments = StorePerformance.increments

    def overflowing(self: StorePerformance, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        found = increments(self, events)
        if any((event.store_id, event.seq) == (branch.store_id, 5) for event in events):
            for amounts in found[store_day].values():
                amounts[0] = 2**63
        return found

    monkeypatch.setattr(StorePerformance, "increments", overflowing)
    progress = follow(engine, {branch.store_id: branch.log})
    assert [stalled[:2] for stalled in progress.stalled] == [("store-performance", branch.store_id)]
    assert "out of range" in progress.stalled[0][2]
    assert places(branch)["store-performance"] == (4, "stalled")


def test_a_failure_that_does_not_come_back_stalls_nothing_and_ends(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [ValueError("once"), ValueError("twice")]
    increments = DailySales.increments

    def flaky(self: DailySales, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        if failures:
            raise failures.pop()
        return increments(self, events)

    monkeypatch.setattr(DailySales, "increments", flaky)
    assert arrive(branch, *range(1, 7)).stalled == []
    assert failures == []
    assert places(branch) == everywhere(branch)
    assert own_cells(branch)["daily_sales.store_day"][0][2:] == (1, 3, 1, 500)


def test_a_failing_projection_does_not_look_for_events_that_the_log_has_not(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    beyond = replace(branch.log[-1], seq=head(branch) + 1)
    fail_on(monkeypatch, DailySales, branch, head(branch) + 1, ValueError("a forged event"))
    assert follow(branch.engine, {branch.store_id: [*branch.log, beyond]}).stalled == []
    assert places(branch)["daily-sales"] == (head(branch), "live")


def test_a_paused_projection_stays_where_it_is(branch: Branch, engine: Engine) -> None:
    arrive(branch, 1)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE checkpoint SET state = 'paused' WHERE projection = 'daily-sales' AND store_id = :s"), {"s": branch.store_id}
        )
    arrive(branch, 2, 3)
    assert places(branch) == dict.fromkeys(ALL, (3, "live")) | {"daily-sales": (1, "paused")}
    resume(branch)
    arrive(branch, 6)
    assert places(branch) == everywhere(branch)


def test_competing_projectors_apply_each_event_once(engine: Engine) -> None:
    branches = [Branch(engine).opened() for _ in range(2)]
    for each in branches:
        each.keep(*[sale(("apple", 1))] * 20)
    logs = {each.store_id: each.log for each in branches}
    gate = threading.Barrier(PROJECTORS)

    def project(number: int) -> None:
        gate.wait()
        for start in range(0, 25, 3):
            shift = start if number % 2 else 24 - start
            follow(engine, {store_id: log[shift : shift + 4] for store_id, log in logs.items() if log[shift : shift + 4]})

    with ThreadPoolExecutor(PROJECTORS) as pool:
        list(pool.map(project, range(PROJECTORS)))
    for each in branches:
        follow(engine, {}, {each.store_id: head(each)})
        assert places(each) == everywhere(each)
        assert own_cells(each)["daily_sales.store_day"][0][2:] == (20, 20, 0, 5_000)


def test_catching_up_builds_what_following_live_built(engine: Engine, branch: Branch) -> None:
    twin = Branch(engine).opened()
    first = twin.told(sale(("apple", 2), ("pear", 1)))
    second = twin.told(sale(("apple", 4)), at=minutes(70))
    for event in (delivered(("apple", 9), ("pear", 9)), first, second, void(second.event_id), returned(first.event_id, ("apple", 1))):
        twin.keep(event)
        arrive(twin, head(twin))
    Projector(engine, NOBODY).catch_up()
    assert places(branch) == everywhere(branch)
    assert [[row[1:] for row in rows] for rows in own_cells(branch).values()] == [
        [row[1:] for row in rows] for rows in own_cells(twin).values()
    ]
    with engine.connect() as connection:
        assert checkpoint.behind(connection, PROJECTIONS) == {}
    assert Projector(engine, NOBODY).catch_up() == 0


def test_a_database_that_is_away_stalls_nothing(branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = OperationalError("SELECT", {}, Exception("the connection broke"))
    with monkeypatch.context() as broken:
        fail_on(broken, DailySales, branch, 3, lost)
        with pytest.raises(OperationalError):
            arrive(branch, *range(1, 7))
        assert places(branch) == {}
    arrive(branch, *range(1, 7))
    assert places(branch) == everywhere(branch)


def test_standing_tells_what_is_missing_and_since_when(branch: Branch, engine: Engine) -> None:
    arrive(branch, 1, 2, 3)
    with engine.connect() as connection:
        before = projection_standing(connection, "daily-sales", [branch.store_id])
    arrive(branch, 6)
    with engine.connect() as connection:
        after = projection_standing(connection, "daily-sales", [branch.store_id])
    assert before.lag_seconds > 0
    assert not before.meta()["complete"]
    assert (after.lag_seconds, after.meta()["complete"], after.timezone) == (0.0, True, "America/Toronto")
    assert after.position != before.position
    assert before.as_of == branch.log[3].recorded_at


def test_a_shops_new_time_zone_moves_no_sale_that_was_made_before(engine: Engine) -> None:
    branch = Branch(engine)
    sold = branch.told(sale(("apple", 2)))
    branch.keep(shop(timezone="UTC"), sold)
    branch.keep(shop(timezone="Asia/Tokyo"), void(sold.event_id))
    follow(engine, {branch.store_id: branch.log})
    assert [row[2:] for row in own_cells(branch)["hourly_sales.store_hour"]] == [(12, 0, 0, 0)]


NOBODY = ConfirmingPublisher("amqp://nobody:nobody@127.0.0.1:1/", name="never-started")
