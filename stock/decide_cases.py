"""Who resolves a case? The first who says so; a case that was settled stays settled."""

from events.cases import CaseResolved
from schemas.envelope import Accepted
from stock.book import Book, Decision, Settlement
from stock.decide import decide


@decide.register
def resolve_case(event: CaseResolved, head: Accepted, book: Book) -> Decision:
    """The case is settled. Refused when its store has no such case, or when somebody was quicker: then the answer says who and when."""
    place = (head.store_id, event.case_id)
    if place not in book.settlements:
        return Decision(outcome="refused", reason="unknown_case")
    before = book.settlements[place]
    if before is not None:
        return Decision(outcome="refused", reason="already_resolved", effect={"resolved": before.told()})
    book.settlements[place] = Settlement(head.event_id, event.resolution, head.actor, head.received_at)
    return Decision()
