"""How does a figure change with the number of instances? One small chart for each number of users, as SVG that needs nothing else."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

from load.matrix import Cell

WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 14, 30
TICKS = 4


def charts(cells: Sequence[Cell], figure: Callable[[Cell], float], unit: str) -> str:
    """All of them beside each other, with the same scale."""
    known = [cell for cell in cells if cell.algorithm and cell.instances]
    if not known:
        return ""
    most = rounded(max(figure(cell) for cell in known))
    by_users = sorted(known, key=lambda cell: cell.users)
    drawn = [_chart(users, list(group), figure, most, unit) for users, group in groupby(by_users, key=lambda cell: cell.users)]
    return f'<div class="charts">{"".join(drawn)}</div>'


def rounded(value: float) -> float:
    """The next number above that reads well: 1, 2, 4 or 8 times a power of ten."""
    scale = 1.0
    while True:
        for step in (1, 2, 4, 8):
            if value <= step * scale:
                return step * scale
        scale *= 10


def _chart(users: int, cells: Sequence[Cell], figure: Callable[[Cell], float], most: float, unit: str) -> str:
    places = {count: place for place, count in enumerate(sorted({cell.instances or 0 for cell in cells}))}
    by_algorithm: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda each: each.instances or 0):
        by_algorithm.setdefault(cell.algorithm or "", []).append(cell)
    lines = "".join(_line(name, group, figure, most, places) for name, group in by_algorithm.items())
    title = f"{users} virtual user{'s' if users > 1 else ''}"
    return (
        f"<figure><figcaption>{title}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}: {unit} by instances">'
        f"{_grid(most)}{_feet(places)}{lines}</svg></figure>"
    )


def _line(name: str, cells: Sequence[Cell], figure: Callable[[Cell], float], most: float, places: Mapping[int, int]) -> str:
    points = [(_x(places[cell.instances or 0], len(places)), _y(figure(cell), most)) for cell in cells]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{name}, {cell.instances}: {figure(cell):.0f}</title></circle>'
        for (x, y), cell in zip(points, cells, strict=True)
    )
    return f'<g class="{name}"><polyline points="{path}"/>{dots}</g>'


def _grid(most: float) -> str:
    parts = []
    for tick in range(TICKS + 1):
        value = most * tick / TICKS
        y = _y(value, most)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
    return "".join(parts)


def _feet(places: Mapping[int, int]) -> str:
    return "".join(
        f'<text x="{_x(place, len(places)):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{count}</text>' for count, place in places.items()
    )


def _x(place: int, many: int) -> float:
    return LEFT + 16 + (WIDTH - LEFT - RIGHT - 32) * (place / (many - 1) if many > 1 else 0.5)


def _y(value: float, most: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / most
