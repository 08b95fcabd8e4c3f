"""How does one sale get into the log, the ledger, the levels and every report in one transaction, as fast as SQL allows?

By one prepared statement in one round trip, its own transaction, which writes what the pipeline writes for a plain sale. It fails for one
that isn't plain (too little stock, an unknown SKU, a void or a count that came before it): such a sale takes the project's own way
afterwards.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, LiteralString
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import Engine

from infra.database import together
from projections import PROJECTIONS
from projections.base import add_statement
from schemas.envelope import Accepted
from stock.record import check, record

Parameters = Mapping[str, str | int | UUID | datetime | None]

# Everything that writes reads from `head`, so sales of one store queue up at the store's head; what all stores share (a product's month and
# year) is taken in the order of the SKUs. So nothing can deadlock. A sale that isn't plain divides by zero at the end, which undoes it all:
# looking first, with the levels locked, took PostgreSQL 2,400 µs of CPU a sale where this takes 1,400 (everybody at one store, on a busy
# machine).
RECORD: Final[LiteralString] = """
WITH line AS (
    SELECT sku, quantity, coalesce(line_total, quantity * unit_price) * 100 AS cents, place
    FROM ROWS FROM (jsonb_to_recordset(%(payload)s::jsonb -> 'lines') AS (sku text, quantity int, unit_price numeric, line_total numeric))
         WITH ORDINALITY AS line(sku, quantity, unit_price, line_total, place)
), cell AS (
    SELECT sku, sum(quantity) AS units, sum(cents)::bigint AS cents FROM line GROUP BY sku
), basket AS (
    SELECT sum(units) AS units, sum(cents) AS cents FROM cell
), head AS (
    UPDATE store_head SET seq = store_head.seq + 1, recorded_at = greatest(store_head.recorded_at, now())
    FROM store
    WHERE store_head.store_id = %(store_id)s AND store.store_id = store_head.store_id
    RETURNING store_head.store_id, store_head.seq, store_head.recorded_at,
              %(effective_at)s::timestamptz AT TIME ZONE store.timezone AS local_at,
              ((%(effective_at)s::timestamptz AT TIME ZONE store.timezone) - store.day_ends::interval)::date AS business_date
), logged AS (
    INSERT INTO event_log (store_id, seq, event_id, type, version, source, subject, occurred_at, received_at, effective_at,
                           recorded_at, local_at, business_date, outcome, payload, actor, traceparent, fingerprint)
    SELECT store_id, seq, %(event_id)s, %(type)s, %(version)s, %(source)s, NULL, %(occurred_at)s, %(received_at)s, %(effective_at)s,
           recorded_at, local_at, business_date, 'recorded', %(payload)s::jsonb, %(actor)s, %(traceparent)s, %(fingerprint)s
    FROM head
), moved AS (
    INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, recorded_at)
    SELECT store_id, sku, %(effective_at)s, %(event_id)s, place - 1, seq, %(type)s, -quantity, recorded_at FROM head, line
), levelled AS (
    UPDATE stock_level AS level
    SET on_hand = level.on_hand - cell.units
    FROM head, cell
    WHERE level.store_id = head.store_id AND level.sku = cell.sku AND (level.counted_at IS NULL OR level.counted_at < %(effective_at)s)
    RETURNING level.sku, level.on_hand
), sold_by_day AS (
    INSERT INTO daily_sales.store_day AS day (store_id, business_date, sales, units, returned_units, revenue_cents)
    SELECT store_id, business_date, 1, units, 0, cents FROM head, basket
    ON CONFLICT (store_id, business_date) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
), sold_by_sku AS (
    INSERT INTO daily_sales.sku_day AS day (store_id, business_date, sku, sales, units, returned_units, revenue_cents)
    SELECT store_id, business_date, sku, 1, units, 0, cents FROM head, cell
    ON CONFLICT (store_id, business_date, sku) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
), sold_in_month AS (
    INSERT INTO daily_sales.sku_month AS month (month, sku, sales, units, returned_units, revenue_cents)
    SELECT date_trunc('month', business_date), sku, 1, units, 0, cents FROM head, cell ORDER BY sku
    ON CONFLICT (month, sku) DO UPDATE
    SET sales = month.sales + 1, units = month.units + excluded.units, revenue_cents = month.revenue_cents + excluded.revenue_cents
), sold_in_year AS (
    INSERT INTO daily_sales.sku_year AS year (year, sku, sales, units, returned_units, revenue_cents)
    SELECT date_trunc('year', business_date), sku, 1, units, 0, cents FROM head, cell ORDER BY sku
    ON CONFLICT (year, sku) DO UPDATE
    SET sales = year.sales + 1, units = year.units + excluded.units, revenue_cents = year.revenue_cents + excluded.revenue_cents
), sold_by_hour AS (
    INSERT INTO hourly_sales.store_hour AS hour (store_id, business_date, hour, sales, units, revenue_cents)
    SELECT store_id, business_date, extract(hour FROM local_at)::smallint, 1, units, cents FROM head, basket
    ON CONFLICT (store_id, business_date, hour) DO UPDATE
    SET sales = hour.sales + 1, units = hour.units + excluded.units, revenue_cents = hour.revenue_cents + excluded.revenue_cents
), sold_in_day_of_hours AS (
    INSERT INTO hourly_sales.store_day AS day (store_id, business_date, sales, units, revenue_cents)
    SELECT store_id, business_date, 1, units, cents FROM head, basket
    ON CONFLICT (store_id, business_date) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
), sold_in_month_by_hour AS (
    INSERT INTO hourly_sales.store_month AS month (store_id, month, hour, sales, units, revenue_cents)
    SELECT store_id, date_trunc('month', business_date), extract(hour FROM local_at)::smallint, 1, units, cents FROM head, basket
    ON CONFLICT (store_id, month, hour) DO UPDATE
    SET sales = month.sales + 1, units = month.units + excluded.units, revenue_cents = month.revenue_cents + excluded.revenue_cents
), performed AS (
    INSERT INTO store_performance.store_day AS day (
        store_id, business_date, sales, units, returns, returned_units, voids, revenue_cents, refunded_cents, voided_cents, voided_units)
    SELECT store_id, business_date, 1, units, 0, 0, 0, cents, 0, 0, 0 FROM head, basket
    ON CONFLICT (store_id, business_date) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
), performed_in_month AS (
    INSERT INTO store_performance.store_month AS month (
        store_id, month, sales, units, returns, returned_units, voids, revenue_cents, refunded_cents, voided_cents, voided_units)
    SELECT store_id, date_trunc('month', business_date), 1, units, 0, 0, 0, cents, 0, 0, 0 FROM head, basket
    ON CONFLICT (store_id, month) DO UPDATE
    SET sales = month.sales + 1, units = month.units + excluded.units, revenue_cents = month.revenue_cents + excluded.revenue_cents
), heard AS (
    INSERT INTO till AS t (store_id, till_id, seen, last_sale_at, last_heard_at)
    SELECT store_id, %(payload)s::jsonb ->> 'till_id',
           CASE WHEN %(payload)s::jsonb ? 'till_seq'
                THEN int8multirange(int8range(
                    (%(payload)s::jsonb ->> 'till_seq')::bigint, (%(payload)s::jsonb ->> 'till_seq')::bigint, '[]'))
                ELSE '{}' END,
           %(effective_at)s::timestamptz, recorded_at
    FROM head WHERE %(payload)s::jsonb ? 'till_id'
    ON CONFLICT (store_id, till_id) DO UPDATE
    SET seen = t.seen + excluded.seen, last_sale_at = greatest(t.last_sale_at, excluded.last_sale_at),
        last_heard_at = greatest(t.last_heard_at, excluded.last_heard_at)
)
SELECT head.seq, 1 / (
    (SELECT count(*) FROM levelled JOIN product USING (sku) WHERE levelled.on_hand >= 0) = (SELECT count(*) FROM cell)
    AND NOT EXISTS (SELECT FROM event_log WHERE subject = %(event_id)s)
)::int FROM head
"""
FINGERPRINT: Final[LiteralString] = "SELECT fingerprint FROM event_log WHERE event_id = %(event_id)s"


def parameters(event: Accepted, payload: bytes) -> Parameters:
    """What `RECORD` takes. `payload` is the sale's content as JSON."""
    return {
        "payload": payload.decode(),
        "store_id": event.store_id,
        "event_id": event.event_id,
        "type": event.type,
        "version": event.version,
        "source": event.source,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        "effective_at": event.effective_at,
        "actor": event.actor,
        "traceparent": event.traceparent,
        "fingerprint": event.fingerprint,
    }


def record_fully(engine: Engine, event: Accepted, payload: bytes) -> None:
    """Record a sale that isn't plain, whatever it contradicts, and project it: what the pipeline does for it, in one transaction."""
    incoming = check(replace(event, data=from_json(payload)))
    with engine.begin() as connection:
        recorded = record(connection, [incoming], datetime.now(UTC)).recorded
        added = (add_statement(projection.increments(recorded)) for projection in PROJECTIONS.values())
        together(connection, [statement for statement in added if statement is not None])
