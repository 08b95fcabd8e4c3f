"""Does a table open as it was meant, in whatever program opens it?"""

import csv
import io
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from api.headings import QUESTIONS, question_of, sheet_of
from api.tables import as_csv
from api.texts import Text
from api.workbook import MOST_CHARACTERS, UNITS, Column, Sheet, as_workbook
from projections import REPORTS
from tests.spreadsheets import cells_of, sheets_of

COLUMNS = {
    "business_date": Column(Text("Jour", "Day"), "date"),
    "sku": Column(Text("Article", "Product")),
    "units": Column(Text("Articles vendus", "Units sold"), "units", Text("Moins les annulés", "Less voided ones"), "sum(units)"),
    "revenue": Column(Text("Ventes nettes", "Net sales"), "money", Text("Net", "Net"), "sum(revenue_cents)"),
}
SHEET = Sheet("daily-sales", Text("Combien ?", "How much?"), COLUMNS, [(Text("Du", "From"), "2026-03-01")])
ROW = {"business_date": date(2026, 3, 14), "sku": "1.50", "units": 3, "revenue": "-7.05"}
META = {
    "as_of": datetime(2026, 3, 15, 1, 2, 3, tzinfo=timezone(timedelta(hours=-5))),
    "lag_seconds": 0.5,
    "complete": False,
    "stalled_stores": ["292"],
    "owing": [{"store_id": "292", "till_id": "caisse-01", "missing": 2}],
    "timezone": "America/Toronto",
}


def test_figures_are_figures_and_dates_are_dates() -> None:
    rows = cells_of(as_workbook(SHEET, [ROW], META, "fr"))
    assert rows[0] == ["Jour", "Article", "Articles vendus", "Ventes nettes"]
    assert rows[1] == [(46095.0, "yyyy-mm-dd"), "1.50", (3.0, "#,##0"), (-7.05, "#,##0.00")]
    assert date(1899, 12, 30) + timedelta(days=46095) == ROW["business_date"]


def test_headings_follow_the_language() -> None:
    assert cells_of(as_workbook(SHEET, [ROW], META, "en"))[0] == ["Day", "Product", "Units sold", "Net sales"]


def test_a_second_sheet_tells_what_the_columns_mean_and_how_fresh_they_are() -> None:
    told = cells_of(as_workbook(SHEET, [ROW], META, "fr"), 2)
    assert ["Question", "Combien ?"] in told
    assert ["Du", "2026-03-01"] in told
    assert ["Complet", "non"] in told
    assert ["Magasins à l'arrêt", "292"] in told
    assert ["Fuseau horaire", "America/Toronto"] in told
    ((as_of, owing),) = [
        (a[1], b[1]) for a in told if a[:1] == ["À jour au (UTC)"] for b in told if b[:1] == ["Caisses qui doivent encore des ventes"]
    ]
    assert as_of[1] == "yyyy-mm-dd hh:mm:ss"
    assert datetime(1899, 12, 30, tzinfo=UTC) + timedelta(days=round(as_of[0] * 86_400) / 86_400) == datetime(
        2026, 3, 15, 6, 2, 3, tzinfo=UTC
    )
    assert "caisse-01" in owing
    assert ["Colonne", "Champ", "Unité", "Formule", "Signification"] in told
    assert ["Articles vendus", "units", "articles", "sum(units)", "Moins les annulés"] in told


@pytest.mark.parametrize("text", ["=1+1", "@SUM(1)", "+1", "-1+2", "http://example.org/", "{=1}", "\t=1", "1e5", "0012"])
def test_no_text_becomes_anything_else(text: str) -> None:
    rows = [{"sku": text, "name": {"fr": text}}]
    assert cells_of(as_workbook(SHEET, rows, META, "fr"))[1] == [text, text]
    written = next(csv.DictReader(io.StringIO(as_csv(rows).decode(), newline="")))["name.fr"]
    assert written == (f"'{text}" if text[0] in "=@+-\t" else text)


def test_what_excel_would_not_take_is_cut_and_what_is_nothing_stays_empty() -> None:
    rows: list[dict[str, Any]] = [
        {"sku": "x" * 40_000, "units": None, "revenue": None, "name": {"fr": True}},
        {"units": [1, {"a": "b"}], "revenue": Decimal("1.10")},
    ]
    found = cells_of(as_workbook(SHEET, rows, META, "fr"))
    assert found[0] == ["Article", "Articles vendus", "Ventes nettes", "name.fr"]
    assert [len(found[1][0]), found[1][1:]] == [MOST_CHARACTERS, [(1.0, None)]]
    assert found[2] == ['[1,{"a":"b"}]', (1.1, "#,##0.00")]


def test_a_report_without_rows_has_its_headings_all_the_same() -> None:
    assert cells_of(as_workbook(SHEET, [], META, "fr")) == [["Jour", "Article", "Articles vendus", "Ventes nettes"]]
    assert as_csv([], names=list(COLUMNS)) == b"business_date,sku,units,revenue\r\n"


def test_a_program_gets_commas_and_points() -> None:
    assert as_csv([ROW]) == b"business_date,sku,units,revenue\r\n2026-03-14,1.50,3,-7.05\r\n"


def test_a_spreadsheet_in_french_gets_semicolons_decimal_commas_and_the_mark_of_utf_8() -> None:
    made = as_csv([{**ROW, "name": {"fr": "Pêche; jaune"}, "active": True, "share": 1.5}], ";", decimals=[*SHEET.decimals, "share"]).decode(
        "utf-8"
    )
    assert made == '\ufeffbusiness_date;sku;units;revenue;name.fr;active;share\r\n2026-03-14;1.50;3;-7,05;"Pêche; jaune";true;1,5\r\n'


@pytest.mark.parametrize("amount", ["-1", "-1.50", "3"])
def test_figures_keep_their_sign_in_a_csv(amount: str) -> None:
    assert as_csv([{"revenue": amount}]).decode().split()[1] == amount


def test_further_sheets_have_their_own_rows_and_their_columns_are_defined() -> None:
    known = {"left": Column(Text("Restant", "Left"), "units", Text("Maintenant", "Now")), "beside": Column(Text("À côté", "Beside"))}
    sheet = Sheet("daily-sales", Text("Combien ?", "How much?"), COLUMNS, known=known)
    made = as_workbook(sheet, [ROW], META, "fr", {"beside": [{"left": 3}, {"left": 4}], "one": {"left": 5, "other": "x"}})
    assert sheets_of(made) == ["daily-sales", "À côté", "one", "Définitions"]
    assert cells_of(made, 2) == [["Restant"], [(3.0, "#,##0")], [(4.0, "#,##0")]]
    assert cells_of(made, 3) == [["Restant", "other"], [(5.0, "#,##0"), "x"]]
    assert ["Restant", "left", "articles", "Maintenant"] in cells_of(made, 4)


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_every_report_asks_its_question_in_french_and_heads_its_columns_in_both_languages(name: str) -> None:
    report = REPORTS[name]
    assert question_of(name, report.question) == Text(QUESTIONS[name], report.question)
    sheet = sheet_of(name, report.question, [*report.group_by, *report.beside], report.measures, {"from": "2026-03-01"})
    assert sheet.question.fr.endswith(" ?")
    assert all(key not in {column.heading.fr, column.heading.en} for key, column in sheet.columns.items())
    assert all(column.unit in UNITS for column in sheet.columns.values())
