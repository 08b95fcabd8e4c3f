"""Can a stranger's address lead a request into our own network?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from infra import outgoing as module
from infra.outgoing import BadTarget, ForbiddenTarget, Outgoing, Target, check, target_of
from magasin.home import LOOPBACK


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.org/hook?a=b", Target("https", "example.org", 443, here=False)),
        ("https://example.org:8443", Target("https", "example.org", 8443, here=False)),
        ("http://localhost:9000/", Target("http", "localhost", 9000, here=True)),
        ("http://127.8.9.10/", Target("http", "127.8.9.10", 80, here=True)),
        ("https://[::1]/", Target("https", "::1", 443, here=True)),
    ],
)
def test_a_target_is_https_or_this_machine(url: str, target: Target) -> None:
    assert target_of(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "http://localhost.example.org/",
        "http://10.0.0.1/",
        "ftp://example.org/",
        "https://",
        "https:///path",
        "https://user:password@example.org/",
        "https://example.org/#part",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://exa mple.org/",
        "https://exämple.org/",
        "https://example.org/\n",
        "https://[::1/",
        "//example.org/",
        "https://example.org/" + "a" * 2_048,
    ],
)
def test_what_can_be_no_target_is_refused(url: str) -> None:
    with pytest.raises(BadTarget):
        target_of(url)


PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
PRIVATE = ["10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:192.168.1.1", "198.18.0.1"]
NEVER = ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "64:ff9b::a00:1", "2002:a00:1::1", "::ffff:169.254.169.254"]  # noqa: S104
HERE = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]


def allowed(address: str, *, here: bool, private: bool) -> bool:
    try:
        check([ip_address(address)], here=here, private=private)
    except ForbiddenTarget:
        return False
    return True


@pytest.mark.parametrize(
    ("addresses", "outside", "inside"), [(PUBLIC, True, True), (PRIVATE, False, True), (NEVER, False, False), (HERE, False, True)]
)
def test_only_public_addresses_are_reached_unless_a_setting_says_so(addresses: list[str], outside: bool, inside: bool) -> None:  # noqa: FBT001 - parameters of the table
    for address in addresses:
        assert allowed(address, here=False, private=False) is outside, address
        assert allowed(address, here=False, private=True) is inside, address


def test_this_machine_is_reached_only_by_a_url_that_says_so() -> None:
    assert all(allowed(address, here=True, private=False) for address in HERE)


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(ForbiddenTarget):
        check([ip_address("93.184.216.34"), ip_address("10.0.0.1")], here=False, private=False)


@asynccontextmanager
async def server(answer: bytes, *, stays: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers every request with these bytes; with `stays` it never ends the answer."""
    heads: list[bytes] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        if stays:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield f"localhost:{listening.sockets[0].getsockname()[1]}", heads
    finally:
        listening.close()
        await asyncio.gather(*filter(None, serving), return_exceptions=True)


async def post(url: str, *, timeout_seconds: float = 1.0, private: bool = False) -> module.Answer:
    outgoing = Outgoing(private=private, timeout_seconds=timeout_seconds)
    async with outgoing.client(1) as client:
        answer = await outgoing.post(client, url, b"{}", {"X-Test": "1"})
    outgoing.close()
    return answer


async def test_the_request_goes_to_the_checked_address_under_the_name_that_was_given() -> None:
    async with server(b"HTTP/1.1 204 No Content\r\n\r\n") as (place, heads):
        answer = await post(f"http://{place}/hook?a=b")
    assert (answer.outcome, answer.status, answer.error) == ("delivered", 204, None)
    assert heads[0].startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert f"\r\nHost: {place}\r\n".encode() in heads[0]


async def test_a_name_that_leads_here_without_saying_so_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look-up of DNS rebinding: the first one, when the webhook was made, was fine."""
    monkeypatch.setattr(module, "_resolve", lambda _host, _port: [ip_address(LOOPBACK)])
    answer = await post("https://rebinding.example/")
    assert (answer.outcome, answer.status) == ("forbidden", None)


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with server(b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n") as (place, heads):
        answer = await post(f"http://{place}/")
    assert (answer.outcome, answer.status, len(heads)) == ("refused", 302, 1)


async def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    endless = b"HTTP/1.1 500 Oh\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 100_000
    async with server(endless, stays=True) as (place, _):
        answer = await post(f"http://{place}/", timeout_seconds=5)
    assert answer.outcome == "refused"
    assert answer.error is not None
    assert len(answer.error) <= module.MOST_ERROR


async def test_one_that_says_nothing_is_left_after_the_time() -> None:
    async with server(b"", stays=True) as (place, _):
        answer = await post(f"http://{place}/", timeout_seconds=0.1)
    assert (answer.outcome, answer.status) == ("timeout", None)


async def test_one_that_drips_is_left_too() -> None:
    async with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", stays=True) as (place, _):
        answer = await post(f"http://{place}/", timeout_seconds=0.1)
    assert answer.outcome == "timeout"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://nowhere.invalid/", "http://localhost:1/"])
async def test_nobody_there_is_said_so(url: str) -> None:
    answer = await post(url, timeout_seconds=5)
    assert answer.outcome == "unreachable"
    assert answer.error


async def test_nonsense_in_place_of_http_is_no_crash() -> None:
    async with server(b"\x00\xff nonsense\r\n\r\n") as (place, _):
        assert (await post(f"http://{place}/")).outcome == "unreachable"
