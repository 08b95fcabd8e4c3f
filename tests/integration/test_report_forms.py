"""May every report be taken along: whole, typed, in the reader's language, and explained figure by figure?"""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Engine

from api import reports
from api.workbook import MEDIA_TYPE
from events.catalogue import Bilingual, ProductDefined
from events.fields import Sku
from events.sales import SaleLine, SaleRecorded
from projections import REPORTS
from projections.project import follow
from schemas.envelope import CATALOGUE_STREAM
from tests.headquarters import headquarters, read
from tests.services import Services
from tests.spreadsheets import cells_of, sheets_of
from tests.telling import Branch, adjusted, keep, log_of, minutes, own_engine, returned, sale, told

SKUS = [f"sku-{number:03}" for number in range(60)]
EVIL = "=HYPERLINK(1)"


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture(scope="module")
def branch(engine: Engine) -> Branch:
    """A shop that sold sixty products, one of them in a category whose name is a formula."""
    branch = Branch(engine).opened(skus=SKUS)
    category = Bilingual(fr=EVIL, en="@SUM(1)")
    keep(engine, told(ProductDefined(sku=Sku(SKUS[0]), name=category, category=category, price=Decimal("1.00")), store_id=CATALOGUE_STREAM))
    sold = [branch.told(sale((sku, number + 1)), at=minutes(number)) for number, sku in enumerate(SKUS)]
    branch.keep(*sold, branch.told(returned(sold[5].event_id, (SKUS[5], 1)), at=minutes(100)), adjusted((SKUS[6], -1)))
    follow(engine, {store_id: log_of(engine, store_id) for store_id in (branch.store_id, CATALOGUE_STREAM)})
    return branch


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the key lies that signs tokens."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def client(engine: Engine, home: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with headquarters(engine, home) as made:
        yield made


async def workbook(client: httpx2.AsyncClient, path: str, language: str = "fr", **asked: str | int) -> list[list[object]]:
    """The cells of the first sheet."""
    answer = await client.get(path, params={**asked, "format": "xlsx"}, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    return cells_of(answer.content)


@pytest.mark.parametrize("name", sorted(REPORTS))
async def test_every_report_is_a_workbook_with_the_same_rows(client: httpx2.AsyncClient, branch: Branch, name: str) -> None:
    items = (await read(client, f"reports/{name}", store=branch.store_id))["items"]
    headings, *rows = await workbook(client, f"reports/{name}", store=branch.store_id)
    assert len(rows) == len(items) > 0
    assert len(headings) >= len(items[0])
    assert "revenue_cents" not in headings
    english, *same = await workbook(client, f"reports/{name}", "en", store=branch.store_id)
    assert same == rows
    assert english != headings


async def test_what_a_report_says_besides_its_rows_has_sheets_of_its_own(client: httpx2.AsyncClient, branch: Branch) -> None:
    asked = {"store": branch.store_id, "format": "xlsx"}
    answer = await client.get("reports/consolidated", params=asked, headers={"Accept-Language": "fr"})
    assert sheets_of(answer.content) == ["consolidated", "Meilleures ventes", "Stock restant", "Stocks bas", "Définitions"]
    items = await read(client, "reports/consolidated", store=branch.store_id)
    best = cells_of(answer.content, 2)
    assert len(best) - 1 == len(items["top_products"])
    assert "Chiffre d'affaires" in best[0]
    remaining = cells_of(answer.content, 3)
    assert (float(items["remaining_stock"]["on_hand"]), "#,##0") in remaining[1]
    assert "value" in [row[1] for row in cells_of(answer.content, 5) if len(row) > 1]


async def test_money_dates_and_names_have_their_own_types(client: httpx2.AsyncClient, branch: Branch) -> None:
    asked = {"store": branch.store_id, "group_by": "day,category"}
    _, *rows = await workbook(client, "reports/daily-sales", **asked)
    items = (await read(client, "reports/daily-sales", **asked))["items"]
    assert [row[1] for row in rows] == [item["category"] for item in items]
    assert EVIL in [row[1] for row in rows], "a text, and no formula"
    assert {row[0] for row in rows} == {((date(2026, 3, 14) - date(1899, 12, 30)).days, "yyyy-mm-dd")}
    assert [row[-1] for row in rows] == [(float(item["revenue"]), "#,##0.00") for item in items]
    answer = await client.get("reports/daily-sales", params={**asked, "format": "csv"})
    assert {row["category"] for row in csv.DictReader(io.StringIO(answer.text))} == {f"'{EVIL}", "Fruits"}


async def test_an_accept_header_asks_for_a_workbook_too_and_the_file_has_a_name(client: httpx2.AsyncClient, branch: Branch) -> None:
    asked = {"store": branch.store_id, "from": "2026-03-01", "to": "2026-03-31"}
    answer = await client.get("reports/daily-sales", params=asked, headers={"Accept": MEDIA_TYPE})
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["content-disposition"] == 'attachment; filename="daily-sales_2026-03-01_2026-03-31.xlsx"'
    assert (await client.get("reports/daily-sales", params={**asked, "format": "pdf"})).status_code == 422


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_an_export_is_the_whole_report_or_says_that_it_is_not(
    client: httpx2.AsyncClient, branch: Branch, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"store": branch.store_id, "group_by": "sku", "format": form}

    def count(answer: httpx2.Response) -> int:
        return len(cells_of(answer.content) if form == "xlsx" else answer.text.splitlines()) - 1

    monkeypatch.setattr(reports, "MOST_ROWS", 10)
    whole = await client.get("reports/daily-sales", params=asked)
    assert (count(whole), whole.links) == (60, {})
    page = await client.get("reports/daily-sales", params={**asked, "limit": 10})
    assert count(page) == 10
    assert page.links["next"]["url"]
    monkeypatch.setattr(reports, "MOST_EXPORTED_ROWS", 59)
    refused = await client.get("reports/daily-sales", params=asked)
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_rows")
    assert "59" in refused.json()["detail"]


async def test_a_semicolon_makes_the_file_that_a_french_spreadsheet_opens(client: httpx2.AsyncClient, branch: Branch) -> None:
    asked = {"store": branch.store_id, "group_by": "sku", "sku": SKUS[3], "format": "csv"}
    french = await client.get("reports/daily-sales", params={**asked, "separator": ";"})
    assert french.content.decode() == "\ufeffsku;sales;units;returned_units;revenue\r\nsku-003;1;4;0;10,00\r\n"
    plain = await client.get("reports/daily-sales", params=asked)
    assert plain.content.decode() == "sku,sales,units,returned_units,revenue\r\nsku-003,1,4,0,10.00\r\n"
    assert french.headers["etag"] != plain.headers["etag"]
    assert (await client.get("reports/daily-sales", params={**asked, "separator": "|"})).status_code == 422


async def test_an_hour_is_a_filter(client: httpx2.AsyncClient, branch: Branch) -> None:
    (row,) = (await read(client, "reports/hourly-sales", store=branch.store_id, hour=9, group_by="hour"))["items"]
    assert (row["hour"], row["sales"]) == (9, 0)
    refused = await client.get("reports/daily-sales", params={"hour": 9})
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/query/hour"]


async def test_a_figure_is_explained_page_by_page(client: httpx2.AsyncClient, branch: Branch) -> None:
    path, asked = "reports/daily-sales/explain", {"measure": "revenue", "store": branch.store_id}
    whole = await read(client, path, **asked, limit=500)
    assert whole.keys() >= {"measure", "formula", "unit", "label", "reported", "recomputed", "agrees", "events", "late_events", "meta"}
    (row,) = (await read(client, "reports/daily-sales", store=branch.store_id, group_by="store"))["items"]
    assert whole["reported"] == whole["recomputed"] == row["revenue"]
    assert (whole["agrees"], whole["formula"], whole["unit"], whole["event_count"]) == (True, "sum(revenue_cents)", "money", 61)
    assert sum(float(event["contribution"]) for event in whole["events"]) == pytest.approx(float(row["revenue"]))
    assert whole["events"][0].keys() >= {"event_id", "type", "seq", "store_id", "occurred_at", "recorded_at", "contribution", "late"}
    events, link = [], f"/api/v2/{path}?measure=revenue&store={branch.store_id}&limit=25"
    while link:
        answer = await client.get(f"http://test{link}")
        events += answer.json()["events"]
        assert answer.json()["recomputed"] == whole["recomputed"]
        link = answer.links.get("next", {}).get("url", "")
    assert events == whole["events"]


async def test_the_events_of_a_figure_are_a_table(client: httpx2.AsyncClient, branch: Branch) -> None:
    path, asked = "reports/daily-sales/explain", {"measure": "units", "store": branch.store_id, "sku": SKUS[7]}
    headings, row = await workbook(client, path, "en", **asked)
    assert headings[:3] == ["Event", "Type", "Store"]
    assert (8.0, "#,##0") in row
    answer = await client.get(path, params={**asked, "format": "csv"})
    assert [(each["type"], each["contribution"]) for each in csv.DictReader(io.StringIO(answer.text))] == [("sale.recorded", "8")]
    assert answer.headers["content-disposition"] == 'attachment; filename="daily-sales-explain.csv"'


async def test_what_a_till_owes_is_explained_by_its_sales(client: httpx2.AsyncClient, engine: Engine) -> None:
    shop = Branch(engine).opened()
    line = SaleLine(sku=Sku(SKUS[0]), quantity=1, unit_price=Decimal("1.00"))
    shop.keep(*(SaleRecorded(till_id="caisse-01", till_seq=number, lines=(line,)) for number in (4, 1, 2, 7, 2)))
    (row,) = (await read(client, "reports/tills", store=shop.store_id))["items"]
    for measure, figure in (("last_seq", 7), ("contiguous_through", 2), ("missing", 3)):
        told = await read(client, "reports/tills/explain", measure=measure, store=shop.store_id, till="caisse-01")
        assert (told["reported"], told["recomputed"], told["agrees"]) == (row[measure], figure, True)
        assert [event["amounts"]["till_seq"] for event in told["events"]] == [4, 1, 2, 7, 2]
        assert told["additive"] is False
    unknown = await read(client, "reports/tills/explain", measure="missing", store=shop.store_id, till="nobody")
    assert (unknown["reported"], unknown["recomputed"], unknown["events"]) == (0, 0, [])
    nameless = await client.get("reports/tills/explain", params={"measure": "missing"})
    assert [each["pointer"] for each in nameless.json()["errors"]] == ["/query/store", "/query/till"]


async def test_a_figure_that_is_made_of_others_says_of_which(client: httpx2.AsyncClient, branch: Branch) -> None:
    asked = {"store": branch.store_id, "from": "2026-03-14", "to": "2026-03-14"}
    told = await read(client, "reports/store-performance/explain", measure="revenue_change_percent", **asked)
    assert [each["measure"] for each in told["made_of"]] == ["revenue", "previous_revenue"]
    assert (told["reported"], told["recomputed"], told["additive"]) == (None, None, False), "there was nothing before"
    whole = {"measure": "revenue_change_percent", "store": branch.store_id}
    nameless = await client.get("reports/store-performance/explain", params=whole)
    assert [(each["pointer"], each["code"]) for each in nameless.json()["errors"]] == [("/query/from", "missing")]
    receipts = {"measure": "receipts", "store": branch.store_id, "status": "returned"}
    told = await read(client, "reports/consolidated/explain", **receipts)
    assert (told["recomputed"], told["formula"], told["event_count"]) == (1, "sum(returns)", 1)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("reports/nothing/explain?measure=sales", 404, "unknown_report"),
        ("reports/daily-sales/explain?measure=nothing", 422, "invalid_content"),
        ("reports/daily-sales/explain", 422, "invalid_content"),
        ("reports/daily-sales/explain?measure=sales&hour=3", 422, "invalid_content"),
        ("reports/daily-sales/explain?measure=sales&reason=theft", 422, "invalid_content"),
        ("reports/stock-valuation/explain?measure=value&from=2026-03-02", 422, "invalid_content"),
        ("reports/low-stock/explain?measure=reorder_point", 422, "invalid_content"),
        ("reports/low-stock/explain?measure=units_28_days&sku=A&to=0001-01-01&store=x", 422, "invalid_content"),
        ("reports/store-performance/explain?measure=previous_revenue&from=0001-01-01&to=0001-01-02", 422, "invalid_content"),
        ("reports/store-performance?from=0001-01-01&to=0001-01-02", 422, "invalid_content"),
        ("reports/daily-sales?to=9999-12-31&group_by=product", 422, "invalid_content"),
        ("reports/tills/explain?measure=nothing", 422, "invalid_content"),
        ("reports/daily-sales/explain?measure=sales&from=2026-03-02&to=2026-03-01", 422, "invalid_content"),
        ("reports/daily-sales/explain?measure=sales&after=nonsense", 400, "bad_cursor"),
    ],
)
async def test_what_can_not_be_explained_is_said(client: httpx2.AsyncClient, path: str, status: int, code: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_too_many_events_are_a_clear_answer(client: httpx2.AsyncClient, branch: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.explanation.MOST_EVENTS", 5)
    answer = await client.get("reports/daily-sales/explain", params={"measure": "sales", "store": branch.store_id})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_much_to_explain")


async def test_a_manager_explains_own_stores_only(engine: Engine, branch: Branch, home: Path) -> None:
    async with headquarters(engine, home, ["elsewhere"]) as stranger:
        found = await read(stranger, "reports/daily-sales/explain", measure="sales")
        assert (found["reported"], found["recomputed"], found["events"]) == (0, 0, [])
        foreign = await stranger.get("reports/daily-sales/explain", params={"measure": "sales", "store": branch.store_id})
        assert foreign.status_code == 403
