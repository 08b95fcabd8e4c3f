"""Can a shop count, settle what contradicts itself, and see what its tills still owe?"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx2
import pytest

from tests.e2e.system import Json, Shop, System, eventually, sku

WAIT = {"prefer": "wait=10"}
TORONTO = ZoneInfo("America/Toronto")


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def count_of(*lines: Json, **more: Any) -> Json:  # noqa: ANN401 - members of a request body
    return {"count_id": str(uuid4()), "lines": list(lines), **more}


def open_case(shop: Shop, kind: str) -> Json:
    (case,) = shop.read("cases", store=shop.store_id, kind=kind, status="open")["items"]
    return dict(case)


def resolve(client: httpx2.Client, case: Json, **body: Any) -> httpx2.Response:  # noqa: ANN401 - members of a request body
    return client.post(f"/api/v2/cases/{case['case_id']}/resolve", json={"resolution": "accept", **body}, headers=WAIT)


# Cases.


def test_a_case_shows_what_made_it_and_what_to_do_and_is_settled_once(shop: Shop, system: System) -> None:
    article = sku()
    sold = shop.sell(article, 2)
    case = open_case(shop, "oversell")
    assert case.keys() >= {"case_id", "kind", "status", "store_id", "sku", "opened_at", "events", "proposal", "advice", "resolution"}
    shown = shop.read(f"cases/{case['case_id']}")
    assert [(each["event_id"], each["type"]) for each in shown["shown"]] == [(sold["event_id"], "sale.recorded")]
    assert (case["name"], shown["name"]) == (None, None)
    assert shown["links"]["recount"] == {"method": "POST", "href": f"{shop.path}/stock-counts", "body": {"lines": [{"sku": article}]}}
    recount = shop.done("stock-counts", count_of({"sku": article, "counted": 4}))

    body = {"resolution_id": str(uuid4()), "resolution": "recount", "note": "recompté", "action_event_id": recount["event_id"]}
    first, again = resolve(shop.http, case, **body), resolve(shop.http, case, **body)
    assert (first.status_code, first.json()["status"]) == (201, "recorded")
    assert again.json() == first.json()
    other = resolve(system.client("gestionnaire", [shop.store_id]), case, resolution="write_off")
    assert (other.status_code, other.json()["code"]) == (409, "already_resolved")
    assert other.json()["resolved"]["resolution"] == "recount"
    assert {"by", "at", "event_id"} <= other.json()["resolved"].keys()

    named = {"fr": "Riz rond", "en": "Short rice"}
    described = {"name": named, "category": {"fr": "Épicerie", "en": "Grocery"}, "price": "2.00"}
    assert shop.http.put(f"/api/v2/products/{article}", json=described, headers=WAIT).status_code == 201
    after = shop.read(f"cases/{case['case_id']}")
    assert (after["status"], after["resolution"]["note"], after["resolution"]["event_id"]) == (
        "resolved",
        "recompté",
        body["resolution_id"],
    )
    assert after["name"] == named
    assert [each["type"] for each in after["shown"]] == ["sale.recorded", "stock.counted", "case.resolved"]
    assert [each["case_id"] for each in shop.read("cases", store=shop.store_id, status="resolved")["items"]] == [case["case_id"]]
    assert case["case_id"] not in [each["case_id"] for each in shop.read("cases", store=shop.store_id, status="open")["items"]]


def test_of_two_who_settle_at_once_exactly_one_wins(shop: Shop) -> None:
    shop.sell(sku())
    case = open_case(shop, "oversell")
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda way: resolve(shop.http, case, resolution=way), ("accept", "write_off")))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


def test_a_case_of_another_store_is_not_there(shop: Shop, system: System) -> None:
    shop.sell(sku())
    case = open_case(shop, "oversell")
    foreign = system.client("gestionnaire", ["elsewhere"])
    assert resolve(foreign, case).json()["code"] == "unknown_case"
    assert foreign.get(f"/api/v2/cases/{case['case_id']}").json()["code"] == "unknown_case"
    for unknown in (str(uuid4()), "none"):
        assert resolve(shop.http, {"case_id": unknown}).json()["code"] == "unknown_case"
    assert resolve(system.client("caissier", [shop.store_id]), case).status_code == 403
    assert resolve(shop.http, case, resolution="forget").json()["errors"][0]["pointer"] == "/resolution"


def test_two_sales_under_one_number_are_a_case_with_both(shop: Shop) -> None:
    article = sku()
    shop.deliver(article, 9)
    sold = [shop.sell(article, till_id="1", till_seq=1)["event_id"] for _ in range(2)]
    case = open_case(shop, "till_sequence")
    assert (sorted(sold), case["details"]) == (sorted(case["events"]), {"till_id": "1", "till_seq": 1})
    assert [each["type"] for each in shop.read(f"cases/{case['case_id']}")["shown"]] == ["sale.recorded"] * 2


# Counts.


def test_a_count_during_opening_hours_tells_expected_and_variance_line_by_line(shop: Shop) -> None:
    early, late = sorted(sku() for _ in range(2))
    shop.done(
        "deliveries", {"supplier": "Moulin", "occurred_at": ago(90), "lines": [{"sku": each, "quantity": 20} for each in (early, late)]}
    )
    shop.sell(early, 2, occurred_at=ago(40))
    lines = [{"sku": early, "counted": 20, "counted_at": ago(50)}, {"sku": late, "counted": 14, "counted_at": ago(30)}]
    counted = shop.done("stock-counts", count_of(*lines, note="samedi"))
    assert (shop.on_hand(early), shop.on_hand(late)) == (18, 14)
    found = shop.read(f"stores/{shop.store_id}/stock-counts/{counted['event_id']}")
    assert [(line["expected"], line["counted"], line["variance"]) for line in found["lines"]] == [(20, 20, 0), (20, 14, -6)]
    assert found["totals"] == {"lines": 2, "counted": 34, "expected": 40, "variance": -6, "missing": 6, "surplus": 0}
    case = open_case(shop, "count_variance")
    assert (case["sku"], case["details"]["expected"], case["proposal"]) == (late, 20, "recount")
    assert shop.read(f"cases/{case['case_id']}")["now"] == {"on_hand": 14, "expected": 20, "variance": -6}

    shop.sell(late, 6, occurred_at=ago(35))
    found = shop.read(f"stores/{shop.store_id}/stock-counts/{counted['event_id']}")
    assert (found["lines"][1]["expected"], found["lines"][1]["variance"], shop.on_hand(late)) == (14, 0, 14)
    assert shop.read(f"cases/{case['case_id']}")["now"] == {"on_hand": 14, "expected": 14, "variance": 0}
    (row,) = shop.read(f"stores/{shop.store_id}/stock-counts")["items"]
    assert (row["count_id"], row["skus"], row["note"]) == (counted["event_id"], 2, "samedi")
    unknown = shop.http.get(f"{shop.path}/stock-counts/{uuid4()}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_count")


def test_every_instant_of_a_count_is_checked_where_it_stands(shop: Shop) -> None:
    lines = [
        {"sku": "a", "counted": 1},
        {"sku": "b", "counted": 1, "counted_at": ago(-60)},
        {"sku": "c", "counted": 1, "counted_at": ago(-90)},
    ]
    answer = shop.post("stock-counts", count_of(*lines))
    assert (answer.status_code, answer.json()["code"]) == (422, "in_the_future")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/lines/1/counted_at", "/lines/2/counted_at"]
    lines[1]["counted_at"] = ago(60 * 24 * 400)
    answer = shop.post("stock-counts", count_of(*lines))
    assert (answer.json()["code"], {fault["code"] for fault in answer.json()["errors"]}) == (
        "invalid_content",
        {"too_old", "in_the_future"},
    )


def test_a_cashier_counts_blindly_or_not_at_all(shop: Shop, system: System) -> None:
    article = sku()
    shop.deliver(article, 9)
    cashier = system.client("caissier", [shop.store_id])
    line = {"sku": article, "counted": 3}
    assert cashier.post(f"{shop.path}/stock-counts", json=count_of(line)).status_code == 403
    answer = cashier.post(f"{shop.path}/stock-counts", json=count_of(line, blind=True), headers=WAIT)
    assert answer.status_code == 201
    path = f"{shop.path}/stock-counts/{answer.json()['event_id']}"
    assert cashier.get(path).json()["lines"][0].keys() == {"sku", "name", "counted", "counted_at"}
    event = f"/api/v2/events/{answer.json()['event_id']}"
    assert cashier.get(event).json()["effect"] is None
    assert shop.http.get(event).json()["effect"]["variances"][article]["units"] == -6
    assert shop.http.get(path).json()["lines"][0]["variance"] == -6
    sheets = [client.get(f"{shop.path}/count-sheet", params=asked) for client in (cashier, shop.http) for asked in ({}, {"blind": "true"})]
    assert [[row.get("expected") for row in sheet.json()["items"]] for sheet in sheets] == [[None], [None], [3], [None]]


# Tills.


def test_while_a_till_owes_sales_every_figure_says_so(shop: Shop) -> None:
    article = sku()
    shop.deliver(article, 9)
    for number in (1, 2, 5):
        shop.sell(article, till_id="7", till_seq=number)
    reads = ("reports/daily-sales", "reports/hourly-sales", "stock", "reports/tills")
    for read in reads:
        meta = shop.read(read, store=shop.store_id)["meta"]
        assert (meta["complete"], meta["owing_count"]) == (False, 1)
        (owed,) = meta["owing"]
        assert (owed["store_id"], owed["till_id"], owed["missing"], owed["first_missing"]) == (shop.store_id, "7", 2, 3)
    (till,) = shop.read("reports/tills", store=shop.store_id)["items"]
    assert (till["last_seq"], till["contiguous_through"], till["missing"], till["gaps"]) == (5, 2, 2, [{"from": 3, "to": 4}])
    assert (till["silent"], 0 <= till["silent_seconds"] < 600) == (False, True)
    table = shop.http.get("/api/v2/reports/tills", params={"store": shop.store_id, "format": "csv"}).text
    assert table.splitlines()[0].startswith("store_id,till_id,last_seq,contiguous_through,missing")
    for number in (4, 3):
        shop.sell(article, till_id="7", till_seq=number)
    for read in reads:
        meta = shop.read(read, store=shop.store_id)["meta"]
        assert (meta["complete"], meta["owing"], meta["owing_count"]) == (True, [], 0)


def test_sales_that_will_never_come_can_be_given_up(shop: Shop, system: System) -> None:
    article = sku()
    shop.deliver(article, 9)
    for number in (1, 4):
        shop.sell(article, till_id="7", till_seq=number)
    path, body = f"{shop.path}/tills/7/waivers", {"waiver_id": str(uuid4()), "first": 2, "last": 3, "reason": "caisse volée"}
    assert system.client("caissier", [shop.store_id]).post(path, json=body).status_code == 403
    assert shop.http.post(f"{shop.path}/tills/8/waivers", json=body).json()["code"] == "unknown_till"
    faults = shop.http.post(path, json=body | {"last": 1}).json()["errors"]
    assert [(fault["pointer"], fault["code"]) for fault in faults] == [("/last", "wrong_order")]
    faults = shop.http.post(path, json=body | {"last": 2_000_000}).json()["errors"]
    assert [(fault["pointer"], fault["code"]) for fault in faults] == [("/last", "too_large")]
    for _ in range(2):
        assert shop.http.post(path, json=body, headers=WAIT).status_code == 201
    found = shop.read("reports/tills", store=shop.store_id)
    assert (found["meta"]["complete"], found["items"][0]["missing"], found["items"][0]["waived"]) == (True, 0, 2)
    assert shop.http.get("/api/v2/reports/tills", params={"store": shop.store_id, "format": "xlsx"}).content.startswith(b"PK")


# Returns and voids.


def test_a_sale_tells_line_by_line_what_may_still_come_back(shop: Shop) -> None:
    article, other = sku(), sku()
    lines = [{"sku": each, "quantity": units, "unit_price": "2.00"} for each, units in ((article, 2), (other, 1), (article, 3))]
    sold = shop.done("sales", {"lines": lines})

    def returnable() -> list[tuple[int, int]]:
        found = shop.read(f"stores/{shop.store_id}/sales/{sold['event_id']}")["returnable"]
        return [(line["returned"], line["returnable"]) for line in found]

    assert returnable() == [(0, 2), (0, 1), (0, 3)]
    back = {"reason": "abîmé", "lines": [{"sku": article, "quantity": 3, "condition": "damaged"}]}
    shop.done(f"sales/{sold['event_id']}/returns", back)
    assert returnable() == [(2, 0), (0, 1), (1, 2)]
    refused = shop.post(f"sales/{sold['event_id']}/returns", back, **WAIT)
    assert (refused.status_code, refused.json()["code"], refused.json()["returnable"]) == (409, "over_return", {article: 2})
    shop.done(f"sales/{sold['event_id']}/returns", back | {"occurred_at": ago(0)})
    assert returnable() == [(2, 0), (0, 1), (3, 0)]
    assert open_case(shop, "over_return")["details"] == {"sold": 5, "returned": 6}


def day_of(shop: Shop, day: date, *names: str) -> Sequence[Any]:
    rows = shop.read("reports/daily-sales", store=shop.store_id, **{"from": day.isoformat(), "to": day.isoformat()})["items"]
    return [rows[0][name] for name in names] if rows else [None for _ in names]


@pytest.fixture
def night(system: System) -> Shop:
    """A shop whose day ends at four in the morning."""
    return system.open_store(timezone="America/Toronto", day_ends="04:00")


def test_revenue_units_and_stock_follow_returns_and_voids_on_the_right_day(night: Shop) -> None:
    article = sku()
    today = (datetime.now(TORONTO) - timedelta(hours=4)).date()
    two_days_ago, yesterday = today - timedelta(days=2), today - timedelta(days=1)

    def at(day: date, hour: int) -> str:
        """That hour of a business day, which goes on after midnight."""
        return (datetime(day.year, day.month, day.day, tzinfo=TORONTO) + timedelta(hours=hour)).isoformat()

    night.done("deliveries", {"supplier": "Moulin", "occurred_at": at(two_days_ago, 8), "lines": [{"sku": article, "quantity": 50}]})
    sold, undone = (night.sell(article, 4, occurred_at=at(two_days_ago, hour))["event_id"] for hour in (12, 27))
    figures = ("sales", "units", "returned_units", "revenue")
    assert day_of(night, two_days_ago, *figures) == [2, 8, 0, "20.00"]
    lines = [{"sku": article, "quantity": 1, "condition": condition} for condition in ("resellable", "damaged")]
    lines[1]["refund"] = "1.00"
    night.done(f"sales/{sold}/returns", {"reason": "défaut", "occurred_at": at(yesterday, 26), "lines": lines})
    night.done(f"sales/{undone}/void", {"reason": "erreur", "occurred_at": at(yesterday, 12)})
    assert day_of(night, two_days_ago, *figures) == [1, 4, 0, "10.00"]
    assert day_of(night, yesterday, *figures)[2:] == [2, "-3.50"]
    assert day_of(night, today, *figures) == [None] * 4
    assert night.on_hand(article) == 50 - 4 + 1
    whole = night.read("reports/daily-sales", store=night.store_id, group_by="store")["items"][0]
    assert (whole["revenue"], whole["returned_units"]) == ("6.50", 2)
    (performance,) = night.read("reports/store-performance", store=night.store_id, group_by="store")["items"]
    assert performance["revenue"] == "6.50"
    hours = night.read("reports/hourly-sales", store=night.store_id, group_by="store")["items"]
    assert sum(row["sales"] for row in hours) == 1
    found = eventually(lambda: night.read(f"stores/{night.store_id}/sales/{undone}"))
    assert (found["status"], found["business_date"]) == ("voided", two_days_ago.isoformat())
    assert [(line["sold"], line["returned"], line["returnable"]) for line in found["returnable"]] == [(4, 0, 0)]
