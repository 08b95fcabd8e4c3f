"""Does PostgreSQL add up plain sales exactly as `increments` does, and leave to Python what it can't read?"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import to_json
from sqlalchemy import Connection, Engine, Table, text

from infra import event_log
from infra.event_log import Stretch
from projections import PROJECTIONS, plain_sales
from projections.base import Cells, Projection
from projections.daily_sales import DailySales
from projections.facts import SALE_TYPES
from projections.plain_sales import UNREADABLE, add_up
from projections.shadow import PART, Shadow
from projections.tally import tallies_of
from schemas.envelope import Recorded
from tests.services import Services
from tests.telling import Branch, adjusted, own_engine, returned, sale, void

NUMBER = 7
TOLD = sorted(name for name, each in PROJECTIONS.items() if tallies_of(each))
LINE = {"sku": "apple", "quantity": 2, "unit_price": "2.50"}
AS_ANOTHER = text("""
    INSERT INTO event_log SELECT (jsonb_populate_record(e, CAST(:changed AS jsonb))).* FROM event_log e
    WHERE e.store_id = :store_id AND type = 'sale.recorded' AND effect IS NULL ORDER BY e.seq LIMIT 1
""")


@pytest.fixture
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    """A store with sales of every kind: plain, several lines of a SKU, voided and returned, also before they came."""
    made = Branch(engine).opened()
    kept, gone, late = made.told(sale(("apple", 3), ("pear", 1))), made.told(sale(("pear", 2))), made.told(sale(("fig", 2), ("apple", 1)))
    made.keep(kept, sale(("apple", 1), ("pear", 4, "0.99"), ("apple", 2, "0.00")), adjusted(("pear", -2)), gone)
    made.keep(returned(kept.event_id, ("apple", 1)), void(gone.event_id), void(late.event_id))
    made.keep(late, sale(("apple", 9, "1234567.89")))
    return made


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """In a transaction that nobody ever sees."""
    with engine.connect() as found:
        yield found
        found.rollback()


def insert(connection: Connection, branch: Branch, **payload: Any) -> int:  # noqa: ANN401 - anything may stand in the log
    """A sale that no schema has seen; its place."""
    seq = branch.log[-1].seq + 1
    changed = {"seq": seq, "event_id": str(uuid4()), "payload": payload}
    connection.execute(AS_ANOTHER, {"store_id": branch.store_id, "changed": to_json(changed).decode()})
    return seq


def shadow_of(connection: Connection, name: str) -> Shadow:
    made = Shadow(PROJECTIONS[name], NUMBER)
    made.make(connection)
    return made


def put_down(connection: Connection, shadow: Shadow) -> dict[Table, Cells]:
    """The cells in the tables of parts; a key that is there twice is none."""
    found = {}
    for each in tallies_of(shadow.projection):
        rows = connection.execute(text(f"SELECT * FROM {shadow.schema}.{PART}{each.table.name}")).all()  # noqa: S608 - names of ours
        found[each.table] = {tuple(row[: len(each.keys)]): list(row[len(each.keys) :]) for row in rows}
        assert len(rows) == len(found[each.table])
    return found


def expected(projection: Projection, events: list[Recorded]) -> dict[Table, Cells]:
    return dict(projection.increments(events))


def fold(connection: Connection, shadow: Shadow, branch: Branch, head: int) -> None:
    shadow.fold(connection, [Stretch(branch.store_id, 0, head)])


def test_these_projections_are_told_as_tallies() -> None:
    assert TOLD == ["daily-sales", "hourly-sales", "store-performance"]


@pytest.mark.parametrize("name", TOLD)
def test_plain_sales_add_up_to_their_increments(branch: Branch, connection: Connection, name: str) -> None:
    shadow = shadow_of(connection, name)
    odd = [
        {**LINE, "line_total": "4.99"},
        {**LINE, "line_total": 3.5},
        {**LINE, "unit_price": "7", "sku": "fig\t\\N"},
        {**LINE, "quantity": 0},
    ]
    head = insert(connection, branch, lines=odd)
    log = event_log.read(connection, branch.store_id, after=0, through=head)
    plain = [event for event in log if event.type == "sale.recorded" and event.effect is None]
    assert len(plain) == 5
    add_up(connection, [Stretch(branch.store_id, 0, head)], tallies_of(shadow.projection), f"{shadow.schema}.{PART}", {})
    assert put_down(connection, shadow) == expected(shadow.projection, plain)


@pytest.mark.parametrize("name", TOLD)
def test_voids_and_returns_come_to_the_sales_so_that_each_cell_is_there_once(branch: Branch, connection: Connection, name: str) -> None:
    shadow, log = shadow_of(connection, name), branch.log
    fold(connection, shadow, branch, log[-1].seq)
    assert put_down(connection, shadow) == expected(shadow.projection, log)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        None,
        [{"sku": "apple", "unit_price": "1.00"}],
        [{"quantity": 1, "unit_price": "1.00"}],
        [{"sku": "apple", "quantity": 1}],
        [LINE, {**LINE, "unit_price": "1.2.50"}],
        [LINE, {**LINE, "quantity": 1.5}],
        [LINE, {**LINE, "line_total": "NaN"}],
    ],
)
@pytest.mark.parametrize("name", TOLD)
def test_what_can_not_be_read_is_left_to_python(branch: Branch, connection: Connection, name: str, lines: list[Any] | None) -> None:
    shadow = shadow_of(connection, name)
    head = insert(connection, branch, lines=lines)
    with pytest.raises(UNREADABLE), connection.begin_nested():
        add_up(connection, [Stretch(branch.store_id, 0, head)], tallies_of(shadow.projection), f"{shadow.schema}.{PART}", {})
    assert not any(put_down(connection, shadow).values())


def test_the_event_that_python_can_not_read_either_is_where_the_store_stops(branch: Branch, connection: Connection) -> None:
    shadow, log = shadow_of(connection, DailySales.name), branch.log
    head = insert(connection, branch, lines=[{"quantity": 1, "unit_price": "1.00"}])
    fold(connection, shadow, branch, head)
    assert put_down(connection, shadow) == expected(shadow.projection, log)
    (place,) = (each for each in shadow.places(connection) if each.store_id == branch.store_id)
    assert (place.seq, place.state) == (log[-1].seq, "stalled")


def test_where_much_else_happened_the_rest_is_put_down_and_the_store_is_looked_through(
    branch: Branch, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_sales, "MOST_CELLS", 0)
    shadow, log = shadow_of(connection, DailySales.name), branch.log
    fold(connection, shadow, branch, log[-1].seq)
    for table in shadow.projection.tables[::-1]:
        shadow.finish(connection, table)
    for table, cells in expected(shadow.projection, [event for event in log if event.type in SALE_TYPES]).items():
        rows = connection.execute(text(f"SELECT * FROM {shadow.schema}.{table.name}")).all()  # noqa: S608 - names of ours
        keys = len(table.primary_key.columns)
        assert {tuple(row[:keys]): list(row[keys:]) for row in rows} == cells


def test_increments_of_ones_own_are_never_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tallies_of(PROJECTIONS[DailySales.name])
    monkeypatch.setattr(DailySales, "increments", lambda *_: {})
    assert tallies_of(PROJECTIONS[DailySales.name]) == ()
