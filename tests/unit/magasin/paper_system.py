"""A system of dictionaries behind the contract's addresses: what the demonstration is tested against where nothing runs.

It keeps what it is told exactly once, answers in pages, forgets tokens, and misbehaves when asked to.
"""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import httpx2

from magasin.demo_client import Client

PASSWORD = "open"  # noqa: S105 - of a system of dictionaries
TORONTO = ZoneInfo("America/Toronto")


async def no_pause(_seconds: float) -> None:
    """Wait for nothing: this system has no clock."""


class PaperSystem:
    """`troubles` are answered first, before anything is looked at; `lag` is how often an event is asked for before it is projected."""

    def __init__(self, *, page: int = 500, lag: int = 0) -> None:
        self.page = page
        self.lag = lag
        self.troubles: deque[int | Exception] = deque()
        self.forbidden: set[str] = set()
        self.refused: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.signed_in: Counter[str] = Counter()
        self.accounts: Counter[tuple[str, str]] = Counter()
        self.tokens: dict[str, str] = {}
        self.token_seconds = 900
        self.stores: dict[str, dict[str, object]] = {}
        self.products: dict[str, dict[str, object]] = {}
        self.events: dict[str, bytes] = {}
        self.changes: Counter[str] = Counter()
        self.sales: dict[tuple[str, str], dict[str, object]] = {}
        self.movements: defaultdict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
        self._looked: Counter[str] = Counter()

    def client(self, patience_seconds: float = 5.0) -> Client:
        """A client of this system that never sleeps."""
        return Client(
            "http://paper", PASSWORD, patience_seconds=patience_seconds, transport=httpx2.MockTransport(self.answer), pause=no_pause
        )

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """One request, as the interface would answer it."""
        path = request.url.path.removeprefix("/api/v2")
        self.asked[f"{request.method} {path}"] += 1
        if self.troubles:
            trouble = self.troubles.popleft()
            if isinstance(trouble, Exception):
                raise trouble
            return httpx2.Response(trouble, headers={"Retry-After": "2"}, json={"code": "trouble", "detail": "On paper."})
        if path == "/auth/token":
            return self._sign_in(request)
        account = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            return problem(401, "unauthorized")
        self.accounts[account, request.method] += 1
        if path.rpartition("/")[2] in self.forbidden:
            return problem(403, "forbidden")
        parts = path.strip("/").split("/")
        return self._read(request, parts) if request.method == "GET" else self._command_of(request, parts)

    def forget_tokens(self) -> None:
        """The signing key has changed."""
        self.tokens.clear()

    def sell(self, store_id: str, sale: dict[str, object]) -> None:
        """Record a sale, from whoever."""
        self._record(str(sale["sale_id"]), json.dumps(sale).encode(), lambda: self._take(store_id, sale))

    def _command_of(self, request: httpx2.Request, parts: list[str]) -> httpx2.Response:
        match parts:
            case ["stores", store_id]:
                return self._define(request, self.stores, store_id)
            case ["products", sku]:
                return self._define(request, self.products, sku)
            case ["stores", store_id, "deliveries"]:
                return self._command(request, "delivery_id", lambda body: self._bring(store_id, body))
            case ["stores", store_id, "sales"]:
                return self._command(request, "sale_id", lambda body: self._take(store_id, body))
        return problem(404, "not_found")

    def _read(self, request: httpx2.Request, parts: list[str]) -> httpx2.Response:
        match parts:
            case ["events", event_id]:
                return self._event(event_id)
            case ["stores", store_id, "sales", sale_id]:
                sale = self.sales.get((store_id, sale_id))
                return problem(404, "not_found") if sale is None else httpx2.Response(200, json=sale)
        items = self._items(request, parts)
        return problem(404, "not_found") if items is None else self._list(request, items)

    def _items(self, request: httpx2.Request, parts: list[str]) -> list[dict[str, object]] | None:
        match parts:
            case ["products"]:
                return [{"sku": sku} for sku in sorted(self.products)]
            case ["stores", store_id, "sales"]:
                return self._sales_of(store_id, request)
            case ["stores", store_id, "stock", sku, "movements"]:
                return self.movements[store_id, sku]
            case ["stock"]:
                return self._levels(query(request, "store"))
            case ["reports", "daily-sales"]:
                return self._days()
        return None

    def _sign_in(self, request: httpx2.Request) -> httpx2.Response:
        form = parse_qs(request.content.decode())
        if form["password"] != [PASSWORD]:
            return problem(401, "unauthorized")
        account = form["username"][0]
        self.signed_in[account] += 1
        token = f"{account}-{self.signed_in[account]}"
        self.tokens[token] = account
        return httpx2.Response(200, json={"access_token": token, "expires_in": self.token_seconds, "role": "any"})

    def _define(self, request: httpx2.Request, things: dict[str, dict[str, object]], name: str) -> httpx2.Response:
        event_id = request.headers["Idempotency-Key"]
        self._record(event_id, request.content, lambda: things.__setitem__(name, json.loads(request.content)))
        return httpx2.Response(202, json={"event_id": event_id, "status": "accepted"})

    def _command(self, request: httpx2.Request, id_field: str, effect: Callable[[dict[str, object]], None]) -> httpx2.Response:
        body = json.loads(request.content)
        if self.events.get(body[id_field], request.content) != request.content:
            return problem(422, "idempotency_mismatch")
        self._record(body[id_field], request.content, lambda: effect(body))
        return httpx2.Response(202, json={"event_id": body[id_field], "status": "accepted"})

    def _record(self, event_id: str, content: bytes, effect: Callable[[], None]) -> None:
        self.changes[event_id] += 0
        if event_id not in self.events:
            self.events[event_id] = content
            self.changes[event_id] += 1
            effect()

    def _bring(self, store_id: str, body: dict[str, object]) -> None:
        for line in lines_of(body):
            self.movements[store_id, str(line["sku"])].append({"event_id": body["delivery_id"], "delta": line["quantity"]})

    def _take(self, store_id: str, body: dict[str, object]) -> None:
        for line in lines_of(body):
            self.movements[store_id, str(line["sku"])].append({"event_id": body["sale_id"], "delta": -int(str(line["quantity"]))})
        total = sum((Decimal(str(line["line_total"])) for line in lines_of(body)), Decimal(0))
        units = sum(int(str(line["quantity"])) for line in lines_of(body))
        key = (store_id, str(body["sale_id"]))
        self.sales[key] = {
            "sale_id": body["sale_id"],
            "occurred_at": body["occurred_at"],
            "total": str(total),
            "units": units,
            "seq": len(self.sales),
        }

    def _event(self, event_id: str) -> httpx2.Response:
        if event_id not in self.events:
            return problem(404, "not_found")
        self._looked[event_id] += 1
        done = self._looked[event_id] > self.lag
        if event_id in self.refused:
            return httpx2.Response(200, json={"event_id": event_id, "status": "refused", "reason": "insufficient_stock"})
        status = "recorded" if done or self._looked[event_id] % 2 else "accepted"
        return httpx2.Response(200, json={"event_id": event_id, "status": status, "seq": 1, "projections": {"daily-sales": done}})

    def _levels(self, store_id: str) -> list[dict[str, object]]:
        on_hand = {sku: sum(int(str(one["delta"])) for one in moved) for (store, sku), moved in self.movements.items() if store == store_id}
        return [{"store_id": store_id, "sku": sku, "on_hand": units} for sku, units in sorted(on_hand.items())]

    def _days(self) -> list[dict[str, object]]:
        days: defaultdict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
        for (store_id, _), sale in self.sales.items():
            days[day_of(sale), store_id].append(sale)
        return [
            {
                "business_date": day,
                "store_id": store_id,
                "sales": len(sales),
                "units": sum(int(str(sale["units"])) for sale in sales),
                "revenue": str(sum(Decimal(str(sale["total"])) for sale in sales)),
            }
            for (day, store_id), sales in sorted(days.items())
        ]

    def _sales_of(self, store_id: str, request: httpx2.Request) -> list[dict[str, object]]:
        first, last = query(request, "from"), query(request, "to")
        recorded = [sale for (store, sale_id), sale in self.sales.items() if store == store_id and sale_id not in self.refused]
        return [sale for sale in recorded if first <= day_of(sale) <= last]

    def _list(self, request: httpx2.Request, items: list[dict[str, object]]) -> httpx2.Response:
        after = int(request.url.params.get("after", "0"))
        following = after + min(self.page, int(query(request, "limit")))
        headers = {}
        if following < len(items):
            link = request.url.copy_set_param("after", str(following)).copy_with(host="elsewhere")
            headers["Link"] = f'<{link}>; rel="next"'
        return httpx2.Response(200, headers=headers, json={"items": items[after:following], "meta": {}})


def lines_of(body: dict[str, object]) -> list[dict[str, object]]:
    """The lines of a command's body."""
    lines = body["lines"]
    assert isinstance(lines, list)
    return lines


def day_of(sale: dict[str, object]) -> str:
    """The business date of a sale."""
    return datetime.fromisoformat(str(sale["occurred_at"])).astimezone(TORONTO).date().isoformat()


def query(request: httpx2.Request, name: str) -> str:
    """A parameter that must be there."""
    return str(request.url.params[name])


def problem(status: int, code: str) -> httpx2.Response:
    """Problem details."""
    return httpx2.Response(status, json={"code": code, "detail": "On paper.", "title": "No"})
