"""Why does a report say this number? Its formula, the events that make it, and the same number computed again from them."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from api.document import EXPLAINED
from api.headings import EVENTS, filters
from api.problems import Fault, Problem
from api.reading import Page, after_of, number_part, text_part
from api.reads import After, Limit, Reading, Since, SkuFilter, StoreFilter, Through, Words, in_order
from api.security import Guard, stores_to_read
from api.texts import Text
from api.tokens import Principal
from api.workbook import Column, Sheet
from projections import PROJECTIONS, Projection
from projections.base import Measure
from projections.explain import MOST_EVENTS, Explanation, Part, TooMuchToExplain, explain, is_sum
from projections.query import NoSuchGroup, Question
from projections.standing import projection_standing

PERMISSION = "report.read"
router = APIRouter()

Hour = Annotated[int | None, Query(ge=0, le=23)]


@router.get("/reports/{name}/explain", summary="Expliquer ce chiffre / Explain this number", responses=EXPLAINED)
async def explain_figure(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard(PERMISSION))],
    name: str,
    measure: Annotated[str, Query(max_length=64)],
    reader: Reading,
    since: Since = None,
    through: Through = None,
    store: StoreFilter = None,
    sku: SkuFilter = None,
    category: Words = None,
    hour: Hour = None,
    late: Annotated[bool | None, Query(description="true: list only the events that came late")] = None,
    limit: Limit = 50,
    after: After = None,
    form: Annotated[Literal["json", "csv", "xlsx"] | None, Query(alias="format")] = None,
) -> Response:
    """One figure of a report: the filters are the report's own and name the cell. All its events are folded again, one page is shown."""
    del form
    stores = stores_to_read(who, PERMISSION, store)
    in_order(since, through)
    place = after_of(after, text_part, number_part)
    projection = _report(name)
    figure = _measure(projection, measure)
    question = Question((), since=since, through=through, stores=stores, sku=sku, category=category, hour=hour)

    def find(connection: Connection) -> Page:
        try:
            found = explain(connection, projection, figure, question, after=place, limit=limit, late_only=late is True)
        except TooMuchToExplain:
            raise Problem("too_much_to_explain", limit=MOST_EVENTS) from None
        except NoSuchGroup:
            raise _not_kept(question) from None
        events = [_told(part) for part in found.parts]
        return Page(_answer(figure, found, events), found.after, table=events)

    asked = {"from": since, "to": through, "store": store, "sku": sku, "category": category, "hour": hour}
    return await reader.answer(
        request,
        who,
        lambda connection: projection_standing(connection, projection.name, stores),
        find,
        sheet=_sheet(name, figure, asked),
        long=True,
    )


def _report(name: str) -> Projection:
    if name not in PROJECTIONS:
        raise Problem("unknown_report")
    return PROJECTIONS[name]


def _measure(projection: Projection, name: str) -> Measure:
    for measure in projection.measures:
        if measure.name == name:
            return measure
    raise Problem("invalid_content", errors=[Fault("/query/measure", "not_allowed_value")])


def _not_kept(question: Question) -> Problem:
    asked = {"sku": question.sku, "category": question.category, "hour": question.hour}
    return Problem(
        "invalid_content", errors=[Fault(f"/query/{name}", "not_allowed_value") for name, value in asked.items() if value is not None]
    )


def _answer(measure: Measure, found: Explanation, events: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "measure": measure.name,
        "label": {"fr": measure.fr, "en": measure.en},
        "formula": measure.formula,
        "unit": measure.unit,
        "additive": is_sum(measure),
        "reported": found.reported,
        "recomputed": found.recomputed,
        "agrees": found.reported == found.recomputed,
        "event_count": found.event_count,
        "late_events": found.late_events,
        "events": events,
    }


def _told(part: Part) -> dict[str, Any]:
    event = part.event
    return {
        "event_id": event.event_id,
        "type": event.type,
        "store_id": event.store_id,
        "seq": event.seq,
        "business_date": event.business_date,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "late": part.late,
        "contribution": part.contribution,
        "amounts": part.amounts,
    }


def _sheet(name: str, measure: Measure, asked: Mapping[str, date | str | int | None]) -> Sheet:
    shown = EVENTS | {"contribution": Column(EVENTS["contribution"].heading, measure.unit, EVENTS["contribution"].meaning, measure.formula)}
    return Sheet(f"{name} {measure.name}", Text(measure.fr, measure.en), shown, filters(asked))
