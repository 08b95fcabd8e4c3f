"""Does a shop that was opened by one request sell at once, and does headquarters see it?"""

import secrets
import sys
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tests.e2e.system import PRICE, Shop, System, sale, sku

ZONE = "America/Vancouver"


def test_a_shop_sells_seconds_after_one_request(system: System) -> None:
    shop = Shop(system, f"n-{secrets.token_hex(5)}", system.client())
    till = Shop(system, shop.store_id, system.client("caissier", [shop.store_id]))
    article, began = sku(), time.monotonic()
    assert till.post("sales", sale(article)).json()["code"] == "unknown_store"
    opened = shop.http.put(shop.path, json={"name": "Nouvelle succursale", "timezone": ZONE}, headers={"Prefer": "wait=10"})
    assert (opened.status_code, opened.json()["seq"]) == (201, 1)
    sold = till.post("sales", sale(article, 2), prefer="wait=10")
    assert (sold.status_code, sold.json()["seq"]) == (201, 2)
    till.settled(sold.json()["event_id"])
    assert shop.on_hand(article) == -2
    day = shop.day()
    assert (day["business_date"], day["units"], day["revenue"]) == (
        f"{datetime.now(UTC).astimezone(ZoneInfo(ZONE)):%Y-%m-%d}",
        2,
        f"{2 * float(PRICE):.2f}",
    )
    assert shop.read(f"stores/{shop.store_id}")["name"] == "Nouvelle succursale"
    sys.stdout.write(f"opened, sold and seen in stock and report within {time.monotonic() - began:.2f} s\n")


def test_a_sale_sent_right_behind_the_opening_is_taken(system: System) -> None:
    shop = Shop(system, f"n-{secrets.token_hex(5)}", system.client())
    assert shop.http.put(shop.path, json={"name": "Pressée"}).status_code == 202

    def sold() -> bool:
        return shop.post("sales", sale("A")).status_code == 202

    began = time.monotonic()
    while not sold():
        assert time.monotonic() - began < 20, "the shop never opens"
    assert shop.read(f"stores/{shop.store_id}")["store_id"] == shop.store_id


def test_opening_a_shop_again_changes_nothing(system: System) -> None:
    shop = system.open_store(name="Une fois")
    body = {"name": "Une fois", "kind": "store", "timezone": "America/Toronto", "currency": "CAD"}
    key = secrets.token_hex(8)
    first, second = (shop.http.put(shop.path, json=body, headers={"Prefer": "wait=10", "Idempotency-Key": key}) for _ in range(2))
    assert first.json() == second.json()
    assert shop.sell("A")["seq"] == first.json()["seq"] + 1
