"""How is a CSV file read that a spreadsheet wrote, and what does the file look like that tells its faults?"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from api.problems import Problem
from api.tables import BYTE_ORDER_MARK, FORMULA, cell
from stock.words import search_form

TELLING: Final = ("ligne", "erreur")
"""What the file of faults has besides the columns of the original; taken out again when it comes back."""
ENGLISH_TELLING: Final = ("row", "error")


@dataclass(frozen=True, slots=True)
class Line:
    """A row that isn't blank: its number as a spreadsheet shows it (the header is 1), and its cells."""

    number: int
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Spreadsheet:
    """A file: its header as written, the header's names in one form (``"Code-barres"`` → ``"code_barres"``), and its lines."""

    header: Sequence[str]
    names: Sequence[str]
    lines: Sequence[Line]
    separator: str


def read(content: bytes, most_rows: int) -> Spreadsheet:
    """A CSV file in UTF-8, with or without a byte order mark, with commas or semicolons. Raises Problem malformed_csv and too_large."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem("malformed_csv", members={"row": content.count(b"\n", 0, error.start) + 1}) from None
    separator = _separator(text)
    found = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[Line] = []
    try:
        for number, cells in enumerate(found, start=1):
            if any(cells) and "".join(cells).strip():
                lines.append(Line(number, [_plain(each) for each in cells]))
            if len(lines) > most_rows + 1:
                raise Problem("too_large", limit=most_rows)
    except csv.Error:
        raise Problem("malformed_csv", members={"row": found.line_num}) from None
    if not lines:
        raise Problem("malformed_csv", members={"row": 1})
    header = lines[0].cells
    return Spreadsheet(header, [search_form(name).replace(" ", "_") for name in header], lines[1:], separator)


def write(sheet: Spreadsheet, told: Iterable[tuple[Line, str]], telling: Sequence[str]) -> bytes:
    """The lines as they were, each with its number and what is wrong with it; what was told of the file before is left out."""
    kept = [place for place, name in enumerate(sheet.names) if name not in {*TELLING, *ENGLISH_TELLING}]
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=sheet.separator)
    writer.writerow([*(cell(sheet.header[place]) for place in kept), *telling])
    for line, sentences in told:
        cells = [cell(line.cells[place]) if place < len(line.cells) else "" for place in kept]
        writer.writerow([*cells, line.number, cell(sentences)])
    # Without the mark a spreadsheet would read UTF-8 as something else.
    return (BYTE_ORDER_MARK + out.getvalue()).encode()


def _separator(text: str) -> str:
    first = text.lstrip("\r\n").split("\n", 1)[0]
    return ";" if first.count(";") > first.count(",") else ","


def _plain(found: str) -> str:
    """A cell without the blanks around it, and without the apostrophe that keeps it from running as a formula."""
    stripped = found.strip()
    return stripped[1:] if stripped.startswith("'") and stripped[1:].startswith(FORMULA) else stripped
