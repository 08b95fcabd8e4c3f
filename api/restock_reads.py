"""Which restocks are under way, what happened to one, and what should a store ask for?"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from api.document import LISTED, ONE
from api.known import Known
from api.lists import RESTOCKS, by_line
from api.lists import Form as WorkbookToo
from api.problems import Problem
from api.reading import Page, after_of, form_of, instant_part, paged, text_part
from api.reads import After, Form, Limit, Reading, StoreFilter
from api.restock_words import explained
from api.security import Guard, stores_to_read
from api.tokens import Principal
from projections.daily_sales import DailySales
from projections.recent_sales import ALL_OF_STORES, of_cell
from projections.standing import Standing, log_standing, projection_standing
from stock import restock_list
from stock.restock import Status
from stock.suggestions import SOURCE_CELL, Sold, Wanted, suggestions

router = APIRouter(prefix="/api/v2", tags=["restocks"])
SOLD = Sold(of_stores=ALL_OF_STORES, of_source=of_cell(*SOURCE_CELL))


def known_of(request: Request) -> Known:
    """What this process knows of restocks."""
    found: Known = request.app.state.known
    return found


def _everything(connection: Connection) -> Standing:
    """A restock is in the logs of two stores, so any store's log may change what another one sees."""
    return log_standing(connection, None)


@router.get("/restocks", summary="Réapprovisionnements / Restocks", responses=LISTED)
async def list_restocks(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("restock.read"))],
    reader: Reading,
    store: StoreFilter = None,
    status: Annotated[Status | None, Query()] = None,
    limit: Limit = 50,
    after: After = None,
    form: WorkbookToo = None,
) -> Response:
    """The restocks that the caller's stores, or the one asked for, send or receive; the latest request first."""
    del form
    wanted = restock_list.Wanted(stores=stores_to_read(who, "restock.read", store), status=status)
    place = after_of(after, instant_part, UUID)
    workbook = form_of(request, workbooks=True) == "xlsx"

    def find(connection: Connection) -> Page:
        page = paged(restock_list.restocks(connection, wanted, after=place, limit=limit + 1), limit, "requested_at", "restock_id")
        return by_line(page) if workbook else page

    return await reader.answer(request, who, _everything, find, sheet=RESTOCKS if workbook else None)


@router.get("/restocks/suggestions", summary="Suggestions de réapprovisionnement / Restock suggestions", responses=LISTED)
async def list_suggestions(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("restock.read"))],
    reader: Reading,
    store: StoreFilter = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """What each store should ask for, by store and SKU, with the numbers behind it in words.

    A SKU is suggested when what is on hand, in transit and on order is at or below its reorder point (without one: below 7 days of the
    last 28 days' sales), up to its target level (without one: 14 days of sales). A store with enough to spare is named before the centre.
    """
    del form
    wanted = Wanted(stores_to_read(who, "restock.read", store), datetime.now(UTC).date())
    place = after_of(after, text_part, text_part)

    def find(connection: Connection) -> Page:
        rows = suggestions(connection, SOLD, wanted, after=place, limit=limit + 1)
        return paged([{**row, "explanation": explained(row)} for row in rows], limit, "store_id", "sku")

    return await reader.answer(request, who, _sales_and_stock(wanted.today), find)


@router.get("/restocks/{restock_id}", summary="Un réapprovisionnement / One restock", responses=ONE)
async def show_restock(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("restock.read"))],
    restock_id: UUID,
    reader: Reading,
    known: Annotated[Known, Depends(known_of)],
) -> Response:
    """One restock with its lines, and every event about it: who took which step, when, and what was refused."""
    await known.restock(who, restock_id)

    def find(connection: Connection) -> Page:
        found = restock_list.one(connection, restock_id)
        if found is None:
            raise Problem("unknown_restock")
        return Page({**found, "history": restock_list.history(connection, restock_id)})

    return await reader.answer(request, who, _everything, find)


def _sales_and_stock(today: date) -> Callable[[Connection], Standing]:
    """Any store may have something to spare, so the standing is that of all: as old as the sales that are projected."""

    def standing(connection: Connection) -> Standing:
        sales = projection_standing(connection, DailySales.name, None)
        return replace(sales, position=f"{_everything(connection).position}|{sales.position}|{today}")

    return standing
