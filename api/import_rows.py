"""Is every row of a file what it should be, and which events do the rows become? Pure but for the clock's bounds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic import ValidationError

from api.commands import data_of
from api.faults import Fault, faults_of
from api.problems import Problem
from api.spreadsheet import Line, Spreadsheet
from api.texts import Language
from events.base import Shape
from events.fields import MAX_LINES
from schemas.envelope import CATALOGUE_STREAM
from schemas.imports import Column, ImportKind
from schemas.requests import CountStock

HEADER: Final = 1
"""The number of the header's row."""

CheckInstant = Callable[[datetime | None, datetime, str], None]


@dataclass(frozen=True, slots=True)
class RowFault:
    """Something wrong with one cell, or (without a column) with the row."""

    row: int
    column: str
    fault: Fault

    def told(self, language: Language) -> dict[str, Any]:
        """``{row, column, code, detail, pointer}``; the pointer leads to the row's field as the single command names it."""
        return {"row": self.row, "column": self.column, **self.fault.told(language)}


@dataclass(frozen=True, slots=True)
class Draft:
    """An event to be: whose stream, its id, its data as JSON."""

    store_id: str
    event_id: UUID
    data: bytes


@dataclass(slots=True)
class Checked:
    """What a file came to: its rows as shapes, or what is wrong with them, and the columns that nobody looked at."""

    rows: list[Shape] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def stores_named(kind: ImportKind, sheet: Spreadsheet) -> set[str]:
    """The stores that the file names; those that it opens aren't asked for."""
    column = kind.by_pointer.get("/store_id")
    if column is None or kind.key == ("store_id",):
        return set()
    places = [place for place, name in enumerate(sheet.names) if kind.by_name.get(name) is column]
    return {line.cells[places[0]] for line in sheet.lines if places and place_in(line, places[0])}


def place_in(line: Line, place: int) -> bool:
    """Whether the line has something there."""
    return place < len(line.cells) and bool(line.cells[place])


def check(
    kind: ImportKind, sheet: Spreadsheet, *, refused_stores: Mapping[str, str], check_instant: CheckInstant, now: datetime
) -> Checked:
    """Every row by the shape of the single command, and what only a whole file can get wrong. `refused_stores`: store → fault code."""
    checked = Checked(ignored=[sheet.header[place] for place, name in enumerate(sheet.names) if name not in kind.by_name])
    checked.faults += _faults_of_header(kind, sheet)
    if checked.faults:
        return checked
    columns = {place: kind.by_name[name] for place, name in enumerate(sheet.names) if name in kind.by_name}
    written = {column: sheet.header[place] for place, column in columns.items()}
    seen: set[tuple[str, ...]] = set()
    for line in sheet.lines:
        found = list(_faults_of_line(kind, line, columns, checked.rows, seen, len(sheet.header)))
        if not found:
            found = list(_faults_of_stores(checked.rows[-1], refused_stores, check_instant, now))
        for fault in found:
            column = kind.by_pointer.get(fault.pointer)
            checked.faults.append(RowFault(line.number, written.get(column, column.french) if column else "", fault))
    if not sheet.lines:
        checked.faults.append(RowFault(HEADER, "", Fault("", "too_few")))
    return checked


def _faults_of_header(kind: ImportKind, sheet: Spreadsheet) -> Iterator[RowFault]:
    known = [kind.by_name[name] for name in sheet.names if name in kind.by_name]
    for column in kind.columns:
        if column.required and column not in known:
            yield RowFault(HEADER, column.french, Fault(column.pointer, "missing"))
        if known.count(column) > 1:
            yield RowFault(HEADER, column.french, Fault(column.pointer, "duplicate"))


def _faults_of_line(
    kind: ImportKind, line: Line, columns: Mapping[int, Column], rows: list[Shape], seen: set[tuple[str, ...]], width: int
) -> Iterator[Fault]:
    """The faults of one line; its row is added when the shape takes it."""
    if any(line.cells[width:]):
        yield Fault("", "too_many", {"max_length": width})
    content = _content(line, columns)
    key = tuple(str(content.get(name)) for name in kind.key)
    if key in seen:
        yield Fault(f"/{kind.key[-1]}", "duplicate")
    seen.add(key)
    if kind.key == ("store_id",) and key == (CATALOGUE_STREAM,):
        yield Fault("/store_id", "not_allowed_value")
    try:
        rows.append(kind.row.model_validate(content))
    except ValidationError as error:
        yield from faults_of(error)


def _content(line: Line, columns: Mapping[int, Column]) -> dict[str, Any]:
    """The cells as the shape's fields; an empty cell is a field that isn't given."""
    content: dict[str, Any] = {}
    for place, column in columns.items():
        *outer, last = column.field
        inside = content
        for name in outer:
            inside = inside.setdefault(name, {})
        if place_in(line, place):
            inside[last] = column.read(line.cells[place])
    return content


def _faults_of_stores(row: Shape, refused: Mapping[str, str], check_instant: CheckInstant, now: datetime) -> Iterator[Fault]:
    code = refused.get(getattr(row, "store_id", ""))
    if code is not None:
        yield Fault("/store_id", code)
    try:
        check_instant(getattr(row, "counted_at", None), now, "/counted_at")
    except Problem as problem:
        yield from problem.errors


def drafts(kind: ImportKind, rows: Sequence[Any], import_id: UUID) -> Iterator[Draft]:
    """The events of a file without faults. The id of each follows from the import's: the same import again is the same events."""
    if kind.key == ("sku",):
        return (Draft(CATALOGUE_STREAM, uuid5(import_id, row.sku), data_of(row, set(), {})) for row in rows)
    if kind.key == ("store_id",):
        return (Draft(row.store_id, uuid5(import_id, row.store_id), data_of(row, {"store_id"}, {})) for row in rows)
    return _counts(rows, import_id)


def _counts(rows: Iterable[Any], import_id: UUID) -> Iterator[Draft]:
    """One count for each shop, or several when it has more lines than a count may have."""
    for store_id, of_store in groupby(sorted(rows, key=lambda row: row.store_id), key=lambda row: row.store_id):
        lines = [row.model_dump(exclude={"store_id"}) for row in of_store]
        for part, start in enumerate(range(0, len(lines), MAX_LINES)):
            body = CountStock.model_validate({"lines": lines[start : start + MAX_LINES]})
            yield Draft(store_id, uuid5(import_id, f"{store_id}|{part}"), data_of(body, {"count_id", "counted_at"}, {}))
