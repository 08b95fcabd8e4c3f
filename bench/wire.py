"""How does a request for sales look on the wire, and when has its answer come in whole?

Requests are written before the clock runs: the generator shares two cores with what it measures.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from time import time

from bench.sales import Sale

PLACES = 24
"""Bits of a sale's id that are its number in the run: 16 million."""


def sale_id(began_ms: int, run: int, number: int) -> str:
    """A UUIDv7 as tills make them, that ends in the sale's number. `run` is 38 random bits."""
    tail = f"{0x8 << 60 | run << PLACES | number:016x}"
    head = f"{began_ms + number // 4:012x}"
    return f"{head[:8]}-{head[8:]}-7{number % 4:03x}-{tail[:4]}-{tail[4:]}"


def number_of(identifier: str) -> int:
    """The number of the sale with that id."""
    return int(identifier[-PLACES // 4 :], 16)


def sale_body(sale: Sale, identifier: str, occurred_at: str) -> str:
    """The JSON of one sale, as a till writes it."""
    lines = ",".join(
        f'{{"sku":"{line.sku}","quantity":{line.units},"unit_price":"{line.cents // 100}.{line.cents % 100:02d}"}}' for line in sale.lines
    )
    return (
        f'{{"sale_id":"{identifier}","till_id":"caisse-1","occurred_at":"{occurred_at}","lines":[{lines}],"payment":{{"method":"card"}}}}'
    )


def requests(sales: Iterable[Sale], *, host: str, tokens: dict[str, str], run: int, batch: int = 1) -> list[bytes]:
    """The HTTP requests that post these sales, `batch` in each (consecutive ones, of one store). `tokens` by store."""
    began_ms = int(time() * 1000)
    occurred_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    written: list[bytes] = []
    waiting: list[str] = []
    for number, sale in enumerate(sales):
        waiting.append(sale_body(sale, sale_id(began_ms, run, number), occurred_at))
        if len(waiting) < batch:
            continue
        path = f"/api/v2/stores/{sale.store_id}/sales"
        body = waiting[0]
        if batch > 1:
            path, body = f"{path}/batch", f'{{"sales":[{",".join(waiting)}]}}'
        waiting = []
        written.append(
            (
                f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {tokens[sale.store_id]}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode("ascii")
        )
    return written


def status(received: bytes | bytearray) -> int | None:
    """The status of an answer, None while a part of it is missing. Raises ValueError for one without Content-Length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    place = head.find(b"\r\ncontent-length:")
    if place < 0:
        message = f"an answer without Content-Length: {bytes(head[:200])!r}"
        raise ValueError(message)
    length = int(head[place + 17 :].split(b"\r\n", 1)[0])
    return int(head[9:12]) if len(received) >= end + 4 + length else None
