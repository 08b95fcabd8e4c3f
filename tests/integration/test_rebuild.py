"""Is a projection built again beside the live one exactly what its log says, and does nobody notice until it is promoted?"""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from sqlalchemy import Engine, Table, select, text

from infra.audit import audit_log
from infra.database import copy_in
from infra.faults import is_transient
from infra.pauses import Target
from operations import job, job_orders, pauses, rebuild, swap
from operations.deed import Refused
from operations.job import Job, Overtaken
from operations.rebuild import Rebuild
from projections import PROJECTIONS, REPORTS, generations
from projections.base import Cells
from projections.daily_sales import DailySales
from projections.project import follow
from projections.question import Question
from schemas.envelope import Recorded
from tests.pipeline import NOBODY, rebuilt
from tests.services import ROOT, Services
from tests.telling import Branch, adjusted, cells, delivered, marks, open_shops, own_engine, returned, sale, void
from workers.projector import Projector

NAME = DailySales.name
DAY = "daily_sales.store_day"
WHO = {"by": "olga", "reason": "figures look wrong"}


@pytest.fixture
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture(autouse=True)
def branch(engine: Engine) -> Branch:
    """A store with facts of every kind, all of them projected."""
    made = Branch(engine).opened()
    kept, gone = made.told(sale(("apple", 3), ("pear", 1))), made.told(sale(("pear", 2)))
    made.keep(delivered(("apple", 10, "0.80")), adjusted(("pear", -2)), kept)
    made.keep(returned(kept.event_id, ("apple", 1)), gone, void(gone.event_id))
    catch_up(engine)
    return made


def moved(engine: Engine, started: Job, *, most: int = 1_000) -> Job:
    """The rebuild, moved on until it waits for somebody."""
    found = started
    while found.moves:
        Rebuild(engine).move(found, most)
        found = seen(engine, found)
    return found


def seen(engine: Engine, found: Job) -> Job:
    with engine.connect() as connection:
        now = job.find(connection, found.id)
    assert now is not None
    return now


def started(engine: Engine, name: str = NAME) -> Job:
    return rebuild.start(engine, name, by=WHO["by"], reason=WHO["reason"])


def ready(engine: Engine, name: str = NAME) -> Job:
    found = moved(engine, started(engine, name))
    assert (found.state, found.error, found.done) == ("ready", None, found.total)
    return found


def tamper(engine: Engine, store_id: str, cents: int = 100) -> None:
    changed = "UPDATE daily_sales.store_day SET revenue_cents = revenue_cents + :cents WHERE store_id = :store_id"
    with engine.begin() as connection:
        connection.execute(text(changed), {"cents": cents, "store_id": store_id})


def revenue(engine: Engine, store_id: str) -> int:
    with engine.connect() as connection:
        statement = text("SELECT sum(revenue_cents) FROM daily_sales.store_day WHERE store_id = :store_id")
        return int(connection.execute(statement, {"store_id": store_id}).scalar_one())


def left_behind(engine: Engine) -> set[str]:
    """What there is of builds that aren't live."""
    with engine.connect() as connection:
        found = set(connection.scalars(text("SELECT nspname FROM pg_namespace WHERE nspname ~ '_g[0-9]+$'")))
        found |= set(connection.scalars(text("SELECT projection || generation FROM checkpoint WHERE generation <> 0")))
        return found | set(connection.scalars(text("SELECT projection || number FROM generation WHERE state <> 'live'")))


def catch_up(engine: Engine) -> None:
    Projector(engine, NOBODY).catch_up()


def neighbours(engine: Engine, count: int) -> list[Branch]:
    """Stores with seven events each, all of them projected; they come before all others."""
    made = [Branch(engine, f"a-{number:02}") for number in range(count)]
    open_shops(engine, *(each.store_id for each in made))
    for each in made:
        each.keep(*(sale(("apple", number + 1), ("pear", 1)) for number in range(6)))
    catch_up(engine)
    return made


def transactions(engine: Engine, found: Job) -> int:
    """In how many of them the places of a build were moved to where they are."""
    moved_in = text("SELECT count(DISTINCT xmin::text) FROM checkpoint WHERE projection = :projection AND generation = :number")
    with engine.connect() as connection:
        return int(connection.execute(moved_in, {"projection": NAME, "number": found.place["generation"]}).scalar_one())


def waiting(engine: Engine) -> bool:
    """Whether a session waits for an advisory lock."""
    waits = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'"
    with engine.connect() as connection:
        return bool(connection.execute(text(f"SELECT EXISTS ({waits})")).scalar_one())


def check_rebuild(engine: Engine, name: str) -> None:
    """Built again it differs in nothing, and promoting it changes nothing; whatever comes then is added to it."""
    before = cells(engine)
    found = ready(engine, name)
    assert found.place["diff"]["cells"] == 0
    assert found.place["apart"] == []
    assert cells(engine) == before
    swap.promote(engine, found.id, **WHO)
    assert cells(engine) == before


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
def test_every_projection_built_again_is_the_live_one(engine: Engine, branch: Branch, name: str) -> None:
    check_rebuild(engine, name)
    branch.keep(sale(("apple", 2)), delivered(("pear", 4, "0.50")), adjusted(("apple", -1)))
    catch_up(engine)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])


def test_a_tampered_cell_is_named_and_is_gone_once_the_build_is_promoted(engine: Engine, branch: Branch) -> None:
    true = cells(engine)
    tamper(engine, branch.store_id)
    found = ready(engine)
    tables = found.place["diff"]["tables"]
    assert found.place["diff"]["cells"] == 1
    assert {name: (each["added"], each["removed"], each["changed"]) for name, each in tables.items() if each["examples"]} == {
        "store_day": (0, 0, 1)
    }
    (example,) = tables["store_day"]["examples"]
    assert example["key"] == {"store_id": branch.store_id, "business_date": "2026-03-14"}
    assert example["change"] == {"sales": 0, "units": 0, "returned_units": 0, "revenue_cents": -100}
    assert tables["store_day"]["sums"]["revenue_cents"]["live"] - tables["store_day"]["sums"]["revenue_cents"]["rebuilt"] == 100
    assert cells(engine) != true
    swap.promote(engine, found.id, **WHO)
    assert cells(engine) == true


def test_what_changes_when_a_projections_code_does_is_shown_and_nothing_else(
    engine: Engine, branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DailySales.increments

    def without_returns(self: DailySales, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        return original(self, [event for event in events if event.type != "sale.returned"])

    monkeypatch.setattr(DailySales, "increments", without_returns)
    found = ready(engine)
    tables = found.place["diff"]["tables"]
    assert {name: (each["added"], each["removed"], each["changed"]) for name, each in tables.items()} == dict.fromkeys(tables, (0, 0, 1))
    for each in tables.values():
        (example,) = each["examples"]
        assert example["key"].get("sku", "apple") == "apple"
        assert example["change"] == {"sales": 0, "units": 0, "returned_units": -1, "revenue_cents": 250}
    swap.promote(engine, found.id, **WHO)
    branch.keep(sale(("apple", 1)))
    catch_up(engine)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])


def test_the_way_back_has_what_was_recorded_since(engine: Engine, branch: Branch) -> None:
    true = revenue(engine, branch.store_id)
    tamper(engine, branch.store_id)
    found = ready(engine)
    swap.promote(engine, found.id, **WHO)
    branch.keep(*(sale(("apple", 1)) for _ in range(3)))
    catch_up(engine)
    assert revenue(engine, branch.store_id) == true + 750
    assert swap.rollback(engine, found.id, **WHO).state == "rolled_back"
    assert revenue(engine, branch.store_id) == true + 750 + 100
    branch.keep(sale(("pear", 1)))
    catch_up(engine)
    assert revenue(engine, branch.store_id) == true + 1_000 + 100
    assert swap.promote(engine, found.id, **WHO).state == "promoted"
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])
    assert swap.promote(engine, found.id, **WHO).state == "promoted"
    with engine.connect() as connection:
        numbers = generations.numbers(connection)
        lines = connection.execute(select(audit_log.c.action, audit_log.c.outcome, audit_log.c.reason).order_by(audit_log.c.id)).all()
    assert numbers == {NAME: 2}
    verbs = ["start", "ready", "promote", "rollback", "promote", "promote"]
    assert [tuple(line[:2]) for line in lines] == [(f"rebuild.{verb}", "done") for verb in verbs]
    assert {line.reason for line in lines if line.action != "rebuild.ready"} == {WHO["reason"]}


def test_sales_go_on_while_a_build_is_filled_promoted_and_taken_back(engine: Engine, branch: Branch) -> None:
    over = threading.Event()

    def sell() -> int:
        sold = 0
        while not over.is_set():
            branch.keep(sale(("apple", 1), ("pear", 2)))
            follow(engine, {branch.store_id: branch.log[-1:]})
            sold += 1
        return sold

    branch.keep(*(sale(("apple", 1)) for _ in range(300)))
    catch_up(engine)
    with ThreadPoolExecutor(1) as shop:
        sold = shop.submit(sell)
        try:
            found = moved(engine, started(engine), most=50)
            assert (found.place["diff"]["cells"], found.place["apart"]) == (0, [])
            for deed in (swap.promote, swap.rollback, swap.promote):
                deed(engine, found.id, **WHO)
        finally:
            over.set()
        assert sold.result() > 0
    catch_up(engine)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])
    assert marks(engine, [branch.store_id])[NAME, branch.store_id] == (len(branch.log), "live")


REBUILDING = """
import sys
from uuid import UUID
from infra.database import engine_for
from infra.settings import Settings
from operations import job
from operations.rebuild import Rebuild
engine = engine_for(Settings(env="test", database_url=sys.argv[1]), name="killed")
while True:
    with engine.connect() as connection:
        found = job.find(connection, UUID(sys.argv[2]))
    if found is None or not found.moves:
        break
    Rebuild(engine).move(found, 20)
    print(found.step, flush=True)
"""


def test_killed_anywhere_it_goes_on_where_it_was_and_nothing_is_in_it_twice(engine: Engine, branch: Branch) -> None:
    branch.keep(*(sale(("apple", 1), ("pear", number % 3 + 1)) for number in range(300)))
    # Some that are folded two at a time, in two sessions.
    neighbours(engine, 12)
    begun, kills = started(engine), 0
    while seen(engine, begun).moves:
        command = [sys.executable, "-c", REBUILDING, engine.url.render_as_string(hide_password=False), str(begun.id)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(5):
                process.stdout.readline()
            # In the middle of the step after: it is neither waited for nor told.
            process.kill()
        kills += 1
    found = seen(engine, begun)
    assert (found.state, found.place["diff"]["cells"]) == ("ready", 0)
    assert kills > 3
    swap.promote(engine, found.id, **WHO)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])


def test_half_of_a_slice_is_folded_in_a_second_session_as_long_as_nobody_sells(engine: Engine, branch: Branch) -> None:
    neighbours(engine, 9)
    found = started(engine)
    counts = [0]
    for _ in range(4):
        Rebuild(engine).move(found, 20)
        found = seen(engine, found)
        counts.append(transactions(engine, found))
        if len(counts) == 3:
            branch.keep(sale(("apple", 1)))
    # The first slice doesn't know yet; somebody sold before the third.
    assert [after - before for before, after in itertools.pairwise(counts)] == [1, 2, 1, 2]
    catch_up(engine)
    found = moved(engine, found)
    assert (found.state, found.place["diff"]["cells"]) == ("ready", 0)


def test_with_a_rate_there_is_no_second_session(engine: Engine) -> None:
    neighbours(engine, 4)
    found = rebuild.start(engine, NAME, **WHO, max_per_second=1_000)
    for _ in range(2):
        Rebuild(engine).move(found, 14)
        found = seen(engine, found)
    assert transactions(engine, found) == 2


def test_what_the_second_session_has_folded_stays_folded_when_the_step_fails(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours(engine, 8)
    found = started(engine)
    Rebuild(engine).move(found, 20)
    found = seen(engine, found)

    def fails(*_: object) -> Job:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(job, "save", fails)
        for count in (2, 3):
            with pytest.raises(RuntimeError):
                Rebuild(engine).move(found, 20)
            assert transactions(engine, found) == count
    found = moved(engine, found)
    assert (found.state, found.place["diff"]["cells"], found.done) == ("ready", 0, found.total)


def test_a_step_waits_for_the_second_session_of_a_process_that_was_killed(engine: Engine) -> None:
    neighbours(engine, 2)
    found = started(engine)
    with ThreadPoolExecutor(1) as successor:
        with engine.begin() as killed:
            killed.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"beside {found.id}"})
            step = successor.submit(Rebuild(engine).move, found, 1_000)
            while not waiting(engine):
                assert not step.done()
                time.sleep(0.01)
            assert transactions(engine, found) == 0
        assert step.result().done > 0


def test_of_two_operators_with_one_job_one_does_a_step(engine: Engine, branch: Branch) -> None:
    branch.keep(*(sale(("apple", 1)) for _ in range(100)))
    catch_up(engine)
    found = started(engine)
    while found.moves:
        with ThreadPoolExecutor(2) as both:
            ended = [both.submit(Rebuild(engine).move, found, 30).exception() for _ in range(2)]
        assert all(each is None or isinstance(each, Overtaken) or is_transient(each) for each in ended)
        found = seen(engine, found)
    assert (found.state, found.place["diff"]["cells"], found.done) == ("ready", 0, found.total)


def test_what_other_code_began_is_begun_anew(engine: Engine, branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    tamper(engine, branch.store_id)
    found = started(engine)
    Rebuild(engine).move(found, 2)
    monkeypatch.setattr(rebuild, "code_of", lambda _: "newer")
    monkeypatch.setattr(swap, "code_of", lambda _: "newer")
    found = moved(engine, seen(engine, found))
    assert (found.state, found.place["started_over"], found.place["diff"]["cells"], found.done) == ("ready", 1, 1, found.total)
    monkeypatch.setattr(swap, "code_of", lambda _: "newer still")
    with pytest.raises(Refused, match="rebuild_outdated"):
        swap.promote(engine, found.id, **WHO)


def test_given_up_it_leaves_nothing_behind(engine: Engine) -> None:
    before = cells(engine)
    found = started(engine)
    Rebuild(engine).move(found, 3)
    with pytest.raises(Refused, match="rebuild_running"):
        started(engine)
    assert left_behind(engine)
    paused, _ = job_orders.order(engine, rebuild.KIND, found.id, "pause", **WHO)
    assert not paused.moves
    assert swap.resume(engine, found.id, **WHO).moves
    assert swap.cancel(engine, found.id, **WHO).state == "cancelled"
    with pytest.raises(Overtaken):
        Rebuild(engine).move(paused, 3)
    assert left_behind(engine) == set()
    assert cells(engine) == before
    with pytest.raises(Refused, match="wrong_status"):
        swap.promote(engine, found.id, **WHO)


def test_the_next_build_takes_the_place_of_the_one_that_was_kept(engine: Engine, branch: Branch) -> None:
    first = ready(engine)
    swap.promote(engine, first.id, **WHO)
    second = ready(engine)
    branch.keep(sale(("apple", 1)))
    catch_up(engine)
    again = moved(engine, swap.resume(engine, second.id, **WHO))
    assert (again.state, again.done, again.place["diff"]["cells"]) == ("ready", second.done + 1, 0)
    swap.promote(engine, second.id, **WHO)
    assert left_behind(engine) == {"daily_sales_g2", f"{NAME}2"}
    with pytest.raises(Refused, match="rebuild_outdated"):
        swap.rollback(engine, first.id, **WHO)
    swap.rollback(engine, second.id, **WHO)
    with engine.connect() as connection:
        assert generations.numbers(connection) == {NAME: 2}


def test_where_an_event_can_not_be_applied_a_build_stops_like_the_live_one(
    engine: Engine, branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Branch(engine).opened()
    original, poison = DailySales.increments, branch.told(sale(("apple", 7)))

    def choking(self: DailySales, events: Sequence[Recorded]) -> Mapping[Table, Cells]:
        if any(event.event_id == poison.event_id for event in events):
            message = "seven apples"
            raise ArithmeticError(message)
        return original(self, events)

    monkeypatch.setattr(DailySales, "increments", choking)
    branch.keep(poison, sale(("apple", 1)))
    other.keep(sale(("pear", 5)))
    catch_up(engine)
    stopped = (len(branch.log) - 2, "stalled")
    assert marks(engine, [branch.store_id])[NAME, branch.store_id] == stopped
    found = ready(engine)
    assert (found.place["diff"]["cells"], found.place["apart"]) == (0, [])
    swap.promote(engine, found.id, **WHO)
    assert live_mark(engine, branch.store_id) == (*stopped, "ArithmeticError: seven apples")
    # The code is mended: another build shows what that store lacks, and has it.
    monkeypatch.setattr(DailySales, "increments", original)
    mended = ready(engine)
    assert mended.place["apart"] == [{"store_id": branch.store_id, "live": stopped[0], "rebuilt": len(branch.log)}]
    assert mended.place["diff"]["tables"]["store_day"]["sums"]["units"] == {"live": 9, "rebuilt": 17}
    swap.promote(engine, mended.id, **WHO)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])
    assert live_mark(engine, branch.store_id) == (len(branch.log), "live", None)


def live_mark(engine: Engine, store_id: str) -> tuple[int, str, str | None]:
    asked = """
        SELECT seq, state, split_part(error, E'\\n', 1) FROM checkpoint
        WHERE generation = 0 AND projection = :name AND store_id = :store_id
    """
    with engine.connect() as connection:
        seq, state, error = connection.execute(text(asked), {"name": NAME, "store_id": store_id}).one()
    return seq, state, error


def test_a_stalled_store_goes_on_when_it_is_told_to(engine: Engine, branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DailySales, "increments", lambda *_: 1 / 0)
    branch.keep(sale(("apple", 1)))
    catch_up(engine)
    monkeypatch.undo()
    catch_up(engine)
    assert live_mark(engine, branch.store_id)[1] == "stalled"
    outcome = pauses.resume(engine, Target("projection", NAME, branch.store_id), by="olga", reason="mended")
    assert (outcome.changed, outcome.state) == (True, "live")
    catch_up(engine)
    assert live_mark(engine, branch.store_id) == (len(branch.log), "live", None)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])
    assert not pauses.resume(engine, Target("projection", NAME), by="olga", reason="again").changed
    with engine.connect() as connection:
        details = connection.scalars(select(audit_log.c.details).order_by(audit_log.c.id)).all()
    assert details == [{"stalled": 1, "stores": [branch.store_id]}, {}]


def test_a_paused_store_is_still_paused_in_the_build_that_takes_its_place(engine: Engine, branch: Branch) -> None:
    place = live_mark(engine, branch.store_id)[0]
    pauses.pause(engine, Target("projection", NAME, branch.store_id), by="olga", reason="look")
    branch.keep(sale(("apple", 1)))
    catch_up(engine)
    found = ready(engine)
    swap.promote(engine, found.id, **WHO)
    assert live_mark(engine, branch.store_id) == (place, "paused", None)
    pauses.resume(engine, Target("projection", NAME, branch.store_id), by="olga", reason="seen")
    catch_up(engine)
    assert cells(engine, [branch.store_id]) == rebuilt(engine, [branch.store_id])


def test_a_reader_never_sees_one_builds_figures_with_anothers_place(engine: Engine, branch: Branch) -> None:
    true = revenue(engine, branch.store_id)
    found = ready(engine)
    branch.keep(sale(("apple", 1)))
    catch_up(engine)
    asked = 0

    def ask() -> tuple[int, int]:
        nonlocal asked
        asked += 1
        reader.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        place = reader.execute(text("SELECT max(seq) FROM checkpoint WHERE generation = 0 AND projection = 'daily-sales'")).scalar_one()
        if asked == 1:  # Its snapshot is there, and it has looked up no table yet.
            swap.promote(engine, found.id, **WHO)
        return place, int(reader.execute(text("SELECT sum(revenue_cents) FROM daily_sales.store_day")).scalar_one())

    with engine.connect() as reader:
        assert generations.of_one_build(reader, ask) == (len(branch.log), true + 250)
        assert asked == 2
        reader.rollback()
        assert generations.of_one_build(reader, ask) == (len(branch.log), true + 250)
    assert asked == 3


def test_the_worth_of_the_shelves_is_counted_anew_when_the_costs_are_others(engine: Engine) -> None:
    def worth() -> str:
        report = REPORTS["stock-valuation"]
        with engine.connect() as connection:
            for _ in report.prepare(connection, Question(("store_id",))):
                connection.commit()
            (row,) = report.find(connection, Question(("store_id",))).rows
        return str(row["value"])

    with engine.begin() as connection:
        connection.execute(text("UPDATE stock_valuation.store_sku SET cost_cents = 2 * cost_cents"))
    wrong = worth()
    found = ready(engine, "stock-valuation")
    swap.promote(engine, found.id, **WHO)
    assert float(worth()) * 2 == float(wrong) != 0


def test_a_rate_holds_slices_to_what_was_asked_for(engine: Engine) -> None:
    found = started(engine)
    done = [Rebuild(engine).move(seen(engine, found), 2).done for _ in range(3)]
    assert all(0 < each <= 2 for each in done)


def test_rows_are_copied_whatever_stands_in_them(engine: Engine) -> None:
    texts = ["plain", "", "back\\slash", "\\N", "\\.", "a\tb", "a\nb", "a\rb", "é \u2028 ☃"]
    days = [date(2026, 1, 1 + place) for place in range(len(texts))]
    with engine.begin() as connection:
        connection.execute(text("CREATE TEMP TABLE copied (name text, day date, amount bigint)"))
        copy_in(connection, "copied", [texts, days, range(-4, 5)])
        copy_in(connection, "copied", [["again"], [date(1, 1, 1)], [2**62]])
        found = connection.execute(text("SELECT * FROM copied ORDER BY day")).all()
    assert [tuple(row) for row in found] == [("again", date(1, 1, 1), 2**62), *zip(texts, days, range(-4, 5), strict=True)]


def test_each_projection_has_a_schema_of_its_own() -> None:
    live = [generations.schema_of(projection) for projection in PROJECTIONS.values()]
    assert len(set(live)) == len(live)
    assert generations.schema_of(PROJECTIONS[NAME], 3) == "daily_sales_g3"
