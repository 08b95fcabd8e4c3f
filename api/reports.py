"""Which reports are there, and what do they say? One route a projection, made from its declaration."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from api import explain
from api.document import REPORTED
from api.explain import Hour
from api.headings import sheet_of
from api.problems import Fault, Problem
from api.reading import Page, after_of, form_of, number_part
from api.reads import After, Reading, Since, SkuFilter, StoreFilter, Through, Words, in_order
from api.security import Guard, stores_to_read
from api.texts import Text
from api.tokens import Principal
from projections import PROJECTIONS, Projection
from projections.query import NoSuchGroup, Question, answer, answerable, dimensions, grouping
from projections.standing import projection_standing

PERMISSION = "report.read"
MOST_ROWS = 10_000
MOST_EXPORTED_ROWS = 100_000


def router() -> APIRouter:
    """The routes of every projection that is declared when the API starts."""
    made = APIRouter(prefix="/api/v2", tags=["reports"])
    made.add_api_route("/reports", _list_reports, summary="Rapports / Reports")
    for projection in PROJECTIONS.values():
        made.add_api_route(
            f"/reports/{projection.name}",
            _endpoint(projection),
            name=f"report_{projection.name.replace('-', '_')}",
            summary=projection.question,
            description=_description(projection),
            responses=REPORTED,
        )
    made.include_router(explain.router)
    return made


async def _list_reports(who: Annotated[Principal, Depends(Guard(PERMISSION))]) -> dict[str, Any]:
    """Every report with its groupings and the dictionary of its measures."""
    del who
    return {"items": [_told(projection) for projection in PROJECTIONS.values()]}


def _endpoint(projection: Projection) -> Callable[..., Awaitable[Response]]:
    async def report(
        *,
        request: Request,
        who: Annotated[Principal, Depends(Guard(PERMISSION))],
        reader: Reading,
        since: Since = None,
        through: Through = None,
        store: StoreFilter = None,
        sku: SkuFilter = None,
        category: Words = None,
        hour: Hour = None,
        group_by: Annotated[list[str] | None, Query(max_length=8)] = None,
        limit: Annotated[int | None, Query(ge=1, le=MOST_ROWS)] = None,
        after: After = None,
        form: Annotated[Literal["json", "csv", "xlsx"] | None, Query(alias="format")] = None,
        separator: Annotated[Literal[",", ";"], Query(description="Of a CSV; a semicolon for a spreadsheet in French")] = ",",
    ) -> Response:
        del form, separator
        stores = stores_to_read(who, PERMISSION, store)
        in_order(since, through)
        start = int((after_of(after, number_part) or (0,))[0])
        whole = limit is None and form_of(request, workbooks=True) != "json"
        most = limit or (MOST_EXPORTED_ROWS if whole else MOST_ROWS)
        question = Question(
            group_by=_grouping(projection, group_by or ()),
            since=since,
            through=through,
            stores=stores,
            sku=sku,
            category=category,
            hour=hour,
            offset=start,
            limit=most + 1,
        )

        if not answerable(projection, question):
            raise Problem("invalid_content", errors=[Fault(f"/query/{name}", "not_allowed_value") for name in _filters(question)])

        def find(connection: Connection) -> Page:
            rows = answer(connection, projection, question)
            if whole and len(rows) > most:
                raise Problem("too_many_rows", limit=most)
            return Page(rows[:most], (start + most,) if len(rows) > most else None)

        asked = {"from": since, "to": through, "store": store, "sku": sku, "category": category, "hour": hour}
        return await reader.answer(
            request,
            who,
            lambda connection: projection_standing(connection, projection.name, stores),
            find,
            sheet=sheet_of(projection.name, Text(projection.question, projection.question), question.group_by, projection.measures, asked),
        )

    return report


def _grouping(projection: Projection, asked: Sequence[str]) -> list[str]:
    names = [name for part in asked for name in part.split(",") if name]
    try:
        return grouping(projection, names)
    except NoSuchGroup:
        raise Problem("invalid_content", errors=[Fault("/query/group_by", "not_allowed_value")]) from None


def _filters(question: Question) -> list[str]:
    """What of the question this report doesn't have: it keeps nothing by product."""
    return [
        name for name, value in (("sku", question.sku), ("category", question.category), ("hour", question.hour)) if value is not None
    ] or ["group_by"]


def _description(projection: Projection) -> str:
    rows = "\n".join(f"* `{measure.name}` ({measure.unit}) = `{measure.formula}`: {measure.en}." for measure in projection.measures)
    return f"{projection.question}\n\nGrouped by {', '.join(f'`{name}`' for name in dimensions(projection))}.\n\n{rows}"


def _told(projection: Projection) -> dict[str, Any]:
    return {
        "name": projection.name,
        "question": projection.question,
        "group_by": dimensions(projection),
        "parameters": ["from", "to", "store", "sku", "category", "hour", "group_by", "limit", "after", "format", "separator"],
        "measures": [
            {"name": each.name, "formula": each.formula, "unit": each.unit, "fr": each.fr, "en": each.en} for each in projection.measures
        ],
    }
