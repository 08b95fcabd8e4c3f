"""How does a report become an Excel workbook: figures that are figures, dates that are dates, and beside them what they mean?

Rows are written as they come and never held a second time (``constant_memory``). Text is written as text whatever it looks like.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from pydantic_core import to_json
from xlsxwriter import Workbook  # type: ignore[import-untyped]  # it brings no types
from xlsxwriter.format import Format  # type: ignore[import-untyped]  # the same
from xlsxwriter.worksheet import Worksheet  # type: ignore[import-untyped]  # the same

from api.tables import flat, names_of
from api.texts import Language, Text

MEDIA_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MOST_CHARACTERS: Final = 32_767
"""What Excel takes in one cell."""
MOST_SHEET_NAME: Final = 31
NARROWEST, WIDEST, BESIDE = 11, 60, 2
WHOLE: Final = "#,##0"
DECIMAL: Final = {"money", "percent", "days"}
FORMATS: Final[Mapping[str, str]] = {
    "money": "#,##0.00",
    "count": WHOLE,
    "units": WHOLE,
    "percent": '0.0" %"',
    "days": "0.0",
    "seconds": WHOLE,
    "date": "yyyy-mm-dd",
    "instant": "yyyy-mm-dd hh:mm:ss",
    "text": "@",
}
OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "nan_inf_to_errors": True,
}
Unit = Literal["text", "date", "hour", "count", "units", "money", "percent", "days", "seconds"]


@dataclass(frozen=True, slots=True)
class Column:
    """What stands above one column and what it means. `unit` says how its values are written; a measure has a formula."""

    heading: Text
    unit: str = "text"
    meaning: Text | None = None
    formula: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a workbook says besides its rows: a name for the sheet, the question it answers, its columns by name, the filters asked for.

    `known` are the columns that further sheets may have.
    """

    name: str
    question: Text
    columns: Mapping[str, Column]
    asked: Sequence[tuple[Text, str]] = field(default=())
    known: Mapping[str, Column] = field(default_factory=dict)

    def column(self, name: str) -> Column:
        """What is known of a column; one that nobody described has its own name above it."""
        return self.columns.get(name) or self.known.get(name) or Column(Text(name, name))

    @property
    def decimals(self) -> list[str]:
        """The columns whose figures have decimals."""
        return [name for name, column in self.columns.items() if column.unit in DECIMAL]


DEFINITIONS: Final = Text("Définitions", "Definitions")
TABLE: Final = (
    Text("Colonne", "Column"),
    Text("Champ", "Field"),
    Text("Unité", "Unit"),
    Text("Formule", "Formula"),
    Text("Signification", "Meaning"),
)
UNITS: Final[Mapping[str, Text]] = {
    "money": Text("montant, dans la devise du magasin", "amount, in the store's currency"),
    "count": Text("nombre", "count"),
    "units": Text("articles", "units"),
    "percent": Text("pourcentage", "percentage"),
    "days": Text("jours", "days"),
    "seconds": Text("secondes", "seconds"),
    "date": Text("date", "date"),
    "hour": Text("heure du magasin", "hour of the shop's clock"),
    "text": Text("texte", "text"),
}
QUESTION: Final = Text("Question", "Question")
META: Final[Mapping[str, Text]] = {
    "as_of": Text("À jour au (UTC)", "As of (UTC)"),
    "lag_seconds": Text("Retard, en secondes", "Lag, in seconds"),
    "complete": Text("Complet", "Complete"),
    "stalled_stores": Text("Magasins à l'arrêt", "Stalled stores"),
    "owing": Text("Caisses qui doivent encore des ventes", "Tills that still owe sales"),
    "timezone": Text("Fuseau horaire", "Time zone"),
}
YES, NO = Text("oui", "yes"), Text("non", "no")


def as_workbook(
    sheet: Sheet,
    rows: Sequence[Mapping[str, Any]],
    meta: Mapping[str, Any],
    language: Language,
    sections: Mapping[str, Any] | None = None,
) -> bytes:
    """The rows, on a sheet each what the report says besides (`sections`), and on the last sheet the definitions, as an ``.xlsx`` file."""
    out = io.BytesIO()
    with Workbook(out, OPTIONS) as book:
        formats = {unit: book.add_format({"num_format": code}) for unit, code in FORMATS.items()}
        formats |= {"heading": book.add_format({"bold": True, "bottom": 1})}
        defined = {**sheet.columns, **_fill(book.add_worksheet(sheet.name[:MOST_SHEET_NAME]), sheet, rows, language, formats)}
        for name, section in (sections or {}).items():
            beside = [section] if isinstance(section, Mapping) else section
            title = sheet.column(name).heading.in_(language)
            defined |= _fill(book.add_worksheet(title[:MOST_SHEET_NAME]), sheet, beside, language, formats)
        _define(book.add_worksheet(DEFINITIONS.in_(language)), sheet, meta, language, formats, defined)
    return out.getvalue()


def _fill(
    page: Worksheet, sheet: Sheet, rows: Sequence[Mapping[str, Any]], language: Language, formats: Mapping[str, Format]
) -> dict[str, Column]:
    """Write the rows under their headings; answers what columns there are."""
    names = names_of(flat(row) for row in rows) or list(sheet.columns)
    columns = [sheet.column(name) for name in names]
    headings = [column.heading.in_(language) for column in columns]
    for place, heading in enumerate(headings):
        page.write_string(0, place, heading, formats["heading"])
        page.set_column(place, place, min(WIDEST, max(NARROWEST, len(heading) + BESIDE)))
    for line, row in enumerate(map(flat, rows), start=1):
        for place, (name, column) in enumerate(zip(names, columns, strict=True)):
            write(page, line, place, row.get(name), column.unit, formats)
    page.freeze_panes(1, 0)
    page.autofilter(0, 0, len(rows), len(names) - 1)
    return dict(zip(names, columns, strict=True))


def _define(
    page: Worksheet,
    sheet: Sheet,
    meta: Mapping[str, Any],
    language: Language,
    formats: Mapping[str, Format],
    columns: Mapping[str, Column],
) -> None:
    told: list[tuple[str, Any]] = [(QUESTION.in_(language), sheet.question.in_(language))]
    told += [(label.in_(language), value) for label, value in sheet.asked]
    told += [(label.in_(language), _told(meta[name], language)) for name, label in META.items() if name in meta]
    for line, (label, value) in enumerate(told):
        page.write_string(line, 0, label, formats["heading"])
        write(page, line, 1, value, "text", formats)
    start = len(told) + 1
    for place, heading in enumerate(TABLE):
        page.write_string(start, place, heading.in_(language), formats["heading"])
    for line, (name, column) in enumerate(columns.items(), start=start + 1):
        unit = UNITS[column.unit].in_(language) if column.unit in UNITS else column.unit
        meaning = column.meaning.in_(language) if column.meaning else None
        for place, value in enumerate((column.heading.in_(language), name, unit, column.formula, meaning)):
            write(page, line, place, value, "text", formats)
    for place, width in enumerate((32, 24, 32, 48, 60)):
        page.set_column(place, place, width)


def _told(value: Any, language: Language) -> Any:  # noqa: ANN401 - any value of a meta
    if isinstance(value, bool):
        return (YES if value else NO).in_(language)
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else value


def write(
    page: Worksheet,
    line: int,
    place: int,
    value: Any,  # noqa: ANN401 - any value of a row
    unit: str,
    formats: Mapping[str, Format],
) -> None:
    """One cell, by what the value is and by the unit of its column. None is nothing; a text that looks like a formula is a text."""
    if value is None or value == "":
        return
    if unit == "money" and isinstance(value, str):
        with suppress(InvalidOperation):
            value = Decimal(value)
    match value:
        case bool():
            page.write_boolean(line, place, value)
        case int() | float() | Decimal():
            page.write_number(line, place, float(value) if isinstance(value, Decimal) else value, formats.get(unit))
        case datetime():
            naive = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
            page.write_datetime(line, place, naive, formats["instant"])
        case date():
            page.write_datetime(line, place, value, formats["date"])
        case _:
            page.write_string(line, place, _text(value)[:MOST_CHARACTERS])


def _text(value: Any) -> str:  # noqa: ANN401 - any value of a row
    return value if isinstance(value, str) else to_json(value).decode()
