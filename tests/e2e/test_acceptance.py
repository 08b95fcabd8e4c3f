"""Does a sale posted over REST become stock and reports, exactly once, and does everything else that moves stock?"""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2

from projections import PROJECTIONS
from tests.e2e.system import Fragile, Json, Shop, System, eventually, sale, sku

CROWD = 200


def test_a_sale_is_accepted_recorded_and_seen_everywhere(shop: Shop) -> None:
    article = sku()
    shop.deliver(article, 10)
    body = sale(article, 3, till_id="1", till_seq=17, payment={"method": "cash", "tendered": "10.00"})
    answer = shop.post("sales", body)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v2/events/{body['sale_id']}"
    assert answer.json() == {"event_id": body["sale_id"], "status": "accepted", "store_id": shop.store_id}
    event = shop.settled(body["sale_id"])
    expected = {"event_id": body["sale_id"], "type": "sale.recorded", "store_id": shop.store_id, "status": "recorded"}
    assert expected.items() <= event.items()
    assert event["projections"] == dict.fromkeys(PROJECTIONS, True)
    assert shop.on_hand(article) == 7
    figures = shop.day()
    assert {name: figures[name] for name in ("sales", "units", "revenue", "returned_units")} == {
        "sales": 1,
        "units": 3,
        "revenue": "7.50",
        "returned_units": 0,
    }
    taken, brought = shop.read(f"stores/{shop.store_id}/stock/{article}/movements")["items"]
    assert (taken["delta"], taken["type"], taken["event_id"]) == (-3, "sale.recorded", body["sale_id"])
    assert (brought["delta"], brought["type"]) == (10, "delivery.received")
    (listed,) = shop.read(f"stores/{shop.store_id}/sales")["items"]
    assert (listed["sale_id"], listed["till_id"], listed["till_seq"]) == (body["sale_id"], "1", 17)
    assert (listed["units"], listed["total"], listed["status"], listed["seq"]) == (3, "7.50", "recorded", event["seq"])
    whole = shop.read(f"stores/{shop.store_id}/sales/{body['sale_id']}")
    assert whole["lines"] == [{"sku": article, "quantity": 3, "unit_price": "2.50"}]
    assert whole["payment"] == {"method": "cash", "tendered": "10.00"}
    assert (whole["voids"], whole["returns"]) == ([], [])


def test_a_sale_sent_five_times_counts_once_and_is_answered_as_before(shop: Shop) -> None:
    article, body = sku(), None
    body = sale(article, 2)
    answers = [shop.post("sales", body) for _ in range(5)]
    assert {(answer.status_code, answer.text, answer.headers["location"]) for answer in answers} == {
        (202, answers[0].text, answers[0].headers["location"])
    }
    event = shop.settled(body["sale_id"])
    shop.sell(article)
    late = shop.post("sales", body, prefer="wait=10")
    assert (late.status_code, late.json()["seq"], late.json()["status"]) == (201, event["seq"], "recorded")
    assert shop.on_hand(article) == -3
    assert (shop.day(sku=article)["sales"], shop.day(sku=article)["units"]) == (2, 3)


def test_the_same_id_with_other_content_is_refused_at_once(shop: Shop) -> None:
    article = sku()
    body = sale(article, 2)
    assert shop.post("sales", body).status_code == 202
    for other in (
        body | {"lines": [{"sku": article, "quantity": 3, "unit_price": "2.50"}]},
        body | {"till_id": "2"},
        body | {"occurred_at": datetime.now(UTC).isoformat()},
    ):
        answer = shop.post("sales", other)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    same = body | {"lines": [{"unit_price": 2.5, "quantity": 2, "sku": article}]}
    assert shop.post("sales", same).status_code == 202, "written otherwise, but the same"
    another = {"supplier": "x", "delivery_id": body["sale_id"], "lines": [{"sku": article, "quantity": 2}]}
    assert shop.post("deliveries", another).status_code == 422
    shop.settled(body["sale_id"])
    assert shop.on_hand(article) == -2


def test_without_redis_a_mismatch_is_accepted_the_first_wins_and_a_case_shows_it(fragile: Fragile, shop: Shop) -> None:
    article = sku()
    body = sale(article, 2)
    other = body | {"lines": [{"sku": article, "quantity": 5, "unit_price": "2.50"}]}
    path = f"{shop.path}/sales"
    api = fragile.system.client()
    with fragile.redis.away():
        assert api.post(path, json=body).status_code == 202
        assert api.get(f"/api/v2/events/{body['sale_id']}").status_code == 200
        shop.settled(body["sale_id"])
        assert api.post(path, json=other).status_code == 202
        waited = api.post(path, json=other | {"till_id": "x"}, headers={"Prefer": "wait=10"})
    assert (waited.status_code, waited.json()["code"]) == (422, "idempotency_mismatch")

    def cases() -> list[Json] | None:
        found: list[Json] = shop.read("cases", store=shop.store_id, kind="id_reuse")["items"]
        return found if len(found) == 2 else None

    found = eventually(cases)
    assert {case["events"][0] for case in found} == {body["sale_id"]}
    assert found[0]["status"] == "open"
    assert found[0]["details"]["refused"]["lines"][0]["quantity"] == 5
    assert shop.on_hand(article) == -2


async def crowd(shop: Shop, bodies: list[Json], **headers: str) -> list[httpx2.Response]:
    """All of them at the same time."""
    limits = httpx2.Limits(max_connections=CROWD)
    headers |= shop.system.headers("caissier", [shop.store_id])
    async with httpx2.AsyncClient(base_url=shop.system.url, headers=headers, limits=limits, timeout=60, trust_env=False) as client:
        return await asyncio.gather(*(client.post(f"{shop.path}/sales", json=body) for body in bodies))


async def test_200_concurrent_sales_that_must_not_oversell_take_exactly_the_50_there_are(shop: Shop) -> None:
    article = sku()
    shop.deliver(article, 50)
    answers = await crowd(shop, [sale(article, if_insufficient="refuse") for _ in range(CROWD)], Prefer="wait=10")
    assert Counter(answer.status_code for answer in answers) == {201: 50, 409: 150}
    for answer in answers:
        content = answer.json()
        if answer.status_code == 409:
            assert (content["code"], content["available"]) == ("insufficient_stock", {article: 0})
            assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["preference-applied"] == "wait=10"
    assert len({answer.json()["seq"] for answer in answers}) == CROWD
    last = max(answers, key=lambda answer: int(answer.json()["seq"]))
    shop.settled(last.json()["event_id"])
    assert shop.on_hand(article) == 0
    assert shop.day()["sales"] == 50


async def test_200_concurrent_ordinary_sales_all_count(shop: Shop) -> None:
    article = sku()
    answers = await crowd(shop, [sale(article) for _ in range(CROWD)])
    assert {answer.status_code for answer in answers} == {202}
    for answer in answers:
        shop.settled(answer.json()["event_id"])
    assert shop.on_hand(article) == -CROWD
    assert (shop.day()["sales"], shop.day()["revenue"]) == (CROWD, "500.00")
    (case,) = shop.read("cases", store=shop.store_id, kind="oversell")["items"]
    assert (case["sku"], case["proposal"]) == (article, "recount")


def test_a_refusal_tells_what_there_is_and_repeats_itself(shop: Shop) -> None:
    plenty, scarce = sku(), sku()
    shop.deliver(plenty, 9)
    shop.deliver(scarce, 1)
    lines = [{"sku": plenty, "quantity": 4, "unit_price": "1"}, *[{"sku": scarce, "quantity": 1, "unit_price": "1"}] * 2]
    body = {"sale_id": str(uuid4()), "if_insufficient": "refuse", "lines": lines}
    first, second = (shop.post("sales", body, prefer="wait=10", **{"accept-language": "en"}) for _ in range(2))
    for answer in (first, second):
        assert answer.status_code == 409
        assert answer.headers["location"] == f"/api/v2/events/{body['sale_id']}"
        assert answer.json() | {"trace_id": ""} == {
            "type": "/problems/insufficient_stock",
            "title": "Insufficient stock",
            "status": 409,
            "detail": "The store doesn't have enough stock for this sale.",
            "instance": f"{shop.path}/sales",
            "code": "insufficient_stock",
            "trace_id": "",
            "errors": [],
            "event_id": body["sale_id"],
            "seq": first.json()["seq"],
            "available": {scarce: 1},
        }
    event = shop.settled(str(body["sale_id"]))
    assert (event["status"], event["reason"]) == ("refused", "insufficient_stock")
    assert shop.read(f"stores/{shop.store_id}/sales")["items"] == []
    answer = shop.post(f"sales/{body['sale_id']}/void", {"reason": "?"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_sale"), "what was refused can't be undone"


def test_a_store_may_refuse_to_oversell_by_itself(system: System) -> None:
    shop = system.open_store(oversell="refuse")
    article = sku()
    assert shop.post("sales", sale(article), prefer="wait=10").status_code == 409
    assert shop.post("sales", sale(article, if_insufficient="allow"), prefer="wait=10").status_code == 201


def test_goods_come_back(shop: Shop) -> None:
    article, other = sku(), sku()
    lines = [{"sku": article, "quantity": 4, "unit_price": "2.50"}, {"sku": other, "quantity": 1, "unit_price": "9.99"}]
    sold = shop.done("sales", {"sale_id": str(uuid4()), "lines": lines})
    back = f"sales/{sold['event_id']}/returns"
    event = shop.done(
        back,
        {
            "reason": "abîmé",
            "lines": [
                {"sku": article, "quantity": 2, "condition": "resellable"},
                {"sku": article, "quantity": 1, "condition": "damaged", "refund": "1.00"},
            ],
        },
    )
    assert event["status"] == "recorded"
    assert shop.on_hand(article) == -2, "what is damaged is not on the shelf again"
    figures = shop.day()
    assert (figures["revenue"], figures["returned_units"], figures["sales"]) == ("13.99", 3, 1)
    whole = shop.read(f"stores/{shop.store_id}/sales/{sold['event_id']}")
    assert (whole["status"], [line["quantity"] for line in whole["returns"][0]["lines"]]) == ("returned", [2, 1])
    too_many = shop.post(back, {"reason": "x", "lines": [{"sku": article, "quantity": 2, "condition": "resellable"}]}, prefer="wait=10")
    assert (too_many.status_code, too_many.json()["code"], too_many.json()["returnable"]) == (409, "over_return", {article: 1})
    at = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    late = shop.done(back, {"reason": "x", "occurred_at": at, "lines": [{"sku": article, "quantity": 2, "condition": "resellable"}]})
    assert late["status"] == "recorded", "reported afterwards, it has happened"
    (case,) = shop.read("cases", store=shop.store_id, kind="over_return")["items"]
    assert case["sku"] == article


def test_a_sale_never_happened(shop: Shop) -> None:
    article = sku()
    sold = shop.sell(article, 4)
    void = f"sales/{sold['event_id']}/void"
    shop.done(void, {"reason": "erreur"})
    assert shop.on_hand(article) == 0
    assert (shop.day()["sales"], shop.day()["revenue"]) == (0, "0.00")
    again = shop.post(void, {"reason": "encore"}, prefer="wait=10")
    assert (again.status_code, again.json()["code"]) == (409, "already_voided")
    (listed,) = shop.read(f"stores/{shop.store_id}/sales", status="voided")["items"]
    assert listed["sale_id"] == sold["event_id"]
    for spelling in (f"{{{sold['event_id']}}}", sold["event_id"].upper(), f"urn:uuid:{sold['event_id']}"):
        answer = shop.http.post(f"{shop.path}/sales/{spelling}/void", json={"reason": "x"}, headers={"Prefer": "wait=10"})
        assert answer.json()["code"] == "already_voided", "every spelling of an id is that id"


def test_what_a_till_without_a_line_reports_may_come_in_any_order(shop: Shop) -> None:
    article, sale_id = sku(), str(uuid4())
    earlier = [(datetime.now(UTC) - timedelta(minutes=minutes)).isoformat() for minutes in (3, 2)]
    shop.done(f"sales/{sale_id}/void", {"reason": "erreur", "occurred_at": earlier[1]})
    shop.done("sales", sale(article, 4) | {"sale_id": sale_id, "occurred_at": earlier[0]})
    assert shop.on_hand(article) == 0
    assert (shop.day()["sales"], shop.day()["revenue"]) == (0, "0.00")
    assert shop.read(f"stores/{shop.store_id}/sales/{sale_id}")["status"] == "voided"


def test_a_sale_that_nobody_knows_is_404(shop: Shop, system: System) -> None:
    elsewhere = system.open_store().sell(sku())["event_id"]
    delivery = shop.deliver(sku(), 1)["event_id"]
    for sale_id in (str(uuid4()), elsewhere, delivery):
        for what, body in (("void", {}), ("returns", {"lines": [{"sku": "A", "quantity": 1, "condition": "damaged"}]})):
            answer = shop.post(f"sales/{sale_id}/{what}", {"reason": "x", **body})
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_sale")
    for sale_id in (str(uuid4()), elsewhere):
        assert shop.http.get(f"{shop.path}/sales/{sale_id}").json()["code"] == "unknown_sale"


def test_stock_is_corrected_counted_and_delivered(shop: Shop) -> None:
    article = sku()
    shop.done("stock-changes", {"reason": "found", "note": "sous la table", "lines": [{"sku": article, "delta": 5}]})
    assert shop.on_hand(article) == 5
    shop.done("stock-changes", {"reason": "theft", "lines": [{"sku": article, "delta": -2}]})
    assert shop.on_hand(article) == 3
    shop.done("stock-counts", {"lines": [{"sku": article, "counted": 7}, {"sku": article, "counted": 1}]})
    assert shop.on_hand(article) == 8, "two shelves"
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    shop.done("sales", sale(article, 3, occurred_at=at))
    assert shop.on_hand(article) == 8, "it was gone already when the shelves were counted"
    shop.done("deliveries", {"supplier": "Moulin", "document": "B-17", "lines": [{"sku": article, "quantity": 4, "unit_cost": "1.25"}]})
    assert shop.on_hand(article) == 12
    kinds = [row["type"] for row in shop.read(f"stores/{shop.store_id}/stock/{article}/movements")["items"]]
    assert kinds == ["delivery.received", "stock.counted", "stock.adjusted", "stock.adjusted", "sale.recorded"]


def test_products_and_their_limits_in_a_store_are_described(shop: Shop) -> None:
    article = sku()
    described = {
        "name": {"fr": f"Éclair {article}", "en": f"Eclair {article}"},
        "category": {"fr": "Pâtisserie", "en": "Pastry"},
        "price": "3.2",
        "barcode": "0123456789012",
    }
    path = f"/api/v2/products/{article}"
    answers = [shop.http.put(path, json=described, headers={"Prefer": "wait=10"}) for _ in range(2)]
    assert [(answer.status_code, answer.json()["store_id"]) for answer in answers] == [(201, "siege")] * 2
    found = shop.read(f"products/{article}")
    assert found | {"meta": {}} == {"sku": article, **described, "price": "3.20", "active": True, "meta": {}}
    assert [item["sku"] for item in shop.read("products", search=f"eclair {article.lower()}")["items"]] == [article]
    shop.deliver(article, 5)
    put = shop.http.put(f"{shop.path}/products/{article}", json={"reorder_point": 5, "target_level": 20}, headers={"Prefer": "wait=10"})
    assert put.status_code == 201
    (item,) = shop.read("stock", store=shop.store_id, sku=article)["items"]
    assert (item["reorder_point"], item["target_level"], item["status"]) == (5, 20, "low")
    assert (item["name"]["fr"], item["on_hand"], item["in_transit"]) == (f"Éclair {article}", 5, 0)
    (row,) = shop.read("stock", store=shop.store_id, search="ECLAIR", status="low")["items"]
    assert row["sku"] == article
    assert shop.read("stock", store=shop.store_id, status="negative")["items"] == []
    cleared = shop.http.put(f"{shop.path}/products/{article}", json={}, headers={"Prefer": "wait=10"})
    assert cleared.status_code == 201
    assert shop.read("stock", store=shop.store_id, sku=article)["items"][0]["reorder_point"] is None


def test_an_unknown_product_is_sold_all_the_same_and_a_case_says_so(shop: Shop) -> None:
    article = sku()
    shop.sell(article)
    (case,) = shop.read("cases", store=shop.store_id, kind="unknown_product")["items"]
    assert case["sku"] == article
    assert {"case_id", "kind", "status", "store_id", "opened_at", "events", "proposal"} <= case.keys()
    assert shop.read("cases", store=shop.store_id, status="resolved")["items"] == []


def test_a_store_that_opens_sells_within_seconds(system: System) -> None:
    admin = system.client()
    path = f"/api/v2/stores/t-{uuid4().hex[:8]}"
    body = {"name": "Neuf", "kind": "store", "timezone": "Europe/Paris", "currency": "EUR", "oversell": "allow"}
    assert admin.post(f"{path}/sales", json=sale("A")).json()["code"] == "unknown_store"
    assert admin.put(path, json=body).status_code == 202

    def sold() -> httpx2.Response | None:
        answer = admin.post(f"{path}/sales", json=sale("A"), headers={"Prefer": "wait=10"})
        return None if answer.status_code == 404 else answer

    assert eventually(sold, seconds=5).status_code == 201
    store = admin.get(path).json()
    assert store | {"meta": {}} == {"store_id": path.rsplit("/", 1)[1], **body, "centre": None, "day_ends": "00:00", "meta": {}}
    assert store["meta"]["timezone"] == "Europe/Paris"
    assert admin.put(path, json=body | {"name": "Renommé"}, headers={"Prefer": "wait=10"}).status_code == 201
    assert admin.get(path).json()["name"] == "Renommé"


def test_a_batch_takes_what_is_valid(shop: Shop) -> None:
    article = sku()
    sales = [sale(article, till_id="1") for _ in range(500)]
    sales[7]["lines"][0]["quantity"] = 0
    sales[70] = {"lines": []}
    sales[100] = sales[99]
    sales[200] = sales[199] | {"till_id": "2"}
    sales[300]["occurred_at"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for _ in range(2):
        answer = shop.post("sales/batch", {"sales": sales}, **{"accept-language": "en"})
        assert answer.status_code == 202
        results = answer.json()["results"]
        assert [result["index"] for result in results] == list(range(500))
        assert Counter(result["status"] for result in results) == {"accepted": 496, "invalid": 3, "mismatch": 1}
        faults = {
            result["index"]: [(each["pointer"], each["code"]) for each in result["errors"]] for result in results if "errors" in result
        }
        assert faults == {
            7: [("/sales/7/lines/0/quantity", "too_small")],
            70: [("/sales/70/lines", "too_few")],
            200: [("/sales/200/sale_id", "idempotency_mismatch")],
            300: [("/sales/300/occurred_at", "in_the_future")],
        }
        assert all(error["detail"] for result in results for error in result.get("errors", ()))
    for result in results:
        if result["status"] == "accepted":
            shop.settled(result["event_id"])
    assert shop.on_hand(article) == -495
    assert shop.day()["sales"] == 495


def test_a_batch_without_ids_is_named_by_its_key(shop: Shop) -> None:
    article = sku()
    sales = [{"lines": [{"sku": article, "quantity": 1, "unit_price": "1"}]} for _ in range(3)]
    answers = [shop.post("sales/batch", {"sales": sales}, **{"idempotency-key": "lundi"}).json()["results"] for _ in range(2)]
    assert answers[0] == answers[1]
    for result in answers[0]:
        shop.settled(result["event_id"])
    assert shop.on_hand(article) == -3
