"""How does a request reach an address that a stranger chose, and nothing else in our own network?

A target is https, or this machine itself. Its name is looked up for every request, every address found must be a public one, and the
request goes to an address that was looked at: a name that changes its mind afterwards (DNS rebinding) gains nothing. No redirect is
followed, no proxy asked, and of an answer only its status and first characters are read.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from time import perf_counter
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx2

from infra.faults import printable

LONGEST_URL: Final = 2_048
LOOKUPS_AT_ONCE: Final = 8
MOST_ADDRESSES: Final = 3
MOST_ANSWER_BYTES: Final = 2_048
MOST_ERROR: Final = 300
IDLE_SECONDS: Final = 30.0
PORTS: Final = {"https": 443, "http": 80}
# They carry an IPv4 address that a gateway would unpack: 6to4, Teredo, NAT64.
TUNNELS: Final = tuple(ip_network(net) for net in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48"))

Address = IPv4Address | IPv6Address
Outcome = Literal["delivered", "refused", "timeout", "unreachable", "forbidden"]


class BadTarget(ValueError):
    """No target for anybody: not https, not a URL, or with a user name in it."""


class ForbiddenTarget(Exception):
    """The target is in a network that nobody outside may make us talk to."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads. `here`: it names this machine itself, which may go without TLS."""

    scheme: str
    host: str
    port: int
    here: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: `status` is None when there was no answer; `error` is None when it was a 2xx."""

    outcome: Outcome
    status: int | None
    error: str | None
    seconds: float


def target_of(url: str) -> Target:
    """The target that a URL names. Raises BadTarget."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadTarget(str(error)) from error
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise BadTarget("too long, or with characters that a URL can't have")
    if parts.scheme not in PORTS or not host or "@" in parts.netloc or "#" in url or port == 0:
        raise BadTarget("not a plain https URL")
    here = _names_this_machine(host)
    if parts.scheme != "https" and not here:
        raise BadTarget("only this machine itself may be reached without TLS")
    return Target(parts.scheme, host, port or PORTS[parts.scheme], here)


def check(addresses: Iterable[Address], *, here: bool, private: bool) -> None:
    """Raise ForbiddenTarget unless every address may be talked to. `here`: the URL says that it is this machine."""
    for address in addresses:
        plain = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
        if plain.is_loopback:
            allowed = here or private
        elif plain.is_multicast or plain.is_unspecified or plain.is_link_local or any(plain in net for net in TUNNELS):
            allowed = False
        else:
            allowed = private or plain.is_global
        if not allowed:
            raise ForbiddenTarget(f"{plain} is not an address of the public Internet")


class Outgoing:
    """Sends to targets outside; one for a process. `private` also allows private networks. `client` gives each target its own."""

    def __init__(self, *, private: bool, timeout_seconds: float) -> None:
        self._private = private
        self._timeout_seconds = timeout_seconds
        self._tls = ssl.create_default_context()
        # A name server that doesn't answer keeps a thread for a long time: neither the database's threads nor those of other names.
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="lookup")
        self._looking: dict[tuple[str, int], asyncio.Future[list[Address]]] = {}

    def client(self, connections: int) -> httpx2.AsyncClient:
        """A client of at most so many connections. Never shared by two names: a connection belongs to the name whose certificate it saw."""
        transport = httpx2.AsyncHTTPTransport(
            verify=self._tls,
            trust_env=False,
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE_SECONDS),
        )
        return httpx2.AsyncClient(
            transport=transport, timeout=httpx2.Timeout(self._timeout_seconds), trust_env=False, follow_redirects=False
        )

    async def look_up(self, target: Target) -> list[Address]:
        """The addresses of a target, checked. Raises ForbiddenTarget, or OSError when there is none, or TimeoutError."""
        async with asyncio.timeout(self._timeout_seconds):
            found = await self._addresses(target)
        check(found, here=target.here, private=self._private)
        return found

    async def post(self, client: httpx2.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send, and tell what became of it; raises nothing of the network's. Three timeouts at most, however slow the answer drips."""
        began = perf_counter()
        outcome: Outcome
        status: int | None = None
        try:
            async with asyncio.timeout(3 * self._timeout_seconds):
                target = target_of(url)
                request = client.build_request("POST", url, content=body, headers=headers)
                status, words = await self._send(client, request, target, await self.look_up(target))
            outcome = "delivered" if 200 <= status < 300 else "refused"  # noqa: PLR2004 - what HTTP calls success
            error = None if outcome == "delivered" else f"HTTP {status}: {words}"
        except (BadTarget, ForbiddenTarget) as failure:
            outcome, error = "forbidden", str(failure)
        except (TimeoutError, httpx2.TimeoutException):
            outcome, error = "timeout", "no answer in time"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as failure:
            outcome, error = "unreachable", f"{type(failure).__name__}: {failure}"
        return Answer(outcome, status, None if error is None else printable(error, MOST_ERROR), perf_counter() - began)

    def close(self) -> None:
        """Look up no more names."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, client: httpx2.AsyncClient, request: httpx2.Request, target: Target, addresses: list[Address]) -> tuple[int, str]:
        """To the addresses that were checked, the next one when nobody answers; Host, SNI and certificate stay the name's."""
        request.extensions = {**request.extensions, "sni_hostname": target.host}
        *others, last = addresses[:MOST_ADDRESSES]
        for address in others:
            try:
                return await _sent(client, request, address)
            except httpx2.ConnectError:
                continue
        return await _sent(client, request, last)

    async def _addresses(self, target: Target) -> list[Address]:
        key = target.host, target.port
        looking = self._looking.get(key)
        if looking is None:
            looking = self._looking[key] = asyncio.get_running_loop().run_in_executor(self._threads, _resolve, *key)
            looking.add_done_callback(lambda found: self._looked_up(key, found))
        return await asyncio.shield(looking)

    def _looked_up(self, key: tuple[str, int], found: asyncio.Future[list[Address]]) -> None:
        del self._looking[key]
        if not found.cancelled():
            # Whoever waited may have given up before; the failure is theirs to tell.
            found.exception()


async def _sent(client: httpx2.AsyncClient, request: httpx2.Request, address: Address) -> tuple[int, str]:
    request.url = request.url.copy_with(host=str(address))
    answer = await client.send(request, stream=True)
    try:
        read = b""
        async for piece in answer.aiter_raw():
            read += piece
            if len(read) >= MOST_ANSWER_BYTES:
                break
        return answer.status_code, read[:MOST_ERROR].decode("utf-8", "replace")
    finally:
        await answer.aclose()


def _resolve(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(place[0]).partition("%")[0]) for *_, place in found))


def _names_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback
