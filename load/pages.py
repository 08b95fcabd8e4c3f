"""How are the figures shown: on the terminal, as a page, as a table for the documents, and on paper?"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from load.matrix import Cell, Found
from load.page import page
from load.table import table

CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome")
PRINT_SECONDS: Final = 180


def line(cell: Cell) -> str:
    """One cell in one line."""
    told = cell.told
    where = f"{cell.instances:>2} {cell.algorithm:<8}" if cell.algorithm else "as it is   "
    wrong = len(told.verified.differences)
    times = f"p50 {told.p50_ms:.0f}  p95 {told.p95_ms:.0f}  p99 {told.p99_ms:.0f} ms"
    return (
        f"{where} {cell.users:>3} users  {told.per_second:8.1f} requests/s  {times}"
        f"  errors {told.errors}  stock {'right' if not wrong else f'WRONG on {wrong} shelves'}"
    )


def written(found: Found, folder: Path) -> list[Path]:
    """The files of the report. On paper only where there is a browser that prints."""
    report, figures = folder / "report.html", folder / "report.md"
    report.write_text(page(found), encoding="utf-8")
    figures.write_text(table(found), encoding="utf-8")
    paper = _printed(report)
    return [report, *([paper] if paper else []), figures, folder / "results.json"]


def _printed(report: Path) -> Path | None:
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser is None:
        return None
    paper = report.with_suffix(".pdf")
    paper.unlink(missing_ok=True)
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer")
    subprocess.run((browser, *options, f"--print-to-pdf={paper}", report.as_uri()), check=False, capture_output=True, timeout=PRINT_SECONDS)
    return paper if paper.exists() else None
