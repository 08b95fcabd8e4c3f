"""Why does a report say this number? Its formula, the events that make it, and the same number computed again from them."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from api.document import EXPLAINED
from api.headings import EVENTS, filters
from api.problems import Fault, Problem
from api.reading import Page, after_of, number_part, text_part
from api.reads import PRINTABLE, After, Limit, Reading, Since, SkuFilter, StoreFilter, Through, Words, in_order
from api.security import Guard, stores_to_read
from api.texts import Text
from api.tills import COLUMNS as TILL_COLUMNS
from api.tokens import Principal
from api.workbook import Column, Sheet
from projections import REPORTS, explain_tills, explanation
from projections.explain import Asked, explain, formula_of, is_sum, measures_of
from projections.explanation import Explanation, Listing, NotExplained, Part, TooMuchToExplain
from projections.freshness import standing_of
from projections.measures import Measure
from projections.question import NoSuchGroup, Question
from projections.standing import Standing, log_standing
from stock import tills

PERMISSION = "report.read"
TILLS = "tills"
MOST_TILLS = 10_000
router = APIRouter()

Hour = Annotated[int | None, Query(ge=0, le=23)]
Code = Annotated[str | None, Query(max_length=64, pattern=PRINTABLE)]


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
    status: Code = None,
    reason: Code = None,
    till: Code = None,
    late: Annotated[bool | None, Query(description="true: list only the events that came late")] = None,
    limit: Limit = 50,
    after: After = None,
    form: Annotated[Literal["json", "csv", "xlsx"] | None, Query(alias="format")] = None,
) -> Response:
    """One figure of a report. The filters are the report's own, and what it is grouped by: they name the cell.

    All events of the cell are folded again, one page of them is shown. An event is `late` when it was recorded more than an hour after it
    happened, or more than an hour after the end of the business day that it counts on.
    """
    del form
    stores = stores_to_read(who, PERMISSION, store)
    in_order(since, through)
    listing = Listing(limit, after_of(after, text_part, number_part), late is True)
    asked = {"from": since, "to": through, "store": store, "sku": sku, "category": category, "hour": hour}
    named = {"status": status, "reason": reason, "till": till}
    figure = _measure(name, measure)
    if name == TILLS:
        found, standing = _of_a_till(store, till, figure, listing)
    else:
        report = REPORTS[name]
        question = Question(
            (),
            since=since,
            through=through,
            stores=stores,
            sku=sku,
            category=category,
            hour=hour,
            options=tuple((each, value) for each, value in named.items() if value is not None),
        )
        wanted = Asked(report, figure, question, listing)
        found, standing = lambda connection: explain(connection, wanted), lambda connection: standing_of(connection, report, stores)
        figure = _as_asked(wanted)

    def find(connection: Connection) -> Page:
        explained = _explained(connection, found, {**asked, **named})
        events = [_told(part) for part in explained.parts]
        return Page(_answer(figure, explained, events), explained.after, table=events)

    return await reader.answer(request, who, standing, find, sheet=_sheet(name, figure, {**asked, **named}), long=True)


def _measure(report: str, name: str) -> Measure:
    if report == TILLS:
        known = {each: _till_measure(each) for each in explain_tills.FIGURES}
    elif report in REPORTS:
        known = measures_of(REPORTS[report])
    else:
        raise Problem("unknown_report")
    if name not in known:
        raise Problem("invalid_content", errors=[Fault("/query/measure", "not_allowed_value")])
    return known[name]


def _till_measure(name: str) -> Measure:
    column = TILL_COLUMNS[name]
    meaning = column.meaning or column.heading
    return Measure(name, column.formula or name, "count", meaning.fr, meaning.en, column.heading.fr, column.heading.en)


def _as_asked(asked: Asked) -> Measure:
    """The measure with the formula of exactly this cell."""
    each = asked.measure
    return Measure(each.name, formula_of(asked), each.unit, each.fr, each.en, each.label_fr, each.label_en)


def _of_a_till(
    store: str | None, till: str | None, measure: Measure, listing: Listing
) -> tuple[Callable[[Connection], Explanation], Callable[[Connection], Standing]]:
    if store is None or till is None:
        raise Problem(
            "invalid_content",
            errors=[Fault(f"/query/{name}", "missing") for name, value in (("store", store), ("till", till)) if not value],
        )
    stores = frozenset({store})

    def find(connection: Connection) -> Explanation:
        explanation.begin(connection)
        rows = tills.tills(connection, stores, silent_after_seconds=0, after=None, limit=MOST_TILLS)
        row = next((row for row in rows if row["till_id"] == till), {measure.name: explain_tills.FIGURES[measure.name](())})
        return explain_tills.explain(connection, store, till, measure.name, listing, reported=row[measure.name])

    return find, lambda connection: log_standing(connection, stores)


def _explained(connection: Connection, find: Callable[[Connection], Explanation], asked: Mapping[str, Any]) -> Explanation:
    try:
        return find(connection)
    except TooMuchToExplain:
        raise Problem("too_much_to_explain", limit=explanation.MOST_EVENTS) from None
    except NotExplained as missing:
        raise Problem("invalid_content", errors=[Fault(f"/query/{missing}", "missing")]) from None
    except NoSuchGroup:
        named = [name for name, value in asked.items() if name not in {"from", "to", "store"} and value is not None]
        raise Problem("invalid_content", errors=[Fault(f"/query/{name}", "not_allowed_value") for name in named or ["from"]]) from None


def _answer(measure: Measure, found: Explanation, events: list[dict[str, Any]]) -> dict[str, Any]:
    parts = [{"measure": each.measure, "reported": each.reported, "recomputed": each.recomputed} for each in found.made_of]
    return {
        "measure": measure.name,
        "label": {"fr": measure.label_fr or measure.name, "en": measure.label_en or measure.name},
        "meaning": {"fr": measure.fr, "en": measure.en},
        "formula": measure.formula,
        "unit": measure.unit,
        "additive": not parts and is_sum(measure) and measure.name not in explain_tills.FIGURES,
        "made_of": parts,
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


def _sheet(name: str, measure: Measure, asked: Mapping[str, Any]) -> Sheet:
    heading, meaning = EVENTS["contribution"].heading, EVENTS["contribution"].meaning
    shown = EVENTS | {"contribution": Column(heading, measure.unit, meaning, measure.formula)}
    return Sheet(f"{name} {measure.name}", Text(measure.fr, measure.en), shown, filters(asked))
