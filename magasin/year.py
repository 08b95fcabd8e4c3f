"""What does somebody see who loads the whole year: how far it is, how fast, and whether the figures are right?"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from magasin.demo import SHOWN, Bars
from magasin.demo_load import yesterday
from magasin.year_check import Checked, check
from magasin.year_events import Year
from magasin.year_fetch import YearUnavailableError, fetch
from magasin.year_load import ImportFailedError, Loader, load

EXIT_RIGHT: Final = 0
EXIT_WRONG: Final = 1


async def load_year(home: Path, amqp_url: str, database_url: str, console: Console) -> int:
    """Fetch the year, load it, compare, print. Returns the exit code: 0 when the difference is 0, else 1."""
    try:
        folder, totals = fetch(home, lambda what: console.print(what, highlight=False))
        began = time.monotonic()
        with Bars(console) as progress:
            async with Loader.on(amqp_url, database_url, progress) as loader:
                year = Year(folder, totals, yesterday(), datetime.now(UTC))
                year = Year(folder, totals, await loader.last_day(year), year.now)
                await load(loader, year)
                seconds = time.monotonic() - began
                checked = await check(loader.database, year, progress)
    except (YearUnavailableError, ImportFailedError) as error:
        console.print(f"[bold red]The year could not be loaded.[/] {error}", highlight=False, soft_wrap=True)
        return EXIT_WRONG
    console.print(_summary(loader.sent, seconds), highlight=False)
    console.print(_comparison(checked, year))
    return _verdict(checked, console)


def _summary(sent: int, seconds: float) -> str:
    return f"{sent:,} events were sent, recorded and projected in {seconds:,.0f} s: {sent / seconds:,.0f} a second."


def _comparison(checked: Checked, year: Year) -> Table:
    table = Table(title=f"The year up to {year.last_day}: the system against its file", title_justify="left")
    for heading in ("", "File", "System", "Difference"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in checked.rows:
        table.add_row(row.what, f"{row.expected:,}", f"{row.found:,}", f"{row.found - row.expected:,}")
    table.add_row("cells of stock", f"{checked.cells:,}", f"{checked.cells - checked.cells_off:,} the same", f"{checked.cells_off:,}")
    return table


def _verdict(checked: Checked, console: Console) -> int:
    if checked.others:
        console.print(f"{checked.others:,} other facts were recorded in the year's shops; the figures above have them in them.")
    for example in checked.examples[:SHOWN]:
        console.print(f"  {example}", highlight=False)
    if checked.is_right:
        console.print("[bold green]The difference is 0.[/]")
        return EXIT_RIGHT
    console.print("[bold red]The system differs from the file.[/]")
    return EXIT_WRONG
