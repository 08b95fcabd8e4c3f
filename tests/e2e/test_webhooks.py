"""Can an administrator subscribe another system over the API, and see and mend what became of it?"""

import http.server
import json
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest

from magasin.home import LOOPBACK
from schemas.outward import signature
from tests.e2e.system import Json, Shop, System, eventually, sale, sku

WEBHOOKS = "/api/v2/webhooks"


class Other(http.server.ThreadingHTTPServer):
    """Another system. It takes what it is told unless it is out of order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Taking)
        self.out_of_order = False
        self.requests: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}/hook"

    @property
    def told(self) -> list[Json]:
        return [json.loads(body) for _, body in self.requests]


class Taking(http.server.BaseHTTPRequestHandler):
    """Its handler."""

    server: Other

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.server.out_of_order:
            self.server.requests.append((dict(self.headers), body))
        self.send_response(503 if self.server.out_of_order else 204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing: what it got is in `requests`."""


@pytest.fixture
def other() -> Iterator[Other]:
    with Other() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def webhook(shop: Shop, other: Other) -> Iterator[Json]:
    """A subscription to the sales and returns of one store, as its maker sees it."""
    body = {"url": other.url, "types": ["sale.recorded", "sale.returned"], "stores": [shop.store_id], "description": "Comptabilité"}
    answer = shop.http.post(WEBHOOKS, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{WEBHOOKS}/{answer.json()['webhook_id']}"
    yield answer.json()
    assert shop.http.delete(answer.headers["location"]).status_code == 204


def log(shop: Shop, webhook: Json, **wanted: str) -> list[Json]:
    answer = shop.http.get(f"{WEBHOOKS}/{webhook['webhook_id']}/deliveries", params=wanted)
    assert answer.status_code == 200, answer.text
    return [dict(item) for item in answer.json()["items"]]


def test_what_is_recorded_from_now_on_is_told_and_logged(shop: Shop, other: Other, webhook: Json) -> None:
    event_ids = [shop.post("sales", sale(sku())).json()["event_id"] for _ in range(3)]
    eventually(lambda: {each["id"] for each in other.told} == set(event_ids) or None)
    seqs = [each["seq"] for each in other.told]
    assert seqs == sorted(seqs)
    headers, body = other.requests[0]
    at = int(headers["Magasin-Signature"].partition(",")[0].removeprefix("t="))
    assert headers["Magasin-Signature"] == signature(webhook["secret"], at, body)
    lines = eventually(lambda: found if len(found := log(shop, webhook, status="delivered")) == 3 else None)
    assert {line["event_id"] for line in lines} == set(event_ids)
    assert headers["Magasin-Delivery"] in {line["delivery_id"] for line in lines}
    answer = shop.http.get(f"{WEBHOOKS}/{webhook['webhook_id']}/deliveries", params={"limit": 2})
    assert len(answer.json()["items"]) == 2
    assert len(shop.http.get(answer.links["next"]["url"]).json()["items"]) == 1
    assert shop.http.get(f"{WEBHOOKS}/{webhook['webhook_id']}/deliveries?format=csv").text.count(",delivered,") == 3


def test_the_secret_is_shown_once_and_a_new_one_signs_from_then_on(shop: Shop, other: Other, webhook: Json) -> None:
    path, secret = f"{WEBHOOKS}/{webhook['webhook_id']}", webhook["secret"]
    shown = shop.http.get(path)
    assert secret not in shown.text + shop.http.get(f"{WEBHOOKS}?limit=500").text
    assert shown.json() == {name: value for name, value in webhook.items() if name != "secret"}
    fresh = shop.http.post(f"{path}/rotate-secret").json()["secret"]
    assert fresh != secret
    tested = shop.http.post(f"{path}/test").json()
    assert (tested["outcome"], tested["status"], tested["error"]) == ("delivered", 204, None)
    headers, body = other.requests[-1]
    at = int(headers["Magasin-Signature"].partition(",")[0].removeprefix("t="))
    assert headers["Magasin-Signature"] == signature(fresh, at, body)
    assert json.loads(body)["type"] == headers["Magasin-Event"] == "webhook.test"
    audited = shop.http.get("/api/v2/ops/audit-log", params={"target": webhook["webhook_id"]})
    assert [line["action"] for line in audited.json()["items"]] == ["webhook.test", "webhook.rotate_secret", "webhook.create"]
    assert secret not in audited.text
    assert fresh not in audited.text


def test_a_delivery_that_waits_is_tried_again_or_skipped_by_hand(shop: Shop, other: Other, webhook: Json) -> None:
    other.out_of_order = True
    for _ in range(2):
        shop.post("sales", sale(sku()))
    path = f"{WEBHOOKS}/{webhook['webhook_id']}/deliveries"
    first = eventually(lambda: next(iter(log(shop, webhook, status="waiting")), None))
    assert first["last_status"] == 503
    assert shop.http.post(f"{path}/{first['delivery_id']}/skip").json()["status"] == "skipped"
    assert shop.http.post(f"{path}/{first['delivery_id']}/skip").json()["code"] == "wrong_status"
    second = eventually(lambda: next(iter(log(shop, webhook, status="waiting")), None))
    assert second["seq"] > first["seq"]
    other.out_of_order = False
    assert shop.http.post(f"{path}/{second['delivery_id']}/retry").status_code == 202
    eventually(lambda: [each["seq"] for each in other.told] == [second["seq"]] or None)
    assert shop.http.post(f"{path}/{first['delivery_id']}/retry").status_code == 202
    eventually(lambda: [each["seq"] for each in other.told] == [second["seq"], first["seq"]] or None)
    eventually(lambda: len(log(shop, webhook, status="delivered")) == 2 or None)
    assert shop.http.post(f"{path}/{uuid4()}/retry").json()["code"] == "unknown_delivery"


def test_a_webhook_that_was_removed_is_told_nothing_and_keeps_its_log(shop: Shop, other: Other, webhook: Json) -> None:
    path = f"{WEBHOOKS}/{webhook['webhook_id']}"
    shop.sell(sku())
    eventually(lambda: len(log(shop, webhook, status="delivered")) == 1 or None)
    assert shop.http.delete(path).status_code == 204
    assert shop.http.get(path).json()["active"] is False
    assert shop.http.get(path).json()["removed"] is True
    shop.sell(sku())
    assert len(log(shop, webhook)) == 1
    assert shop.http.patch(path, json={"active": True}).json()["active"] is True
    later = shop.sell(sku())
    eventually(lambda: len(other.told) == 2 or None)
    assert other.told[-1]["id"] == later["event_id"]


def test_a_webhook_that_takes_more_stores_begins_at_their_present_and_keeps_its_places(
    system: System, shop: Shop, other: Other, webhook: Json
) -> None:
    path, another = f"{WEBHOOKS}/{webhook['webhook_id']}", system.open_store()
    early = another.sell(sku())
    other.out_of_order = True
    kept = shop.sell(sku())
    eventually(lambda: log(shop, webhook, status="waiting") or None)
    assert shop.http.patch(path, json={"stores": [shop.store_id, another.store_id]}).status_code == 200
    other.out_of_order = False
    later = another.sell(sku())
    eventually(lambda: {each["id"] for each in other.told} == {kept["event_id"], later["event_id"]} or None)
    assert early["event_id"] not in {each["id"] for each in other.told}


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        ({"url": "http://example.org/"}, "/url", "bad_target"),
        ({"url": "https://10.1.2.3/"}, "/url", "forbidden_target"),
        ({"url": "https://169.254.169.254/latest"}, "/url", "forbidden_target"),
        ({"types": ["sale.imagined"]}, "/types", "not_allowed_value"),
        ({"types": []}, "/types", "too_few"),
        ({"stores": ["A B"]}, "/stores/0", "bad_format"),
        ({"description": "a\nb"}, "/description", "bad_format"),
        ({"secret": "mine"}, "/secret", "unknown_field"),
    ],
)
def test_a_webhook_is_described_properly(system: System, change: Json, pointer: str, code: str) -> None:
    answer = system.client().post(WEBHOOKS, json={"url": "https://example.org/hook", **change})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"], answer.json()["errors"][0]["code"]) == (422, pointer, code)


def test_a_webhook_that_does_not_exist_is_unknown(system: System) -> None:
    path, http_ = f"{WEBHOOKS}/{uuid4()}", system.client()
    for answer in (
        http_.get(path),
        http_.patch(path, json={}),
        http_.delete(path),
        http_.post(f"{path}/test"),
        http_.get(f"{path}/deliveries"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_webhook")


def test_only_administrators_see_webhooks_and_who_tries_is_noted(system: System) -> None:
    path = f"{WEBHOOKS}/{uuid4()}"
    assert system.client("operateur").delete(path).status_code == 403
    (line,) = system.client().get("/api/v2/ops/audit-log", params={"target": f"DELETE {path}"}).json()["items"]
    assert (line["action"], line["outcome"]) == ("webhook.manage", "denied")
