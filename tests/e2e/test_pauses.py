"""Can an operator see how the running system does, let parts of it wait, and lose nothing by it?"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from magasin.home import LOOPBACK
from operations.pauses import CONSUMERS
from projections import PROJECTIONS
from tests.e2e.system import Json, Running, Shop, System, environment, eventually, free_port, sale, sku

OPS = "/api/v2/ops"
DAILY = "daily-sales"
SOON_SECONDS = 10
"""On a machine that does much else; alone it is a fraction of a second."""
WHY = {"reason": "on le regarde de près"}


@pytest.fixture
def desk(system: System) -> Iterator[httpx2.Client]:
    """An operator's client; when the test has ended, nothing waits any more."""
    client = system.client("operateur")
    yield client
    for name in CONSUMERS:
        client.post(f"{OPS}/consumers/{name}/resume", json=WHY)
    for name in PROJECTIONS:
        client.post(f"{OPS}/projections/{name}/resume", json=WHY)
    eventually(lambda: all(each["state"] == "running" for each in consumers(client).values()) or None)


def done(client: httpx2.Client, what: str, **more: Any) -> Json:  # noqa: ANN401 - members of a request body
    answer = client.post(f"{OPS}/{what}", json={**WHY, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def items(client: httpx2.Client, what: str) -> dict[str, Json]:
    answer = client.get(f"{OPS}/{what}")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["items"]}


def consumers(client: httpx2.Client) -> dict[str, Json]:
    return items(client, "consumers")


def state_is(client: httpx2.Client, name: str, state: str, instances: int = 1) -> Callable[[], bool | None]:
    """Whether all living processes of a consumer are in that state."""

    def look() -> bool | None:
        living = [each["state"] for each in consumers(client)[name]["instances"] if each["state"] not in {"gone", "stopped"}]
        return (living == [state] * instances) or None

    return look


def queue_is(client: httpx2.Client, name: str, **figures: int) -> Callable[[], Json | None]:
    """The queue once the broker tells these figures; its own samples are seconds old."""

    def look() -> Json | None:
        queue = items(client, "queues")[name]
        return queue if all(queue[each] == value for each, value in figures.items()) else None

    return look


@contextmanager
def another_writer(system: System, folder: Path) -> Iterator[tuple[Running, str]]:
    """A second stock writer: the process, and where its probe is."""
    port = free_port()
    env = {**environment(system.settings), "MAGASIN_PROBE_PORT": str(port), "MAGASIN_WORKER_NAME": "stock-writer-2"}
    process = Running(f"stock-writer-{port}", (sys.executable, "-m", "workers", "stock-writer"), env, folder)
    url = f"http://{LOOPBACK}:{port}"
    try:
        process.ready(url)
        yield process, url
    finally:
        process.stop()


@pytest.mark.timeout(300)
def test_paused_writers_hold_no_message_and_when_they_go_on_every_sale_is_recorded_once(
    system: System, shop: Shop, desk: httpx2.Client, tmp_path: Path
) -> None:
    article = sku()
    shop.deliver(article, 100)
    with another_writer(system, tmp_path) as (second, probe):
        eventually(state_is(desk, "stock-writer", "running", 2))
        began = time.monotonic()
        assert done(desk, "consumers/stock-writer/pause")["state"] == "paused"
        eventually(state_is(desk, "stock-writer", "paused", 2))
        assert time.monotonic() - began < SOON_SECONDS
        sold = [shop.post("sales", sale(article)).json()["event_id"] for _ in range(20)]
        queue = eventually(queue_is(desk, "stock-writer", ready=len(sold), unacknowledged=0, consumers=0))
        assert queue["paused"]
        assert queue["oldest_seconds"] is not None
        assert shop.on_hand(article) == 100
        assert shop.read(f"events/{sold[0]}")["status"] == "accepted"

        # A process that waits is well; and one that is started while it should wait, waits.
        ready = httpx2.get(f"{probe}/readyz", trust_env=False)
        assert (ready.status_code, ready.json()["state"]) == (200, "paused")
        assert 'magasin_consumer_paused{consumer="stock-writer"} 1.0' in httpx2.get(f"{probe}/metrics", trust_env=False).text
        second.process.send_signal(signal.SIGKILL)
        second.process.wait()
        with another_writer(system, tmp_path) as (_, again):
            assert httpx2.get(f"{again}/readyz", trust_env=False).json()["state"] == "paused"
            eventually(queue_is(desk, "stock-writer", consumers=0))
            assert shop.on_hand(article) == 100

            assert done(desk, "consumers/stock-writer/resume") == {
                "name": "stock-writer",
                "state": "running",
                "changed": True,
                "pauses": [],
            }
            eventually(lambda: shop.on_hand(article) == 80 or None)
            for event_id in sold:
                assert shop.settled(event_id)["status"] == "recorded"
            eventually(state_is(desk, "stock-writer", "running", 2))
    with system.engine.connect() as connection:
        asked = {"store_id": shop.store_id}
        assert connection.scalar(text("SELECT count(*) FROM event_log WHERE store_id = :store_id AND type = 'sale.recorded'"), asked) == 20
    lines = shop.http.get(f"{OPS}/audit-log", params={"target": "stock-writer", "limit": 2}).json()["items"]
    assert [(each["actor"], each["action"], each["reason"], each["outcome"]) for each in lines] == [
        ("operateur-test", "consumer.resume", WHY["reason"], "done"),
        ("operateur-test", "consumer.pause", WHY["reason"], "done"),
    ]


def test_one_store_of_a_projection_waits_reads_say_so_and_it_catches_up_at_once(system: System, shop: Shop, desk: httpx2.Client) -> None:
    other, article = system.open_store(), sku()
    shop.sell(article, 2)
    told = done(desk, f"projections/{DAILY}/pause", store_id=shop.store_id)
    assert (told["state"], told["store_id"]) == ("paused", shop.store_id)
    event_id = shop.post("sales", sale(article, 3)).json()["event_id"]
    other.sell(article)

    def others_have_it() -> Json | None:
        found = shop.read(f"events/{event_id}").get("projections", {})
        return found if [name for name, there in found.items() if not there] == [DAILY] else None

    eventually(others_have_it)
    assert other.day()["units"] == 1
    report = shop.read(f"reports/{DAILY}", store=shop.store_id)
    assert (report["items"][0]["units"], report["meta"]["complete"], report["meta"]["stalled_stores"]) == (2, False, [shop.store_id])
    held = items(desk, "projections")[DAILY]
    assert held["lag_events"] >= 1
    assert [each["store_id"] for each in held["paused"]] == [shop.store_id]
    assert held.keys() >= {"name", "lag_events", "lag_seconds", "generation", "stalled"}

    began = time.monotonic()
    done(desk, f"projections/{DAILY}/resume", store_id=shop.store_id)
    shop.settled(event_id)
    assert time.monotonic() - began < SOON_SECONDS
    report = shop.read(f"reports/{DAILY}", store=shop.store_id)
    assert (report["items"][0]["units"], report["meta"]["stalled_stores"]) == (5, [])


def test_pauses_end_by_themselves_at_their_time(desk: httpx2.Client) -> None:
    until = datetime.now(UTC) + timedelta(seconds=8)
    for name in CONSUMERS:
        told = done(desk, f"consumers/{name}/pause", until=until.isoformat())
        assert datetime.fromisoformat(told["pauses"][0]["until"]) == until
    for name in CONSUMERS:
        eventually(state_is(desk, name, "paused"))
    assert datetime.now(UTC) < until
    for name in CONSUMERS:
        eventually(state_is(desk, name, "running"))
        assert datetime.now(UTC) > until
        (line,) = desk.get(f"{OPS}/audit-log", params={"target": name, "limit": 1}).json()["items"]
        assert (line["actor"], line["action"], line["reason"]) == ("magasin", "consumer.resume", "expired")


def test_a_projector_that_waited_catches_up(shop: Shop, desk: httpx2.Client) -> None:
    article = sku()
    done(desk, "consumers/projector/pause")
    eventually(state_is(desk, "projector", "paused"))
    event_id = shop.post("sales", sale(article)).json()["event_id"]
    eventually(lambda: shop.read(f"events/{event_id}")["status"] == "recorded" or None)
    assert not any(shop.read(f"events/{event_id}")["projections"].values())
    assert items(desk, "projections")[DAILY]["lag_events"] >= 1
    done(desk, "consumers/projector/resume")
    shop.settled(event_id)


def test_the_overview_tells_what_is_known_of_everything(system: System, shop: Shop, desk: httpx2.Client) -> None:
    shop.sell(sku())
    found = desk.get(f"{OPS}/overview").json()
    assert found.keys() >= {"attention", "broker", "queues", "consumers", "projections", "dead_letters", "meta"}
    assert found["broker"]["available"] == (system.settings.rabbitmq_management_url is not None)
    assert found["broker"]["alarms"] == []
    assert [each["name"] for each in found["queues"]][:4] == list(CONSUMERS)
    for queue in found["queues"][:4]:
        assert queue.keys() >= {
            "ready",
            "unacknowledged",
            "consumers",
            "in_per_second",
            "out_per_second",
            "oldest_seconds",
            "seconds_to_empty",
        }
    for each in found["consumers"]:
        assert each["state"] == "running", each
        assert each["version"]
        (instance, *_) = [one for one in each["instances"] if one["state"] == "running"]
        assert instance["pid"] == system.processes[each["name"]].process.pid
        assert {"since", "last_error"} <= each.keys()
    assert {each["name"] for each in found["projections"]} == set(PROJECTIONS)


def test_dead_letters_stand_together_by_what_went_wrong(system: System, desk: httpx2.Client) -> None:
    before = desk.get(f"{OPS}/overview").json()["dead_letters"]
    row = {"id": "0192c0de-0000-7000-8000-{:012d}", "fingerprint": "f" * 12}
    with system.engine.begin() as connection:
        for number in range(3):
            connection.execute(
                text("""
                    INSERT INTO dead_letter (id, message_id, type, consumer, exchange, routing_key, headers, reason, error, stack, attempts,
                                             fingerprint, failed_at, status, payload)
                    VALUES (:id, 'm', 'sale.recorded', 'stock-writer', '', '', '{}', 'failed', 'ValueError: no', '', 3, :fingerprint, now(),
                            'waiting', '')
                """),
                {"id": row["id"].format(number), "fingerprint": row["fingerprint"]},
            )
    try:
        after = desk.get(f"{OPS}/overview").json()["dead_letters"]
        (group,) = [each for each in after["groups"] if each["fingerprint"] == row["fingerprint"]]
        assert (group["count"], group["type"], group["error"], group["consumers"]) == (
            3,
            "sale.recorded",
            "ValueError: no",
            ["stock-writer"],
        )
        assert after["waiting"] == before["waiting"] + 3
    finally:
        with system.engine.begin() as connection:
            connection.execute(text("DELETE FROM dead_letter WHERE fingerprint = :fingerprint"), {"fingerprint": row["fingerprint"]})


@pytest.mark.timeout(300)
def test_a_queue_that_only_grows_shows_its_rate_and_no_time_to_empty(system: System, shop: Shop, desk: httpx2.Client) -> None:
    if system.settings.rabbitmq_management_url is None:
        pytest.skip("needs the management API")
    done(desk, "consumers/stock-writer/pause")
    eventually(state_is(desk, "stock-writer", "paused"))
    article, sold = sku(), []

    def growing() -> Json | None:
        sold.append(shop.post("sales", sale(article)).json()["event_id"])
        queue = items(desk, "queues")["stock-writer"]
        return queue if queue["ready"] and queue["in_per_second"] > queue["out_per_second"] else None

    queue = eventually(growing, seconds=40)
    assert queue["seconds_to_empty"] is None
    assert queue["oldest_seconds"] < 60
    done(desk, "consumers/stock-writer/resume")
    for event_id in sold:
        shop.settled(event_id)
    eventually(queue_is(desk, "stock-writer", ready=0, unacknowledged=0, seconds_to_empty=0, oldest_seconds=0))


@pytest.mark.parametrize(
    ("what", "body", "status", "code"),
    [
        ("consumers/nobody/pause", WHY, 404, "unknown_consumer"),
        ("consumers/nobody/resume", WHY, 404, "unknown_consumer"),
        ("projections/nothing/pause", WHY, 404, "unknown_projection"),
        (f"projections/{DAILY}/resume", {**WHY, "store_id": "nowhere"}, 404, "unknown_store"),
        ("consumers/projector/pause", {}, 422, "invalid_content"),
        ("consumers/projector/pause", {"reason": "  "}, 422, "invalid_content"),
        ("consumers/projector/pause", {**WHY, "until": "2020-01-01T00:00:00Z"}, 422, "invalid_content"),
        ("consumers/projector/pause", {**WHY, "until": "2020-01-01"}, 422, "invalid_content"),
        ("consumers/projector/pause", {**WHY, "store_id": "nowhere"}, 422, "invalid_content"),
        ("consumers/projector/resume", {}, 422, "invalid_content"),
    ],
)
def test_a_wrong_order_is_answered_with_its_fault(desk: httpx2.Client, what: str, body: Json, status: int, code: str) -> None:
    answer = desk.post(f"{OPS}/{what}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert consumers(desk)["projector"]["state"] == "running"


def test_who_may_not_give_orders_is_refused_and_noted(system: System, shop: Shop) -> None:
    denied = system.client("gestionnaire").post(f"{OPS}/consumers/projector/pause", json=WHY)
    assert (denied.status_code, denied.json()["code"]) == (403, "forbidden")
    (line,) = shop.http.get(f"{OPS}/audit-log", params={"actor": "gestionnaire-test", "outcome": "denied", "limit": 1}).json()["items"]
    assert line["target"] == f"POST {OPS}/consumers/projector/pause"
