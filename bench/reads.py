"""How long do the reports, the searches and stock of the past take over HTTP? ``python -m bench.reads`` against the system that runs here.

Meant for a system with the whole year (``make run``, ``make load-year``) and the demonstration's accounts. Every grouping that a report has
is asked over the whole year and all shops. Each request carries a number that nobody reads, so that no answer comes from the cache;
"again" is the same request once more, which may. "Stolen" is how much of the processor time that was wanted meanwhile the host of a
virtual machine gave to others: where it is much, p99 is the host's.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from math import ceil
from typing import Any, Final

import httpx2
from rich.console import Console
from rich.table import Table

from bench.usage import wanted
from infra.settings import settings
from magasin import house, state

READER: Final = "gestionnaire"
BASE: Final = "/api/v2"
ROUNDS: Final = 100
WARM_UP: Final = 3
MOST_SECONDS: Final = 15.0
"""For one line of the table: a slow question isn't asked as often."""
REQUEST_SECONDS: Final = 60.0
REPORTS_MILLISECONDS: Final = 100.0
SEARCH_MILLISECONDS: Final = 50.0
PAST_MILLISECONDS: Final = 100.0
YEAR: Final = timedelta(days=365)
LENGTHS: Final = (7, 30, 90, 365)
"""Of periods that end today: as they seldom begin with a month, they are put together of more pieces than the whole year."""
PAGES: Final = 8
"""Pages of 500 products and of as many shops, from which words and names are drawn."""
PAIRS: Final = ("day,store", "week,category", "month,store", "month,category", "store,category", "store,hour")
TYPED: Final = 4
"""Letters that a word has at least, so that two of its inner ones can be exchanged."""

Parameters = dict[str, str | int]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table: what is asked, each time a little otherwise, and how long it may take."""

    name: str
    path: str
    most_milliseconds: float
    draw: Callable[[], Parameters]


@dataclass(slots=True)
class Times:
    """Milliseconds of every answer as a client has it, whole; and of the same requests once more."""

    first: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    rows: int = 0
    size: int = 0

    @property
    def p99(self) -> float:
        """The nearest rank: of a hundred the slowest but one, of fewer the slowest."""
        return sorted(self.first)[ceil(len(self.first) * 0.99) - 1]


class Api:
    """The system as a signed-in client has it."""

    def __init__(self, url: str, password: str) -> None:
        self._password = password
        self._numbers = count(1)
        self._until = 0.0
        self._http = httpx2.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)

    def get(self, path: str, parameters: Mapping[str, str | int]) -> httpx2.Response:
        """An answer. Raises httpx2.HTTPStatusError for any other than a good one."""
        self._sign_in()
        return self._http.get(f"{BASE}/{path}", params=dict(parameters)).raise_for_status()

    def items(self, path: str, pages: int = 1, **parameters: str | int) -> list[Row]:
        """The items of the first pages of a list."""
        found: list[Row] = []
        answer = self.get(path, parameters)
        for _ in range(pages):
            found += answer.json()["items"]
            following = answer.links.get("next")
            if following is None:
                break
            answer = self._http.get(following["url"]).raise_for_status()
        return found

    def takes(self, path: str, **parameters: str | int) -> bool:
        """Whether a question with these parameters is understood."""
        self._sign_in()
        return self._http.get(f"{BASE}/{path}", params=parameters).status_code != httpx2.codes.UNPROCESSABLE_CONTENT

    def ignores(self, path: str, parameters: Parameters) -> bool:
        """Whether something of it is no use to the report, so that the answer is that of a question without it."""
        return "ignored" in self.get(path, parameters).json()["meta"]

    def uncached(self, parameters: Parameters) -> Parameters:
        """The same question as it was never asked before."""
        return {**parameters, "uncached": next(self._numbers) + int(time.time() * 1_000)}

    def _sign_in(self) -> None:
        if time.monotonic() < self._until:
            return
        answer = self._http.post(f"{BASE}/auth/token", data={"username": READER, "password": self._password}).raise_for_status().json()
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"
        self._until = time.monotonic() + answer["expires_in"] / 2


class Questions:
    """Draws what is asked, the same in every run."""

    def __init__(self, api: Api) -> None:
        self._chance = random.Random(1)  # noqa: S311 - draws questions, keeps no secret
        self._api = api
        self._reports = api.items("reports")
        self._stores = [row["store_id"] for row in api.items("stores", PAGES, limit=500)]
        rows = api.items("products", PAGES, limit=500)
        words = {word.strip(",()") for row in rows for word in row["name"]["fr"].split()}
        self._words: list[str] = sorted(word for word in words if len(word) >= TYPED and word.isalpha())
        self._barcodes = sorted(row["barcode"] for row in rows if row["barcode"])
        self._categories = sorted({row["category"]["fr"] for row in rows})

    def reports(self) -> Iterator[Kind]:
        """Every report: as it comes, by each of its groups and some pairs of them, for one shop, for one category, for shorter periods."""
        for report in self._reports:
            name, groups = str(report["name"]), set(report["group_by"])
            asked: list[Parameters] = [{}, *({"group_by": each} for each in (*sorted(groups), *PAIRS) if set(each.split(",")) <= groups)]
            for more in asked:
                yield self._report(name, f"by {more['group_by']}" if more else "as it comes", partial(dict, more))
            yield self._report(name, "of one shop", self._shop)
            if self._api.takes(f"reports/{name}", category=self._categories[0]):
                yield self._report(name, "of one category", lambda: {"category": self._chance.choice(self._categories)})
            if not self._api.ignores(f"reports/{name}", self._last(1)):
                yield from (self._report(name, f"of {days} days", partial(self._last, days)) for days in LENGTHS)

    def searches(self) -> Iterator[Kind]:
        """What people type into the search for products, and into that for stock."""
        drawn: dict[str, Callable[[], Parameters]] = {
            "one word": lambda: {"search": self._word()},
            "as typed, 3 to 5 letters": lambda: {"search": self._word()[: self._chance.randint(3, 5)]},
            "a typing error": lambda: {"search": self._mistyped()},
            "two words": lambda: {"search": f"{self._word()} {self._word()}"},
            "nothing like it": lambda: {"search": f"zq{self._chance.randrange(10_000)}xw"},
            "a word and a category": lambda: {"search": self._word(), "category": self._chance.choice(self._categories)},
            "barcode": lambda: {"barcode": self._chance.choice(self._barcodes)},
        }
        for name, draw in drawn.items():
            yield Kind(f"products: {name}", "products", SEARCH_MILLISECONDS, draw)
        yield Kind("stock of a shop: one word", "stock", SEARCH_MILLISECONDS, lambda: {**self._shop(), "search": self._word()})
        yield Kind("stock: one word", "stock", SEARCH_MILLISECONDS, lambda: {"search": self._word()})

    def past(self) -> Iterator[Kind]:
        """Stock with its two clocks."""
        drawn: dict[str, Callable[[], Parameters]] = {
            "stock, as_of": dict,
            "stock of a shop, both clocks": lambda: {**self._shop(), "known_at": _rfc3339(datetime.now(UTC))},
            "500 cells of a shop, as_of": lambda: {**self._shop(), "limit": 500},
            "negative ones of a shop, as_of": lambda: {**self._shop(), "status": "negative"},
        }
        for name, draw in drawn.items():
            yield Kind(name, "stock", PAST_MILLISECONDS, partial(self._then, draw))

    def _report(self, name: str, how: str, draw: Callable[[], Parameters]) -> Kind:
        """A report over the whole year, if it has a period."""
        period = self._last(YEAR.days + 8)
        asked = period if self._api.takes(f"reports/{name}", **period) else {}
        return Kind(f"{name} {how}", f"reports/{name}", REPORTS_MILLISECONDS, lambda: {**asked, **draw()})

    def _last(self, days: int) -> Parameters:
        today = datetime.now(UTC).date()
        return {"from": (today - timedelta(days=days - 1)).isoformat(), "to": today.isoformat()}

    def _shop(self) -> Parameters:
        return {"store": self._chance.choice(self._stores)}

    def _word(self) -> str:
        return self._chance.choice(self._words)

    def _mistyped(self) -> str:
        word = self._word()
        at = self._chance.randrange(1, len(word) - 2)
        return f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"

    def _then(self, draw: Callable[[], Parameters]) -> Parameters:
        return {**draw(), "as_of": _rfc3339(datetime.now(UTC) - YEAR * self._chance.random())}


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def timed(api: Api, kind: Kind, rounds: int) -> Times:
    """Ask one kind, one request after the other."""
    times = Times()
    for _ in range(WARM_UP):
        api.get(kind.path, api.uncached(kind.draw()))
    deadline = time.monotonic() + MOST_SECONDS
    while len(times.first) < rounds and time.monotonic() < deadline:
        parameters = api.uncached(kind.draw())
        for spent in (times.first, times.again):
            began = time.perf_counter()
            answer = api.get(kind.path, parameters)
            spent.append((time.perf_counter() - began) * 1_000)
        times.rows, times.size = max(times.rows, len(answer.json()["items"])), max(times.size, len(answer.content))
    return times


def measure(api: Api, kinds: Iterator[Kind], title: str, rounds: int, console: Console) -> int:
    """Print a table; how many of its lines take longer than they may."""
    table = Table(title=title, title_justify="left")
    for heading in ("", "Times", "Rows", "kB", "p50 ms", "p99 ms", "May", "Again p50", "Stolen %"):
        table.add_column(heading, justify="right" if heading else "left")
    late = 0
    for kind in kinds:
        before = wanted()
        try:
            times = timed(api, kind, rounds)
        except httpx2.HTTPError as error:
            late += 1
            table.add_row(kind.name, f"[red]{type(error).__name__}: {error}"[:80])
            continue
        slow = times.p99 > kind.most_milliseconds
        late += slow
        table.add_row(
            kind.name,
            f"{len(times.first)}",
            f"{times.rows:,}",
            f"{times.size / 1_000:,.0f}",
            f"{statistics.median(times.first):,.1f}",
            f"[red]{times.p99:,.1f}[/]" if slow else f"{times.p99:,.1f}",
            f"{kind.most_milliseconds:,.0f}",
            f"{statistics.median(times.again):,.1f}",
            f"{wanted().stolen_since(before):.1f}",
        )
    console.print(table)
    return late


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 when something takes longer than it may."""
    parser = argparse.ArgumentParser(description="Times every report, the searches and stock of the past over HTTP.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="requests of each kind")
    parser.add_argument("--only", default="", help="only kinds whose name holds this")
    asked = parser.parse_args(arguments)
    url = os.environ.get("MAGASIN_URL") or state.addresses(house.home_of(settings()))["MAGASIN_URL"]
    console = Console(width=max(120, Console().width))
    api = Api(url, settings().demo_password)
    questions = Questions(api)
    late = 0
    for title, kinds in (
        ("Reports, the whole year", questions.reports()),
        ("Search", questions.searches()),
        ("The past", questions.past()),
    ):
        chosen = (kind for kind in kinds if asked.only in kind.name)
        late += measure(api, chosen, title, asked.rounds, console)
    console.print(f"{late} kinds take longer than they may." if late else "Everything within its time.")
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main())
