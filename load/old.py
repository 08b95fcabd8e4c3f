"""What did the system that this one replaces publish of its own load tests, and what of ours stands beside each figure?

Its architecture report (chapter 12, load tests before and after the load balancer and the gateway) shows graphs without a table; the
figures here are its best ones, and what was measured on its own code. There is none for a single cell, so a cell is held against the
figure for its number of users.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from load.matrix import Cell

REQUESTS_PER_SECOND: Final = {50: 75.0}
"""By virtual users; bounded by the time that its people waited between two requests."""
ORDERS_PER_SECOND: Final = {1: 51.0}
"""By virtual users: one client, before the system broke."""
NONE: Final = "–"


@dataclass(frozen=True)
class Comparison:
    """One figure of the old system, and how ours is found among the cells."""

    what: str
    old: str
    ours: Callable[[Sequence[Cell]], str]


def ratio(cell: Cell) -> tuple[float, str] | None:
    """How many times the old system's figure for so many users, and of what; None where it has published none."""
    if cell.users in REQUESTS_PER_SECOND:
        return cell.told.per_second / REQUESTS_PER_SECOND[cell.users], "requests"
    if cell.users in ORDERS_PER_SECOND:
        return cell.told.sales_per_second / ORDERS_PER_SECOND[cell.users], "sales"
    return None


def _span(values: Sequence[float], unit: str) -> str:
    return f"{min(values):.0f} to {max(values):.0f} {unit}, median {median(values):.0f}" if values else NONE


def _requests(cells: Sequence[Cell]) -> str:
    return _span([cell.told.per_second for cell in cells if cell.users in REQUESTS_PER_SECOND], "requests/s")


def _orders(cells: Sequence[Cell]) -> str:
    return _span([cell.told.sales_per_second for cell in cells if cell.users in ORDERS_PER_SECOND], "sales/s")


def _failed(cells: Sequence[Cell]) -> str:
    requests, errors = sum(cell.told.requests for cell in cells), sum(cell.told.errors for cell in cells)
    return f"{errors:,} of {requests:,} ({errors / requests * 100:.3g} %)" if requests else NONE


def _lost(cells: Sequence[Cell]) -> str:
    facts = sum(sum(cell.told.verified.facts.values()) for cell in cells)
    wrong = sum(len(cell.told.verified.differences) for cell in cells)
    return f"{wrong} wrong shelves after {facts:,} facts" if facts else NONE


def _mixed(cells: Sequence[Cell]) -> str:
    del cells
    return "not a part of this mix"


COMPARISONS: Final = (
    Comparison("Requests with 50 virtual users", "about 75 a second, bounded by think time", _requests),
    Comparison("Orders from one client", "51 a second, before it broke", _orders),
    Comparison("Requests that failed behind the gateway", "37–47 %; a 404 counted as success, sales were commented out", _failed),
    Comparison("Stock updates lost", "20–24 % with ten clients", _lost),
    Comparison("Signing in, alone", "422 a second", _mixed),
    Comparison("Cached reads, alone", "366 a second", _mixed),
)
