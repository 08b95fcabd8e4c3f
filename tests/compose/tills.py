"""How do tills sell while everything behind them is restarted, so that at the end it is known what must be in stock?

Each sends a sale under the sale's own id until the API has accepted it, as a till does: what had no answer is sent again.
"""

import threading
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx2

TIMEOUT_SECONDS = 20.0
PATIENCE_SECONDS = 300.0
"""For one sale, and for whatever has to be seen at the end: a restart takes a while on a machine that does everything else, too."""
LOOK_SECONDS = 0.5
BETWEEN_SALES_SECONDS = 0.05
PRICE = "2.50"
AWAY = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError)
"""Nobody answered, or not to the end."""
ACCEPTED = {httpx2.codes.ACCEPTED, httpx2.codes.CREATED}


class Refused(RuntimeError):
    """The API gave an answer that no till should get."""


class Chain:
    """One shop as its administrator sees it, by the API at `url`."""

    def __init__(self, url: str, password: str, store_id: str) -> None:
        """Nobody is signed in yet."""
        self._http = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._password = password
        self._signing_in = threading.Lock()
        self._token = ""
        self.store_id = store_id

    def open(self, opening: dict[str, int]) -> None:
        """Open the store and let it have so many of each SKU. Returns when both are everywhere."""
        details = {"name": "Essai", "kind": "store", "timezone": "America/Toronto", "currency": "CAD"}
        self.insist("PUT", f"stores/{self.store_id}", details)
        self.until(lambda: self.read(f"stores/{self.store_id}"), "the store")
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in opening.items()]
        self.insist("POST", f"stores/{self.store_id}/deliveries", {"delivery_id": str(uuid4()), "supplier": "Moulin", "lines": lines})
        self.until(lambda: self.stock(opening) == opening, "the opening stock")

    def sell(self, sku: str, quantity: int) -> None:
        """One sale, sent until it is accepted."""
        body = {"sale_id": str(uuid4()), "lines": [{"sku": sku, "quantity": quantity, "unit_price": PRICE}]}
        self.insist("POST", f"stores/{self.store_id}/sales", body)

    def stock(self, skus: dict[str, int]) -> dict[str, int]:
        """What is on hand of each of these."""
        found = {sku: self.read("stock", store=self.store_id, sku=sku)["items"] for sku in skus}
        return {sku: int(items[0]["on_hand"]) for sku, items in found.items() if items}

    def sold_units(self) -> int:
        """What the report of the days says, which the projector keeps."""
        return sum(int(row["units"]) for row in self.read("reports/daily-sales", store=self.store_id)["items"])

    def read(self, what: str, **asked: str) -> Any:  # noqa: ANN401 - JSON as the API answers it
        """A read. Raises Refused."""
        answer = self._ask("GET", what, None, asked)
        if answer.status_code != httpx2.codes.OK:
            raise Refused(f"GET {what}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def insist(self, method: str, what: str, body: Any) -> None:  # noqa: ANN401 - JSON as the API takes it
        """Send a command until it is accepted; only an answer that means "later" is followed by another try. Raises Refused."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self._ask(method, what, body)
            except AWAY:
                time.sleep(LOOK_SECONDS)
                continue
            if answer.status_code in ACCEPTED:
                return
            if answer.status_code < httpx2.codes.INTERNAL_SERVER_ERROR:
                raise Refused(f"{method} {what}: {answer.status_code} {answer.text[:300]}")
            time.sleep(LOOK_SECONDS)
        raise Refused(f"{method} {what} was not accepted within {PATIENCE_SECONDS:.0f} s")

    def until(self, look: Any, what: str) -> None:  # noqa: ANN401 - a question without arguments
        """Wait until the question is answered with yes. Raises Refused when it never is."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                if look():
                    return
            except (*AWAY, Refused):
                pass
            time.sleep(LOOK_SECONDS)
        raise Refused(f"{what} was not there after {PATIENCE_SECONDS:.0f} s")

    def _ask(self, method: str, what: str, body: Any, asked: dict[str, str] | None = None) -> httpx2.Response:  # noqa: ANN401 - JSON
        """The answer; that of the signing in where that is what failed."""
        token = self._token
        answer = self._send(method, what, body, asked)
        if answer.status_code != httpx2.codes.UNAUTHORIZED:
            return answer
        refused = self._sign_in(token)
        return refused or self._send(method, what, body, asked)

    def _send(self, method: str, what: str, body: Any, asked: dict[str, str] | None) -> httpx2.Response:  # noqa: ANN401 - JSON
        signed = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._http.request(method, f"/api/v2/{what}", json=body, params=asked, headers=signed)

    def _sign_in(self, last: str) -> httpx2.Response | None:
        with self._signing_in:
            if self._token == last:
                answer = self._http.post("/api/v2/auth/token", data={"username": "admin", "password": self._password})
                if answer.status_code != httpx2.codes.OK:
                    return answer
                self._token = answer.json()["access_token"]
        return None


class Tills:
    """Several that sell at the same time until told to stop. `sold` are the units of each SKU that the API has accepted."""

    def __init__(self, chain: Chain, skus: list[str], tills: int) -> None:
        """Nobody sells yet."""
        self._chain = chain
        self._skus = skus
        self._over = threading.Event()
        self._counting = threading.Lock()
        self._trouble: list[Exception] = []
        self.sales = 0
        self.sold: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._sell, args=(number,), name=f"till-{number}") for number in range(tills)]

    def start(self) -> None:
        """Begin to sell."""
        for thread in self._threads:
            thread.start()

    def until_sold(self, more: int) -> None:
        """Wait until so many more sales are accepted. Raises Refused when nothing goes on."""
        wanted = self.sales + more
        self._chain.until(lambda: self._trouble or self.sales >= wanted, f"{more} more sales")
        self._complain()

    def stop(self) -> None:
        """Let each finish its sale. Raises what went wrong at a till."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._complain()

    def _complain(self) -> None:
        if self._trouble:
            raise self._trouble[0]

    def _sell(self, number: int) -> None:
        count = number
        try:
            while not self._over.wait(BETWEEN_SALES_SECONDS):
                sku, quantity = self._skus[count % len(self._skus)], 1 + count % 3
                self._chain.sell(sku, quantity)
                count += 1
                with self._counting:
                    self.sales += 1
                    self.sold[sku] += quantity
        except Exception as error:  # noqa: BLE001 - told by whoever waits for this till
            self._trouble.append(error)
