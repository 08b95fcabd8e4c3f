"""Which contradictions are there, what made them, and how does a request to settle one find its store?"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection, Engine

from api.document import LISTED, ONE
from api.lists import CASES, Form
from api.problems import Problem
from api.reading import Page, after_of, number_part, paged, text_part
from api.reads import PRINTABLE, After, Limit, Reading, StoreFilter
from api.security import Guard, stores_to_read, visible_stores
from api.tokens import Principal
from projections.standing import log_standing
from schemas.envelope import Accepted
from stock import desk

router = APIRouter(prefix="/api/v2", tags=["cases"])


@router.get("/cases", summary="Dossiers d'écart / Discrepancy cases", responses=LISTED)
async def list_cases(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard("case.read"))],
    reader: Reading,
    store: StoreFilter = None,
    kind: Annotated[str | None, Query(max_length=32, pattern=PRINTABLE)] = None,
    status: Literal["open", "resolved"] | None = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """What contradicts itself, by store and in the order of discovery."""
    del form
    stores = stores_to_read(who, "case.read", store)
    place = after_of(after, text_part, number_part)
    wanted = desk.Wanted(stores=stores, kind=kind, status=status)

    def find(connection: Connection) -> Page:
        return paged(desk.cases(connection, wanted, after=place, limit=limit + 1), limit, "store_id", "seq")

    return await reader.answer(request, who, lambda connection: log_standing(connection, stores), find, sheet=CASES)


@router.get("/cases/{case_id}", summary="Un dossier d'écart / One discrepancy case", responses=ONE)
async def show_case(request: Request, case_id: UUID, who: Annotated[Principal, Depends(Guard("case.read"))], reader: Reading) -> Response:
    """One case with the events that made it, how its figures stand now, and which command each resolution takes besides."""
    stores = visible_stores(who)

    def find(connection: Connection) -> Page:
        found = _seen(desk.case(connection, case_id), who)
        shown = {"shown": desk.events_of(connection, found, stores), "now": desk.now_of(connection, found)}
        return Page({**found, **shown, "links": _links(found)})

    return await reader.answer(request, who, lambda connection: log_standing(connection, stores), find)


async def stream_of_case(request: Request, who: Principal) -> str:
    """The store whose log settles the case in the path. Raises Problem unknown_case, also for one of a store that isn't the caller's."""
    case_id = case_in_path(request)
    if case_id is None:
        raise Problem("unknown_case")
    engine: Engine = request.app.state.engine
    request.state.case = _seen(await asyncio.to_thread(_look_up, engine, case_id), who)
    return str(request.state.case["store_id"])


def case_in_path(request: Request) -> UUID | None:
    """The case that the path names; None when that is no UUID."""
    try:
        return UUID(request.path_params["case_id"])
    except ValueError:
        return None


def still_open(request: Request, event: Accepted) -> None:
    """Raise Problem already_resolved, with who and when, unless the case is open or this very event has settled it."""
    before = request.state.case["resolution"]
    if before is not None and before["event_id"] != str(event.event_id):
        raise Problem("already_resolved", members={"resolved": before})


def _look_up(engine: Engine, case_id: UUID) -> dict[str, Any] | None:
    with engine.connect() as connection:
        return desk.case(connection, case_id)


def _seen(found: dict[str, Any] | None, who: Principal) -> dict[str, Any]:
    if found is None or not who.may_see(found["store_id"]):
        raise Problem("unknown_case")
    return found


def _links(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Where to settle the case, and what to post first: a recount, a write-off or a transfer moves the stock, the resolution doesn't."""
    store = f"/api/v2/stores/{found['store_id']}"
    line = {} if found["sku"] is None else {"sku": found["sku"]}
    links = {"resolve": {"method": "POST", "href": f"/api/v2/cases/{found['case_id']}/resolve"}}
    if found["kind"] == "unknown_product":
        links["describe"] = {"method": "PUT", "href": f"/api/v2/products/{found['sku']}"}
    work = {
        "recount": (f"{store}/stock-counts", {"lines": [line]}),
        "write_off": (f"{store}/stock-changes", {"reason": "damaged" if found["kind"] == "damaged_receipt" else "other", "lines": [line]}),
        "transfer": ("/api/v2/restocks", {"to_store": found["store_id"], "lines": [line]}),
    }
    return links | {name: {"method": "POST", "href": href, "body": body} for name, (href, body) in work.items()}
