"""Which reports are there, and what do they say? One route a report, made from its declaration."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection

from api import explain, tills
from api.document import reported
from api.explain import Hour
from api.headings import sheet_of
from api.problems import Fault, Problem
from api.reading import Page, after_of, day_part, form_of, number_part, text_part
from api.reads import After, Reading, Since, SkuFilter, StoreFilter, Through, Words, in_order
from api.security import Guard, stores_to_read
from api.tokens import Principal
from projections import REPORTS, Report
from projections.freshness import standing_of
from projections.generations import of_one_build
from projections.measures import Measure
from projections.question import NoSuchGroup, Question
from projections.report import Found
from projections.snapshot import SNAPSHOT

PERMISSION = "report.read"
FIRST_ROWS = 500
MOST_ROWS = 10_000
MOST_EXPORTED_ROWS = 100_000
PARAMETERS: Final = ("from", "to", "store", "sku", "category", "hour", "group_by", "limit", "after", "format", "separator")
HOURS = range(24)


def _hour_part(value: Any) -> int:  # noqa: ANN401 - JSON border: a cursor may be anybody's invention
    if number_part(value) not in HOURS:
        raise ValueError
    return number_part(value)


PARTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "business_date": day_part,
    "week": day_part,
    "month": day_part,
    "hour": _hour_part,
}


def router() -> APIRouter:
    """The routes of every report that is declared when the API starts."""
    made = APIRouter(prefix="/api/v2", tags=["reports"])
    made.add_api_route("/reports", _list_reports, summary="Rapports / Reports")
    for report in REPORTS.values():
        made.add_api_route(
            f"/reports/{report.name}",
            _endpoint(report),
            name=f"report_{report.name.replace('-', '_')}",
            summary=report.question,
            description=_description(report),
            responses=reported(dict(report.sections)),
        )
    made.include_router(explain.router)
    return made


async def _list_reports(who: Annotated[Principal, Depends(Guard(PERMISSION))]) -> dict[str, Any]:
    """Every report with its groupings, its parameters and the dictionary of its measures."""
    del who
    return {"items": [*(_told(REPORTS[name]) for name in sorted(REPORTS)), tills.TOLD]}


def _endpoint(report: Report) -> Callable[..., Awaitable[Response]]:
    async def answered(
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
        limit: Annotated[int | None, Query(ge=1, le=MOST_ROWS, description=f"{FIRST_ROWS} rows a page unless said otherwise")] = None,
        after: After = None,
        form: Annotated[Literal["json", "csv", "xlsx"] | None, Query(alias="format")] = None,
        separator: Annotated[Literal[",", ";"], Query(description="Of a CSV; a semicolon for a spreadsheet in French")] = ",",
        **options: str | None,
    ) -> Response:
        del form, separator
        stores = stores_to_read(who, PERMISSION, store)
        in_order(since, through)
        whole = limit is None and form_of(request, workbooks=True) != "json"
        chosen = tuple((name, value) for name, value in options.items() if value is not None)
        grouped = _grouping(report, group_by or ())
        place = _place(report, grouped, after)
        question = Question(
            group_by=grouped,
            since=since,
            through=through,
            stores=stores,
            sku=sku,
            category=category,
            hour=hour,
            limit=limit or (MOST_EXPORTED_ROWS if whole else FIRST_ROWS),
            offset=place[0] if place and report.sorts else 0,
            after=None if report.sorts else place,
            options=chosen,
        )
        question, timeless = _of_now(report, question)
        if not report.answerable(question):
            raise Problem("invalid_content", errors=[Fault(f"/query/{name}", "not_allowed_value") for name in _refused(report, question)])
        asked = {"from": since, "to": through, "store": store, "sku": sku, "category": category, "hour": hour, **dict(chosen)}
        return await reader.answer(
            request,
            who,
            lambda connection: standing_of(connection, report, stores),
            lambda connection: replace(_page(connection, report, question, whole=whole), meta={"ignored": timeless} if timeless else {}),
            sheet=sheet_of(report.name, report.question, [*question.group_by, *report.beside], report.measures, asked),
        )

    return _with_options(answered, report)


def _page(connection: Connection, report: Report, question: Question, *, whole: bool) -> Page:
    for _ in report.prepare(connection, question):
        connection.commit()
    connection.rollback()

    def find() -> Found:
        connection.execute(SNAPSHOT)
        return report.find(connection, question)

    found = of_one_build(connection, find)
    if whole and found.after is not None:
        raise Problem("too_many_rows", limit=question.limit or MOST_EXPORTED_ROWS)
    return Page(found.rows, found.after, found.sections)


def _with_options(endpoint: Callable[..., Awaitable[Response]], report: Report) -> Callable[..., Awaitable[Response]]:
    """The endpoint with the report's own parameters in its signature, which is what FastAPI reads."""
    signature = inspect.signature(endpoint)
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Literal[choices] | None)
        for name, choices in report.options
    ]
    kept = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    vars(endpoint)["__signature__"] = signature.replace(parameters=[*kept, *own])
    return endpoint


def _grouping(report: Report, asked: Sequence[str]) -> list[str]:
    names = [name for part in asked for name in part.split(",") if name]
    try:
        return report.grouping(names)
    except NoSuchGroup:
        raise Problem("invalid_content", errors=[Fault("/query/group_by", "not_allowed_value")]) from None


def _place(report: Report, group_by: Sequence[str], after: str | None) -> tuple[Any, ...] | None:
    """Where the page begins: after a row, or, in a report that is sorted by a figure, after so many rows."""
    if report.sorts:
        return after_of(after, number_part)
    return after_of(after, *(PARTS.get(name, _text_or_none) for name in group_by))


def _text_or_none(value: Any) -> str | None:  # noqa: ANN401 - JSON border: a cursor may be anybody's invention
    return None if value is None else text_part(value)


def _of_now(report: Report, question: Question) -> tuple[Question, list[str]]:
    """The question without the ends of its period that a report of the present has no use for, and their names: the answer tells them."""
    ends = {"from": question.since, "to": question.through}
    ignored = [name for name, day in ends.items() if day is not None and not report.answerable(_only(question, name))]
    since, through = (None if name in ignored else day for name, day in ends.items())
    return replace(question, since=since, through=through), ignored


def _refused(report: Report, question: Question) -> list[str]:
    """What of the question this report doesn't have: some keep nothing by product, others know no time."""
    asked: dict[str, object] = {
        "sku": question.sku,
        "category": question.category,
        "hour": question.hour,
        "from": question.since,
        "to": question.through,
        **dict(question.options),
    }
    given = [name for name, value in asked.items() if value is not None]
    alone = [name for name in given if not report.answerable(_only(question, name))]
    return alone or given or ["group_by"]


def _only(question: Question, name: str) -> Question:
    """The question with one of its filters."""
    return Question(
        question.group_by,
        sku=question.sku if name == "sku" else None,
        category=question.category if name == "category" else None,
        hour=question.hour if name == "hour" else None,
        since=question.since if name == "from" else None,
        through=question.through if name == "to" else None,
        options=tuple(each for each in question.options if each[0] == name),
    )


def _description(report: Report) -> str:
    rows = "\n".join(f"* `{measure.name}` ({measure.unit}) = `{measure.formula}`: {measure.en}." for measure in report.measures)
    about = inspect.getdoc(report) or ""
    return f"{report.question}\n\n{about}\n\nGrouped by {', '.join(f'`{name}`' for name in report.dimensions())}.\n\n{rows}"


def _told(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "title": {"fr": report.title_fr or report.name, "en": report.title_en or report.name},
        "question": report.question,
        "group_by": report.dimensions(),
        "parameters": [*PARAMETERS, *(name for name, _ in report.options)],
        "options": {name: list(choices) for name, choices in report.options},
        "sections": dict(report.sections),
        "measures": [_defined(each) for each in report.measures],
    }


def _defined(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "formula": measure.formula,
        "unit": measure.unit,
        "fr": measure.fr,
        "en": measure.en,
        "label": {"fr": measure.label_fr or measure.name, "en": measure.label_en or measure.name},
    }
