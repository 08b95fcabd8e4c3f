"""What does the broker itself say of its queues and nodes?

RabbitMQ's management API, read-only and in small bites: few columns, bounded bytes, one deadline for the whole look, the same answer for
all who ask within a second. When it is away, not there or unreadable, the answer says so, and whoever asked has his own figures still.

Its figures are samples, as old as the broker's own interval (5 seconds unless configured otherwise).
"""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx2
from pydantic_core import from_json

from infra.connection import addresses

LOOK_SECONDS: Final = 2.0
FRESH_SECONDS: Final = 1.0
MOST_BYTES: Final = 4_194_304
MOST_QUEUES: Final = 500
QUEUE_COLUMNS: Final = (
    "name,type,durable,exclusive,messages_ready,messages_unacknowledged,consumers,"
    "message_stats.publish_details.rate,message_stats.ack_details.rate"
)
NODE_COLUMNS: Final = "name,running,mem_alarm,disk_free_alarm,mem_used,mem_limit,disk_free,disk_free_limit,partitions"


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """A durable queue. Rates are messages a second over the broker's last sample: what came in, and what was acknowledged."""

    name: str
    ready: int
    unacknowledged: int
    consumers: int
    in_per_second: float
    out_per_second: float


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """A node of the broker. Under an alarm it takes no message from anybody who publishes."""

    name: str
    running: bool
    memory_alarm: bool
    disk_alarm: bool
    partitioned: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found; without `queues` and `nodes` when `away` says why."""

    queues: tuple[QueueFigures, ...] = ()
    nodes: tuple[NodeFigures, ...] = ()
    away: str | None = None


class Unreadable(Exception):
    """The management API gave an answer that isn't one."""


class Management:
    """The management API at `url` (user and password in it, else those of `amqp_url`), for the virtual host of `amqp_url`.

    Safe to use from several threads.
    """

    def __init__(self, url: str | None, amqp_url: str) -> None:
        broker = urlsplit(addresses(amqp_url)[0])
        self._virtual_host = quote(unquote(broker.path[1:]) or "/", safe="")
        self._client = None if url is None else _client(url, broker.username, broker.password)
        self._turn = threading.Lock()
        self._looked_at = float("-inf")
        self._found = Look(away="not configured")

    def look(self) -> Look:
        """The broker's figures, at most a second old. Raises nothing of the broker's."""
        with self._turn:
            if self._client is not None and time.monotonic() - self._looked_at > FRESH_SECONDS:
                self._found = self._look(self._client)
                self._looked_at = time.monotonic()
            return self._found

    def bound(self, exchange: str) -> bool | None:
        """Whether anything is bound to an exchange at this moment; None when the management API doesn't tell."""
        with self._turn:
            if self._client is None:
                return None
            path = f"api/exchanges/{self._virtual_host}/{quote(exchange, safe='')}/bindings/source?columns=destination"
            try:
                return bool(_get(self._client, path, time.monotonic() + LOOK_SECONDS))
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError, TimeoutError, Unreadable, ValueError):
                return None

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _look(self, client: httpx2.Client) -> Look:
        deadline = time.monotonic() + LOOK_SECONDS
        try:
            queues = _get(client, f"api/queues/{self._virtual_host}?columns={QUEUE_COLUMNS}", deadline)
            nodes = _get(client, f"api/nodes?columns={NODE_COLUMNS}", deadline)
            return Look(tuple(_queues(queues))[:MOST_QUEUES], tuple(_nodes(nodes)))
        except httpx2.HTTPStatusError as error:
            return Look(away=f"refused: {error.response.status_code}")
        except (TimeoutError, httpx2.TimeoutException):
            return Look(away="no answer in time")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            return Look(away=f"unreachable: {type(error).__name__}")
        except (Unreadable, ValueError, KeyError, TypeError, AttributeError) as error:
            return Look(away=f"unreadable answer: {type(error).__name__}")


def _client(url: str, user: str | None, password: str | None) -> httpx2.Client:
    parts = urlsplit(url)
    _, _, host = parts.netloc.rpartition("@")
    login = unquote(parts.username or user or ""), unquote(parts.password or password or "")
    return httpx2.Client(
        base_url=urlunsplit(parts._replace(netloc=host)),
        auth=login,
        timeout=LOOK_SECONDS,
        limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
        trust_env=False,
        follow_redirects=False,
    )


def _get(client: httpx2.Client, path: str, deadline: float) -> list[Mapping[str, Any]]:
    """The list at that path. Raises TimeoutError, httpx2's errors, or Unreadable."""
    body = bytearray()
    with client.stream("GET", path, timeout=max(0.05, deadline - time.monotonic())) as response:
        response.raise_for_status()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MOST_BYTES:
                raise Unreadable("too long")
            if time.monotonic() > deadline:
                raise TimeoutError
    found = from_json(bytes(body))
    if not isinstance(found, list):
        raise Unreadable("no list")
    return found


def _queues(found: Iterable[Mapping[str, Any]]) -> Iterable[QueueFigures]:
    for each in found:
        if each.get("exclusive") or not each.get("durable"):
            continue
        # A queue that nothing has happened to has no statistics yet.
        figures = each.get("message_stats") or {}
        yield QueueFigures(
            name=str(each["name"]),
            ready=int(each.get("messages_ready") or 0),
            unacknowledged=int(each.get("messages_unacknowledged") or 0),
            consumers=int(each.get("consumers") or 0),
            in_per_second=_rate(figures, "publish_details"),
            out_per_second=_rate(figures, "ack_details"),
        )


def _rate(figures: Mapping[str, Any], name: str) -> float:
    return round(float((figures.get(name) or {}).get("rate") or 0.0), 3)


def _nodes(found: Iterable[Mapping[str, Any]]) -> Iterable[NodeFigures]:
    for each in found:
        yield NodeFigures(
            name=str(each["name"]),
            running=bool(each.get("running")),
            memory_alarm=bool(each.get("mem_alarm")),
            disk_alarm=bool(each.get("disk_free_alarm")),
            partitioned=bool(each.get("partitions")),
        )
