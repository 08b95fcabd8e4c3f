"""What do shops tell, in as few words as a test needs? Facts, their messages, and what the database made of them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, Self, cast
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, Table, select, text

from events.base import Event
from events.catalogue import Bilingual, ProductDefined, StoreDefined
from events.fields import Sku, StoreId
from events.sales import ReturnLine, SaleLine, SaleRecorded, SaleReturned, SaleVoided
from events.stock import AdjustmentLine, CountLine, DeliveryLine, DeliveryReceived, StockAdjusted, StockCounted
from infra.consumer import Delivery
from infra.database import engine_for
from infra.event_log import event_log, read, recorded
from infra.settings import Settings
from infra.topology import INTAKE, INTAKE_KEY
from projections import PROJECTIONS
from projections.base import finer_than
from projections.checkpoint import LIVE, checkpoint
from schemas.envelope import CATALOGUE_STREAM, Accepted, Recorded, canonical, encode_accepted, fingerprint, join
from stock.chapter import Incoming
from stock.record import Result, check, record
from stock.rules import Level, Movement, fold
from stock.tables import stock_level, stock_movement
from tests.sandbox import fresh_database
from tests.services import Services

SHOP = "centre-ville"
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
Line = tuple[str, int] | tuple[str, int, str]


def minutes(count: float) -> datetime:
    """That long after noon."""
    return NOON + timedelta(minutes=count)


def told(  # noqa: PLR0913 - the parts of an envelope, each with a usual value
    event: Event,
    *,
    store_id: str = SHOP,
    event_id: UUID | None = None,
    at: datetime = NOON,
    received_at: datetime | None = None,
    reply_to: str | None = None,
) -> Accepted:
    """The fact as it is accepted when a till has told it with its own instant."""
    content = event.model_dump(mode="json", exclude_none=True)
    return Accepted(
        event_id=event_id or uuid4(),
        type=event.type,
        version=event.version,
        store_id=store_id,
        source=f"/stores/{store_id}",
        occurred_at=at,
        received_at=received_at or at + timedelta(hours=1),
        data=content,
        fingerprint=fingerprint(event.type, store_id, at, canonical(content)),
        actor="test",
        subject=getattr(event, "sale_id", None),
        reply_to=reply_to,
    )


def logged(accepted: Accepted, **changed: Any) -> Recorded:  # noqa: ANN401 - any field
    """The fact as the first one of its store's log, unless something else is said."""
    parts: dict[str, Any] = {
        "effective_at": accepted.effective_at,
        "recorded_at": accepted.received_at,
        "local_at": accepted.effective_at.replace(tzinfo=None),
        "seq": 1,
        "outcome": "recorded",
    }
    parts |= changed
    parts.setdefault("business_date", parts["local_at"].date())
    same = {name: getattr(accepted, name) for name in Recorded.__slots__ if hasattr(accepted, name) and name not in parts}
    return Recorded(**(same | parts))


def sale(
    *lines: Line, if_insufficient: Literal["allow", "refuse"] | None = None, till: str | None = None, number: int | None = None
) -> SaleRecorded:
    """Lines are (sku, quantity) or (sku, quantity, unit price); the usual price is 2.50."""
    made = tuple(
        SaleLine(sku=Sku(sku), quantity=quantity, unit_price=Decimal(price[0] if price else "2.50")) for sku, quantity, *price in lines
    )
    return SaleRecorded(lines=made, if_insufficient=if_insufficient, till_id=till, till_seq=number)


def void(sale_id: UUID, *, enforce: bool = False) -> SaleVoided:
    return SaleVoided(sale_id=sale_id, reason="error", enforce=enforce)


def returned(
    sale_id: UUID, *lines: tuple[str, int], condition: str = "resellable", enforce: bool = False, refund: str | None = None
) -> SaleReturned:
    back = cast("Literal['resellable', 'damaged']", condition)
    given = None if refund is None else Decimal(refund)
    made = tuple(ReturnLine(sku=Sku(sku), quantity=quantity, condition=back, refund=given) for sku, quantity in lines)
    return SaleReturned(sale_id=sale_id, reason="error", enforce=enforce, lines=made)


def adjusted(*lines: tuple[str, int]) -> StockAdjusted:
    return StockAdjusted(reason="correction", lines=tuple(AdjustmentLine(sku=Sku(sku), delta=delta) for sku, delta in lines))


def counted(*lines: tuple[str, int] | tuple[str, int, datetime], blind: bool = False) -> StockCounted:
    """Lines are (sku, units) or (sku, units, the line's own instant)."""
    made = tuple(CountLine(sku=Sku(sku), counted=found, counted_at=at[0] if at else None) for sku, found, *at in lines)
    return StockCounted(lines=made, blind=blind)


def delivered(*lines: Line) -> DeliveryReceived:
    """Lines are (sku, quantity) or (sku, quantity, unit cost)."""
    made = tuple(
        DeliveryLine(sku=Sku(sku), quantity=quantity, unit_cost=Decimal(cost[0]) if cost else None) for sku, quantity, *cost in lines
    )
    return DeliveryReceived(supplier="Nord", lines=made)


def shop(oversell: Literal["allow", "refuse"] = "allow", timezone: str = "America/Toronto") -> StoreDefined:
    return StoreDefined(name="Centre-ville", timezone=timezone, oversell=oversell)


def product(sku: str) -> ProductDefined:
    name = Bilingual(fr="Pomme", en="Apple")
    return ProductDefined(sku=Sku(sku), name=name, category=Bilingual(fr="Fruits", en="Fruit"), price=Decimal("2.50"))


def wire(accepted: Accepted) -> bytes:
    """The fact as one event of an intake message."""
    return encode_accepted(accepted, canonical(accepted.data))


def delivery(body: bytes, *, message_id: str | None = "m-1", delivery_count: int = 0, **more: Any) -> Delivery:  # noqa: ANN401 - any field
    """One message as a consumer gets it."""
    parts: dict[str, Any] = {
        "headers": {},
        "type": "accepted",
        "redelivered": delivery_count > 0,
        "exchange": INTAKE,
        "routing_key": INTAKE_KEY,
        "timestamp": None,
        "delivery_tag": 1,
    }
    return Delivery(body=body, message_id=message_id, delivery_count=delivery_count, **(parts | more))


def message(accepted: Iterable[Accepted], **more: Any) -> Delivery:  # noqa: ANN401 - any field
    """One intake message with these facts."""
    return delivery(join(wire(each) for each in accepted), **more)


def keep(engine: Engine, *batch: Accepted | Incoming, now: datetime | None = None) -> Result:
    """Record a batch in a transaction of its own."""
    incoming = [each if isinstance(each, Incoming) else check(each) for each in batch]
    with engine.begin() as connection:
        return record(connection, incoming, now or datetime.now(UTC))


def open_shops(
    engine: Engine, *store_ids: str, skus: Sequence[str] = ("apple", "pear"), oversell: Literal["allow", "refuse"] = "allow"
) -> None:
    """Stores, and products that every one of them knows."""
    keep(
        engine,
        *(told(shop(oversell), store_id=store_id) for store_id in store_ids or (SHOP,)),
        *(told(product(sku), store_id=CATALOGUE_STREAM) for sku in skus),
    )


@contextmanager
def own_engine(services: Services) -> Iterator[Engine]:
    """Connections to a fresh database; for a module of tests that each open stores of their own."""
    with fresh_database(services) as url:
        pool = engine_for(Settings(env="test", database_url=url, database_pool_size=8), name="test")
        try:
            yield pool
        finally:
            pool.dispose()


@dataclass(frozen=True)
class Branch:
    """A store of a test's own in a database that others use too."""

    engine: Engine
    store_id: str = field(default_factory=lambda: f"s-{uuid4().hex[:12]}")

    def opened(self, **how: Any) -> Self:  # noqa: ANN401 - as `open_shops` takes it
        open_shops(self.engine, self.store_id, **how)
        return self

    def told(self, event: Event, **how: Any) -> Accepted:  # noqa: ANN401 - as `told` takes it
        return told(event, store_id=self.store_id, **how)

    def keep(self, *batch: Event | Accepted, now: datetime | None = None) -> Result:
        return keep(self.engine, *(self.told(each) if isinstance(each, Event) else each for each in batch), now=now)

    @property
    def log(self) -> list[Recorded]:
        return log_of(self.engine, self.store_id)

    @property
    def cases(self) -> list[dict[str, Any]]:
        return cases_of(self.engine, self.store_id)

    @property
    def levels(self) -> dict[str, int]:
        return levels_of(self.engine, self.store_id)


def whole_log(connection: Connection, stores: Sequence[str] | None = None) -> list[Recorded]:
    """Every event (of some stores), by store and place."""
    statement = select(event_log).order_by(event_log.c.store_id, event_log.c.seq)
    return [recorded(row) for row in connection.execute(statement if stores is None else statement.where(event_log.c.store_id.in_(stores)))]


def log_of(engine: Engine, store_id: str = SHOP) -> list[Recorded]:
    """The log of one store."""
    with engine.connect() as connection:
        return read(connection, store_id, after=0, through=2**62)


def cases_of(engine: Engine, store_id: str = SHOP) -> list[dict[str, Any]]:
    """What the cases of a store say."""
    return [event.data for event in log_of(engine, store_id) if event.type == "case.opened"]


def levels_of(engine: Engine, store_id: str = SHOP) -> dict[str, int]:
    """Units on hand by SKU."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT sku, on_hand FROM stock_level WHERE store_id = :store_id"), {"store_id": store_id})
        return {row.sku: row.on_hand for row in rows}


def folded(engine: Engine, stores: Sequence[str] | None = None) -> dict[tuple[str, str], Level]:
    """Every level (of some stores) as the ledger's own movements define it."""
    ledger: dict[tuple[str, str], list[Movement]] = {}
    for row in _rows(engine, stock_movement, stores):
        movement = Movement(Sku(row.sku), row.effective_at, row.event_id, row.line, row.delta, row.counted)
        ledger.setdefault((StoreId(row.store_id), row.sku), []).append(movement)
    return {cell: fold(movements) for cell, movements in ledger.items()}


def kept_levels(engine: Engine, stores: Sequence[str] | None = None) -> dict[tuple[str, str], Level]:
    """Every level (of some stores) as the writer keeps it."""
    return {(row.store_id, row.sku): Level(row.on_hand, row.counted_at, row.count_id) for row in _rows(engine, stock_level, stores)}


def by_store(table: Table) -> bool:
    """Whether each of its cells belongs to one store, and comes from its log instead of other cells."""
    return "store_id" in table.columns and finer_than(table) is None


def cells(engine: Engine, stores: Sequence[str] | None = None) -> dict[str, list[tuple[Any, ...]]]:
    """Every cell of every projection, sorted; or those of some stores, where cells belong to one."""
    tables = [table for projection in PROJECTIONS.values() for table in projection.tables if stores is None or by_store(table)]
    return {f"{table.schema}.{table.name}": sorted(tuple(row) for row in _rows(engine, table, stores)) for table in tables}


def marks(engine: Engine, stores: Sequence[str] | None = None) -> dict[tuple[str, str], tuple[int, str]]:
    """How far each live projection is in each store, and its state."""
    rows = (row for row in _rows(engine, checkpoint, stores) if row.generation == LIVE)
    return {(row.projection, row.store_id): (row.seq, row.state) for row in rows}


def _rows(engine: Engine, table: Table, stores: Sequence[str] | None) -> Sequence[Row[Any]]:
    statement = select(table)
    with engine.connect() as connection:
        return connection.execute(statement if stores is None else statement.where(table.c.store_id.in_(stores))).all()


def letters(engine: Engine) -> list[dict[str, Any]]:
    """Every dead letter."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text("SELECT * FROM dead_letter ORDER BY failed_at, id")).mappings()]
