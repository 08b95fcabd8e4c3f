"""Is a figure whole, and which till still owes what?

Figures are made of what tills have told. While a till has given numbers to sales that haven't come, every figure over its store says so.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection
from starlette.requests import Request

from api.security import visible_stores
from api.tokens import Principal
from projections.standing import Standing
from stock.tills import owing

FIGURES: Final = re.compile(r"/api/v2/(reports|stock)(/|$)|/api/v2/stores/[^/]+/(sales|stock|stock-counts|count-sheet)(/|$)")


def completed(request: Request, who: Principal, standing: Callable[[Connection], Standing]) -> Callable[[Connection], Standing]:
    """The standing of a read, with the tills of its stores that owe sales when what is read is made of sales."""
    if FIGURES.match(request.url.path) is None:
        return standing
    stores = _stores(request, who)

    def find(connection: Connection) -> Standing:
        found, owed = standing(connection), owing(connection, stores)
        return replace(found, owing=owed.tills, owing_count=owed.tills_owing)

    return find


def _stores(request: Request, who: Principal) -> frozenset[str] | None:
    """The store of the path, those of the query, or all that the caller may see; None for every store."""
    named = request.path_params.get("store_id")
    asked = frozenset([named] if named else request.query_params.getlist("store"))
    return asked or visible_stores(who)
