"""Which cells make exactly the days asked for, with the fewest to read?

Cells can be added and taken away: the year less its last week is two readings instead of eleven months and three weeks of days. Pure: no
clock and no table, only days.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, NamedTuple

Grain = Literal["year", "month", "day"]

READ_COST: Final[dict[Grain, int]] = {"year": 17, "month": 6, "day": 1}
"""How much there is to read of one year, month or day of products, by a chain of 457 stores: 68,000, 24,000 and 3,900 cells."""
ONE_DAY: Final = timedelta(days=1)


class Span(NamedTuple):
    """Cells of one grain to add (`sign` 1) or take away (-1): those of the year or month that begins at `first`, or of all its days."""

    grain: Grain
    first: date
    last: date
    sign: int = 1

    def within(self, known: tuple[date, date]) -> tuple[date, date]:
        """Its days of which there may be cells, the first and the last; in that order, unless there are none."""
        return max(self.first, known[0]), min(self.last, known[1])

    def days(self, known: tuple[date, date]) -> int:
        """How many these are."""
        first, last = self.within(known)
        return max(0, (last - first).days + 1)

    def cost(self, known: tuple[date, date]) -> int:
        """How much there is to read, in days: never more than its months or days have."""
        if self.grain == "year":
            months = _cut(*self.within(known), "month")
            return min(READ_COST["year"], sum(Span("month", *each).cost(known) for each in months))
        days = self.days(known)
        return days if self.grain == "day" else min(READ_COST["month"], days)


@dataclass(frozen=True, slots=True)
class _Means:
    """What there is to make days of."""

    known: tuple[date, date]
    grains: Collection[Grain]
    take_away: bool


def cover(first: date, last: date, known: tuple[date, date], grains: Collection[Grain], *, take_away: bool = True) -> list[Span]:
    """What to add and, with `take_away`, what to take away for the days from `first` to `last`, both included.

    `known` are the first and the last day of which there are any cells: what lies outside costs nothing and says nothing.
    """
    first, last = max(first, known[0]), min(last, known[1])
    means = _Means(known, grains, take_away)
    return _joined(span for start, end in _cut(first, last, "year") for span in _within(start, end, means, "year"))


def _within(first: date, last: date, means: _Means, grain: Grain) -> list[Span]:
    """The same for days of one year, or of one month."""
    if grain == "day":
        return [Span("day", first, last)]
    finer: Grain = "month" if grain == "year" else "day"
    pieces = _months(first, last) if finer == "month" else [(first, last)]
    added = [span for start, end in pieces for span in _within(start, end, means, finer)]
    if grain not in means.grains:
        return added
    known, (begins, ends) = means.known, _bounds(first, grain)
    whole = [Span(grain, begins, ends)]
    for start, end in ((max(begins, known[0]), first - ONE_DAY), (last + ONE_DAY, min(ends, known[1]))):
        around = _months(start, end) if finer == "month" else [(start, end)] if start <= end else []
        whole += [span._replace(sign=-span.sign) for one, other in around for span in _within(one, other, means, finer)]
    if len(whole) > 1 and not means.take_away:
        return added
    return min(whole, added, key=lambda spans: sum(span.cost(known) for span in spans))


def _bounds(day: date, grain: Grain) -> tuple[date, date]:
    """The first and the last day of the year or month that a day is in."""
    if grain == "year":
        return date(day.year, 1, 1), date(day.year, 12, 31)
    return day.replace(day=1), (day.replace(day=1) + timedelta(days=31)).replace(day=1) - ONE_DAY


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Days that follow each other as one span."""
    found: list[Span] = []
    for span in spans:
        before = found[-1] if found else None
        if before and before.grain == span.grain == "day" and before.sign == span.sign and before.last + ONE_DAY == span.first:
            found[-1] = before._replace(last=span.last)
        else:
            found.append(span)
    return found


def _months(first: date, last: date) -> list[tuple[date, date]]:
    return list(_cut(first, last, "month"))


def _cut(first: date, last: date, grain: Grain) -> Iterator[tuple[date, date]]:
    while first <= last:
        end = min(last, _bounds(first, grain)[1])
        yield first, end
        first = end + ONE_DAY
