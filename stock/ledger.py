"""Which sales does the log hold, and what of them can still come back?

Read straight from the log, by partial indexes: a sale is one event, and its void and returns name it as their subject.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from events.sales import SaleRecorded
from infra import event_log
from schemas.envelope import Recorded
from stock.decide import sold_lines

_STATUS = """
    CASE WHEN EXISTS (SELECT FROM event_log d WHERE d.subject = s.event_id AND d.type = 'sale.voided' AND d.outcome = 'recorded')
         THEN 'voided'
         WHEN EXISTS (SELECT FROM event_log d WHERE d.subject = s.event_id AND d.type = 'sale.returned' AND d.outcome = 'recorded')
         THEN 'returned' ELSE 'recorded' END
"""
_SALES = text(f"""
    SELECT * FROM (
        SELECT s.event_id, s.seq, s.occurred_at, s.recorded_at, s.local_at, s.business_date, s.payload, s.actor, {_STATUS} AS status
        FROM event_log s
        WHERE s.type = 'sale.recorded' AND s.outcome = 'recorded' AND s.store_id = :store_id
          AND (CAST(:since AS date) IS NULL OR s.business_date >= CAST(:since AS date))
          AND (CAST(:through AS date) IS NULL OR s.business_date <= CAST(:through AS date))
          AND (CAST(:till_id AS text) IS NULL OR s.payload ->> 'till_id' = :till_id)
          AND (CAST(:business_date AS date) IS NULL
               OR (s.business_date, s.local_at, s.event_id)
                  < (CAST(:business_date AS date), CAST(:local_at AS timestamp), CAST(:event_id AS uuid)))
        ORDER BY s.business_date DESC, s.local_at DESC, s.event_id DESC
    ) AS sale
    WHERE CAST(:status AS text) IS NULL OR status = :status
    LIMIT :limit
""")  # noqa: S608 - put together from the constants above


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sales of a store; dates are business days, both ends included; None doesn't matter."""

    store_id: str
    since: date | None = None
    through: date | None = None
    till_id: str | None = None
    status: str | None = None


def sales(connection: Connection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
    """Sales, latest first; business day, `local_at` (the shop's wall clock, without an offset) and `sale_id` are the place of a row."""
    business_date, local_at, event_id = after or (None, None, None)
    rows = connection.execute(
        _SALES,
        {
            "store_id": wanted.store_id,
            "since": wanted.since,
            "through": wanted.through,
            "till_id": wanted.till_id,
            "status": wanted.status,
            "business_date": business_date,
            "local_at": local_at,
            "event_id": event_id,
            "limit": limit,
        },
    )
    return [_sale(row) for row in rows]


def sale(connection: Connection, store_id: str, sale_id: UUID) -> dict[str, Any] | None:
    """One sale with its lines, its void and its returns; None when that store has no such sale."""
    events, about = event_log.known(connection, [sale_id])
    found = events.get(sale_id)
    if found is None or found[0].store_id != store_id or found[0].type != SaleRecorded.type:
        return None
    event = found[0]
    voids = [each for each in about if each.type == "sale.voided"]
    returns = [each for each in about if each.type == "sale.returned"]
    status = "voided" if voids else "returned" if returns else event.outcome
    return {
        **_told(event.event_id, event.seq, event.data),
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "business_date": event.business_date,
        "actor": event.actor,
        "status": status,
        "reason": event.reason,
        "lines": event.data["lines"],
        "returnable": _returnable(event, voids, returns),
        "payment": event.data.get("payment"),
        "voids": [_dependent(each) for each in voids],
        "returns": [_dependent(each) for each in returns],
    }


def _sale(row: Row[Any]) -> dict[str, Any]:
    return {
        **_told(row.event_id, row.seq, row.payload),
        "occurred_at": row.occurred_at,
        "recorded_at": row.recorded_at,
        "business_date": row.business_date,
        "local_at": row.local_at,
        "actor": row.actor,
        "status": row.status,
    }


def _told(sale_id: UUID, seq: int, data: dict[str, Any]) -> dict[str, Any]:
    lines = sold_lines(SaleRecorded.model_validate(data).lines)
    total = sum(line.total_cents for line in lines)
    return {
        "sale_id": sale_id,
        "seq": seq,
        "till_id": data.get("till_id"),
        "till_seq": data.get("till_seq"),
        "units": sum(line.quantity for line in lines),
        "total": f"{total // 100}.{total % 100:02d}",
    }


def _returnable(sale: Recorded, voids: Sequence[Recorded], returns: Sequence[Recorded]) -> list[dict[str, Any]]:
    """For each line the units that came back of it and those that still may; what came back is taken from the first lines first."""
    back = Counter[str]()
    for line in (line for each in returns for line in each.data["lines"]):
        back[line["sku"]] += line["quantity"]
    lines = []
    for line in sale.data["lines"]:
        returned = min(line["quantity"], back[line["sku"]])
        back[line["sku"]] -= returned
        returnable = 0 if voids or sale.outcome != "recorded" else line["quantity"] - returned
        lines.append({"sku": line["sku"], "sold": line["quantity"], "returned": returned, "returnable": returnable})
    return lines


def _dependent(event: Recorded) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "occurred_at": event.occurred_at,
        "reason": event.data["reason"],
        "lines": event.data.get("lines", []),
        "actor": event.actor,
    }
