"""What is in the shops before the first sale? Written by the project's own `record`, as the stock writer would."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from bench.sales import OPENING_UNITS, SKUS, STORES
from events.base import Event
from events.catalogue import ProductDefined, StoreDefined
from events.stock import DeliveryReceived
from schemas.envelope import CATALOGUE_STREAM, Accepted
from stock.record import check, record

TOGETHER = 500


def seed(engine: Engine) -> None:
    """Define the stores and products, and deliver `OPENING_UNITS` of every SKU to every store."""
    _record(engine, [(store_id, StoreDefined, {"name": store_id}) for store_id in STORES])
    name = {"fr": "Article", "en": "Item"}
    products = [(CATALOGUE_STREAM, ProductDefined, {"sku": sku, "name": name, "category": name, "price": "1.00"}) for sku in SKUS]
    for part in _parts(products):
        _record(engine, part)
    for store_id in STORES:
        for skus in _parts(SKUS):
            lines = [{"sku": sku, "quantity": OPENING_UNITS} for sku in skus]
            _record(engine, [(store_id, DeliveryReceived, {"supplier": "banc", "lines": lines})])


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + TOGETHER] for start in range(0, len(items), TOGETHER))


def _record(engine: Engine, facts: Sequence[tuple[str, type[Event], dict[str, Any]]]) -> None:
    now = datetime.now(UTC) - timedelta(hours=1)
    with engine.begin() as connection:
        record(connection, [check(_accepted(store_id, event, data, now)) for store_id, event, data in facts], now)


def _accepted(store_id: str, event: type[Event], data: dict[str, Any], now: datetime) -> Accepted:
    return Accepted(
        event_id=uuid4(),
        type=event.type,
        version=event.version,
        store_id=store_id,
        source="/bench",
        occurred_at=now,
        received_at=now,
        data=data,
        fingerprint="",
        actor="bench",
    )
