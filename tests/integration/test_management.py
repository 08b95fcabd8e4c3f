"""What is told of the broker when its management API answers, lies, drips, refuses or is away?"""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import make_url

from infra.connection import connect
from infra.management import LOOK_SECONDS, MOST_BYTES, Look, Management
from infra.topology import FEED, LIVE, OUTBOUND, QUEUES, bind, declare
from operations.overview import broker
from tests.services import Services

LOGIN = "somebody:secret"
AMQP = f"amqp://{LOGIN}@127.0.0.1:1/shop%2Ffloor"
Answer = Callable[[BaseHTTPRequestHandler], None]
NODE = {"name": "rabbit@one", "running": True, "mem_alarm": True, "disk_free_alarm": False, "partitions": []}
QUEUE = {
    "name": "stock-writer",
    "durable": True,
    "exclusive": False,
    "messages_ready": 90,
    "messages_unacknowledged": 10,
    "consumers": 2,
    "message_stats": {"publish_details": {"rate": 5.0}, "ack_details": {"rate": 20.0}},
}


@contextmanager
def somebody(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that answers like that: its URL, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path.partition('?')[0]} {self.headers['Authorization']}")
            answer(self)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the library has it
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def says(status: int, body: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", "http://127.0.0.1:1/")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def like_the_broker(request: BaseHTTPRequestHandler) -> None:
    exclusive = {"name": "amq.gen-1", "durable": True, "exclusive": True}
    found = [NODE] if request.path.startswith("/api/nodes") else [QUEUE, exclusive, {"name": "fresh", "durable": True}]
    says(200, json.dumps(found).encode())(request)


def dripping(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(100):
            request.wfile.write(b" ")
            time.sleep(0.1)
    except OSError:
        return


def looked(url: str | None) -> Look:
    management = Management(url, AMQP)
    try:
        return management.look()
    finally:
        management.close()


def test_queues_and_alarms_are_told_and_private_queues_are_nobodys_business() -> None:
    with somebody(like_the_broker) as (url, asked):
        management = Management(url, AMQP)
        look = management.look()
        assert management.look() is look
        management.close()
    assert [(each.name, each.ready, each.unacknowledged, each.consumers) for each in look.queues] == [
        ("stock-writer", 90, 10, 2),
        ("fresh", 0, 0, 0),
    ]
    assert (look.queues[0].in_per_second, look.queues[0].out_per_second) == (5.0, 20.0)
    assert broker(look)["alarms"] == [{"node": "rabbit@one", "alarm": "memory"}]
    login = f"Basic {b64encode(LOGIN.encode()).decode()}"
    assert asked == [f"/api/queues/shop%2Ffloor {login}", f"/api/nodes {login}"]


@pytest.mark.parametrize(
    ("answer", "away"),
    [
        (says(401, b"{}"), "refused: 401"),
        (says(302, b""), "refused: 302"),
        (says(500, b"oops"), "refused: 500"),
        (says(200, b"<html>"), "unreadable answer: ValueError"),
        (says(200, b'{"error": "not_found"}'), "unreadable answer: Unreadable"),
        (says(200, b'["stock-writer"]'), "unreadable answer: AttributeError"),
        (says(200, b'[{"durable": true}]'), "unreadable answer: KeyError"),
        (says(200, b" " * (MOST_BYTES + 1)), "unreadable answer: Unreadable"),
        (dripping, "no answer in time"),
    ],
)
def test_an_answer_that_is_none_is_told_as_such_in_bounded_time(answer: Answer, away: str) -> None:
    with somebody(answer) as (url, _):
        began = time.monotonic()
        assert looked(url) == Look(away=away)
        assert time.monotonic() - began < LOOK_SECONDS + 5


def test_nobody_there_is_told_as_such() -> None:
    assert looked("http://127.0.0.1:1") == Look(away="unreachable: ConnectError")
    assert looked(None) == Look(away="not configured")
    assert broker(looked(None)) == {"available": False, "away": "not configured", "nodes": [], "alarms": []}


async def test_the_real_broker_tells_of_every_queue(services: Services, broker_url: str) -> None:
    if services.management_url is None:
        pytest.skip("needs the management API")
    connection = await connect(broker_url, name="test")
    await declare(await connection.channel())
    await connection.close()
    # The password of the URL wins; without one it is the broker's.
    bare = make_url(broker_url)
    for url in (services.management_url, services.management_url.replace(f"{bare.username}:{bare.password}@", "")):
        management = Management(url, broker_url)
        look = management.look()
        management.close()
        assert look.away is None
        assert {each.name for each in look.queues} == {each.name for each in QUEUES}
        assert [node.running for node in look.nodes] == [True]
        assert broker(look)["alarms"] == []


@pytest.mark.parametrize(
    ("answer", "bound"),
    [(says(200, b"[]"), False), (says(200, b'[{"destination": "somebody"}]'), True), (says(404, b"{}"), None), (says(200, b"<"), None)],
)
def test_whether_anything_is_bound_is_told_only_when_the_broker_tells_it(answer: Answer, bound: bool | None) -> None:  # noqa: FBT001 - a case
    with somebody(answer) as (url, asked):
        management = Management(url, AMQP)
        assert management.bound("magasin.feed") is bound
        management.close()
    assert [each.partition(" ")[0] for each in asked] == ["/api/exchanges/shop%2Ffloor/magasin.feed/bindings/source"]


def test_nobody_there_does_not_tell_whether_anything_is_bound() -> None:
    for url in ("http://127.0.0.1:1", None):
        management = Management(url, AMQP)
        assert management.bound("magasin.feed") is None
        management.close()


async def test_the_real_broker_tells_what_is_bound_as_soon_as_it_is(services: Services, broker_url: str) -> None:
    if services.management_url is None:
        pytest.skip("needs the management API")
    connection = await connect(broker_url, name="test")
    management = Management(services.management_url, broker_url)
    channel = await connection.channel()
    await declare(channel)
    assert management.bound(FEED) is False
    for bound in (True, True, False, False):
        await bind(channel, OUTBOUND, bound=bound)
        assert management.bound(LIVE) is bound
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(FEED, "sale.*.v1.#")
    assert management.bound(FEED) is True
    management.close()
    await connection.close()
