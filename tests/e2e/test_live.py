"""Does a browser learn at once what changed in the stores that it may see, and miss nothing while its line is down?"""

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from pydantic_core import from_json

from tests.e2e.system import PATIENCE_SECONDS, Json, Shop, System, sale, sku


class Stream:
    """An open stream, read by a thread of its own."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.started = threading.Event()
        self.last_id = ""
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self) -> Json:
        """The next event. Fails when none comes."""
        found = self._events.get(timeout=PATIENCE_SECONDS)
        assert found is not None, "the stream has ended"
        return found

    def changed(self, store_id: str, type_: str) -> Json:
        """The next event that names this change."""
        while True:
            found = self.next()
            if any(each["store_id"] == store_id and type_ in each["types"] for each in found["data"].get("stores", ())):
                return found

    def end(self) -> list[Json]:
        """Everything up to the end of the stream."""
        found = []
        while (event := self._events.get(timeout=PATIENCE_SECONDS)) is not None:
            found.append(event)
        return found

    def _read(self) -> None:
        event: dict[str, Any] = {}
        try:
            for line in self.answer.iter_lines():
                self.started.set()
                name, _, value = line.partition(": ")
                if name in {"id", "event", "data"}:
                    event[name] = value
                elif not line and event:
                    self.last_id = event.get("id", self.last_id)
                    if "data" in event:
                        self._events.put(event | {"data": from_json(event["data"]), "at": time.monotonic()})
                    event = {}
        except httpx2.HTTPError:
            pass
        self._events.put(None)


@contextmanager
def live(client: httpx2.Client, store: str | None = None, **headers: str) -> Iterator[Stream]:
    """A stream that is listening."""
    parameters = {"store": store} if store else {}
    with client.stream("GET", "/api/v2/live", params=parameters, headers=headers) as answer:
        assert answer.status_code == 200
        stream = Stream(answer)
        assert stream.started.wait(PATIENCE_SECONDS)
        yield stream


def test_a_sale_appears_within_a_second(shop: Shop) -> None:
    delays = []
    with live(shop.http, shop.store_id) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["x-accel-buffering"] == "no"
        assert stream.answer.headers["cache-control"] == "no-store"
        for _ in range(5):
            began = time.monotonic()
            event_id = shop.post("sales", sale(sku())).json()["event_id"]
            event = stream.changed(shop.store_id, "sale.recorded")
            delays.append(event["at"] - began)
            (change,) = event["data"]["stores"]
            assert change.keys() == {"store_id", "seq", "types"}
            told = shop.read(f"events/{event_id}")
            assert change["seq"] >= told["seq"]
            assert all(told["projections"].values()), "what is announced can be read"
    assert min(delays) < 1.0, delays


def test_a_stream_tells_of_the_tokens_stores_only(system: System) -> None:
    mine, other = system.open_store(), system.open_store()
    cashier = system.client("caissier", [mine.store_id])
    with live(cashier) as stream, live(system.client()) as everything:
        other.sell(sku())
        mine.sell(sku())
        assert {each["store_id"] for each in stream.changed(mine.store_id, "sale.recorded")["data"]["stores"]} == {mine.store_id}
        everything.changed(other.store_id, "sale.recorded")
    assert cashier.get("/api/v2/live", params={"store": other.store_id}).status_code == 403
    with live(system.client(), other.store_id) as stream:
        mine.sell(sku())
        other.sell(sku())
        assert {each["store_id"] for each in stream.next()["data"]["stores"]} == {other.store_id}


def test_a_till_hears_that_a_product_has_changed(system: System, shop: Shop) -> None:
    cashier = system.client("caissier", [shop.store_id])
    with live(cashier) as stream:
        product = {"name": {"fr": "Thé", "en": "Tea"}, "category": {"fr": "Thé", "en": "Tea"}, "price": "3.25"}
        assert shop.http.put(f"/api/v2/products/{sku()}", json=product, headers={"Prefer": "wait=10"}).status_code == 201
        stream.changed("siege", "product.defined")


def test_a_browser_that_comes_back_misses_nothing(shop: Shop) -> None:
    with live(shop.http, shop.store_id) as stream:
        shop.sell(sku())
        last = stream.changed(shop.store_id, "sale.recorded")["id"]
    missed = [shop.sell(sku())["seq"] for _ in range(3)]
    with live(shop.http, shop.store_id, **{"Last-Event-ID": last}) as stream:
        seen = [stream.next() for _ in missed]
        assert [event["data"]["stores"][0]["seq"] for event in seen] >= missed[:1]
        assert seen[-1]["data"]["stores"][0]["seq"] >= missed[-1]
        assert all(event["event"] == "changed" and event["id"] != last for event in seen)
    with live(shop.http, shop.store_id) as stream:
        assert stream.last_id or stream.next(), "the present place is told at once"
        before = stream.last_id
    shop.sell(sku())
    with live(shop.http, shop.store_id, **{"Last-Event-ID": before}) as stream:
        assert stream.changed(shop.store_id, "sale.recorded")["event"] == "changed"


@pytest.mark.parametrize("last_id", ["nonsense", "0" * 32, "é\n".encode().hex()])
def test_a_browser_that_was_away_too_long_begins_anew(shop: Shop, last_id: str) -> None:
    with live(shop.http, shop.store_id, **{"Last-Event-ID": last_id}) as stream:
        event = stream.next()
        assert (event["event"], event["data"]) == ("reset", {})
        assert event["id"] != last_id


def test_a_stream_ends_with_its_token(system: System, shop: Shop) -> None:
    began = time.monotonic()
    headers = system.headers("caissier", [shop.store_id], seconds=3)
    with httpx2.Client(base_url=system.url, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False) as client, live(client) as stream:
        stream.end()
        assert time.monotonic() - began < 6
        assert client.get("/api/v2/live").status_code == 401


def test_nobody_listens_without_a_token(system: System) -> None:
    assert httpx2.get(f"{system.url}/api/v2/live", trust_env=False).status_code == 401
