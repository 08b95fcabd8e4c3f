"""The benchmark's rival does the same work: its one statement leaves behind what the project's own code leaves, or nothing at all."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.errors import DivisionByZero, UniqueViolation
from pydantic_core import to_json
from sqlalchemy import Connection, Engine, text

from bench.baselines.transaction import RECORD, parameters, record_fully
from events.catalogue import Bilingual, ProductDefined, StoreDefined
from events.fields import Sku
from events.sales import SaleLine, SaleRecorded, SaleVoided
from events.stock import CountLine, DeliveryLine, DeliveryReceived, StockCounted
from projections import PROJECTIONS
from schemas.envelope import CATALOGUE_STREAM, Accepted
from stock.record import check, record
from tests.telling import NOON, minutes, told

if TYPE_CHECKING:
    from events.base import Event

NAME = Bilingual(fr="Article", en="Item")
TABLES = {
    "log": "SELECT store_id, seq, event_id, type, source, occurred_at, received_at, effective_at, local_at, business_date, outcome, "
    "payload, effect, actor, traceparent, fingerprint FROM event_log ORDER BY 1, 2",
    "ledger": "SELECT store_id, sku, effective_at, event_id, line, seq, type, delta, counted FROM stock_movement ORDER BY 1, 2, 3, 4, 5",
    "levels": "SELECT store_id, sku, on_hand, counted_at FROM stock_level ORDER BY 1, 2",
    "heads": "SELECT store_id, seq FROM store_head ORDER BY 1",
    "tills": "SELECT store_id, till_id, seen::text, last_sale_at FROM till ORDER BY 1, 2",
} | {
    f"{table.schema}.{table.name}": f"SELECT * FROM {table.schema}.{table.name} ORDER BY 1, 2, 3"  # noqa: S608 - our own names
    for projection in PROJECTIONS.values()
    for table in projection.tables
}


def basket(*lines: tuple[str, int, str, str | None], **others: Any) -> SaleRecorded:  # noqa: ANN401 - any field of a sale
    made = [{"sku": sku, "quantity": units, "unit_price": price, "line_total": total} for sku, units, price, total in lines]
    return SaleRecorded(lines=tuple(SaleLine.model_validate(line) for line in made), till_id="caisse-1", **others)


PLAIN = basket(("PAIN", 2, "2.50", None), ("LAIT", 1, "3.10", "3.00"), ("PAIN", 1, "2.50", None))


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """A shop with ten of each; the milk was counted at noon and ten minutes."""
    skus = [Sku("PAIN"), Sku("LAIT")]
    facts: list[tuple[Event, str, float]] = [
        (StoreDefined(name="Gare"), told(PLAIN).store_id, -60),
        *((ProductDefined(sku=sku, name=NAME, category=NAME, price=Decimal(1)), CATALOGUE_STREAM, -60) for sku in skus),
        (DeliveryReceived(supplier="S", lines=tuple(DeliveryLine(sku=sku, quantity=10) for sku in skus)), told(PLAIN).store_id, -60),
        (StockCounted(lines=(CountLine(sku=skus[1], counted=9),)), told(PLAIN).store_id, 10),
    ]
    with engine.begin() as connection:
        record(connection, [check(told(event, store_id=store_id, at=minutes(at))) for event, store_id, at in facts], NOON)
    return engine


def content(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {name: [tuple(row) for row in connection.execute(text(query))] for name, query in TABLES.items()}


def stated(connection: Connection, sale: Accepted) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(RECORD, parameters(sale, to_json(sale.data)))


def test_a_plain_sale_leaves_the_same_rows_either_way(shop: Engine) -> None:
    sale = told(PLAIN, at=minutes(20))
    with shop.connect() as connection:
        stated(connection, sale)
        by_statement = content(connection)
        connection.rollback()
    record_fully(shop, sale, to_json(sale.data))
    with shop.connect() as connection:
        assert by_statement == content(connection)


@pytest.mark.parametrize(
    "sale",
    [
        basket(("PAIN", 11, "2.50", None)),
        basket(("INCONNU", 1, "1.00", None)),
        basket(("PAIN", 11, "1.00", None), if_insufficient="refuse"),
    ],
    ids=["too little stock", "unknown product", "to be refused"],
)
def test_a_sale_that_is_not_plain_is_left_to_the_projects_own_code(shop: Engine, sale: SaleRecorded) -> None:
    left_to_the_project(shop, told(sale, at=minutes(20)))


@pytest.mark.parametrize("at", [0, 10], ids=["before the count", "at its instant"])
def test_a_sale_that_comes_too_late_for_a_count_is_left_to_the_projects_own_code(shop: Engine, at: float) -> None:
    left_to_the_project(shop, told(PLAIN, at=minutes(at)))


def left_to_the_project(shop: Engine, sale: Accepted) -> None:
    with shop.connect() as connection:
        before = content(connection)
        with pytest.raises(DivisionByZero):
            stated(connection, sale)
        connection.rollback()
        assert content(connection) == before
    record_fully(shop, sale, to_json(sale.data))
    with shop.connect() as connection:
        assert content(connection) != before


def test_a_sale_whose_void_came_first_is_left_to_the_projects_own_code(shop: Engine) -> None:
    sale = told(PLAIN, at=minutes(20))
    with shop.begin() as connection:
        record(connection, [check(told(SaleVoided(sale_id=sale.event_id, reason="erreur")))], NOON)
    with shop.connect() as connection, pytest.raises(DivisionByZero):
        stated(connection, sale)


def test_a_sale_sent_again_is_noticed(shop: Engine) -> None:
    sale = told(PLAIN, at=minutes(20))
    with shop.begin() as connection:
        stated(connection, sale)
    with shop.connect() as connection, pytest.raises(UniqueViolation):
        stated(connection, sale)
