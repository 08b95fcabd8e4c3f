"""Which movements make a figure of what lies on the shelves, and what do they come to?

The movements of every shelf asked for (one SKU in one store) are folded again in the order of what happened: a delta adds, a count says how
much is there. A figure of shelves is the sum of what each of them is worth; so each movement's part is how much the worth of its shelf
changes by it, and all parts add up to the figure. Costs come from the deliveries in the log, reorder points from what stores set there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from infra import event_log
from projections import explanation, shelf
from projections.categories import called
from projections.checkpoint import LIVE
from projections.explanation import GRACE, RECORDED_ON, Explanation, Listing, NotExplained, Part, TooMuchToExplain, is_late
from projections.measures import (
    LOW,
    NEGATIVE,
    ON_HAND,
    REORDER_POINT,
    SKUS,
    STOCK_OUTS,
    TARGET_LEVEL,
    UNKNOWN_COST,
    VALUE,
    Measure,
)
from projections.query import figure
from projections.question import Question
from projections.stock_valuation import StockValuation, store_sku

_SCOPE: Final = """
    (CAST(:stores AS text[]) IS NULL OR m.store_id = ANY(CAST(:stores AS text[])))
    AND (CAST(:sku AS text) IS NULL OR m.sku = :sku)
    AND (CAST(:categories AS text[]) IS NULL
         OR EXISTS (SELECT FROM product p WHERE p.sku = m.sku AND p.category_fr = ANY(CAST(:categories AS text[]))))
"""
_COUNT = text(f"SELECT count(*) FROM (SELECT FROM stock_movement m WHERE {_SCOPE} LIMIT :most) AS counted")  # noqa: S608 - put together from constants
_MOVEMENTS = text(f"""
    SELECT m.store_id, m.seq, m.sku, m.delta, m.counted, m.effective_at, e.event_id, e.type, e.business_date, e.occurred_at,
           e.recorded_at, {RECORDED_ON}
    FROM stock_movement m
    JOIN event_log e ON e.store_id = m.store_id AND e.seq = m.seq
    LEFT JOIN store s ON s.store_id = m.store_id
    WHERE {_SCOPE}
    ORDER BY m.store_id, m.sku, m.effective_at, m.counted IS NOT NULL, m.event_id, m.line
""")  # noqa: S608 - the same
_CENTRES = text("SELECT store_id, centre FROM store WHERE CAST(:stores AS text[]) IS NULL OR store_id = ANY(CAST(:stores AS text[]))")
_DELIVERIES = text("""
    SELECT e.* FROM checkpoint c JOIN event_log e ON e.store_id = c.store_id AND e.seq <= c.seq
    WHERE c.projection = :projection AND c.generation = :generation AND e.type = 'delivery.received' AND e.outcome = 'recorded'
      AND (CAST(:stores AS text[]) IS NULL OR e.store_id = ANY(CAST(:stores AS text[])))
      AND (CAST(:mark AS text) IS NULL OR position(:mark IN e.payload::text) > 0)
""")
_STOCKED = text(f"""
    SELECT e.store_id, e.seq, e.event_id, e.type, e.business_date, e.occurred_at, e.recorded_at, e.effective_at, e.payload, {RECORDED_ON}
    FROM event_log e LEFT JOIN store s ON s.store_id = e.store_id
    WHERE e.type = 'product.stocked' AND e.outcome = 'recorded'
      AND (CAST(:stores AS text[]) IS NULL OR e.store_id = ANY(CAST(:stores AS text[])))
      AND (CAST(:sku AS text) IS NULL OR e.payload ->> 'sku' = :sku)
    ORDER BY e.store_id, e.seq
""")  # noqa: S608 - the same


class Shelf(NamedTuple):
    """One SKU in one store."""

    store_id: str
    sku: str


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of shelves besides their movements: (units, cents) of what was paid for, and reorder points."""

    costs: Mapping[Shelf, tuple[int, int]]
    centres: Mapping[str, str | None]
    points: Mapping[Shelf, int | None]

    def cost(self, at: Shelf) -> tuple[int, int] | None:
        """What was paid for how many units: by the store itself, else by its logistics centre."""
        centre = self.centres.get(at.store_id)
        return self.costs.get(at) or (None if centre is None else self.costs.get(Shelf(centre, at.sku)))


def _value(at: Shelf, on_hand: int, known: Known) -> int:
    cost = known.cost(at)
    if cost is None:
        return 0
    units, cents = cost
    doubled = 2 * on_hand * cents
    # Rounded half away from zero, as the database rounds.
    rounded = (abs(doubled) + units) // (2 * units)
    return rounded if doubled >= 0 else -rounded


WORTH: Final[Mapping[str, Callable[[Shelf, int, Known], int]]] = {
    ON_HAND.name: lambda _at, on_hand, _known: on_hand,
    SKUS.name: lambda _at, _on_hand, _known: 1,
    STOCK_OUTS.name: lambda _at, on_hand, _known: int(on_hand <= 0),
    NEGATIVE.name: lambda _at, on_hand, _known: int(on_hand < 0),
    LOW.name: lambda at, on_hand, known: int(0 < on_hand <= (known.points.get(at) or 0)),
    VALUE.name: _value,
    UNKNOWN_COST.name: lambda at, on_hand, known: 0 if known.cost(at) else max(0, on_hand),
}
"""What one shelf is worth to each figure, with so many units on it."""
SET_BY_STORES: Final = {REORDER_POINT.name, TARGET_LEVEL.name}
NEEDS_COSTS: Final = {VALUE.name, UNKNOWN_COST.name}


class _Moved(NamedTuple):
    """An event that moved shelves, as it is shown."""

    store_id: str
    seq: int
    event_id: UUID
    type: str
    business_date: date
    occurred_at: datetime
    recorded_at: datetime


@dataclass(slots=True)
class _Change:
    event: _Moved
    late: bool
    units: int = 0
    worth: int = 0


def explain(connection: Connection, measure: Measure, question: Question, listing: Listing) -> Explanation:
    """A figure of shelves, explained. Raises TooMuchToExplain."""
    asked = _asked(connection, question)
    if connection.execute(_COUNT, asked | {"most": explanation.MOST_EVENTS + 1}).scalar_one() > explanation.MOST_EVENTS:
        raise TooMuchToExplain
    known = Known({}, {}, {})
    if measure.name in NEEDS_COSTS:
        known = _costs(connection, question)
    elif measure is LOW:
        known = Known(
            {}, {}, {Shelf(row.store_id, row.payload["sku"]): row.payload.get("reorder_point") for row in _stocked(connection, question)}
        )
    changes = _folded(connection, asked, WORTH[measure.name], known)
    found = Explanation(listing, reported=_reported(connection, measure, question))
    for place in sorted(changes):
        change = changes[place]
        if change.worth or measure is ON_HAND:
            money = measure.unit == "money"
            found.take(Part(change.event, {"units": change.units}, change.late, figure(change.worth, money=money)))
    found.recomputed = figure(sum(change.worth for change in changes.values()), money=measure.unit == "money")
    return found


def explain_limit(connection: Connection, measure: Measure, question: Question, listing: Listing) -> Explanation:
    """A limit that a store has set for a product: the last event that set it. Raises NotExplained when no shelf is named."""
    at = _one_shelf(question)
    found = Explanation(listing)
    now: int | None = None
    for row in _stocked(connection, question):
        before, now = now or 0, row.payload.get(measure.name)
        amounts = {measure.name: now or 0}
        found.take(Part(row, amounts, is_late(row.recorded_at, row.effective_at, row.recorded_on, row.business_date), (now or 0) - before))
    statement = text("SELECT reorder_point, target_level FROM store_product WHERE store_id = :store_id AND sku = :sku")
    kept = connection.execute(statement, at._asdict()).mappings().one_or_none()
    found.reported, found.recomputed = None if kept is None else kept[measure.name], now
    return found


def _one_shelf(question: Question) -> Shelf:
    if question.stores is None or len(question.stores) != 1:
        raise NotExplained("store")
    if question.sku is None:
        raise NotExplained("sku")
    (store_id,) = question.stores
    return Shelf(store_id, question.sku)


def _reported(connection: Connection, measure: Measure, question: Question) -> Any:  # noqa: ANN401 - any figure
    now = Question((), stores=question.stores, sku=question.sku, category=question.category)
    rows = shelf.figures(connection, (measure,), now)
    return rows[0][measure.name] if rows else figure(0, money=measure.unit == "money")


def _folded(
    connection: Connection, asked: Mapping[str, Any], worth: Callable[[Shelf, int, Known], int], known: Known
) -> dict[tuple[str, int], _Change]:
    """What each event changes, by its place; shelf after shelf, each from its first movement to its last."""
    changes: dict[tuple[str, int], _Change] = {}
    at, on_hand, worth_now = Shelf("", ""), 0, 0
    for row in _rows(connection, asked):
        here = Shelf(row.store_id, row.sku)
        if here != at:
            at, on_hand, worth_now = here, 0, 0
        before, worth_before = on_hand, worth_now
        on_hand = row.counted if row.counted is not None else on_hand + row.delta
        worth_now = worth(at, on_hand, known)
        change = changes.get((row.store_id, row.seq)) or _new(row)
        change.units += on_hand - before
        change.worth += worth_now - worth_before
        changes[row.store_id, row.seq] = change
    return changes


def _new(row: Row[Any]) -> _Change:
    late = is_late(row.recorded_at, row.effective_at, row.recorded_on, row.business_date)
    return _Change(_Moved(row.store_id, row.seq, row.event_id, row.type, row.business_date, row.occurred_at, row.recorded_at), late)


def _rows(connection: Connection, asked: Mapping[str, Any]) -> Iterator[Row[Any]]:
    """The movements, a chunk at a time: the server keeps the others."""
    yield from connection.execute(_MOVEMENTS, dict(asked) | {"grace": GRACE}, execution_options=explanation.streamed())


def _costs(connection: Connection, question: Question) -> Known:
    """What was paid, by the deliveries of the stores and of their centres, as far as the projection of costs has come."""
    stores = None if question.stores is None else sorted(question.stores)
    centres = {row.store_id: row.centre for row in connection.execute(_CENTRES, {"stores": stores})}
    concerned = None if stores is None else sorted({*stores, *(centre for centre in centres.values() if centre)})
    asked = {"projection": StockValuation.name, "generation": LIVE, "stores": concerned, "mark": _mark(question)}
    valuation = StockValuation()
    costs: dict[Shelf, tuple[int, int]] = {}
    for row in connection.execute(_DELIVERIES, asked, execution_options=explanation.streamed()):
        for (store_id, sku), (units, cents) in valuation.increments([event_log.recorded(row)])[store_sku].items():
            at = Shelf(store_id, sku)
            before = costs.get(at, (0, 0))
            costs[at] = (before[0] + units, before[1] + cents)
    return Known(costs, centres, {})


def _stocked(connection: Connection, question: Question) -> Sequence[Row[Any]]:
    """What stores have set, in the order of their logs: the last one counts."""
    stores = None if question.stores is None else sorted(question.stores)
    return connection.execute(_STOCKED, {"stores": stores, "sku": question.sku, "grace": GRACE}).all()


def _asked(connection: Connection, question: Question) -> dict[str, Any]:
    return {
        "stores": None if question.stores is None else sorted(question.stores),
        "sku": question.sku,
        "categories": None if question.category is None else called(connection, question.category),
    }


def _mark(question: Question) -> str | None:
    return None if question.sku is None else f'"{question.sku}"'
