"""Is everything that differs from the log found and named, and nothing else, while the tills go on selling?"""

import importlib
from collections.abc import Iterator

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Engine, Table, delete, select, text, update

from operations.looking import by_store
from operations.mismatch import Mismatch
from operations.verify import MOST_MISMATCHES, Verdict, verify
from operations.verify_chain import Pair, compare, pairs, pieces
from projections import PROJECTIONS
from projections.project import follow
from tests.services import Services
from tests.telling import Branch, adjusted, counted, delivered, minutes, own_engine, returned, sale, void


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    return busy(Branch(engine).opened())


@pytest.fixture
def alone(services: Services) -> Iterator[Branch]:
    """The same in a database without any other store."""
    with own_engine(services) as pool:
        yield busy(Branch(pool).opened())


def busy(branch: Branch) -> Branch:
    """A store with facts of every kind, some late, some before what they speak of, all of it projected."""
    kept, gone, late = branch.told(sale(("apple", 3), ("pear", 1))), branch.told(sale(("pear", 2))), branch.told(sale(("apple", 1)))
    branch.keep(delivered(("apple", 10, "0.80"), ("apple", 5)), adjusted(("pear", -2), ("apple", 1)), kept, gone, void(gone.event_id))
    branch.keep(returned(kept.event_id, ("apple", 1)), returned(kept.event_id, ("pear", 1), condition="damaged"))
    branch.keep(branch.told(returned(late.event_id, ("apple", 1)), at=minutes(1_500)), void(late.event_id), late)
    branch.keep(branch.told(counted(("apple", 4), ("pear", 9)), at=minutes(30)), sale(("apple", 99), if_insufficient="refuse"))
    branch.keep(branch.told(sale(("apple", 2)), at=minutes(10)), branch.told(sale(("apple", 2)), at=minutes(30)))
    project(branch)
    return branch


def project(branch: Branch) -> None:
    follow(branch.engine, {}, {branch.store_id: branch.log[-1].seq})


def at_once() -> None:
    """Waits for nobody."""


def looked_at(branch: Branch) -> Verdict:
    return verify(branch.engine, branch.store_id, at_once)


def tamper(branch: Branch, statement: str) -> int:
    with branch.engine.begin() as connection:
        return connection.execute(text(statement), {"store_id": branch.store_id}).rowcount


def places(verdict: Verdict) -> list[str]:
    return [each.where for each in verdict.mismatches]


def test_a_store_that_nobody_touched_equals_its_log(branch: Branch) -> None:
    verdict = looked_at(branch)
    assert (verdict.count, verdict.mismatches, verdict.more) == (0, (), False)
    assert verdict.seq == verdict.events == branch.log[-1].seq
    with branch.engine.connect() as connection:
        tables = ["stock_movement", "stock_level", *(t.fullname for p in PROJECTIONS.values() for t in by_store(p))]
        rows = [connection.scalar(text(f"SELECT count(*) FROM {each} WHERE store_id = :s"), {"s": branch.store_id}) for each in tables]  # noqa: S608
    assert verdict.checked >= sum(rows) - rows[0]


@pytest.mark.parametrize("table", [t for p in PROJECTIONS.values() for t in by_store(p)], ids=lambda table: table.fullname)
def test_one_tampered_cell_of_any_projection_is_found_and_named(branch: Branch, table: Table) -> None:
    column = next(column.name for column in table.columns if not column.primary_key)
    keys = [each.name for each in table.primary_key.columns]
    with branch.engine.begin() as connection:
        cell = connection.execute(table.select().where(table.c.store_id == branch.store_id)).mappings().first()
        assert cell is not None
        which = [table.c[name] == cell[name] for name in keys]
        connection.execute(table.update().where(*which).values({column: cell[column] + 7}))
    place = "/".join([table.fullname, *(str(cell[name]) for name in keys), column])
    assert looked_at(branch).mismatches == [Mismatch(place, cell[column], cell[column] + 7)]


def test_a_tampered_level_is_named_with_what_the_log_says(branch: Branch) -> None:
    right = branch.levels["apple"]
    assert tamper(branch, "UPDATE stock_level SET on_hand = on_hand + 1 WHERE store_id = :store_id AND sku = 'apple'") == 1
    assert looked_at(branch).mismatches == [Mismatch(f"stock_level/{branch.store_id}/apple/on_hand", right, right + 1)]


def test_a_tampered_cost_is_named_with_what_the_log_says(branch: Branch) -> None:
    branch.keep(delivered(("apple", 6, "1.00")))
    project(branch)
    assert looked_at(branch).count == 0
    assert tamper(branch, "UPDATE stock_cost SET cost_cents = cost_cents + 1 WHERE store_id = :store_id AND sku = 'apple'") == 1
    with branch.engine.connect() as connection:
        wrong = connection.scalar(text("SELECT cost_cents FROM stock_cost WHERE store_id = :store_id"), {"store_id": branch.store_id})
    place = f"stock_cost/{branch.store_id}/apple"
    assert looked_at(branch).mismatches == [Mismatch(f"{place}/cost_cents", wrong - 1, wrong)]
    tamper(branch, "DELETE FROM stock_cost WHERE store_id = :store_id")
    assert {f"{place}/units", f"{place}/cost_cents"} == set(places(looked_at(branch)))


def test_a_level_that_is_gone_is_named(branch: Branch) -> None:
    tamper(branch, "DELETE FROM stock_level WHERE store_id = :store_id AND sku = 'pear'")
    assert f"stock_level/{branch.store_id}/pear/on_hand" in places(looked_at(branch))


def test_a_tampered_movement_is_named_and_the_level_is_not_blamed(branch: Branch) -> None:
    assert tamper(
        branch, "UPDATE stock_movement SET delta = delta - 5 WHERE store_id = :store_id AND type = 'delivery.received' AND line = 1"
    )
    (found,) = looked_at(branch).mismatches
    assert found.where.startswith(f"stock_movement/{branch.store_id}/apple/2026-03-14T12:00:00Z/")
    assert (found.where.rsplit("/", 1)[1], found.expected, found.found) == ("delta", 5, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stock_movement WHERE store_id = :store_id AND type = 'sale.voided'",
        """INSERT INTO stock_movement SELECT store_id, 'plum', effective_at, event_id, 77, seq, type, 3, NULL, recorded_at
           FROM stock_movement WHERE store_id = :store_id AND type = 'stock.adjusted' AND sku = 'pear'""",
        "UPDATE stock_movement SET recorded_at = recorded_at - interval '1 day' WHERE store_id = :store_id AND type = 'stock.counted'",
    ],
    ids=["gone", "invented", "elsewhere in time"],
)
def test_a_ledger_that_holds_something_else_than_the_log_wrote_is_found(branch: Branch, statement: str) -> None:
    assert tamper(branch, statement)
    assert any(each.startswith(f"stock_movement/{branch.store_id}/") for each in places(looked_at(branch)))


def test_two_changes_that_leave_the_sum_alone_are_both_found(branch: Branch) -> None:
    for sku, delta in (("apple", 1), ("pear", -1)):
        tamper(branch, f"UPDATE daily_sales.sku_day SET units = units + ({delta}) WHERE store_id = :store_id AND sku = '{sku}'")  # noqa: S608
    assert {each.rsplit("/", 2)[1] for each in places(looked_at(branch))} == {"apple", "pear"}


def test_a_projection_that_waits_is_compared_as_far_as_it_has_come(branch: Branch) -> None:
    branch.keep(sale(("apple", 1)), sale(("pear", 4)))
    assert looked_at(branch).count == 0
    tamper(branch, "UPDATE checkpoint SET seq = seq + 1 WHERE store_id = :store_id AND projection = 'hourly-sales'")
    assert {each.split("/")[0] for each in places(looked_at(branch))} == {"hourly_sales.store_hour"}


def test_what_is_recorded_and_projected_during_the_look_is_no_mismatch(branch: Branch) -> None:
    turns = []

    def sell_meanwhile() -> None:
        turns.append(branch.store_id)
        if len(turns) == 1:
            branch.keep(sale(("apple", 1)), counted(("pear", 3)))
            project(branch)

    before = branch.log[-1].seq
    verdict = verify(branch.engine, branch.store_id, sell_meanwhile)
    assert (verdict.count, verdict.seq) == (0, branch.log[-1].seq)
    assert verdict.seq > before


def test_an_event_that_is_missing_from_the_log_is_named(branch: Branch) -> None:
    with branch.engine.begin() as connection:
        connection.execute(text("ALTER TABLE event_log DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM event_log WHERE store_id = :store_id AND seq = 3"), {"store_id": branch.store_id})
        connection.execute(text("ALTER TABLE event_log ENABLE TRIGGER USER"))
    assert places(looked_at(branch)) == [f"event_log/{branch.store_id}/3"]


def test_of_a_store_that_is_wrong_everywhere_the_first_differences_are_told_and_the_rest_owned_up_to(branch: Branch) -> None:
    branch.keep(*(branch.told(sale((f"sku-{number}", 1)), at=minutes(number)) for number in range(400)))
    project(branch)
    tamper(branch, "UPDATE daily_sales.sku_day SET units = 0, sales = 0 WHERE store_id = :store_id")
    verdict = looked_at(branch)
    assert verdict.more
    assert 0 < len(verdict.mismatches) <= MOST_MISMATCHES


def test_every_table_that_is_not_compared_with_the_log_has_one_that_proves_it() -> None:
    every = {table for projection in PROJECTIONS.values() for table in projection.tables}
    compared = {table for projection in PROJECTIONS.values() for table in by_store(projection)}
    assert {pair.coarse for pair in pairs()} == every - compared
    assert {pair.fine for pair in pairs()} <= every


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair.coarse.fullname)
def test_a_tampered_sum_is_found_and_named(alone: Branch, pair: Pair) -> None:
    def found() -> list[Mismatch]:
        return [each for piece in pieces(alone.engine) if piece.pair == pair for each in compare(alone.engine, piece).mismatches]

    assert found() == []
    keys = list(pair.coarse.primary_key.columns)
    amounts = [column for column in pair.coarse.columns if not column.primary_key]
    with alone.engine.begin() as connection:
        cell = connection.execute(select(*keys, *amounts).order_by(*keys).limit(1)).one()
        same = [key == value for key, value in zip(keys, cell, strict=False)]
        connection.execute(update(pair.coarse).where(*same).values({column: column + 1 for column in amounts}))
    place = "/".join([pair.coarse.fullname, *map(str, cell[: len(keys)])])
    kept = {f"{place}/{column.name}": value for column, value in zip(amounts, cell[len(keys) :], strict=True)}
    assert found() == [Mismatch(where, value, value + 1) for where, value in kept.items()]
    with alone.engine.begin() as connection:
        connection.execute(delete(pair.coarse).where(*same))
    assert found() == [Mismatch(where, value, None) for where, value in kept.items() if value]


def test_the_step_that_makes_sums_of_hours_and_months_fills_them(alone: Branch) -> None:
    step = importlib.import_module("migrations.versions.0017_coarser_cells")
    with alone.engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        step.downgrade()
        step.upgrade()
    made = [piece for piece in pieces(alone.engine) if piece.pair.coarse.name in {"store_day", "store_month"}]
    compared = {piece.pair.coarse.fullname: compare(alone.engine, piece) for piece in made}
    assert {name: bool(each.cells) for name, each in compared.items()} == {
        "hourly_sales.store_day": True,
        "hourly_sales.store_month": True,
        "store_performance.store_month": True,
    }
    assert not any(each.mismatches for each in compared.values())
