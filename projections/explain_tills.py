"""Which sales tell what a till owes?

A till numbers its sales, so the numbers of all its sales in the log, put in order, say again what the stock writer keeps as ranges.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from projections import explanation
from projections.explanation import GRACE, RECORDED_ON, Explanation, Listing, Part, TooMuchToExplain, is_late

# A sale that was refused was heard all the same: its number isn't owed.
_SALES = text(f"""
    SELECT e.store_id, e.seq, e.event_id, e.type, e.business_date, e.occurred_at, e.effective_at, e.recorded_at,
           (e.payload ->> 'till_seq')::bigint AS till_seq, {RECORDED_ON}
    FROM event_log e LEFT JOIN store s ON s.store_id = e.store_id
    WHERE e.store_id = :store_id AND e.type = 'sale.recorded' AND e.payload ->> 'till_id' = :till_id
      AND e.payload ->> 'till_seq' IS NOT NULL
    ORDER BY e.seq LIMIT :most
""")  # noqa: S608 - put together from constants


def _missing(numbers: Collection[int]) -> int:
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0


def _contiguous(numbers: Collection[int]) -> int | None:
    """The last number before the first hole."""
    seen = set(numbers)
    return next((number for number in range(min(seen), max(seen) + 1) if number + 1 not in seen), None) if seen else None


FIGURES: Final[Mapping[str, Callable[[Collection[int]], int | None]]] = {
    "last_seq": lambda numbers: max(numbers, default=None),
    "contiguous_through": _contiguous,
    "missing": _missing,
}
"""What the numbers of a till come to."""


def explain(  # noqa: PLR0913 - a till, a figure, and a page of what makes it
    connection: Connection,
    store_id: str,
    till_id: str,
    measure: str,
    listing: Listing,
    *,
    reported: Any,  # noqa: ANN401 - any figure
) -> Explanation:
    """A figure of one till. Raises TooMuchToExplain."""
    found = Explanation(listing, reported=reported)
    numbers: set[int] = set()
    asked = {"store_id": store_id, "till_id": till_id, "most": explanation.MOST_EVENTS + 1, "grace": GRACE}
    for place, row in enumerate(connection.execute(_SALES, asked, execution_options=explanation.streamed()), start=1):
        if place > explanation.MOST_EVENTS:
            raise TooMuchToExplain
        numbers.add(row.till_seq)
        late = is_late(row.recorded_at, row.effective_at, row.recorded_on, row.business_date)
        found.take(Part(row, {"till_seq": row.till_seq}, late))
    found.recomputed = FIGURES[measure](numbers)
    return found
