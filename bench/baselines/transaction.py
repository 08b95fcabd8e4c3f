"""How does one sale get into the log, the ledger, the levels and every report in one transaction, as fast as SQL allows?

By one prepared statement in one round trip, its own transaction. It writes the rows that the pipeline writes for a sale and less: no
checkpoints, and nothing of what may open a case.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from schemas.envelope import Accepted

Parameters = Mapping[str, str | int | UUID | datetime | None]

# Everything after `head` reads from it, so whatever is locked is locked after the store's head and sales of one store queue up there.
RECORD: Final[LiteralString] = """
WITH line AS (
    SELECT sku, quantity, coalesce(line_total, quantity * unit_price) * 100 AS cents, place
    FROM ROWS FROM (jsonb_to_recordset(%(payload)s::jsonb -> 'lines') AS (sku text, quantity int, unit_price numeric, line_total numeric))
         WITH ORDINALITY AS line(sku, quantity, unit_price, line_total, place)
), cell AS (
    SELECT sku, sum(quantity) AS units, sum(cents)::bigint AS cents FROM line GROUP BY sku ORDER BY sku
), basket AS (
    SELECT sum(units) AS units, sum(cents) AS cents FROM cell
), head AS (
    UPDATE store_head SET seq = store_head.seq + 1, recorded_at = greatest(store_head.recorded_at, now())
    FROM store
    WHERE store_head.store_id = %(store_id)s AND store.store_id = store_head.store_id
    RETURNING store_head.store_id, store_head.seq, store_head.recorded_at,
              %(effective_at)s::timestamptz AT TIME ZONE store.timezone AS local_at
), logged AS (
    INSERT INTO event_log (store_id, seq, event_id, type, version, source, subject, occurred_at, received_at, effective_at,
                           recorded_at, local_at, outcome, payload, actor, traceparent, fingerprint)
    SELECT store_id, seq, %(event_id)s, %(type)s, %(version)s, %(source)s, NULL, %(occurred_at)s, %(received_at)s, %(effective_at)s,
           recorded_at, local_at, 'recorded', %(payload)s::jsonb, %(actor)s, %(traceparent)s, %(fingerprint)s
    FROM head
), moved AS (
    INSERT INTO stock_movement (store_id, sku, effective_at, event_id, line, seq, type, delta, recorded_at)
    SELECT store_id, sku, %(effective_at)s, %(event_id)s, place - 1, seq, %(type)s, -quantity, recorded_at FROM head, line
), levelled AS (
    INSERT INTO stock_level AS level (store_id, sku, on_hand)
    SELECT store_id, sku, -units FROM head, cell
    ON CONFLICT (store_id, sku) DO UPDATE SET on_hand = level.on_hand
        + CASE WHEN level.counted_at >= %(effective_at)s THEN 0 ELSE excluded.on_hand END
), sold_by_day AS (
    INSERT INTO daily_sales.store_day AS day (store_id, business_date, sales, units, returned_units, revenue_cents)
    SELECT store_id, local_at::date, 1, units, 0, cents FROM head, basket
    ON CONFLICT (store_id, business_date) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
), sold_by_sku AS (
    INSERT INTO daily_sales.sku_day AS day (store_id, business_date, sku, sales, units, returned_units, revenue_cents)
    SELECT store_id, local_at::date, sku, 1, units, 0, cents FROM head, cell
    ON CONFLICT (store_id, business_date, sku) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
), sold_by_hour AS (
    INSERT INTO hourly_sales.store_hour AS hour (store_id, business_date, hour, sales, units, revenue_cents)
    SELECT store_id, local_at::date, extract(hour FROM local_at)::smallint, 1, units, cents FROM head, basket
    ON CONFLICT (store_id, business_date, hour) DO UPDATE
    SET sales = hour.sales + 1, units = hour.units + excluded.units, revenue_cents = hour.revenue_cents + excluded.revenue_cents
), performed AS (
    INSERT INTO store_performance.store_day AS day
           (store_id, business_date, sales, units, returns, returned_units, voids, revenue_cents, refunded_cents, voided_cents)
    SELECT store_id, local_at::date, 1, units, 0, 0, 0, cents, 0, 0 FROM head, basket
    ON CONFLICT (store_id, business_date) DO UPDATE
    SET sales = day.sales + 1, units = day.units + excluded.units, revenue_cents = day.revenue_cents + excluded.revenue_cents
)
SELECT seq FROM head
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
