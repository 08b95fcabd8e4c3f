"""What is there to sell, in which shops, by whom; and how much of it lies there now?

Standard library only: it runs beside Locust, in an environment or a container that has nothing else of the project.
"""

import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from load.ledger import Cell

BASE: Final = "/api/v2"
PAGE: Final = 500
MOST_PAGES: Final = 100
PRODUCT_PAGES: Final = 4
ANSWER_SECONDS: Final = 60
ATTEMPTS: Final = 5
PAUSE_SECONDS: Final = 1.0
TOKEN_MARGIN_SECONDS: Final = 180.0
NOT_FOUND: Final = 404
BUSY: Final = frozenset({429, 502, 503, 504})

Json = dict[str, Any]


class Unusable(RuntimeError):
    """The system can't be loaded; the message says why."""


@dataclass(frozen=True)
class Shop:
    """A shop with what can be sold in it: SKU and price."""

    store_id: str
    centre: str | None
    shelf: tuple[tuple[str, str], ...]


@dataclass
class Chain:
    """The system as a program sees it that isn't measured: signing in, looking, asking what became of something.

    `cashier` and `manager` are the names of the accounts, with ``{store}`` where the shop's own name belongs. Tokens are kept in
    `folder`, if one is given, for the next program that loads the same system.
    """

    url: str
    password: str
    cashier: str = "caissier-{store}"
    manager: str = "gestionnaire"
    folder: Path | None = None
    authority: str | None = None
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the tokens of the program before."""
        context = ssl.create_default_context(cafile=self.authority)
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
        if self.folder and (self.folder / "tokens.json").exists():
            kept = json.loads((self.folder / "tokens.json").read_text(encoding="utf-8"))
            self._tokens = {name: (str(token), float(until)) for name, (token, until) in kept.items()}

    def bearer(self, account: str) -> dict[str, str]:
        """The header of a request of that account; signs in when there is no token that lives long enough."""
        token, until = self._tokens.get(account, ("", 0.0))
        if until < time.time() + TOKEN_MARGIN_SECONDS:
            form = urlencode({"username": account, "password": self.password}).encode()
            answer = self._asked("/auth/token", {"Content-Type": "application/x-www-form-urlencoded"}, form)
            token, until = str(answer["access_token"]), time.time() + float(answer["expires_in"])
            self._tokens[account] = (token, until)
            self._keep()
        return {"Authorization": f"Bearer {token}"}

    def cashier_of(self, store_id: str) -> dict[str, str]:
        """The header of a cashier's request."""
        return self.bearer(self.cashier.format(store=store_id))

    def manager_of(self, store_id: str) -> dict[str, str]:
        """The header of a manager's request."""
        return self.bearer(self.manager.format(store=store_id))

    def shops(self, only: tuple[str, ...], search: str) -> list[Shop]:
        """The shops that are asked for (all, if none is), with the products that `search` finds among their stock. Raises Unusable."""
        first = only[0] if only else ""
        whole = self.manager_of(first) if only else self.bearer(self.manager.partition("-{store}")[0])
        stores = [each for each in self._all("/stores", whole, MOST_PAGES) if not only or each["store_id"] in only]
        shops = [each for each in stores if each["kind"] == "store"]
        wanted = {"search": search} if search else {}
        prices = {str(each["sku"]): str(each["price"]) for each in self._all("/products", whole, PRODUCT_PAGES, **wanted) if each["price"]}
        made = []
        for each in shops:
            held = self.stock(str(each["store_id"]), self.cashier_of(each["store_id"]))
            shelf = tuple((sku, prices[sku]) for (_, sku) in sorted(held) if sku in prices)
            if shelf:
                made.append(Shop(str(each["store_id"]), each.get("centre"), shelf))
        if not made:
            raise Unusable(f"no shop of {self.url} has products in stock that can be sold. Start a system with the demonstration's data")
        return made

    def stock(self, store_id: str, headers: Mapping[str, str]) -> dict[Cell, int]:
        """Units of every SKU of a store."""
        return {(store_id, str(each["sku"])): int(each["on_hand"]) for each in self._all("/stock", headers, MOST_PAGES, store=store_id)}

    def snapshot(self, shops: list[Shop]) -> dict[Cell, int]:
        """The stock of all shops and of their centres."""
        found: dict[Cell, int] = {}
        for shop in shops:
            found |= self.stock(shop.store_id, self.cashier_of(shop.store_id))
        for centre in sorted({shop.centre: shop.store_id for shop in shops if shop.centre}.items()):
            found |= self.stock(centre[0], self.manager_of(centre[1]))
        return found

    def outcome(self, event_id: str, headers: Mapping[str, str]) -> Json | None:
        """What became of an event; None when the system doesn't know it."""
        try:
            return self._asked(f"/events/{event_id}", headers)
        except HTTPError as error:
            if error.code == NOT_FOUND:
                return None
            raise

    def _all(self, path: str, headers: Mapping[str, str], most_pages: int, **parameters: str) -> Iterator[Json]:
        link: str | None = f"{path}?{urlencode({'limit': PAGE, **parameters})}"
        for _ in range(most_pages):
            if link is None:
                return
            items, link = self._page(link, headers)
            yield from items

    def _page(self, path: str, headers: Mapping[str, str]) -> tuple[list[Json], str | None]:
        with self._open(path, headers) as answer:
            following = answer.headers.get("Link") or ""
            items: list[Json] = json.load(answer)["items"]
        address = following.partition("<")[2].partition(">")[0]
        return items, address.partition(BASE)[2] or None

    def _asked(self, path: str, headers: Mapping[str, str], content: bytes | None = None) -> Json:
        with self._open(path, headers, content) as answer:
            found: Json = json.load(answer)
        return found

    def _open(self, path: str, headers: Mapping[str, str], content: bytes | None = None) -> Any:  # noqa: ANN401 - urllib has no type for it
        request = Request(self.url + BASE + quote(path, safe="/?&=%-._~+"), data=content, headers=dict(headers))  # noqa: S310 - its owner's
        for attempt in range(ATTEMPTS):
            try:
                return self._opener.open(request, timeout=ANSWER_SECONDS)
            except HTTPError as error:
                if error.code not in BUSY or attempt == ATTEMPTS - 1:
                    raise
            except OSError:
                if attempt == ATTEMPTS - 1:
                    raise
            time.sleep(PAUSE_SECONDS * 2**attempt)
        raise AssertionError

    def _keep(self) -> None:
        if self.folder:
            path = self.folder / "tokens.json"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._tokens, file)
