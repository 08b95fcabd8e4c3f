"""What must the ledger of a store hold, by what its log says?

Nothing is decided again: what was refused moved nothing, and which sale a void undid stands in the effect that was recorded. So the answer
stays the same when the rules change, and a ledger that differs from it was changed by something else than the stock writer.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, select

from events.base import event_type
from events.fields import Sku
from events.sales import SaleRecorded, SaleVoided
from infra.event_log import event_log
from schemas.envelope import Recorded
from stock.moves import moves, undone
from stock.rules import Level, Movement


class Entry(NamedTuple):
    """One row of `stock_movement`, without its store."""

    sku: str
    effective_at: datetime
    event_id: UUID
    line: int
    seq: int
    type: str
    delta: int | None
    counted: int | None
    recorded_at: datetime

    def onto(self, level: Level) -> Level:
        """The level after this entry; entries must come by `effective_at`, `event_id` and `line`, as the ledger's key has them."""
        if self.counted is None:
            return level.moved(self.delta or 0, self.effective_at)
        return level.counted(self.counted, self.effective_at, self.event_id, 0)

    @property
    def movement(self) -> Movement:
        """The same for the rules."""
        return Movement(Sku(self.sku), self.effective_at, self.event_id, self.line, self.delta, self.counted)


def entries(connection: Connection, events: Sequence[Recorded]) -> Iterator[Entry]:
    """What these events of one store wrote into its ledger. Sales that they void are looked up in the log.

    Raises UnknownEventType and pydantic.ValidationError for what no longer can be read.
    """
    sold_at = _sold_at(connection, events)
    for event in events:
        if event.outcome == "recorded":
            for type_, movement in _moved(event, sold_at):
                yield Entry(
                    movement.sku,
                    movement.effective_at,
                    movement.event_id,
                    movement.line,
                    event.seq,
                    type_,
                    movement.delta,
                    movement.counted,
                    event.recorded_at,
                )


def _moved(event: Recorded, sold_at: dict[UUID, datetime]) -> Iterator[tuple[str, Movement]]:
    effect = event.effect or {}
    fact = event_type(event.type, event.version).model_validate(event.data)
    yield from ((event.type, each) for each in moves(fact, event))
    if isinstance(fact, SaleRecorded) and "voided_by" in effect:
        lines = [(line.sku, line.quantity) for line in fact.lines]
        yield from ((SaleVoided.type, each) for each in undone(lines, event.effective_at, UUID(effect["voided_by"])))
    if isinstance(fact, SaleVoided) and "sale" in effect:
        lines = [(Sku(line["sku"]), line["quantity"]) for line in effect["sale"]["lines"]]
        yield from ((event.type, each) for each in undone(lines, sold_at[fact.sale_id], event.event_id))


def _sold_at(connection: Connection, events: Sequence[Recorded]) -> dict[UUID, datetime]:
    """The instants of the sales that are voided here."""
    wanted = [event.subject for event in events if event.type == SaleVoided.type and event.effect and event.subject is not None]
    if not wanted:
        return {}
    rows = connection.execute(select(event_log.c.event_id, event_log.c.effective_at).where(event_log.c.event_id.in_(wanted)))
    return {row.event_id: row.effective_at for row in rows}
