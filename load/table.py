"""How do the figures stand in a document? As tables in Markdown."""

from load import old
from load.matrix import Cell, Found

WORKERS = ("stock-writer", "projector")
INSTANCE_PREFIX = "api-"
HEADINGS = (
    *("balance", "instances", "users", "requests/s", "sales/s", "p50 ms", "p95 ms", "p99 ms", "errors", "stock"),
    *("CPU % of a core: API / writer / projector", "MB of an instance", "× old system"),
)


def instances(cell: Cell) -> tuple[float, float]:
    """Per cent of a core that all instances of the API took together, and the megabytes of the largest."""
    found = [taken for name, taken in cell.taken.items() if name.startswith(INSTANCE_PREFIX)]
    return sum(each.cpu_percent for each in found), max((each.rss_mb for each in found), default=0.0)


def against(cell: Cell) -> str:
    """Times the old system's figure."""
    found = old.ratio(cell)
    return f"{found[0]:.1f} × {found[1]}" if found else old.NONE


def table(found: Found) -> str:
    """One line a cell, and the comparison."""
    head = f"| {' | '.join(HEADINGS)} |"
    lines = [head, "|---|" + "---:|" * 8 + "---|---|---:|---|"]
    lines += [_row(cell) for cell in found.cells]
    beside = ["", "| | the old system | this run |", "|---|---|---|"]
    beside += [f"| {each.what} | {each.old} | {each.ours(found.cells)} |" for each in old.COMPARISONS]
    return "\n".join([*lines, *beside, ""])


def _row(cell: Cell) -> str:
    told, (cpu, largest) = cell.told, instances(cell)
    wrong = len(told.verified.differences)
    workers = " / ".join(f"{cell.taken[name].cpu_percent:.0f}" if name in cell.taken else old.NONE for name in WORKERS)
    parts = (
        cell.algorithm or "as it is",
        str(cell.instances or old.NONE),
        str(cell.users),
        f"{told.per_second:.0f}",
        f"{told.sales_per_second:.0f}",
        f"{told.p50_ms:.0f}",
        f"{told.p95_ms:.0f}",
        f"{told.p99_ms:.0f}",
        str(told.errors),
        "right" if not wrong else f"wrong on {wrong} shelves",
        f"{cpu:.0f} / {workers}",
        f"{largest:.0f}" if largest else old.NONE,
        against(cell),
    )
    return f"| {' | '.join(parts)} |"
