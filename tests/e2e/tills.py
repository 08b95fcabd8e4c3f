"""What do shops do with a system that keeps failing? Every till posts each sale again, under the same id, until that is accepted."""

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from functools import cached_property
from typing import Self
from uuid import UUID

from pydantic_core import to_json
from uuid_utils.compat import uuid7

STORES = tuple(f"boutique-{number}" for number in range(1, 7))
PRICES = {f"ART-{number:02}": Decimal(number * 37 + 15) / 100 for number in range(1, 21)}
DAYS = 3
MOST_LINES = 4
MOST_UNITS = 3
TILLS = 32
REQUEST_SECONDS = 10.0
PAUSES_SECONDS = (0.4, 0.8)
"""How long a till waits before it tries again: less than ``Retry-After`` asks for, and all of them together look every 20 ms."""

ACCEPTED, UNAVAILABLE = 202, 503
LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
RANDOM = random.Random(20_260_401)  # noqa: S311 - the same sales at every run; nobody has to guess them


@dataclass(frozen=True)
class Sale:
    """One sale, as its till knows it."""

    sale_id: UUID
    store_id: str
    day: date
    lines: tuple[tuple[str, int], ...]

    @cached_property
    def body(self) -> bytes:
        """What is posted, the same bytes at every attempt."""
        noon = datetime.combine(self.day, clock(17), UTC)
        lines = [{"sku": sku, "quantity": quantity, "unit_price": f"{PRICES[sku]:.2f}"} for sku, quantity in self.lines]
        return to_json({"sale_id": self.sale_id, "occurred_at": noon, "lines": lines})


def sales(count: int) -> list[Sale]:
    """That many sales of the last days (yesterday at the latest, so that midnight changes nothing), each with an id of its own."""
    today = datetime.now(UTC).date()
    return [
        Sale(
            uuid7(),
            RANDOM.choice(STORES),
            today - timedelta(days=RANDOM.randint(1, DAYS)),
            tuple((RANDOM.choice(list(PRICES)), RANDOM.randint(1, MOST_UNITS)) for _ in range(RANDOM.randint(1, MOST_LINES))),
        )
        for _ in range(count)
    ]


def with_repeats(posted: Sequence[Sale], one_in: int = 10) -> list[Sale]:
    """The sales, out of order, one in `one_in` of them twice."""
    sendings = [*posted, *posted[::one_in]]
    RANDOM.shuffle(sendings)
    return sendings


def levels_after(posted: Sequence[Sale]) -> dict[tuple[str, str], int]:
    """The stock that those sales leave of nothing, by store and SKU."""
    levels: Counter[tuple[str, str]] = Counter()
    for sale in posted:
        for sku, quantity in sale.lines:
            levels[sale.store_id, sku] -= quantity
    return dict(levels)


def days_after(posted: Sequence[Sale]) -> dict[tuple[str, str], tuple[int, int, Decimal]]:
    """Sales, units and revenue by store and day (ISO), computed from the sales alone."""
    found: dict[tuple[str, str], list[Sale]] = defaultdict(list)
    for sale in posted:
        found[sale.store_id, sale.day.isoformat()].append(sale)
    return {
        cell: (
            len(sold),
            sum(quantity for sale in sold for _, quantity in sale.lines),
            sum((quantity * PRICES[sku] for sale in sold for sku, quantity in sale.lines), Decimal()),
        )
        for cell, sold in found.items()
    }


@dataclass
class Line:
    """A till's own connection to the API.

    HTTP in its simplest form: a client for every case took 2.6 ms of CPU a sale, which on two cores the system under test lacked.
    """

    host: str
    port: int
    token: str
    _ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes) -> int:
        """The status of the answer. Raises OSError, TimeoutError or EOFError when there is none."""
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                if self._ends is None:
                    self._ends = await asyncio.open_connection(self.host, self.port)
                reader, writer = self._ends
                writer.write(self._request(path, body))
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(LENGTH.findall(head)[0]))
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Hang up."""
        if self._ends is not None:
            self._ends[1].transport.abort()
            self._ends = None

    def _request(self, path: str, body: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class Tills:
    """Many tills that post what they are given, all at once. `moments` are the instants (Unix seconds) of each 202."""

    accepted: Counter[UUID] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    moments: list[float] = field(default_factory=list)
    _given: asyncio.Queue[Sale] = field(default_factory=asyncio.Queue)

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, port: int, token: str) -> AsyncIterator[Self]:
        """A block in which the tills are open, each signed in with that access token."""
        tills = cls()
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(tills._work(Line(host, port, token))) for _ in range(TILLS)]
            yield tills
            for each in working:
                each.cancel()

    def give(self, sendings: Sequence[Sale]) -> None:
        """Let the tills post these too."""
        for sale in sendings:
            self._given.put_nowait(sale)

    async def all_accepted(self) -> None:
        """Return when everything given has its 202."""
        await self._given.join()

    async def accepted_again(self, count: int) -> None:
        """Return when `count` more sendings have their 202."""
        goal = len(self.moments) + count
        while len(self.moments) < goal:
            await asyncio.sleep(0.01)

    async def _work(self, line: Line) -> None:
        try:
            while True:
                sale = await self._given.get()
                while not await self._post(line, sale):
                    await asyncio.sleep(RANDOM.uniform(*PAUSES_SECONDS))
                self.moments.append(time.time())
                self.accepted[sale.sale_id] += 1
                self._given.task_done()
        finally:
            line.close()

    async def _post(self, line: Line, sale: Sale) -> bool:
        try:
            status = await line.post(f"/api/v2/stores/{sale.store_id}/sales", sale.body)
        except (OSError, EOFError) as error:
            self.answers[type(error).__name__] += 1
            return False
        self.answers[str(status)] += 1
        assert status in {ACCEPTED, UNAVAILABLE}, f"{sale} was answered {status}"
        return status == ACCEPTED
