"""Does every command keep the conventions: waiting, ids, traces, and answers that are true when something is away?"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx2
import pytest
from sqlalchemy import select

from infra.event_log import event_log
from infra.topology import INTAKE
from projections import PROJECTIONS
from tests.e2e.system import Fragile, Json, Shop, System, eventually, sale, sku

TRACE = "0badcafe" * 4


@pytest.fixture(scope="module")
def shop(system: System) -> Shop:
    """One store for all of them; every test has SKUs of its own."""
    return system.open_store()


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [("wait=10", 10), ('wait="5"', 5), ("respond-async, wait=3", 3), ("WAIT = 4", 4), ("wait=60", 10), ("wait=7;x=1", 7)],
)
def test_who_waits_is_told_the_outcome(shop: Shop, wish: str, seconds: int) -> None:
    body = sale(sku())
    answer = shop.post("sales", body, prefer=wish)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == f"wait={seconds}"
    assert answer.headers["location"] == f"/api/v2/events/{body['sale_id']}"
    content = answer.json()
    assert content == {"event_id": body["sale_id"], "status": "recorded", "store_id": shop.store_id, "seq": content["seq"]}
    assert content["seq"] > 0


@pytest.mark.parametrize("wish", [b"wait=0", b"wait=-1", b"wait=x", b"wait=\xb2", b"wait", b"return=minimal", b"", b"\xff\xfe"])
def test_a_wish_that_cannot_be_read_is_no_wish(shop: Shop, wish: bytes) -> None:
    answer = shop.http.post(f"{shop.path}/sales", json=sale(sku()), headers=[(b"prefer", wish)])
    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


def test_when_the_time_runs_out_it_is_accepted_all_the_same(shop: Shop, system: System) -> None:
    body = sale(sku())
    with system.processes["stock-writer"].held():
        answer = shop.post("sales", body, prefer="wait=1")
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
        assert answer.json() == {"event_id": body["sale_id"], "status": "accepted", "store_id": shop.store_id}
        event = shop.read(f"events/{body['sale_id']}")
        assert event == {
            "event_id": body["sale_id"],
            "type": "sale.recorded",
            "store_id": shop.store_id,
            "status": "accepted",
            "projections": dict.fromkeys(PROJECTIONS, False),
        }
        foreign = system.client("caissier", ["elsewhere"])
        assert foreign.get(f"/api/v2/events/{body['sale_id']}").json()["code"] == "unknown_event"
    assert shop.settled(body["sale_id"])["status"] == "recorded"


def test_a_key_names_the_command_when_its_body_does_not(shop: Shop, system: System) -> None:
    article, key = sku(), str(uuid4())
    body: Json = {"lines": [{"sku": article, "quantity": 1, "unit_price": "1"}]}
    for spelling in (key, f'"{key}"', key.upper(), f"urn:uuid:{key}"):
        assert shop.post("sales", body, **{"idempotency-key": spelling}).json()["event_id"] == key
    free = f"ticket 17/{key}"
    event_id = shop.post("sales", body, **{"idempotency-key": free}).json()["event_id"]
    assert UUID(event_id).version == 5
    assert shop.post("sales", body, **{"idempotency-key": free}).json()["event_id"] == event_id
    other = system.open_store()
    assert other.post("sales", body, **{"idempotency-key": free}).json()["event_id"] != event_id, "a key belongs to its store"
    mismatch = shop.post("sales", body | {"till_id": "9"}, **{"idempotency-key": free})
    assert mismatch.json()["code"] == "idempotency_mismatch"
    named = sale(article)
    assert shop.post("sales", named, **{"idempotency-key": key}).json()["event_id"] == named["sale_id"], "the body comes first"
    unnamed = {shop.post("sales", body).json()["event_id"] for _ in range(2)}
    assert {UUID(each).version for each in unnamed} == {7}
    assert len(unnamed) == 2
    for each in (event_id, named["sale_id"], *unnamed):
        shop.settled(each)
    assert shop.on_hand(article) == -5


def test_a_request_keeps_its_id_or_gets_one(shop: Shop) -> None:
    paths = [("POST", f"{shop.path}/sales"), ("GET", "/api/v2/stores"), ("GET", "/healthz"), ("GET", "/api/v2/nothing")]
    for method, path in paths:
        assert shop.http.request(method, path, headers={"X-Request-ID": "till-7/42"}).headers["x-request-id"] == "till-7/42"
        for odd in ("", "x" * 129, "a b", "é".encode().decode("latin-1")):
            made = shop.http.request(method, path, headers=[(b"x-request-id", odd.encode("latin-1"))]).headers["x-request-id"]
            assert re.fullmatch("[0-9a-f]{32}", made)


@asynccontextmanager
async def intake(system: System) -> AsyncIterator[aio_pika.abc.AbstractQueue]:
    """What the API publishes, on a queue of our own."""
    async with await aio_pika.connect(system.settings.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(INTAKE, "#")
        yield queue


async def test_a_trace_goes_through_http_the_broker_and_the_log(shop: Shop, system: System) -> None:
    body = sale(sku(), till_id="7")
    async with intake(system) as queue:
        parent = f"00-{TRACE}-00f067aa0ba902b7-01"
        answer = await asyncio.to_thread(shop.post, "sales", body, traceparent=parent)
        assert answer.status_code == 202
        message = await queue.get(timeout=5)
    assert message.content_type == "application/cloudevents-batch+json"
    assert (message.type, message.app_id, message.delivery_mode) == ("accepted", "api", aio_pika.DeliveryMode.PERSISTENT)
    assert message.message_id
    assert message.message_id != body["sale_id"]
    assert message.timestamp is not None
    (event,) = [each for each in json.loads(message.body) if each["id"] == body["sale_id"]]
    assert event["specversion"] == "1.0"
    assert (event["source"], event["type"]) == (f"/stores/{shop.store_id}/tills/7", "sale.recorded")
    assert event["dataschema"] == "urn:magasin:schema:sale.recorded:1"
    assert event["data"] == {"till_id": "7", "lines": [{**body["lines"][0]}]}
    assert event["traceparent"].split("-")[1] == TRACE
    assert event["traceparent"] != parent, "our part of the trace has an id of its own"
    await asyncio.to_thread(shop.settled, body["sale_id"])
    with system.engine.connect() as connection:
        kept = connection.execute(select(event_log.c.traceparent).where(event_log.c.event_id == UUID(body["sale_id"]))).scalar_one()
    assert kept == event["traceparent"]
    for name in ("api", "stock-writer", "projector"):
        assert TRACE in system.processes[name].log.read_text(encoding="utf-8")
    refused = await asyncio.to_thread(shop.post, "sales", {}, traceparent=parent)
    assert refused.json()["trace_id"] == TRACE
    for odd in ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff", ""):
        refused = await asyncio.to_thread(shop.post, "sales", {}, traceparent=odd)
        assert re.fullmatch("(?!0{32})[0-9a-f]{32}", refused.json()["trace_id"])


def test_the_broker_away_is_503_and_never_a_promise(fragile: Fragile, shop: Shop) -> None:
    api, article = fragile.system.client(), sku()
    body = sale(article)
    with fragile.broker.away():
        for path, content in (("sales", body), ("sales/batch", {"sales": [sale(article)]})):
            answer = api.post(f"{shop.path}/{path}", json=content, headers={"Accept-Language": "en"})
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["content-type"] == "application/problem+json"
        assert api.get("/healthz").status_code == 200

        def unready() -> Json | None:
            answer = api.get("/readyz")
            assert answer.status_code == (200 if answer.json()["ready"] else 503)
            return None if answer.json()["broker"] else answer.json()

        assert eventually(unready)["ready"] is False
        assert api.get("/api/v2/stores").status_code == 200, "reading needs no broker"

    def accepted() -> httpx2.Response | None:
        answer = api.post(f"{shop.path}/sales", json=body)
        return None if answer.status_code == 503 else answer

    assert eventually(accepted).status_code == 202
    shop.settled(body["sale_id"])
    assert shop.on_hand(article) == -1
    eventually(lambda: api.get("/readyz").status_code == 200 or None)


def test_with_the_database_away_sales_are_taken_and_reads_say_so(fragile: Fragile, system: System) -> None:
    shop, api = system.open_store(), fragile.system.client()
    bodies = [sale(sku()) for _ in range(3)]

    def known() -> bool | None:
        return api.get(shop.path).status_code == 200 or None

    eventually(known)
    assert api.post(f"{shop.path}/sales", json=bodies[0]).status_code == 202
    with fragile.database.away():
        assert api.post(f"{shop.path}/sales", json=bodies[1]).status_code == 202
        assert api.post(f"{shop.path}/sales", json=bodies[2], headers={"Prefer": "wait=10"}).status_code == 201
        void = api.post(f"{shop.path}/sales/{bodies[1]['sale_id']}/void", json={"reason": "x"})
        assert void.status_code == 202
        for path in ("stores", "stock", "products", "reports/daily-sales", f"events/{bodies[1]['sale_id']}", "cases"):
            answer = api.get(f"/api/v2/{path}")
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (200, False)
        unknown = api.post("/api/v2/stores/never-seen/sales", json=sale("A"))
        assert unknown.status_code == 503, "nobody can say whether there is such a store"
    assert api.get("/api/v2/stores").status_code == 200, "the first read after the interruption is answered"
    for body in bodies:
        shop.settled(body["sale_id"])
    shop.settled(void.json()["event_id"])


def test_a_store_that_opened_a_moment_ago_sells_while_the_database_is_away(fragile: Fragile, system: System) -> None:
    shop, api = system.open_store(), fragile.system.client()
    with fragile.database.away():
        eventually(lambda: api.post(f"{shop.path}/sales", json=sale(sku())).status_code == 202 or None)


@pytest.fixture(scope="module")
def figures(shop: Shop) -> str:
    """What /metrics says after some of everything."""
    for _ in range(2):
        shop.sell("METRIC-SKU")
        shop.read("stock", store=shop.store_id)
    return shop.http.get("/metrics").text


@pytest.mark.parametrize(
    "name",
    [
        "magasin_http_requests_total",
        "magasin_http_request_seconds_bucket",
        "magasin_commands_total",
        "magasin_live_streams",
        "magasin_cache_lookups_total",
        "magasin_confirm_seconds_bucket",
        "magasin_publish_failures_total",
        "magasin_publisher_ready",
        "magasin_group_events_bucket",
        "process_resident_memory_bytes",
    ],
)
def test_the_figures_are_there(figures: str, name: str) -> None:
    assert re.search(rf"^# TYPE {name.removesuffix('_bucket').removesuffix('_total')}|^{name}", figures, re.MULTILINE)


def test_no_figure_is_kept_by_product_or_store(figures: str, shop: Shop) -> None:
    assert "METRIC-SKU" not in figures
    assert shop.store_id not in figures
    assert 'route="/api/v2/stores/{store_id}/sales"' in figures


def test_strange_methods_and_addresses_make_no_new_series(shop: Shop) -> None:
    for method, path in (("PROPFIND", f"{shop.path}/sales"), ("LOCK", "/api/v2/stock"), ("GET", f"/{sku()}"), ("GET", f"/api/{sku()}")):
        shop.http.request(method, path)
    series = [line for line in shop.http.get("/metrics").text.splitlines() if line.startswith("magasin_http_requests_total")]
    methods = {found[1] for line in series if (found := re.search('method="([^"]*)"', line))}
    assert methods <= {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY"}
    assert "T-" not in "".join(series)


def test_two_hundred_that_wait_for_the_same_event_are_all_told(shop: Shop) -> None:
    body = sale(sku())

    async def ask() -> list[Any]:
        headers = shop.system.headers() | {"Prefer": "wait=10"}
        async with httpx2.AsyncClient(base_url=shop.system.url, headers=headers, timeout=30, trust_env=False) as client:
            return await asyncio.gather(*(client.post(f"{shop.path}/sales", json=body) for _ in range(50)))

    answers = asyncio.run(ask())
    assert {(answer.status_code, answer.json().get("seq")) for answer in answers} == {(201, answers[0].json()["seq"])}
