"""How much longer does a sale take while a projection is built again? ``python -m bench.beside`` against the system that runs here.

Meant for a system with the whole year (``make run``, ``make load-year``) and the demonstration's accounts. The rebuild waits and works in
turn, so that both kinds of sales are of the same minutes; those of a stretch at whose end it wasn't at work any more don't count. Each sale
is one line in a shop drawn by lot, one time asked until it is accepted, one time until it is recorded. Nobody sees anything of the build:
it is given up in the end. The sales stay, some two thousand.
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any, Final

import httpx2

from infra.settings import settings
from magasin import house, state

BASE: Final = "/api/v2"
SELLER, OPERATOR = "admin", "operateur"
STRETCH_SECONDS: Final = 6.0
PAUSE_SECONDS: Final = 0.05
"""Between two sales: about twenty a second, as a chain of some hundred shops has them."""
MOST_STRETCHES: Final = 20
REQUEST_SECONDS: Final = 30.0
MOST_RATIO: Final = 1.5
PARTS: Final = {"median": 50, "nine of ten within": 90, "95 of 100 within": 95}


@dataclass(slots=True)
class Times:
    """Milliseconds of each sale."""

    accepted: list[float] = field(default_factory=list)
    recorded: list[float] = field(default_factory=list)

    def add(self, other: "Times") -> None:
        """Take those of another stretch."""
        self.accepted += other.accepted
        self.recorded += other.recorded


class Shops:
    """The system as tills and an operator have it."""

    def __init__(self, url: str, password: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)
        self._as = {name: self._signed_in(name, password) for name in (SELLER, OPERATOR)}
        shown = self._http.get(f"{BASE}/stores", params={"limit": 100}, headers=self._as[SELLER]).raise_for_status()
        self._stores = [row["store_id"] for row in shown.json()["items"]]
        products = self._http.get(f"{BASE}/products", params={"limit": 100}, headers=self._as[SELLER]).raise_for_status()
        self._skus = [row["sku"] for row in products.json()["items"]]
        self._chance = random.Random(1)  # noqa: S311 - draws shops, keeps no secret

    def _signed_in(self, name: str, password: str) -> dict[str, str]:
        answer = self._http.post(f"{BASE}/auth/token", data={"username": name, "password": password}).raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def sell(self, seconds: float) -> Times:
        """Sell for so long, one sale after the other."""
        times = Times()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            times.accepted.append(self._sale({}))
            times.recorded.append(self._sale({"Prefer": "wait=10"}))
        return times

    def _sale(self, more: dict[str, str]) -> float:
        path = f"{BASE}/stores/{self._chance.choice(self._stores)}/sales"
        sale = {"lines": [{"sku": self._chance.choice(self._skus), "quantity": 1, "unit_price": "2.50"}]}
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        self._http.post(path, json=sale, headers=self._as[SELLER] | more).raise_for_status()
        return (time.perf_counter() - began) * 1_000

    def begin(self, projection: str) -> str:
        """Begin a rebuild that waits; its id."""
        asked = {"projection": projection, "reason": "measured"}
        answer = self._http.post(f"{BASE}/ops/rebuilds", json=asked, headers=self._as[OPERATOR]).raise_for_status()
        rebuild = str(answer.json()["id"])
        self.order(rebuild, "pause")
        return rebuild

    def order(self, rebuild: str, verb: str) -> None:
        """Let it pause, resume or be given up."""
        self._http.post(f"{BASE}/ops/rebuilds/{rebuild}/{verb}", headers=self._as[OPERATOR]).raise_for_status()

    def told(self, rebuild: str) -> dict[str, Any]:
        """How it does."""
        answer = self._http.get(f"{BASE}/ops/rebuilds/{rebuild}", headers=self._as[OPERATOR]).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


def measure(shops: Shops, projection: str, without: Times, beside: Times) -> None:
    """Sell without and beside one rebuild in turn, until it is made."""
    rebuild = shops.begin(projection)
    try:
        for _ in range(MOST_STRETCHES):
            alone = shops.sell(STRETCH_SECONDS)
            shops.order(rebuild, "resume")
            together = shops.sell(STRETCH_SECONDS)
            if shops.told(rebuild)["state"] != "running":
                return
            without.add(alone)
            beside.add(together)
            shops.order(rebuild, "pause")
    finally:
        shops.order(rebuild, "cancel")


def compared(name: str, without: Sequence[float], beside: Sequence[float]) -> bool:
    """Print one comparison; whether it stays within what is allowed."""
    alone, together = quantiles(without, n=100), quantiles(beside, n=100)
    parts = [(label, alone[part - 1], together[part - 1]) for label, part in PARTS.items()]
    told = "; ".join(f"{label} {after:.1f} ms instead of {before:.1f} ({after / before:.2f} x)" for label, before, after in parts)
    sys.stdout.write(f"{name}: {told}\n")
    return all(after <= MOST_RATIO * before for _, before, after in parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print how much longer sales take; 1 when it is more than half as long again."""
    parser = argparse.ArgumentParser(description="Times sales without and beside a rebuild, in turn.")
    parser.add_argument("projection", nargs="?", default="daily-sales")
    parser.add_argument("--rebuilds", type=int, default=4, help="how many, one after the other")
    asked = parser.parse_args(arguments)
    url = os.environ.get("MAGASIN_URL") or state.addresses(house.home_of(settings()))["MAGASIN_URL"]
    without, beside = Times(), Times()
    for _ in range(asked.rebuilds):
        # Each signs in anew: that holds for some minutes.
        measure(Shops(url, settings().demo_password), asked.projection, without, beside)
    if not beside.accepted:
        sys.stdout.write("The rebuild was made before anything could be sold beside it.\n")
        return 1
    sys.stdout.write(f"{asked.projection}, {len(without.accepted)} and {len(beside.accepted)} sales of each kind\n")
    kept = [
        compared("accepted", without.accepted, beside.accepted),
        compared("recorded", without.recorded, beside.recorded),
    ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
