"""Is every read fresh, cheap to ask again, complete page by page, and safe to open in a spreadsheet?"""

import csv
import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx2
import pytest

from api.workbook import MEDIA_TYPE
from tests.e2e.system import Fragile, Json, Shop, System, eventually, sale, sku
from tests.spreadsheets import cells_of

LISTS = (
    "stores",
    "products",
    "stock?store={store}",
    "stores/{store}/sales",
    "stores/{store}/stock/{sku}/movements",
    "cases?store={store}",
    "stores/{store}/stock-counts",
    "stores/{store}/count-sheet",
    "reports/tills?store={store}",
    "reports/daily-sales?store={store}&group_by=sku",
    "reports/hourly-sales?store={store}",
    "reports/store-performance?store={store}",
    "reports/consolidated?store={store}",
    "reports/top-products?store={store}",
    "reports/stock-valuation?store={store}&group_by=sku",
    "reports/low-stock?store={store}",
)
ONES = ("stores/{store}", "products/{sku}", "stores/{store}/sales/{sale}")
NAME = {"fr": '=HYPERLINK("http://x")', "en": "@SUM(1)"}


class Furnished(Shop):
    """A store in which something of everything has happened."""

    skus: list[str]
    sale_id: str

    def at(self, read: str) -> str:
        """The address of a read, filled in."""
        return "/api/v2/" + read.format(store=self.store_id, sku=self.skus[0], sale=self.sale_id)

    def get(self, read: str, **headers: str) -> httpx2.Response:
        """A read, filled in."""
        answer = self.http.get(self.at(read), headers=headers)
        assert answer.status_code in {200, 304}, answer.text
        return answer


@pytest.fixture(scope="module")
def shop(system: System) -> Furnished:
    opened = system.open_store()
    shop = Furnished(system, opened.store_id, opened.http)
    shop.skus = sorted(sku() for _ in range(5))
    for place, article in enumerate(shop.skus):
        product = {"name": NAME, "category": {"fr": f"Rayon {place}", "en": f"Department {place}"}, "price": "1.00"}
        assert shop.http.put(f"/api/v2/products/{article}", json=product, headers={"Prefer": "wait=10"}).status_code == 201
        shop.sell(article, place + 1)
    shop.sale_id = shop.sell(shop.skus[0])["event_id"]
    shop.sell(shop.skus[0], till_id="7")
    body = {"to_store": shop.store_id, "from_store": system.open_store().store_id, "lines": [{"sku": shop.skus[0], "quantity": 3}]}
    assert shop.http.post("/api/v2/restocks", json=body, headers={"Prefer": "wait=10"}).status_code == 201
    return shop


def clockless(answer: Json) -> Json:
    """The answer without what it says of the clock: a till is silent one second longer in the next answer."""
    told = {name: value for name, value in answer.items() if name != "meta"}
    if isinstance(told.get("items"), list):
        told["items"] = timeless(told["items"])
    return told


def timeless(rows: list[Json]) -> list[Json]:
    """The rows without how long somebody is silent."""
    return [{name: value for name, value in row.items() if name != "silent_seconds"} for row in rows]


@pytest.mark.parametrize("read", [*LISTS, *ONES])
def test_every_read_says_how_fresh_it_is(shop: Furnished, read: str) -> None:
    meta = shop.get(read).json()["meta"]
    assert meta.keys() == {"as_of", "lag_seconds", "complete", "stalled_stores", "owing", "owing_count", "timezone"}
    assert datetime.fromisoformat(meta["as_of"]) <= datetime.now(UTC) + timedelta(seconds=1)
    assert meta["as_of"].endswith("Z")
    assert (meta["lag_seconds"], meta["complete"], meta["stalled_stores"], meta["owing"], meta["owing_count"]) == (0, True, [], [], 0)
    if "{store}" in read:
        assert meta["timezone"] == "America/Toronto"


@pytest.mark.parametrize("read", [*LISTS, *ONES])
def test_a_read_that_is_asked_again_costs_nothing_until_something_happens(shop: Furnished, read: str) -> None:
    first = shop.get(read)
    tag = first.headers["etag"]
    for told in (tag, f"W/{tag}", f'"x", {tag}'):
        again = shop.get(read, **{"If-None-Match": told})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert first.headers["cache-control"] == "private, no-cache"
    repeated = shop.get(read)
    assert (repeated.json(), repeated.headers["etag"]) == (first.json(), tag), "from the cache, but the same"
    shop.sell(shop.skus[0]) if "products" not in read else shop.http.put(
        f"/api/v2/products/{shop.skus[0]}",
        json={"name": NAME, "category": {"fr": "Rayon 0", "en": "Department 0"}, "price": "1.00"},
        headers={"Prefer": "wait=10"},
    )
    after = shop.get(read, **{"If-None-Match": tag})
    assert after.status_code == 200
    assert after.headers["etag"] != tag


def test_who_asks_and_for_what_form_makes_another_answer(shop: Furnished, system: System) -> None:
    path = shop.at("stock?store={store}")
    cashier = system.client("caissier", [shop.store_id])
    asked = [
        shop.http.get(path),
        shop.http.get(path, headers={"Accept": "text/csv"}),
        cashier.get(path),
        shop.http.get(f"{path}&limit=2"),
    ]
    assert len({answer.headers["etag"] for answer in asked}) == len(asked)


def test_the_cache_is_never_stale(shop: Furnished) -> None:
    article = sku()
    for sold in range(1, 13):
        shop.sell(article)
        for _ in range(2):
            assert shop.on_hand(article) == -sold
            assert shop.day(sku=article)["units"] == sold
            assert len(shop.get(f"stores/{{store}}/stock/{article}/movements").json()["items"]) == sold


def test_reports_say_when_they_lag_behind_and_for_how_long(shop: Furnished, system: System) -> None:
    body, path = sale(shop.skus[0]), shop.at("reports/daily-sales?store={store}")
    before = clockless(shop.http.get(path).json())
    with system.processes["projector"].held():
        assert shop.post("sales", body, prefer="wait=10").status_code == 201
        event = shop.read(f"events/{body['sale_id']}")
        assert (event["status"], set(event["projections"].values())) == ("recorded", {False})

        def lagging(seconds: float) -> Json | None:
            meta: Json = shop.http.get(path).json()["meta"]
            assert (meta["complete"], meta["stalled_stores"]) == (False, [])
            return meta if meta["lag_seconds"] > seconds else None

        first = eventually(lambda: lagging(0))
        later = eventually(lambda: lagging(1.0))
        assert later["as_of"] == first["as_of"], "what is missing is missing since then"
        assert clockless(shop.http.get(path).json()) == before
    shop.settled(body["sale_id"])
    assert shop.http.get(path).json()["meta"]["complete"] is True


@pytest.mark.parametrize("read", LISTS)
def test_pages_make_the_whole(shop: Furnished, read: str) -> None:
    whole = shop.get(read + ("&" if "?" in read else "?") + "limit=500").json()["items"]
    path: str | None = shop.at(read + ("&" if "?" in read else "?") + "limit=2")
    pages = []
    while path:
        answer = shop.http.get(path)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        path = answer.links.get("next", {}).get("url")
        assert path is None or path.startswith("/api/v2/")
    assert timeless([item for page in pages for item in page]) == timeless(whole)
    assert all(len(page) == 2 for page in pages[:-1])
    assert shop.get(read).json().keys() >= {"items", "meta"}


@pytest.mark.parametrize("read", LISTS)
def test_every_list_is_a_table_too(shop: Furnished, read: str) -> None:
    items = shop.get(read).json()["items"]
    answer = shop.get(read, Accept="text/csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.headers["vary"] == "Accept, Accept-Language, Authorization"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == len(items)
    asked_for = shop.get(read + ("&" if "?" in read else "?") + "format=csv")
    assert timeless(list(csv.DictReader(io.StringIO(asked_for.text)))) == timeless(rows)
    for cell in (cell for row in rows for cell in row.values()):
        assert not cell.startswith(("=", "+", "@", "\t", "\r")), cell


@pytest.mark.parametrize(("read", "heading"), [("stock", "En stock"), ("restocks", "Demandé"), ("cases", "Sorte")])
def test_what_headquarters_looks_at_is_a_workbook_too(shop: Furnished, read: str, heading: str) -> None:
    read += "?store={store}&limit=500"
    items = shop.get(read).json()["items"]
    answer = shop.get(f"{read}&format=xlsx", **{"Accept-Language": "fr"})
    assert answer.headers["content-type"] == MEDIA_TYPE
    headings, *rows = cells_of(answer.content)
    assert heading in headings
    assert len(rows) == (sum(len(each["lines"]) for each in items) if read.startswith("restocks") else len(items)) > 0


def test_cells_cannot_run_as_formulas_and_figures_stay_figures(shop: Furnished) -> None:
    rows = list(csv.DictReader(io.StringIO(shop.get("stock?store={store}", Accept="text/csv").text)))
    row = next(row for row in rows if row["sku"] == shop.skus[1])
    assert (row["name.fr"], row["name.en"], row["on_hand"]) == ("'" + NAME["fr"], "'" + NAME["en"], "-2")


def test_revenue_is_money_and_groups_are_what_was_asked_for(shop: Furnished) -> None:
    path = "reports/daily-sales"
    today = datetime.now(ZoneInfo("America/Toronto")).date().isoformat()
    whole = shop.read(path, store=shop.store_id)["items"]
    assert [row.keys() for row in whole] == [{"business_date", "store_id", "sales", "units", "returned_units", "revenue"}]
    assert whole[0]["business_date"] == today
    by_sku = shop.read(path, store=shop.store_id, group_by="sku")["items"]
    assert sum(row["units"] for row in by_sku) == whole[0]["units"]
    assert sum(float(row["revenue"]) for row in by_sku) == float(whole[0]["revenue"])
    for names, key in (("product", "sku"), ("category", "category"), ("day", "business_date"), ("week", "week"), ("month", "month")):
        rows = shop.read(path, store=shop.store_id, group_by=names)["items"]
        assert {key} == rows[0].keys() - {"sales", "units", "returned_units", "revenue"}
        assert sum(row["units"] for row in rows) == whole[0]["units"]
    both = shop.http.get(f"/api/v2/{path}?store={shop.store_id}&group_by=day&group_by=store").json()["items"]
    assert both == shop.read(path, store=shop.store_id, group_by="day,store")["items"] == whole
    only = shop.read(path, store=shop.store_id, category="Rayon 3")["items"]
    assert [row["units"] for row in only] == [4]
    assert only == shop.read(path, store=shop.store_id, category="Department 3")["items"]
    assert shop.read(path, store=shop.store_id, to="2020-01-01")["items"] == []
    hours = shop.read("reports/hourly-sales", store=shop.store_id, group_by="hour")["items"]
    assert sum(row["units"] for row in hours) == whole[0]["units"]
    (performance,) = shop.read("reports/store-performance", store=shop.store_id)["items"]
    assert (performance["revenue"], performance["sales"]) == (whole[0]["revenue"], whole[0]["sales"])


def test_a_renamed_category_shows_at_once(shop: Furnished) -> None:
    asked = {"store": shop.store_id, "group_by": "category", "sku": shop.skus[4]}
    assert [row["category"] for row in shop.read("reports/daily-sales", **asked)["items"]] == ["Rayon 4"]
    product = {"name": NAME, "category": {"fr": "Ailleurs", "en": "Elsewhere"}, "price": "1.00"}
    shop.http.put(f"/api/v2/products/{shop.skus[4]}", json=product, headers={"Prefer": "wait=10"})
    assert [row["category"] for row in shop.read("reports/daily-sales", **asked)["items"]] == ["Ailleurs"]


def test_sales_belong_to_the_shops_own_day(system: System) -> None:
    shop = system.open_store(timezone="Pacific/Auckland")
    zone = ZoneInfo("Pacific/Auckland")
    yesterday = datetime.now(zone).date() - timedelta(days=1)
    for hour in (0, 23):
        shop.sell("A", occurred_at=datetime(yesterday.year, yesterday.month, yesterday.day, hour, 30, tzinfo=zone).isoformat())
    day = yesterday.isoformat()
    for read, parameters in (("reports/daily-sales", {"store": shop.store_id}), (f"stores/{shop.store_id}/sales", {})):
        assert shop.read(read, **parameters, **{"from": day, "to": day})["items"] == shop.read(read, **parameters)["items"]
        other = (yesterday - timedelta(days=1)).isoformat()
        assert shop.read(read, **parameters, to=other)["items"] == []
    assert shop.day()["sales"] == 2
    sales = shop.read(f"stores/{shop.store_id}/sales")
    assert {row["business_date"] for row in sales["items"]} == {day}
    assert all(row[name].endswith("Z") for row in sales["items"] for name in ("occurred_at", "recorded_at"))
    assert sales["meta"]["timezone"] == "Pacific/Auckland"


def test_the_reports_tell_what_they_are(shop: Furnished) -> None:
    reports = {report["name"]: report for report in shop.http.get("/api/v2/reports").json()["items"]}
    assert reports.keys() >= {"daily-sales", "hourly-sales", "store-performance"}
    assert {measure["name"] for measure in reports["daily-sales"]["measures"]} == {"sales", "units", "returned_units", "revenue"}
    assert "category" in reports["daily-sales"]["group_by"]
    assert {"from", "to", "store"} <= set(reports["daily-sales"]["parameters"])


def test_a_cashier_reads_its_own_store_only(shop: Furnished, system: System) -> None:
    other = system.open_store()
    cashier = system.client("caissier", [other.store_id])
    assert [item["store_id"] for item in cashier.get("/api/v2/stores").json()["items"]] == [other.store_id]
    assert cashier.get("/api/v2/stock").json()["items"] == []
    for path in (shop.at("stock?store={store}"), shop.at("stores/{store}/sales"), shop.at("stores/{store}")):
        assert cashier.get(path).status_code == 403
    assert cashier.get(f"/api/v2/events/{shop.sale_id}").json()["code"] == "unknown_event"
    manager = system.client("gestionnaire", [other.store_id])
    assert manager.get("/api/v2/reports/daily-sales").json()["items"] == []


def test_sales_are_found_by_till_and_status(shop: Furnished) -> None:
    found = shop.read(f"stores/{shop.store_id}/sales", till="7")["items"]
    assert [each["till_id"] for each in found] == ["7"]
    assert shop.read(f"stores/{shop.store_id}/sales", till="nope")["items"] == []
    returned = shop.read(f"stores/{shop.store_id}/sales", status="returned")["items"]
    assert returned == []


def test_reading_works_without_redis(fragile: Fragile, shop: Furnished) -> None:
    api = fragile.system.client()
    with fragile.redis.away():
        for read in (*LISTS, *ONES):
            assert clockless(api.get(shop.at(read)).json()) == clockless(shop.get(read).json())
        first = api.get(shop.at(LISTS[0]))
        assert api.get(shop.at(LISTS[0]), headers={"If-None-Match": first.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("words", ["CREME brulee", "crème BRÛLÉE", "brulee creme", "Brûl"])
def test_products_are_found_whatever_their_case_and_accents(shop: Furnished, words: str) -> None:
    article = "CB-" + shop.store_id
    product = {"name": {"fr": "Crème brûlée", "en": "Custard"}, "category": {"fr": "Desserts", "en": "Sweets"}, "price": "4.00"}
    assert shop.http.put(f"/api/v2/products/{article}", json=product, headers={"Prefer": "wait=10"}).status_code == 201
    for search in (words, f"{words} {article}", article, article.lower()):
        assert article in [item["sku"] for item in shop.read("products", search=search, limit=500)["items"]]
    assert article not in [item["sku"] for item in shop.read("products", search=f"{words} nowhere", limit=500)["items"]]
    assert shop.read("products", search="100%_", limit=500)["items"] == []
    assert article in [item["sku"] for item in shop.read("products", category="desserts", limit=500)["items"]]
