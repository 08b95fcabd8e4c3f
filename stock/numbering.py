"""Do two sales of one till bear the same number? A till numbers its sales one by one, so a number is given once."""

from events.sales import SaleRecorded
from schemas.envelope import Accepted
from stock.book import Book, Case

TillNumber = tuple[str, str, int]
"""A store, one of its tills, and a number that the till gave."""


def number_of(event: SaleRecorded, head: Accepted) -> TillNumber | None:
    """The sale's number; None when its till gave none."""
    if event.till_id is None or event.till_seq is None:
        return None
    return head.store_id, event.till_id, event.till_seq


def same_number(event: SaleRecorded, head: Accepted, book: Book) -> tuple[Case, ...]:
    """The case of a sale whose number another sale bears already; afterwards the number is this sale's too.

    However many sales bear it and in whatever order they come, it is one case.
    """
    number = number_of(event, head)
    if number is None:
        return ()
    if number not in book.numbers:
        book.numbers[number] = head.event_id
        return ()
    store_id, till_id, till_seq = number
    first = book.numbers[number]
    events = (head.event_id,) if first is None else tuple(sorted((first, head.event_id)))
    details = {"till_id": till_id, "till_seq": till_seq}
    return (Case("till_sequence", f"{store_id}|till_sequence|{till_id}|{till_seq}", events, None, details),)
