"""What does a program find that opens a workbook?"""

import io
import zipfile
from typing import Any
from xml.etree import ElementTree as ET

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def cells_of(workbook: bytes, number: int = 1) -> list[list[Any]]:
    """The cells of a sheet as a program reads them: numbers with the format they have, texts as texts; there are no formulas."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as parts:
        styles = ET.fromstring(parts.read("xl/styles.xml"))  # noqa: S314 - made here a moment ago
        codes = {each.get("numFmtId"): each.get("formatCode") for each in styles.iter(f"{MAIN}numFmt")}
        styled = [codes.get(each.get("numFmtId")) for each in styles.findall(f"{MAIN}cellXfs/{MAIN}xf")]
        page = ET.fromstring(parts.read(f"xl/worksheets/sheet{number}.xml"))  # noqa: S314 - the same
    assert not list(page.iter(f"{MAIN}f")), "a formula"
    rows: list[list[Any]] = []
    for row in page.iter(f"{MAIN}row"):
        cells: list[Any] = []
        for cell in row:
            if cell.get("t") == "inlineStr":
                cells.append("".join(part.text or "" for part in cell.iter(f"{MAIN}t")))
            else:
                cells.append((float(cell.findtext(f"{MAIN}v", "nan")), styled[int(cell.get("s", "0"))]))
        rows.append(cells)
    return rows


def sheets_of(workbook: bytes) -> list[str]:
    """The names of its sheets, in their order."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as parts:
        book = ET.fromstring(parts.read("xl/workbook.xml"))  # noqa: S314 - made here a moment ago
    return [sheet.get("name", "") for sheet in book.iter(f"{MAIN}sheet")]
