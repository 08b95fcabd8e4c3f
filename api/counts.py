"""What was counted, what was expected, and what is there to count?"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import from_json
from sqlalchemy import Connection

from api.document import LISTED, ONE
from api.problems import Problem
from api.reading import Page, after_of, number_part, paged, text_part
from api.reads import After, Form, Limit, Reading, StoreInPath, Words, store_must_exist
from api.security import CASHIER, Guard
from api.tokens import Principal
from projections.standing import log_standing
from schemas.requests import CountStock
from stock import counts

router = APIRouter(prefix="/api/v2/stores/{store_id}", tags=["counts"])

OPENLY, BLINDLY = "stock.count", "stock.count_blind"


@router.get("/stock-counts", summary="Comptages d'un magasin / Stock counts of a store", responses=LISTED)
async def list_counts(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("stock.read"))],
    store_id: StoreInPath,
    reader: Reading,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """The counts of a store, the last one recorded first."""
    del form
    place = after_of(after, number_part)

    def find(connection: Connection) -> Page:
        store_must_exist(connection, store_id)
        return paged(counts.counts(connection, store_id, after=place, limit=limit + 1), limit, "seq")

    return await reader.answer(request, who, lambda connection: log_standing(connection, frozenset({store_id})), find)


@router.get("/stock-counts/{count_id}", summary="Un comptage / One stock count", responses=ONE)
async def show_count(
    *, request: Request, who: Annotated[Principal, Depends(Guard("stock.read"))], store_id: StoreInPath, count_id: UUID, reader: Reading
) -> Response:
    """Counted, expected and variance per SKU, as it is known now. To a cashier a blind count doesn't tell what was expected."""

    def find(connection: Connection) -> Page:
        found = counts.count(connection, store_id, count_id, may_know=who.role != CASHIER)
        if found is None:
            raise Problem("unknown_count")
        return Page(found, table=found["lines"])

    return await reader.answer(request, who, lambda connection: log_standing(connection, frozenset({store_id})), find)


@router.get("/count-sheet", summary="Feuille de comptage / Counting sheet", responses=LISTED)
async def show_sheet(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("stock.read"))],
    store_id: StoreInPath,
    reader: Reading,
    search: Words = None,
    category: Words = None,
    blind: Annotated[bool, Query(description="true: without the quantities expected; a cashier never gets them here")] = False,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """The SKUs that the store holds or has held, by SKU."""
    del form
    place = after_of(after, text_part)
    wanted = counts.Sheet(store_id, search, category, blind=blind or who.role == CASHIER)

    def find(connection: Connection) -> Page:
        store_must_exist(connection, store_id)
        return paged(counts.sheet(connection, wanted, after=place, limit=limit + 1), limit, "sku")

    return await reader.answer(request, who, lambda connection: log_standing(connection, frozenset({store_id})), find)


def permission_of(body: bytes) -> str:
    """The permission that a count takes: cashiers may count too, as long as they aren't told what should be there."""
    try:
        content: Any = from_json(body)
    except ValueError:
        return OPENLY
    return BLINDLY if isinstance(content, dict) and content.get("blind") is True else OPENLY


def instants_of(body: CountStock) -> list[tuple[str, Any]]:
    """The lines' own instants with their pointers."""
    return [(f"/lines/{place}/counted_at", line.counted_at) for place, line in enumerate(body.lines) if line.counted_at is not None]
