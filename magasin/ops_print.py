"""How does the operators' command line show tables, problems and progress?"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Column, Table
from rich.text import Text

Json = dict[str, Any]
Columns = Mapping[str, str]
"""The heading of each column, and where its value stands in an item: a member, or members joined by points."""
LOOK_SECONDS: Final = 0.5
MOST_TEXT: Final = 80
ANY_WIDTH: Final = 1_000
INSTANT: Final = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")
STYLES: Final = {
    "running": "cyan", "done": "green", "live": "green", "promoted": "green", "ready": "green", "failed": "bold red", "stopped": "bold red",
    "stuck": "bold red", "gone": "bold red", "paused": "yellow", "waiting": "yellow", "denied": "red",
}  # fmt: skip
"""A colour only underlines what the word says."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A table with one row an item, numbers to the right; one item below the other where the screen is too narrow for whole words."""

    items: Sequence[Json]
    columns: Columns
    title: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Whichever fits."""
        table = self._table()
        if not self.items or Measurement.get(console, options.update(max_width=ANY_WIDTH), table).minimum <= options.max_width:
            yield table
        else:
            yield from self._records()

    def _table(self) -> Table:
        found = Table(title=self.title or None, title_justify="left", header_style="bold", show_lines=False)
        values = {heading: [member(item, path) for item in self.items] for heading, path in self.columns.items()}
        for place, (heading, column) in enumerate(values.items()):
            numbers = all(isinstance(each, int | float) or each is None for each in column) and any(each is not None for each in column)
            found.add_column(heading, justify="right" if numbers else "left", overflow="fold", no_wrap=place == 0)
        for row in zip(*values.values(), strict=True):
            found.add_row(*(_cell(value) for value in row))
        return found

    def _records(self) -> Iterator[RenderableType]:
        if self.title:
            yield Text(self.title, style="italic")
        for item in self.items:
            found = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
            for heading, path in self.columns.items():
                found.add_row(Text(heading, style="bold"), _cell(member(item, path)))
            yield found
            yield ""


def member(item: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - any JSON value
    """What stands at that path; None where nothing does."""
    found: Any = item
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def problem(status: int, content: Mapping[str, Any], said: str) -> Text:
    """What the API refused, and why, fault by fault."""
    lines = [said, *(f"{each['pointer']}: {each.get('detail', each['code'])}" for each in content.get("errors", []))]
    code = content.get("code")
    return Text("\n".join(lines) + (f"\n({code}, {status})" if code else ""), style="bold red")


def follow(look: Callable[[], Json], found: Json, console: Console) -> Json:
    """The job when it no longer runs; meanwhile a bar with its rate and the time to go. Interrupted, as it was seen last."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(str(found.get("kind", "job")), total=found["total"], pace="")
        try:
            while found["state"] == "running":
                time.sleep(LOOK_SECONDS)
                found = look()
                progress.update(task, total=found["total"], completed=found["done"], pace=_pace(found))
        except KeyboardInterrupt:
            return found
    return found


def _pace(found: Json) -> str:
    eta = found.get("eta_seconds")
    return f"{found['rate']:,.0f}/s" + ("" if eta is None else f", {eta:,.0f} s to go")


def _cell(value: Any) -> Text:  # noqa: ANN401 - any JSON value
    words = _words(value)
    if not words:
        return Text("-", style="dim")
    shown = words if isinstance(value, list) or len(words) <= MOST_TEXT else f"{words[: MOST_TEXT - 1]}…"
    return Text(shown, style=STYLES.get(words, ""))


def _words(value: Any) -> str:  # noqa: ANN401 - any JSON value
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case list():
            return "\n".join(_plain(each) for each in value)
    return "" if value is None else INSTANT.sub(r"\1 \2Z", _plain(value))


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items() if each not in (None, "", [], {}))
    return str(value)
