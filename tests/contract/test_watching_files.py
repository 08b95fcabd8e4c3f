"""Do rules, dashboard and configurations of those who watch hold together, and with what the processes really tell?"""

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import api.metrics
import infra.metrics
import workers.metrics
from compose.grafana.dashboard import TARGET, dashboard
from compose.grafana.panels import ROWS
from tests.contract.test_markdown import anchors
from tests.e2e.system import WORKERS
from tests.services import ROOT
from tests.watching import COMPOSE, program

RULES = COMPOSE / "prometheus" / "rules"
TESTS = sorted((COMPOSE / "prometheus" / "tests").glob("*.yml"))
OURS = re.compile(r"\b(?<!:)magasin_[a-z_]+\b")
RECORDED = re.compile(r"\bmagasin:[a-z0-9_:]+\b")
TELLING = (api.metrics, infra.metrics, workers.metrics)


def text(name: str) -> str:
    return (RULES / f"{name}.yml").read_text(encoding="utf-8")


def told() -> set[str]:
    """The names of all that our processes tell, with those that a histogram has besides."""
    assert TELLING
    found = {family.name: family.type for family in REGISTRY.collect() if family.name.startswith("magasin_")}
    more = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {name + ending for name, kind in found.items() for ending in more.get(kind, ("",))}


def asked() -> str:
    """Every query that is written down."""
    return "\n".join(
        [text("recording"), text("alerts"), *(query.expression for row in ROWS for panel in row.panels for query in panel.queries)]
    )


def test_what_is_asked_of_a_process_is_told_by_one() -> None:
    assert set(OURS.findall(asked())) - told() == set()


def test_what_is_recorded_is_used_and_what_is_used_is_recorded() -> None:
    recorded = set(re.findall(r"- record: (\S+)", text("recording")))
    rest = re.sub(r"- record: \S+", "", asked())
    assert set(RECORDED.findall(rest)) == recorded


def test_the_dashboard_is_the_one_that_the_code_makes() -> None:
    assert TARGET.read_text(encoding="utf-8") == dashboard(), "run: .venv/bin/python -m compose.grafana.dashboard"


def test_no_two_panels_share_a_place_or_a_number() -> None:
    panels = json.loads(TARGET.read_text(encoding="utf-8"))["panels"]
    places = [panel["gridPos"] for panel in panels]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_each_alert_is_tested_and_explained() -> None:
    alerts = set(re.findall(r"- alert: (\S+)", text("alerts")))
    tested = set(re.findall(r"alertname: (\w+)", "".join(file.read_text(encoding="utf-8") for file in TESTS)))
    assert alerts == tested
    links = re.findall(r"runbook: (\S+)#(\S+)", text("alerts"))
    assert len(links) == len(re.findall(r"- alert:", text("alerts")))
    assert {place for place, _ in links} == {"docs/watching.md"}
    assert {anchor for _, anchor in links} <= anchors(ROOT / "docs" / "watching.md")


def test_every_kind_of_process_is_looked_at_and_missed() -> None:
    config = (COMPOSE / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    (names,) = set(re.findall(r"names: \[(stock-writer[^\]]*)\]", config))
    assert set(names.split(", ")) == set(WORKERS)
    missed = set(re.findall(r'label_replace\(vector\(1\), "process", "([a-z-]+)"', text("alerts")))
    assert missed == {*WORKERS, "api"}


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should(file: Path) -> None:
    run(program("promtool"), "test", "rules", str(file))


def test_the_programs_that_watch_understand_their_configurations() -> None:
    said = run(program("promtool"), "check", "config", str(COMPOSE / "prometheus" / "prometheus.yml"))
    assert "FAILED" not in said
    run(program("amtool"), "check-config", str(COMPOSE / "alertmanager" / "alertmanager.yml"))
    run(program("prometheus-blackbox-exporter"), "--config.check", f"--config.file={COMPOSE / 'blackbox' / 'blackbox.yml'}")


def run(*command: str) -> str:
    """What the program says; fails with it."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
