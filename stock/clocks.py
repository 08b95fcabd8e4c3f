"""How many units lay where at a past instant, as far as was known at another?

A movement has two clocks: it happened at `effective_at`, and the log has known of it since `recorded_at`. The answer is the fold of
`stock.rules` over the movements that both leave: stock of last Sunday as it was known that night, or as it is known since the late sales,
voids and counts have come. The index of the primary key holds all that the fold needs, cell by cell in the order of what happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    Uuid,
    and_,
    case,
    func,
    literal,
    select,
    true,
    tuple_,
)

from infra.database import dicts
from stock.holdings import Wanted, cells, status_of
from stock.tables import Instant, stock_level, stock_movement

MOST_CELLS = 500
"""The cells that one page folds to find those of a status."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What had happened by `as_of` and was known by `known_at`; None is now."""

    as_of: datetime | None = None
    known_at: datetime | None = None

    def reach(self, moved: FromClause) -> list[ColumnElement[bool]]:
        """The conditions for the movements that both leave."""
        conditions = []
        if self.as_of is not None:
            conditions.append(moved.c.effective_at <= literal(self.as_of, Instant))
        if self.known_at is not None:
            conditions.append(moved.c.recorded_at <= literal(self.known_at, Instant))
        return conditions


NOW = Clocks()
Place = tuple[datetime, int, UUID, int]
"""Where a movement stands in the history of its cell: `stock.rules.Movement.order`."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which movements of a cell are shown: from `since` on, before `until`; None doesn't matter."""

    since: datetime | None = None
    until: datetime | None = None


def levels(
    connection: Connection, wanted: Wanted, clocks: Clocks, *, after: Sequence[str] | None, limit: int
) -> tuple[list[dict[str, Any]], tuple[str, str] | None]:
    """Levels by store and SKU as they were, and the cell after which the next page begins (None at the end).

    Every cell that has a history today is there, with 0 units before its first movement. To find those of a `status` a page looks at
    `MOST_CELLS` cells: it may hold fewer than `limit`, even none, and yet have a next one. In transit is what restocks tell today only.
    """
    looked_at = limit if wanted.status is None else max(limit, MOST_CELLS)
    rows = connection.execute(_levels(wanted, clocks, after, looked_at + 1)).all()
    found: list[dict[str, Any]] = []
    for place, row in enumerate(rows[:looked_at], start=1):
        if wanted.status in {None, row.status}:
            found.append(_level(row))
        if len(found) == limit:
            return found, (row.store_id, row.sku) if place < len(rows) else None
    return found, (rows[looked_at - 1].store_id, rows[looked_at - 1].sku) if len(rows) > looked_at else None


def movements(  # noqa: PLR0913 - one page of one cell's history
    connection: Connection, store_id: str, sku: str, clocks: Clocks, stretch: Stretch, *, after: Place | None, limit: int
) -> list[dict[str, Any]]:
    """The ledger of one cell, latest first; `on_hand` is what lay there after each movement, by what both clocks leave.

    A row moved `delta` units, or found `counted` units on the shelf. `kind` is the second part of its place.
    """
    moved = stock_movement.c
    shown = [moved.store_id == store_id, moved.sku == sku, *clocks.reach(stock_movement), *_before(stock_movement, after)]
    if stretch.since is not None:
        shown.append(moved.effective_at >= stretch.since)
    if stretch.until is not None:
        shown.append(moved.effective_at < stretch.until)
    order = [part.desc() for part in _order(stock_movement)]
    statement = select(stock_movement, _kind(stock_movement).label("kind")).where(*shown).order_by(*order).limit(limit)
    rows = dicts(connection.execute(statement))
    if rows:
        last = rows[-1]
        place = (last["effective_at"], last["kind"], last["event_id"], last["line"])
        _carry(rows, _on_hand_before(connection, store_id, sku, clocks, place))
    return rows


def _levels(wanted: Wanted, clocks: Clocks, after: Sequence[str] | None, limit: int) -> Select[Any]:
    level = stock_level.c
    # The page first, so that nothing but its cells is folded, whatever way the planner finds them.
    cell = cells(wanted, after).add_columns(level.store_id, level.sku, level.counted_at).limit(limit).subquery("cell")
    folded = _Fold(cell.c.store_id, cell.c.sku, clocks, has_count=cell.c.counted_at.is_not(None))
    return (
        select(
            *(column for column in cell.c if column.name != "counted_at"),
            folded.on_hand.label("on_hand"),
            folded.counted_at.label("counted_at"),
            status_of(folded.on_hand, cell.c.reorder_point).label("status"),
        )
        .select_from(cell.join(folded.count, true(), isouter=True).join(folded.later, true()))
        .order_by(cell.c.store_id, cell.c.sku)
    )


def _on_hand_before(connection: Connection, store_id: str, sku: str, clocks: Clocks, place: Place) -> int:
    folded = _Fold(literal(store_id), literal(sku), clocks, before=place)
    one = select(true().label("one")).subquery()
    asked = select(folded.on_hand).select_from(one.join(folded.count, true(), isouter=True).join(folded.later, true()))
    return int(connection.execute(asked).scalar_one())


class _Fold:
    """`stock.rules.fold` of one cell, or of each cell of a list, as two steps: its latest count, and the deltas after that."""

    def __init__(
        self,
        store_id: ColumnElement[str],
        sku: ColumnElement[str],
        clocks: Clocks,
        *,
        before: Place | None = None,
        has_count: ColumnElement[bool] | None = None,
    ) -> None:
        counted, moved = stock_movement.alias("counted"), stock_movement.alias("moved")

        def known(of: FromClause) -> ColumnElement[bool]:
            return and_(of.c.store_id == store_id, of.c.sku == sku, *clocks.reach(of), *_before(of, before))

        # A cell that was never counted isn't searched for a count.
        ever = [] if has_count is None else [has_count]
        self.count: FromClause = (
            select(counted.c.counted, counted.c.effective_at)
            .where(*ever, known(counted), counted.c.counted.is_not(None))
            .order_by(counted.c.effective_at.desc(), counted.c.event_id.desc(), counted.c.line.desc())
            .limit(1)
            .lateral("count")
        )
        since = func.coalesce(self.count.c.effective_at, literal("-infinity").cast(Instant))
        self.later: FromClause = (
            select(func.sum(moved.c.delta).label("units")).where(known(moved), moved.c.effective_at > since).lateral("later")
        )
        self.counted_at: ColumnElement[Any] = self.count.c.effective_at
        self.on_hand: ColumnElement[int] = func.coalesce(self.count.c.counted, 0) + func.coalesce(self.later.c.units, 0)


def _kind(moved: FromClause) -> ColumnElement[int]:
    return case((moved.c.counted.is_(None), 0), else_=1)


def _order(moved: FromClause) -> tuple[ColumnElement[Any], ...]:
    return moved.c.effective_at, _kind(moved), moved.c.event_id, moved.c.line


def _before(moved: FromClause, place: Place | None) -> list[ColumnElement[bool]]:
    if place is None:
        return []
    at = literal(place[0], Instant)
    there = tuple_(at, literal(place[1], BigInteger), literal(place[2], Uuid), literal(place[3], BigInteger))
    # The first condition says nothing new, but it is the one that the index takes.
    return [moved.c.effective_at <= at, tuple_(*_order(moved)) < there]


def _carry(rows: Sequence[dict[str, Any]], on_hand: int) -> None:
    """Write beside each of the rows, latest first, what it left on hand; `on_hand` is what the earliest found there."""
    for row in reversed(rows):
        on_hand = on_hand + row["delta"] if row["counted"] is None else row["counted"]
        row["on_hand"] = on_hand


def _level(row: Row[Any]) -> dict[str, Any]:
    return {
        "store_id": row.store_id,
        "sku": row.sku,
        "name": None if row.name_fr is None else {"fr": row.name_fr, "en": row.name_en},
        "on_hand": row.on_hand,
        "in_transit": None,
        "reorder_point": row.reorder_point,
        "target_level": row.target_level,
        "counted_at": row.counted_at,
        "status": row.status,
    }
