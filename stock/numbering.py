"""Do two sales of one till bear the same number? A till numbers its sales one by one, so a number is given once."""

from typing import NamedTuple

from events.sales import SaleRecorded
from schemas.envelope import Accepted
from stock.book import Book, Case


class TillNumber(NamedTuple):
    """One number of one till of one store."""

    store_id: str
    till_id: str
    till_seq: int


def number_of(event: SaleRecorded, head: Accepted) -> TillNumber | None:
    """The sale's number; None when its till gave none."""
    if event.till_id is None or event.till_seq is None:
        return None
    return TillNumber(head.store_id, event.till_id, event.till_seq)


def case_key(number: TillNumber) -> str:
    """What the case's id is made of: however many sales bear the number and in whatever order they come, it is one case."""
    return f"{number.store_id}|till_sequence|{number.till_id}|{number.till_seq}"


def same_number(event: SaleRecorded, head: Accepted, book: Book) -> tuple[Case, ...]:
    """The case of a sale whose number another sale bears already; afterwards the number is this sale's too."""
    number = number_of(event, head)
    if number is None:
        return ()
    if number not in book.numbers:
        book.numbers[number] = head.event_id
        return ()
    first = book.numbers[number]
    events = (head.event_id,) if first is None else tuple(sorted((first, head.event_id)))
    return (Case("till_sequence", case_key(number), events, None, {"till_id": number.till_id, "till_seq": number.till_seq}),)
