"""What lies on the shelves, what lay there at a past instant, and how did it come to that?

Stock and movements with their two clocks: `as_of` (what had happened by then) and `known_at` (what was recorded by then).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import StringConstraints
from sqlalchemy import Connection

from api.document import LISTED
from api.lists import STOCK
from api.lists import Form as WorkbookToo
from api.problems import Fault, Problem
from api.reading import Page, after_of, corrected, instant_part, number_part, paged, text_part
from api.reads import After, Form, Limit, Reading, Since, SkuInPath, StoreFilter, StoreInPath, Through, Words, in_order
from api.security import Guard, stores_to_read
from api.tokens import Principal
from events.fields import SKU, Instant
from projections.standing import Standing, log_standing
from schemas.envelope import YEARS
from stock import catalogue, clocks, holdings
from stock.book import Shop
from stock.clocks import Clocks, Stretch
from stock.shortages import shortages
from stock.transit import transports

router = APIRouter(prefix="/api/v2")
MOST_SKUS = 100
Skus = Annotated[list[Annotated[str, StringConstraints(pattern=SKU)]] | None, Query(max_length=MOST_SKUS)]


@dataclass(frozen=True, slots=True)
class Hindsight(Standing):
    """The standing of an answer about the past. It tells what was asked: there `as_of` is the instant of the figures."""

    clocks: Clocks

    def meta(self) -> dict[str, Any]:
        """The ``meta`` of the answer."""
        told = {"as_of": self.clocks.as_of, "known_at": self.clocks.known_at}
        return {**Standing.meta(self), **{name: instant for name, instant in told.items() if instant is not None}}


def clocks_of(
    request: Request,
    as_of: Annotated[Instant | None, Query(description="What had happened by then (RFC 3339); by default now.")] = None,
    known_at: Annotated[Instant | None, Query(description="What was recorded by then (RFC 3339); by default now.")] = None,
) -> Clocks:
    """The two clocks that a request asks for. Raises Problem invalid_content for what is to come, or was before there were tills."""
    latest = datetime.now(UTC) + timedelta(seconds=request.app.state.settings.future_tolerance_seconds)
    faults = [
        Fault(f"/query/{name}", code)
        for name, instant in (("as_of", as_of), ("known_at", known_at))
        if instant is not None and (code := _fault_of(instant, latest)) is not None
    ]
    if faults:
        raise Problem("invalid_content", errors=faults)
    return Clocks(None if as_of is None else as_of.astimezone(UTC), None if known_at is None else known_at.astimezone(UTC))


TwoClocks = Annotated[Clocks, Depends(clocks_of)]


@router.get("/stock", summary="Stock", tags=["stock"], responses=LISTED)
async def list_stock(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("stock.read"))],
    reader: Reading,
    at: TwoClocks,
    store: StoreFilter = None,
    sku: Skus = None,
    search: Words = None,
    status: Literal["ok", "low", "out", "negative"] | None = None,
    limit: Limit = 50,
    after: After = None,
    form: WorkbookToo = None,
) -> Response:
    """What is on hand, by store and SKU; with `as_of` or `known_at` what was, by the facts that had happened and were known by then.

    `search` finds products as the list of products does; `sku` may be given several times.
    In the past `in_transit` is null (it is made of what restocks are now), every cell with a history today is listed, and a page of one
    `status` may hold fewer items than `limit` although there is a next one: a page looks at 500 cells at most.
    """
    del form
    stores = stores_to_read(who, "stock.read", store)
    place = after_of(after, text_part, text_part)

    def find(connection: Connection) -> Page:
        meant = catalogue.meant(connection, search)
        wanted = holdings.Wanted(stores=stores, skus=_both(sku, meant.skus), search=meant.phrase, status=status)
        if at == clocks.NOW:
            page = paged(holdings.levels(connection, wanted, after=place, limit=limit + 1), limit, "store_id", "sku")
        else:
            page = Page(*clocks.levels(connection, wanted, at, after=place, limit=limit))
        return corrected(page, meant.corrected)

    return await reader.answer(request, who, lambda connection: _standing(connection, stores, at), find, sheet=STOCK)


@router.get("/stock/shortages", summary="Ruptures par magasin / Stock-outs by store", tags=["stock"], responses=LISTED)
async def list_shortages(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("stock.read"))],
    reader: Reading,
    store: StoreFilter = None,
    through: Through = None,
    form: Form = None,
) -> Response:
    """How many SKUs each store has run out of, now or at the end of its business day `to`: what today's stock-outs are compared with."""
    del form
    stores = stores_to_read(who, "stock.read", store)
    return await reader.answer(
        request, who, lambda connection: log_standing(connection, stores), lambda connection: Page(shortages(connection, stores, through))
    )


@router.get("/stores/{store_id}/stock/{sku}/movements", summary="Mouvements de stock / Stock movements", tags=["stock"], responses=LISTED)
async def list_movements(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("stock.read"))],
    store_id: StoreInPath,
    sku: SkuInPath,
    reader: Reading,
    at: TwoClocks,
    since: Since = None,
    through: Through = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """The ledger of one SKU in one store, latest first: what happened, when it was recorded, and what was `on_hand` then.

    `as_of` and `known_at` leave out what had not happened or was not known; `from` and `to` show some of the shop's business days.
    """
    del form
    in_order(since, through)
    place = after_of(after, instant_part, number_part, UUID, number_part)
    only = frozenset({store_id})

    def find(connection: Connection) -> Page:
        stretch = _business_days(_shop(connection, store_id), since, through)
        rows = clocks.movements(connection, store_id, sku, at, stretch, after=place, limit=limit + 1)
        return paged(rows, limit, "effective_at", "kind", "event_id", "line", hidden="kind")

    return await reader.answer(request, who, lambda connection: _standing(connection, only, at), find)


def _both(asked: list[str] | None, found: Collection[str] | None) -> Collection[str] | None:
    """The SKUs that are asked for and found by the search; None for every SKU."""
    if asked is None or found is None:
        return asked if found is None else found
    return set(asked) & set(found)


def _fault_of(instant: datetime, latest: datetime) -> str | None:
    if instant > latest:
        return "in_the_future"
    # Compared by its year as given: the very first instants have none in UTC.
    return "too_old" if instant.year not in YEARS else None


def _standing(connection: Connection, stores: frozenset[str] | None, at: Clocks) -> Standing:
    now = log_standing(connection, stores)
    if at == clocks.NOW:
        return replace(now, position=f"{now.position}:{transports(connection, stores)}")
    return Hindsight(now.position, now.as_of, now.lag_seconds, now.stalled_stores, now.timezone, at)


def _shop(connection: Connection, store_id: str) -> Shop:
    found = catalogue.stores(connection, frozenset({store_id}), after=None, limit=1)
    if not found:
        raise Problem("unknown_store")
    return Shop.of(found[0]["timezone"], found[0]["oversell"], found[0]["day_ends"])


def _business_days(shop: Shop, since: date | None, through: date | None) -> Stretch:
    """The shop's days as instants."""
    until = None if through is None else _begins(shop, through + timedelta(days=1))
    return Stretch(None if since is None else _begins(shop, since), until)


def _begins(shop: Shop, day: date) -> datetime:
    return datetime.combine(day, time(), shop.zone) + shop.day_ends
