"""What is told of the figures."""

import json
from pathlib import Path

import pytest

from bench.measure import CASES, Found, Timing
from bench.plan import Outcome, Quantiles
from bench.report import Results, machine, markdown, write
from bench.usage import Usage

FACTS = {"date": "2026-01-02T03:04:05+00:00", "machine": {"cores": 2, "cpu": "X", "memory_gb": 8.0}}


def outcome(sales: int) -> Outcome:
    return Outcome(sent=sales, refused={}, window_sales=sales, window_accepted=sales, window_seconds=1, on_their_way=0, drain_seconds=0)


@pytest.fixture
def results() -> Results:
    found = {case.name: Found() for case in CASES}
    for name, rates in {"pipeline_spread": (300, 330, 400), "sync_spread": (200, 110, 200)}.items():
        for rate in rates:
            found[name].add(outcome(rate), {"api": Usage(0, 1)}, {"api": Usage(rate / 1_000, 90 + rate / 100)})
    for name, each in found.items():
        for _ in range(0 if each.rates else 3):
            each.add(outcome(100), {name: Usage(0, 1)}, {name: Usage(0.1, 50)})
    quantiles = Quantiles(p50_ms=5, p99_ms=20)
    return Results(found, {50: (150.0, quantiles, quantiles), 80: (240.0, quantiles, quantiles)}, Timing(3, 1, 1, 1))


def test_rates_are_medians_and_ratios_are_medians_of_the_rounds(results: Results) -> None:
    document = results.document(FACTS)
    assert document["pipeline_spread"] == 330
    assert document["ratios"] == {"hot": 1.0, "spread": 2.0, "faststream": 3.3, "floor": 3.3}


def test_the_document_has_every_key_that_was_asked_for(results: Results) -> None:
    document = results.document(FACTS)
    asked = {"pipeline_hot", "pipeline_spread", "sync_hot", "sync_spread", "faststream", "floor", "batch", "p50_ms", "p99_ms", "rss_mb"}
    assert asked | {"p50_ms_80", "p99_ms_80", "cpu_us_per_sale", "machine", "date"} <= document.keys()
    assert document["cpu_us_per_sale"]["pipeline_spread"] == {"api": 1_000.0, "total": 1_000.0}
    assert document["rss_mb"]["api"] == 94.0


def test_the_table_for_the_readme_has_a_row_a_case(results: Results) -> None:
    lines = markdown(results, FACTS)
    assert sum(line.startswith("| ") for line in lines) == 1 + len(CASES)
    assert "2.00 × (goal 1.5)" in "\n".join(lines)
    assert "2 cores of X" in lines[-1]


def test_this_machine_is_described() -> None:
    assert machine()["cores"] >= 1
    assert machine()["memory_gb"] > 0


def test_the_file_is_replaced(tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path / "deep" / "bench.json", {"pipeline_hot": number})
    assert json.loads((tmp_path / "deep" / "bench.json").read_text(encoding="utf-8")) == {"pipeline_hot": 2}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bench.json"]
