"""What can be read of shops, products, stock and sales?"""

import re
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from api.document import LISTED, ONE
from api.problems import Fault, Problem
from api.reading import FIRST_YEAR, LAST_YEAR, Page, Reader, after_of, corrected, instant_part, number_part, paged, text_part
from api.security import Guard, stores_to_read
from api.tokens import Principal
from events.fields import SKU, STORE_ID
from projections.standing import Standing, log_standing
from stock import catalogue, ledger

router = APIRouter(prefix="/api/v2")

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
Limit = Annotated[int, Query(ge=1, le=500)]
After = Annotated[str | None, Query(max_length=512)]
Words = Annotated[str | None, Query(max_length=200, pattern=PRINTABLE)]
StoreFilter = Annotated[str | None, Query(pattern=STORE_ID)]
SkuFilter = Annotated[str | None, Query(pattern=SKU)]
Since = Annotated[date | None, Query(alias="from")]
Through = Annotated[date | None, Query(alias="to")]
Form = Annotated[Literal["json", "csv"] | None, Query(alias="format")]


def reader_of(request: Request) -> Reader:
    """The process's reader."""
    found: Reader = request.app.state.reader
    return found


Reading = Annotated[Reader, Depends(reader_of)]


def store_in_path(store_id: str) -> str:
    """The store's name in the path. Raises Problem unknown_store for what can be no store's name."""
    if not re.fullmatch(STORE_ID, store_id):
        raise Problem("unknown_store")
    return store_id


def sku_in_path(sku: str) -> str:
    """The SKU in the path. Raises Problem unknown_product for what can be none."""
    if not re.fullmatch(SKU, sku):
        raise Problem("unknown_product")
    return sku


StoreInPath = Annotated[str, Depends(store_in_path)]
SkuInPath = Annotated[str, Depends(sku_in_path)]


def _whole_log(stores: frozenset[str] | None) -> Callable[[Connection], Standing]:
    return lambda connection: log_standing(connection, stores)


@router.get("/stores", summary="Magasins / Stores", tags=["stores"], responses=LISTED)
async def list_stores(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("store.read"))],
    reader: Reading,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """The stores that the caller may see, by id."""
    del form
    stores = stores_to_read(who, "store.read", None)
    place = after_of(after, text_part)

    def find(connection: Connection) -> Page:
        return paged(catalogue.stores(connection, stores, after=place, limit=limit + 1), limit, "store_id")

    return await reader.answer(request, who, _whole_log(stores), find)


@router.get("/stores/{store_id}", summary="Un magasin / One store", tags=["stores"], responses=ONE)
async def show_store(
    request: Request, who: Annotated[Principal, Depends(Guard("store.read"))], store_id: StoreInPath, reader: Reading
) -> Response:
    """One store."""
    only = frozenset({store_id})

    def find(connection: Connection) -> Page:
        return Page(_one(catalogue.stores(connection, only, after=None, limit=1), "unknown_store"))

    return await reader.answer(request, who, _whole_log(only), find)


@router.get("/products", summary="Recherche de produits / Product search", tags=["products"], responses=LISTED)
async def search_products(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("product.read"))],
    reader: Reading,
    search: Words = None,
    category: Words = None,
    barcode: Annotated[str | None, Query(max_length=32, pattern=PRINTABLE)] = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """Products whose SKU, names, category or barcode hold every word of `search`, whatever its case and accents; by SKU.

    A whole SKU or barcode finds its product first. Where nothing is found, the nearest words of the catalogue are taken instead, and
    `meta.corrected` says which.
    """
    del form
    wanted = catalogue.Wanted(search=search, category=category, barcode=barcode)
    parts = (number_part, text_part) if wanted.worded else (text_part,)
    place = after_of(after, *parts)

    def find(connection: Connection) -> Page:
        found = catalogue.products(connection, wanted, after=place, limit=limit + 1)
        return corrected(paged(found.rows, limit, *(("reading", "sku") if wanted.worded else ("sku",)), hidden="reading"), found.corrected)

    return await reader.answer(request, who, _whole_log(frozenset()), find)


@router.get("/products/{sku}", summary="Un produit / One product", tags=["products"], responses=ONE)
async def show_product(
    request: Request, who: Annotated[Principal, Depends(Guard("product.read"))], sku: SkuInPath, reader: Reading
) -> Response:
    """One product."""

    def find(connection: Connection) -> Page:
        return Page(_one(catalogue.products(connection, catalogue.Wanted(sku=sku), after=None, limit=1).rows, "unknown_product"))

    return await reader.answer(request, who, _whole_log(frozenset()), find)


@router.get("/stores/{store_id}/sales", summary="Ventes d'un magasin / Sales of a store", tags=["sales"], responses=LISTED)
async def list_sales(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("sale.read"))],
    store_id: StoreInPath,
    reader: Reading,
    since: Since = None,
    through: Through = None,
    till: Annotated[str | None, Query(max_length=64, pattern=PRINTABLE)] = None,
    status: Literal["recorded", "voided", "returned"] | None = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """Sales of the business days asked for, latest first."""
    del form
    in_order(since, through)
    place = after_of(after, date.fromisoformat, instant_part, UUID)
    wanted = ledger.Wanted(store_id=store_id, since=since, through=through, till_id=till, status=status)

    def find(connection: Connection) -> Page:
        store_must_exist(connection, store_id)
        rows = ledger.sales(connection, wanted, after=place, limit=limit + 1)
        return paged(rows, limit, "business_date", "local_at", "sale_id", hidden="local_at")

    return await reader.answer(request, who, _whole_log(frozenset({store_id})), find)


@router.get("/stores/{store_id}/sales/{sale_id}", summary="Une vente / One sale", tags=["sales"], responses=ONE)
async def show_sale(
    *, request: Request, who: Annotated[Principal, Depends(Guard("sale.read"))], store_id: StoreInPath, sale_id: UUID, reader: Reading
) -> Response:
    """One sale with its lines, its void and its returns."""

    def find(connection: Connection) -> Page:
        found = ledger.sale(connection, store_id, sale_id)
        if found is None:
            raise Problem("unknown_sale")
        return Page(found)

    return await reader.answer(request, who, _whole_log(frozenset({store_id})), find)


def in_order(since: date | None, through: date | None) -> None:
    """Raise Problem when the days asked for end before they begin, or lie where nobody can count days any more."""
    for name, day in (("from", since), ("to", through)):
        if day is not None and not FIRST_YEAR < day.year < LAST_YEAR:
            raise Problem("invalid_content", errors=[Fault(f"/query/{name}", "too_small" if day.year <= FIRST_YEAR else "too_large")])
    if since and through and through < since:
        raise Problem("invalid_content", errors=[Fault("/query/to", "wrong_order")])


def store_must_exist(connection: Connection, store_id: str) -> None:
    """Raise Problem unknown_store."""
    _one(catalogue.stores(connection, frozenset({store_id}), after=None, limit=1), "unknown_store")


def _one(rows: list[dict[str, Any]], code: str) -> dict[str, Any]:
    if not rows:
        raise Problem(code)
    return rows[0]
