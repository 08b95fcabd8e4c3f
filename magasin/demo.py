"""What does somebody see who runs the demonstration: how far it is, what became of it, and whether the figures are right to the cent?"""

from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from magasin.demo_check import CheckResult, check_demonstration
from magasin.demo_client import DemonstrationError
from magasin.demo_post import PostResult, post_baskets

SHOWN: Final = 10
"""The differences that are printed one by one."""
EXIT_RIGHT: Final = 0
EXIT_WRONG: Final = 1


class _Rate(ProgressColumn):
    """Steps a second, over the whole of what is finished."""

    def render(self, task: Task) -> Text:
        """One cell of the bar."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class Bars:
    """Progress bars with rate and ETA, one for each thing that is being done, in the order in which they begin."""

    def __init__(self, console: Console) -> None:
        """Show nothing before something is done."""
        columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Callable[[str, int, int], None]:
        """Begin; the result is the `progress` that the loader, the tills and the check call."""
        self._bars.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        """Leave the bars on the screen as they are."""
        self._bars.stop()

    def _show(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


async def demonstrate(base_url: str, password: str, console: Console) -> int:
    """Post the baskets, wait, compare, print. Returns the exit code: 0 when the difference is 0, else 1."""
    try:
        with Bars(console) as progress:
            posted = await post_baskets(base_url, password, progress)
            checked = await check_demonstration(base_url, password, posted.last_day, progress)
    except DemonstrationError as error:
        console.print(f"[bold red]The demonstration could not be completed.[/] {error}", highlight=False)
        return EXIT_WRONG
    console.print(_posting(posted))
    console.print(_comparison(checked))
    return _verdict(posted, checked, console)


def _posting(posted: PostResult) -> Table:
    table = Table(title=f"Baskets of four weeks, up to {posted.last_day}", title_justify="left")
    table.add_column("Baskets")
    table.add_column("Number", justify="right")
    rate = posted.requests / posted.posting_seconds if posted.posting_seconds else 0.0
    rows: list[tuple[str, str]] = [
        ("posted", f"{posted.baskets:,}"),
        ("requests (one in ten sent twice)", f"{posted.requests:,}"),
        ("requests repeated (busy or no answer)", f"{posted.repeated:,}"),
        ("accepted", f"{posted.accepted:,}"),
        ("recorded", f"{posted.recorded:,}"),
        ("of these, before this run", f"{posted.already:,}"),
        ("duplicates dropped", f"{posted.duplicates:,}"),
        ("requests a second", f"{rate:,.0f}"),
    ]
    for name, number in rows:
        table.add_row(name, number)
    return table


def _comparison(checked: CheckResult) -> Table:
    table = Table(title="The system against the same computed from the CSV files", title_justify="left")
    for heading in ("", "Cells", "CSV files", "System", "Difference"):
        table.add_column(heading, justify="right" if heading else "left")
    stock, days = f"{len(checked.expected.stock):,}", f"{len(checked.expected.takings):,}"
    table.add_row("Stock, by store and SKU", stock, f"{checked.expected.units:,}", f"{checked.found.units:,}", f"{checked.stock_off:,}")
    table.add_row(
        "Revenue, by store and day", days, f"{checked.expected.revenue:,}", f"{checked.found.revenue:,}", f"{checked.revenue_off:,}"
    )
    return table


def _verdict(posted: PostResult, checked: CheckResult, console: Console) -> int:
    if checked.others:
        console.print(
            f"{checked.others:,} other facts were recorded in these cells besides the demonstration; they are not in the figures above."
        )
    if posted.refused:
        console.print(f"[bold red]{len(posted.refused):,} baskets were accepted and not recorded[/], {posted.refused[0]} among them.")
    for difference in checked.differences[:SHOWN]:
        console.print(f"  {difference.where}: {difference.expected} by the CSV files, {difference.found} in the system", highlight=False)
    if checked.differences or posted.refused:
        console.print(f"[bold red]{len(checked.differences):,} cells differ.[/]")
        return EXIT_WRONG
    console.print("[bold green]The difference is 0.[/]")
    return EXIT_RIGHT
