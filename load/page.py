"""What does the report look like? One page that needs nothing else: light or dark as its reader's screen, and fit for paper."""

from html import escape
from pathlib import Path
from typing import Final

from load import old
from load.charts import charts
from load.matrix import ALGORITHMS, Cell, Found
from load.table import INSTANCE_PREFIX, against, instances

STYLE: Final = Path(__file__).with_name("report.css")
NAMES: Final = {"rr": "round-robin", "lc": "least connections", "hash": "consistent hashing", "weighted": "weighted"}
HEADINGS: Final = ("", "instances", "users", "requests/s", "sales/s", "p50", "p95", "p99", "errors", "stock", "× old")


def page(found: Found) -> str:
    """The whole document."""
    sections = (_summary(found), _beside(found), _pictures(found), _cells(found), _processes(found), _refusals(found))
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>Load test · Magasin</title><style>{style}</style></head>'
        f"<body><main>{_header(found)}{''.join(sections)}</main></body></html>\n"
    )


def _header(found: Found) -> str:
    early = f'<p class="warning">Ended early: {escape(found.ended_early)}.</p>' if found.ended_early else ""
    return (
        "<header><p class='brand'>Magasin</p><h1>Load test</h1>"
        f"<p>{escape(_instant(found.when))} · {escape(found.system)} · {escape(found.machine)} · {found.seconds} s a cell · "
        f"{len(found.cells)} of {found.planned} cells</p>"
        "<p>70 % sales; returns, restocks (asked, granted, shipped, received), searches and reports. Every answer from 400 on is an error. "
        f"Locust, the system and its servers share the machine; meanwhile {_load(found)} processes wanted a core.</p>{early}</header>"
    )


def _instant(when: str) -> str:
    """ISO's form, as people read it."""
    return when.replace("T", " ").replace("+00:00", " UTC")


def _load(found: Found) -> str:
    loads = [cell.machine_load for cell in found.cells] or [0.0]
    return f"{min(loads):.0f} to {max(loads):.0f}"


def _summary(found: Found) -> str:
    cells = found.cells
    requests, errors = sum(cell.told.requests for cell in cells), sum(cell.told.errors for cell in cells)
    wrong = sum(len(cell.told.verified.differences) for cell in cells)
    units = sum(cell.told.verified.units for cell in cells)
    best = max((cell.told.per_second for cell in cells), default=0.0)
    tiles = (
        _tile("Stock after every cell", "right" if not wrong else f"{wrong} wrong", f"{units:,} units moved", good=not wrong),
        _tile("Errors", f"{errors:,}", f"of {requests:,} requests", good=not errors),
        _tile("Most requests a second", f"{best:,.0f}", "in the best cell"),
        _tile("Slowest p95", f"{max((cell.told.p95_ms for cell in cells), default=0):,.0f} ms", "of all cells"),
    )
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _tile(what: str, value: str, more: str, *, good: bool | None = None) -> str:
    mood = "" if good is None else " good" if good else " bad"
    return f'<div class="tile{mood}"><h2>{what}</h2><p class="value">{value}</p><p>{more}</p></div>'


def _beside(found: Found) -> str:
    rows = "".join(
        f"<tr><th>{each.what}</th><td>{escape(each.old)}</td><td><b>{escape(each.ours(found.cells))}</b></td></tr>"
        for each in old.COMPARISONS
    )
    return (
        "<section><h2>Beside the system that this one replaces</h2><div class='wide'><table class='words'>"
        f"<thead><tr><th></th><th>the old system</th><th>this run</th></tr></thead><tbody>{rows}</tbody></table></div>"
        "<p class='note'>The old figures are the best of its load tests (architecture report, chapter 12) and what was measured on its "
        "code. Its graphs have no table, so a cell is held against the figure for its number of users, where there is one.</p></section>"
    )


def _pictures(found: Found) -> str:
    rates = charts(found.cells, lambda cell: cell.told.per_second, "requests a second")
    times = charts(found.cells, lambda cell: cell.told.p95_ms, "milliseconds")
    key = "".join(f'<span class="{name}"><i></i>{NAMES[name]}</span>' for name in ALGORITHMS)
    if not rates:
        return ""
    return (
        f"<section><h2>Requests a second, by instances</h2><p class='key'>{key}</p>{rates}</section>"
        f"<section><h2>p95 in milliseconds, by instances</h2><p class='key'>{key}</p>{times}</section>"
    )


def _cells(found: Found) -> str:
    heads = "".join(f"<th>{each}</th>" for each in HEADINGS)
    return (
        f"<section><h2>Every cell</h2><div class='wide'><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(map(_row, found.cells))}</tbody></table></div>"
        "<p class='note'>Times in milliseconds, of all requests.</p></section>"
    )


def _row(cell: Cell) -> str:
    told, wrong = cell.told, len(cell.told.verified.differences)
    figures = (cell.instances or old.NONE, cell.users, f"{told.per_second:,.1f}", f"{told.sales_per_second:,.1f}")
    times = (f"{each:,.0f}" for each in (told.p50_ms, told.p95_ms, told.p99_ms))
    errors = f"<td class='{'bad' if told.errors else 'good'}'>{told.errors:,}</td>"
    stock = f"<td class='{'bad' if wrong else 'good'}'>{f'{wrong} wrong' if wrong else 'right'}</td>"
    return (
        f"<tr><th class='{cell.algorithm or ''}'><i></i>{NAMES.get(cell.algorithm or '', 'as it is')}</th>"
        f"{''.join(f'<td>{each}</td>' for each in (*figures, *times))}{errors}{stock}<td>{against(cell)}</td></tr>"
    )


def _processes(found: Found) -> str:
    taken = [cell for cell in found.cells if len(cell.taken) > 1]
    if not taken:
        return "<section><h2>Processes</h2><p>They run elsewhere and couldn't be looked at.</p></section>"
    names = list(dict.fromkeys(name for cell in taken for name in cell.taken if not name.startswith(INSTANCE_PREFIX)))
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("", "instances", "users", "all of the API", *names))
    rows = "".join(_taken(cell, names) for cell in taken)
    return (
        "<section><h2>Processor and memory, by process</h2>"
        f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p class='note'>Per cent of one core from the first look at the stock to the last, and megabytes at the end; of the API all "
        "instances together, and the megabytes of the largest.</p></section>"
    )


def _taken(cell: Cell, names: list[str]) -> str:
    cpu, largest = instances(cell)
    figures = [f"<td>{cpu:.0f} % <small>{largest:.0f} MB</small></td>"]
    for name in names:
        one = cell.taken.get(name)
        memory = f" <small>{one.rss_mb:.0f} MB</small>" if one and one.rss_mb else ""
        figures.append(f"<td>{one.cpu_percent:.0f} %{memory}</td>" if one else f"<td>{old.NONE}</td>")
    where = f"<th class='{cell.algorithm or ''}'><i></i>{NAMES.get(cell.algorithm or '', 'as it is')}</th>"
    return f"<tr>{where}<td>{cell.instances or old.NONE}</td><td>{cell.users}</td>{''.join(figures)}</tr>"


def _refusals(found: Found) -> str:
    counted: dict[str, int] = {}
    for cell in found.cells:
        for what, times in cell.told.refusals.items():
            counted[what] = counted.get(what, 0) + times
    if not counted:
        return ""
    rows = "".join(
        f"<tr><th>{escape(what)}</th><td>{times:,}</td></tr>" for what, times in sorted(counted.items(), key=lambda each: -each[1])
    )
    return f"<section><h2>What was refused</h2><div class='wide'><table class='words'><tbody>{rows}</tbody></table></div></section>"
