"""How does the list of panels become what Grafana reads? ``python -m compose.grafana.dashboard`` writes it, a test compares."""

from itertools import count
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, ThresholdsConfig
from grafana_foundation_sdk.builders.dashboard import Row as RowBuilder
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, Threshold, ThresholdsMode

from compose.grafana.panels import ROWS, Panel, Query

TARGET: Final = Path(__file__).parent / "dashboards" / "magasin.json"
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="prometheus")
WIDTH: Final = 24
FIGURE_WIDTH, FIGURE_HEIGHT = 4, 4
COURSE_WIDTH, COURSE_HEIGHT = 8, 8
FULL_ROW: Final = 4
"""So many courses share a row; otherwise three do."""
GOOD, BAD = "green", "red"


def dashboard() -> str:
    """The dashboard as JSON, the same at every call."""
    built = (
        Dashboard("Magasin")
        .uid("magasin")
        .description("How the system does. Made from compose/grafana/panels.py.")
        .tags(["magasin"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    number = count(1)
    for row in ROWS:
        built = built.with_row(RowBuilder(row.title).id(next(number)))
        width = WIDTH // FULL_ROW if len(row.panels) == FULL_ROW else COURSE_WIDTH
        for panel in row.panels:
            built = built.with_panel((_figure(panel) if panel.kind == "figure" else _course(panel, width)).id(next(number)))
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(built.build()) + "\n"


def _figure(panel: Panel) -> stat.Panel:
    (query,) = panel.queries
    return (
        stat.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(FIGURE_WIDTH)
        .height(FIGURE_HEIGHT)
        .thresholds(_thresholds(panel))
        .color_mode(BigValueColorMode.VALUE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, "A"))
    )


def _course(panel: Panel, width: int) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.about)
        .datasource(SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(width)
        .height(COURSE_HEIGHT)
        .fill_opacity(8)
        .line_width(1.5)
        .thresholds(_thresholds(panel))
        .legend(VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(show_legend=True))
    )
    for letter, query in zip("ABCDEF", panel.queries, strict=False):
        made = made.with_target(_target(query, letter))
    return made


def _target(query: Query, letter: str) -> Dataquery:
    return Dataquery().datasource(SOURCE).ref_id(letter).expr(query.expression).legend_format(query.legend or "__auto")


def _thresholds(panel: Panel) -> ThresholdsConfig:
    first, second = (BAD, GOOD) if panel.low_is_bad else (GOOD, BAD)
    steps = [Threshold(value=None, color=first)]
    if panel.red is not None:
        steps.append(Threshold(value=panel.red, color=second))
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


if __name__ == "__main__":
    TARGET.write_text(dashboard(), encoding="utf-8")
