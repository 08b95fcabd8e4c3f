"""What do many people do at once: sell, take back, restock, search, look at reports? For Locust, which counts every refusal as an error.

    locust -f load/locustfile.py --headless --users 10 --spawn-rate 10 --run-time 60s --host http://127.0.0.1:8080

from the folder that holds `load`. Before the first request the stock of all shops is read, and after the last one it must have moved by
what was accepted, unit for unit; else the program ends with 1. Nobody else may sell in these shops meanwhile.

Each virtual user takes turns at the tills of all shops, signed in as the shop's own cashier, so that a gateway's bound per person isn't
what is measured. Where an answer is lost, the request is sent again with the same id, as a till does it.
"""

import json
import os
import random
import secrets
import time
from collections import deque
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Final

import gevent
from locust import FastHttpUser, constant, events, task
from locust.env import Environment

from load.ledger import Ledger, Moves
from load.shops import BASE, Chain, Shop

PREFIX: Final = "MAGASIN_LOAD_"
STORES: Final = tuple(filter(None, os.environ.get(f"{PREFIX}STORES", "").split(",")))
SEARCH: Final = os.environ.get(f"{PREFIX}SEARCH", "")
RESULT: Final = os.environ.get(f"{PREFIX}RESULT")
THINK_SECONDS: Final = float(os.environ.get(f"{PREFIX}THINK_SECONDS", "0"))
SETTLE_SECONDS: Final = float(os.environ.get(f"{PREFIX}SETTLE_SECONDS", "60"))
"""So long nothing may move while the last events come through."""
MOST_REQUESTS: Final = int(os.environ.get(f"{PREFIX}MOST_REQUESTS", "200000"))
AUTHORITY: Final = os.environ.get("MAGASIN_GATEWAY_CA")
LOOK_SECONDS: Final = 1.0
STOP_SECONDS: Final = 90.0
ATTEMPTS: Final = 3
LOST: Final = frozenset({0, 500, 502, 503, 504})
"""Nobody knows whether the system has what was sent."""
ACCEPTED: Final = frozenset({201, 202})
REMEMBERED: Final = 50
"""Sales of one virtual user of which something may come back."""


class Load:
    """What all virtual users share."""

    def __init__(self) -> None:
        folder = os.environ.get(f"{PREFIX}FOLDER")
        names = {name: os.environ[f"{PREFIX}{name.upper()}"] for name in ("cashier", "manager") if f"{PREFIX}{name.upper()}" in os.environ}
        self._more = {"folder": Path(folder) if folder else None, "authority": AUTHORITY, **names}
        self.ledger = Ledger()
        self.shops: list[Shop] = []
        self.before: dict[tuple[str, str], int] = {}
        self.numbers = count()
        self.began = self.ended = 0.0

    def open(self, url: str) -> None:
        """Sign everybody in, and look at the stock."""
        self.chain = Chain(url.rstrip("/"), os.environ.get("MAGASIN_DEMO_PASSWORD", "magasin-demo"), **self._more)  # type: ignore[arg-type]
        self.shops = self.chain.shops(STORES, SEARCH)
        self.before = self.chain.snapshot(self.shops)
        self.cashiers = {shop.store_id: self.chain.cashier_of(shop.store_id) for shop in self.shops}
        self.managers = {shop.store_id: self.chain.manager_of(shop.store_id) for shop in self.shops}

    def verify(self) -> dict[str, Any]:
        """Wait until everything has come through, and compare the stock with what was accepted."""
        self._learn()
        after = self.chain.snapshot(self.shops)
        moved_at = time.monotonic()
        while (wrong := self.ledger.differences(self.before, after)) and time.monotonic() - moved_at < SETTLE_SECONDS:
            gevent.sleep(LOOK_SECONDS)
            self._learn()
            latest = self.chain.snapshot(self.shops)
            if latest != after:
                after, moved_at = latest, time.monotonic()
        return {
            "facts": dict(self.ledger.facts),
            "cells": len(self.ledger.moved),
            "units": sum(map(abs, self.ledger.moved.values())),
            "unknown": len(self.ledger.doubtful),
            "differences": [asdict(each) for each in wrong],
        }

    def _learn(self) -> None:
        """Ask what became of the events whose answers never came. One that isn't known yet may still be on its way."""
        for event_id, store_id in self.ledger.unanswered():
            outcome = self.chain.outcome(event_id, self.managers[store_id]) or {}
            if outcome.get("status") in {"recorded", "refused"}:
                self.ledger.learn(event_id, happened=outcome["status"] == "recorded")


LOAD: Final = Load()


def new_id() -> str:
    """A UUIDv7: in order of time, so that the newest lie beside each other in every index."""
    bits = time.time_ns() // 1_000_000 << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    text = f"{bits:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Person(FastHttpUser):
    """Somebody who works in the shops, one request after the other."""

    wait_time = constant(THINK_SECONDS)
    network_timeout = 60.0
    connection_timeout = 30.0
    insecure = AUTHORITY is None
    max_retries = 0

    def on_start(self) -> None:
        """Take a place."""
        self.number = next(LOAD.numbers)
        self.random = random.Random(self.number)  # noqa: S311 - the same baskets every time, not a secret
        self.sold: deque[tuple[Shop, str, tuple[tuple[str, str], int]]] = deque(maxlen=REMEMBERED)
        self.turn = self.number

    @task(70)
    def sell(self) -> None:
        """A basket of one to five products."""
        shop = self._shop()
        lines = {
            each: self.random.randint(1, 3) for each in self.random.sample(shop.shelf, min(len(shop.shelf), self.random.randint(1, 5)))
        }
        body = {
            "till_id": f"charge-{self.number}",
            "lines": [{"sku": sku, "quantity": units, "unit_price": price} for (sku, price), units in lines.items()],
            "payment": {"method": "card"},
        }
        moves = {(shop.store_id, sku): -units for (sku, _), units in lines.items()}
        sale_id = new_id()
        if self._told("sale", shop, f"/stores/{shop.store_id}/sales", body, moves, event_id=sale_id):
            self.sold.append((shop, sale_id, next(iter(lines.items()))))

    @task(8)
    def take_back(self) -> None:
        """The first line of an earlier sale comes back; who has sold nothing yet, sells."""
        if not self.sold:
            self.sell()
            return
        shop, sale_id, ((sku, _), units) = self.sold.popleft()
        body = {"reason": "échange", "lines": [{"sku": sku, "quantity": units, "condition": "resellable"}]}
        path = f"/stores/{shop.store_id}/sales/{sale_id}/returns"
        self._told("return", shop, path, body, {(shop.store_id, sku): units}, waits=True)

    @task(1)
    def restock(self) -> None:
        """A cashier asks the centre for goods, a manager grants and ships them, and they arrive: four requests."""
        shop = self._shop()
        sku, units = self.random.choice(shop.shelf)[0], self.random.randint(1, 12)
        if shop.centre is None:
            return
        restock_id, lines = new_id(), [{"sku": sku, "quantity": units}]
        asked = {"to_store": shop.store_id, "lines": lines}
        path = f"/restocks/{restock_id}"
        _ = (
            self._told("restock", shop, "/restocks", asked, {}, event_id=restock_id, waits=True)
            and self._told("restock: approve", shop, f"{path}/approve", {}, {}, manages=True, waits=True)
            and self._told("restock: ship", shop, f"{path}/ship", {}, {(shop.centre, sku): -units}, manages=True, waits=True)
            and self._told(
                "restock: receive",
                shop,
                f"{path}/receive",
                {"lines": [{"sku": sku, "received": units}]},
                {(shop.store_id, sku): units},
                manages=True,
                waits=True,
            )
        )

    @task(12)
    def search(self) -> None:
        """Look for a product, or how much of it there is."""
        shop = self._shop()
        sku = self.random.choice(shop.shelf)[0]
        headers = self._headers(LOAD.cashiers[shop.store_id])
        if self.random.random() < 0.5:  # noqa: PLR2004 - one half
            self.client.get(f"{BASE}/products?search={sku}&limit=20", headers=headers, name="search: product")
        else:
            self.client.get(f"{BASE}/stock?store={shop.store_id}&sku={sku}", headers=headers, name="search: stock")

    @task(6)
    def report(self) -> None:
        """Look at a report of one's shop."""
        shop = self._shop()
        name = self.random.choice(("consolidated", "daily-sales", "top-products", "low-stock"))
        headers = self._headers(LOAD.managers[shop.store_id])
        self.client.get(f"{BASE}/reports/{name}?store={shop.store_id}&limit=20", headers=headers, name=f"report: {name}")

    def _shop(self) -> Shop:
        self.turn += 1
        return LOAD.shops[self.turn % len(LOAD.shops)]

    def _headers(self, bearer: dict[str, str]) -> dict[str, str]:
        return {**bearer, "X-Client-Id": f"charge-{self.number}"}

    def _told(  # noqa: PLR0913 - one command in all its parts
        self,
        kind: str,
        shop: Shop,
        path: str,
        body: dict[str, Any],
        moves: Moves,
        *,
        event_id: str | None = None,
        manages: bool = False,
        waits: bool = False,
    ) -> bool:
        """Give a command, again with the same id when its answer is lost; whether the system has taken it."""
        key = event_id or new_id()
        bearer = (LOAD.managers if manages else LOAD.cashiers)[shop.store_id]
        headers = {**self._headers(bearer), "Idempotency-Key": key, **({"Prefer": "wait=10"} if waits else {})}
        LOAD.ledger.doubt(kind, shop.store_id, key, moves)  # until its answer comes, and for ever if the run ends before
        status = 0
        for _ in range(ATTEMPTS):
            status = self.client.post(BASE + path, json=body, headers=headers, name=kind).status_code or 0
            if status not in LOST:
                break
        if status not in LOST and not (waits and status == 202):  # noqa: PLR2004 - accepted, but what became of it nobody has said
            LOAD.ledger.learn(key, happened=status in ACCEPTED)
        return status == 201 if waits else status == 202  # noqa: PLR2004 - recorded, or accepted


def _bounded(environment: Environment) -> None:
    while environment.stats.total.num_requests < MOST_REQUESTS:
        gevent.sleep(LOOK_SECONDS / 4)
    if environment.runner:
        environment.runner.quit()


@events.init.add_listener
def _open(environment: Environment, **_: object) -> None:
    # Before the clock of the run starts. At its end everybody finishes what is under way.
    environment.stop_timeout = environment.stop_timeout or STOP_SECONDS
    LOAD.open(environment.host or "http://127.0.0.1:8080")


@events.test_start.add_listener
def _begin(environment: Environment, **_: object) -> None:
    LOAD.began = time.time()
    gevent.spawn(_bounded, environment)


@events.test_stopping.add_listener
def _end(environment: Environment, **_: object) -> None:
    del environment
    LOAD.ended = time.time()


@events.quitting.add_listener
def _tell(environment: Environment, **_: object) -> None:
    total = environment.stats.total
    verified = LOAD.verify()
    rows = [
        {"name": each.name, "requests": each.num_requests, "errors": each.num_failures, "p95_ms": each.get_response_time_percentile(0.95)}
        for each in environment.stats.entries.values()
    ]
    result = {
        "began": LOAD.began,
        "ended": LOAD.ended,
        "requests": total.num_requests,
        "errors": total.num_failures,
        "sales": LOAD.ledger.facts["sale"],
        **{f"p{part}_ms": total.get_response_time_percentile(part / 100) for part in (50, 95, 99)},
        "by_name": rows,
        "refusals": {f"{each.name}: {each.error}": each.occurrences for each in environment.stats.errors.values()},
        "verified": verified,
    }
    if RESULT:
        Path(RESULT).write_text(json.dumps(result, indent=1), encoding="utf-8")
    if verified["differences"]:
        environment.process_exit_code = 1
