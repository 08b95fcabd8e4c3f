"""``python -m load``: the matrix is run, verified, shown, and written down as a report."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench.report import machine
from infra.settings import settings
from load import ground, pages
from load.matrix import ALGORITHMS, INSTANCES, USERS, Cell, Found, Matrix
from load.run import Bounds, loaded
from load.shops import Unusable as NothingToSell
from magasin import house

SHORT_SECONDS, LONG_SECONDS = 10, 60
LONGEST_SECONDS: Final = 3_600
URL: Final = "MAGASIN_URL"


def main(  # noqa: PLR0913, PLR0917 - one option a bound
    algorithms: Annotated[str, typer.Option(help="Some of them, with commas.")] = ",".join(ALGORITHMS),
    instances: Annotated[str, typer.Option(help="How many instances, with commas.")] = ",".join(map(str, INSTANCES)),
    users: Annotated[str, typer.Option(help="How many virtual users, with commas.")] = ",".join(map(str, USERS)),
    seconds: Annotated[int, typer.Option(min=1, max=LONGEST_SECONDS, help="For one cell.")] = SHORT_SECONDS,
    long: Annotated[bool, typer.Option("--long", help="A minute for a cell.")] = False,  # noqa: FBT002 - typer's way
    think_seconds: Annotated[float, typer.Option(min=0.0, help="What a person waits between two requests.")] = 0.0,
    most_minutes: Annotated[float, typer.Option(min=0.1, help="No further cell is begun after that.")] = 180.0,
    most_requests: Annotated[int, typer.Option(min=1, help="A cell ends there.")] = 200_000,
    deploys: Annotated[bool, typer.Option("--deploys", help="MAGASIN_URL's deployment is the one that `magasin deploy` changes.")] = False,  # noqa: FBT002 - the same
    folder: Annotated[Path | None, typer.Option(help="Where the report is written.")] = None,
) -> None:
    """Load every deployment with every number of people, and write a report."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    matrix = Matrix(
        _some(algorithms, ALGORITHMS),
        [int(each) for each in _some(instances)],
        [int(each) for each in _some(users)],
        LONG_SECONDS if long else seconds,
    )
    where = folder or house.home_of(settings()) / "load"
    where.mkdir(parents=True, exist_ok=True, mode=0o711)
    bounds = Bounds(most_minutes, most_requests, think_seconds)
    try:
        url = os.environ.get(URL)
        if url:
            found = run(matrix, ground.standing(url, changes=deploys), where, bounds, console)
        else:
            console.print("Starting a system for this alone …")
            with ground.started(where) as own:
                found = run(matrix, own, where, bounds, console)
    except (ground.Unusable, NothingToSell) as error:
        console.print(f"[bold red]The load test can't go on.[/] {error}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    for path in pages.written(found, where):
        console.print(f"Written: {path}", highlight=False, soft_wrap=True)
    wrong = sum(len(cell.told.verified.differences) for cell in found.cells)
    console.print(f"Shelves that hold something else than what was posted: {wrong}", style="bold red" if wrong else "bold green")
    raise typer.Exit(1 if wrong or not found.cells else 0)


def run(matrix: Matrix, loaded_one: ground.Ground, folder: Path, bounds: Bounds, console: Console) -> Found:
    """All cells, as far as the time allows; each is written down at once."""
    when, cells, early = datetime.now(UTC).isoformat(timespec="minutes"), list[Cell](), None
    planned = len(matrix) if loaded_one.changes else len(matrix.users)
    facts = machine()

    def found() -> Found:
        told = f"{facts['cores']} cores ({facts['cpu']}), {facts['memory_gb']} GB"
        return Found(
            when=when, machine=told, system=loaded_one.words, seconds=matrix.seconds, planned=planned, ended_early=early, cells=cells
        )

    try:
        for cell in loaded(matrix, loaded_one, folder, bounds, lambda text: console.print(text, style="dim")):
            cells.append(cell)
            (folder / "results.json").write_text(found().model_dump_json(indent=1), encoding="utf-8")
            console.print(pages.line(cell), highlight=False, soft_wrap=True)
    except (TimeoutError, KeyboardInterrupt) as error:
        early = str(error) or "it was interrupted"
        console.print(f"Ended early: {early}", style="yellow")
    return found()


def _some(words: str, allowed: tuple[str, ...] = ()) -> list[str]:
    chosen = [each.strip() for each in words.split(",") if each.strip()]
    wrong = [each for each in chosen if (each not in allowed if allowed else not each.isdecimal() or int(each) < 1)]
    if wrong or not chosen:
        raise typer.BadParameter(f"{', '.join(wrong) or 'nothing'} can't be asked for")
    return chosen


if __name__ == "__main__":
    typer.run(main)
