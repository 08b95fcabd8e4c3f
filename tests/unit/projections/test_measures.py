"""Is there one dictionary, in which every word means one thing?"""

import re

import pytest

from projections import REPORTS, Report
from projections import measures as declared
from projections.measures import Measure
from projections.query import money_text
from projections.report import CellReport, dictionary

UNITS = {"count", "units", "money", "days", "percent"}


def test_every_measure_of_every_report_is_in_the_dictionary_once() -> None:
    for report in REPORTS.values():
        assert len({measure.name for measure in report.measures}) == len(report.measures)
        assert all(dictionary()[measure.name] == measure for measure in report.measures)


@pytest.mark.parametrize("name", sorted(dictionary()))
def test_a_measure_can_be_read_in_both_languages(name: str) -> None:
    measure = dictionary()[name]
    assert measure.unit in UNITS
    assert all((measure.formula, measure.fr, measure.en, measure.label_fr, measure.label_en))
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


def test_every_report_has_a_title_in_both_languages() -> None:
    assert all(report.title_fr and report.title_en for report in REPORTS.values())


def test_no_measure_is_defined_beside_the_dictionary() -> None:
    constants = {value.name for value in vars(declared).values() if isinstance(value, Measure)}
    made = {
        f"{prefix}{name}{suffix}"
        for name in constants
        for prefix, suffix in (("previous_", ""), ("", "_change_percent"), ("", "_share_percent"))
    }
    assert set(dictionary()) <= constants | made


def test_a_word_can_not_mean_two_things() -> None:
    units = Measure("units", "sum(other)", "units", "autre", "other")
    with pytest.raises(TypeError, match="another-report calls another figure units"):
        type("Another", (Report,), {"name": "another-report", "measures": (units,)})
    assert "another-report" not in REPORTS


@pytest.mark.parametrize("name", sorted(name for name, report in REPORTS.items() if isinstance(report, CellReport)))
def test_what_is_added_up_is_made_of_columns_that_the_tables_have(name: str) -> None:
    report = REPORTS[name]
    assert isinstance(report, CellReport)
    columns = {column.name for table in report.tables for column in table.columns}
    for measure in report.added:
        own = re.sub(r"\w+\.\w+|::\w+", "", measure.formula)  # without what lies beside the cell
        named = set(re.findall(r"[a-z_]+", own)) - {"sum", "round", "nullif", "coalesce"}
        assert named <= columns, measure.name


@pytest.mark.parametrize(
    ("cents", "written"),
    [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (1250, "12.50"), (-1250, "-12.50"), (100_000_000_001, "1000000000.01"), (None, None)],
)
def test_money_is_written_with_two_digits(cents: int | None, written: str | None) -> None:
    assert money_text(cents) == written
