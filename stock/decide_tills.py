"""May numbers of a till be given up? Always: it moves nothing, and a sale that comes all the same is recorded like any other."""

from events.tills import TillWaived
from schemas.envelope import Accepted
from stock.book import Book, Decision
from stock.decide import NOTHING_TO_DO, decide


@decide.register
def waive_numbers(event: TillWaived, head: Accepted, book: Book) -> Decision:
    """Nothing moves."""
    del event, head, book
    return NOTHING_TO_DO
