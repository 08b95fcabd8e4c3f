"""Which till owes which sales, and which one is silent?"""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import Connection, Engine

from api.document import REPORTED
from api.headings import DIMENSIONS
from api.problems import Problem
from api.reading import Page, after_of, form_of, paged, text_part
from api.reads import After, Reading, StoreFilter
from api.security import Guard, stores_to_read
from api.texts import Text
from api.tokens import Principal
from api.workbook import Column, Sheet
from events.fields import STORE_ID, TILL_ID
from projections.standing import Standing, log_standing
from stock import tills

router = APIRouter(prefix="/api/v2", tags=["reports"])

PERMISSION = "report.read"
USUAL_ROWS, MOST_ROWS = 1_000, 10_000
QUESTION = Text(
    "Quelles caisses doivent encore des ventes, et lesquelles se taisent ?", "Which tills still owe sales, and which are silent?"
)
COLUMNS = {
    "store_id": DIMENSIONS["store_id"],
    "till_id": DIMENSIONS["till_id"],
    "last_seq": Column(
        Text("Dernier numéro", "Last number"),
        "count",
        Text("Le plus grand numéro de vente reçu", "The highest sale number seen"),
        "max(till_seq)",
    ),
    "contiguous_through": Column(
        Text("Complet jusqu'à", "Complete through"),
        "count",
        Text("Tous les numéros de vente jusqu'à celui-ci sont là", "Every sale number up to this one is there"),
        "first missing number - 1",
    ),
    "missing": Column(
        Text("Ventes dues", "Sales owed"),
        "count",
        Text("Numéros manquants entre le premier et le dernier reçus", "Numbers missing between the first and the last one seen"),
        "last_seq - first_seq + 1 - count(distinct till_seq)",
    ),
    "waived": Column(
        Text("Ventes abandonnées", "Sales given up"),
        "count",
        Text("Numéros manquants que plus personne n'attend", "Missing numbers for which nobody waits any more"),
    ),
    "gaps": Column(
        Text("Numéros manquants", "Missing numbers"),
        meaning=Text(f"Les {tills.MOST_GAPS} premiers intervalles", f"The first {tills.MOST_GAPS} intervals"),
    ),
    "last_sale_at": Column(Text("Dernière vente (UTC)", "Last sale (UTC)"), "date"),
    "last_heard_at": Column(Text("Dernières nouvelles (UTC)", "Last heard from (UTC)"), "date"),
    "silent_seconds": Column(
        Text("Silence", "Silence"), "seconds", Text("Depuis les dernières nouvelles", "Since it was last heard from"), "now - last_heard_at"
    ),
    "silent": Column(Text("Muette", "Silent"), meaning=Text("Plus longtemps que le seuil réglé", "For longer than the threshold set")),
}

TOLD: Final[dict[str, Any]] = {
    "name": "tills",
    "question": f"{QUESTION.fr} / {QUESTION.en}",
    "group_by": ["store_id", "till_id"],
    "parameters": ["store", "limit", "after", "format"],
    "measures": [
        {
            "name": name,
            "formula": column.formula,
            "unit": column.unit,
            "fr": column.meaning.fr,
            "en": column.meaning.en,
            "label": {"fr": column.heading.fr, "en": column.heading.en},
        }
        for name, column in COLUMNS.items()
        if column.formula is not None and column.meaning is not None
    ],
}
"""The report in the list of reports."""


@router.get("/reports/tills", summary="Caisses : ventes dues et silence / Tills: sales owed and silence", responses=REPORTED)
async def report_tills(
    *,
    request: Request,
    who: Annotated[Principal, Depends(Guard(PERMISSION))],
    reader: Reading,
    store: StoreFilter = None,
    limit: Annotated[int | None, Query(ge=1, le=MOST_ROWS)] = None,
    after: After = None,
    form: Annotated[Literal["json", "csv", "xlsx"] | None, Query(alias="format")] = None,
) -> Response:
    """Every till: its highest number, the numbers missing after its lowest, and since when nothing was heard of it."""
    del form
    stores = stores_to_read(who, PERMISSION, store)
    place = after_of(after, text_part, text_part)
    silent_after_seconds: int = request.app.state.settings.till_silence_seconds
    most = limit or (USUAL_ROWS if form_of(request, workbooks=True) == "json" else MOST_ROWS)

    def find(connection: Connection) -> Page:
        rows = tills.tills(connection, stores, silent_after_seconds=silent_after_seconds, after=place, limit=most + 1)
        return paged(rows, most, "store_id", "till_id")

    sheet = Sheet("tills", QUESTION, COLUMNS)
    return await reader.answer(request, who, lambda connection: _this_minute(log_standing(connection, stores)), find, sheet=sheet)


async def stream_of_till(request: Request, who: Principal) -> str:
    """The store of the path, once it is known to have the till. Raises Problem unknown_till."""
    del who
    engine: Engine = request.app.state.engine
    store_id, till_id = request.path_params["store_id"], request.path_params["till_id"]
    named = re.fullmatch(STORE_ID, store_id) and re.fullmatch(TILL_ID, till_id)
    if not named or not await asyncio.to_thread(_has, engine, store_id, till_id):
        raise Problem("unknown_till")
    return str(store_id)


def _has(engine: Engine, store_id: str, till_id: str) -> bool:
    with engine.connect() as connection:
        return tills.has(connection, store_id, till_id)


def _this_minute(standing: Standing) -> Standing:
    """Silence grows while nothing happens: an answer that tells it is good for a minute."""
    return replace(standing, position=f"{standing.position}:{datetime.now(UTC):%H%M}")
