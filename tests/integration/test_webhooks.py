"""Do subscribers learn of everything they asked for, signed, in order per store, whatever they or the worker do meanwhile?"""

import asyncio
import hashlib
import hmac
import json
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from infra import webhooks
from infra.database import engine_for
from infra.settings import Settings
from tests.brokers import until
from tests.e2e.system import Running
from tests.outside import SECRET, Request, Subscriber, deliveries, outbound, subscribe
from tests.telling import Branch, sale

PATIENCE = 20.0


@pytest.fixture
def settings(settings_for_test: Settings) -> Settings:
    """Retries that a test can wait for."""
    quick = {"webhook_retry_first_seconds": 0.05, "webhook_retry_most_seconds": 0.2}
    return settings_for_test.model_copy(update=quick)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    pool = engine_for(settings, name="test-webhooks")
    yield pool
    pool.dispose()


def branch(engine: Engine, sales: int = 5) -> Branch:
    made = Branch(engine).opened()
    made.keep(*(sale(("apple", 1)) for _ in range(sales)))
    return made


def numbers(branch: Branch, type_: str | None = None) -> list[int]:
    return [event.seq for event in branch.log if event.outcome == "recorded" and type_ in {None, event.type}]


def genuine(request: Request, secret: str = SECRET) -> bool:
    """What docs/webhooks.md tells subscribers to do."""
    parts = dict(part.split("=", 1) for part in request.headers["magasin-signature"].split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


async def took(subscriber: Subscriber, branch: Branch, type_: str | None = None) -> None:
    await until(lambda: subscriber.order(branch.store_id) == numbers(branch, type_), PATIENCE)


async def test_a_request_is_a_signed_cloud_event(settings: Settings, engine: Engine) -> None:
    shop = branch(engine, 1)
    (event,) = (each for each in shop.log if each.type == "sale.recorded")
    async with Subscriber().listening() as other, outbound(settings, engine):
        hook = subscribe(engine, other.url, types=["sale.recorded"], stores=[shop.store_id])
        await took(other, shop, "sale.recorded")
        (request,) = other.taken
        await until(lambda: bool(deliveries(engine, hook.webhook_id, "delivered")), PATIENCE)
    assert genuine(request)
    assert not genuine(request, "another")
    assert not genuine(Request(request.headers, request.body + b" "))
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["magasin-event"] == "sale.recorded"
    (delivery,) = deliveries(engine, hook.webhook_id)
    assert request.headers["magasin-delivery"] == str(delivery.delivery_id)
    told = request.event
    assert (told["id"], told["type"], told["seq"], told["storeid"]) == (str(event.event_id), event.type, event.seq, shop.store_id)
    assert (told["specversion"], told["datacontenttype"], told["outcome"]) == ("1.0", "application/json", "recorded")
    assert told["data"] == event.data
    assert (delivery.status, delivery.attempts, delivery.last_status, delivery.last_error) == ("delivered", 1, 204, None)
    assert SECRET not in json.dumps(told)


async def test_each_gets_the_types_and_stores_that_it_asked_for(settings: Settings, engine: Engine) -> None:
    here, there = branch(engine), branch(engine)
    async with Subscriber().listening() as all_of_it, Subscriber().listening() as one_store, Subscriber().listening() as one_type:
        subscribe(engine, all_of_it.url)
        subscribe(engine, one_store.url, stores=[here.store_id])
        subscribe(engine, one_type.url, types=["store.defined"])
        async with outbound(settings, engine) as outside:
            await took(all_of_it, there)
            for each in (here, there):
                each.keep(*(sale(("pear", 1)) for _ in range(5)))
                await outside.wake(each.store_id)
            await asyncio.gather(took(all_of_it, here), took(all_of_it, there), took(one_store, here))
            await asyncio.gather(took(one_type, here, "store.defined"), took(one_type, there, "store.defined"))
    assert one_store.order(there.store_id) == []
    assert "siege" in {request.event["storeid"] for request in all_of_it.taken}


async def test_failures_repeat_an_event_and_hold_those_behind_it(settings: Settings, engine: Engine) -> None:
    """Every second attempt fails, some with an answer, some with none, some with a redirect."""
    shops = [branch(engine, 6) for _ in range(3)]
    answers = iter([204, 500, 204, 302, 204, 429] * 1_000)
    async with Subscriber(lambda _: next(answers)).listening() as other, outbound(settings, engine):
        hook = subscribe(engine, other.url, stores=[each.store_id for each in shops])
        await asyncio.gather(*(took(other, each) for each in shops))
        await until(lambda: not deliveries(engine, hook.webhook_id, "waiting"), PATIENCE)
    for shop in shops:
        seen = [request.event["seq"] for request in other.seen if request.event["storeid"] == shop.store_id]
        assert seen == sorted(seen)
    assert any(delivery.attempts > 1 for delivery in deliveries(engine, hook.webhook_id))
    assert not any("?moved" in request.headers.get("host", "") for request in other.seen)
    assert other.most_at_once <= settings.webhook_in_flight


async def test_a_dead_and_a_slow_subscriber_harm_nobody(settings: Settings, engine: Engine) -> None:
    shops = [branch(engine, 4) for _ in range(6)]
    dead = "http://127.0.0.1:1/"
    async with Subscriber(lambda _: None).listening() as slow, Subscriber().listening() as live:
        for url in (dead, slow.url, live.url):
            subscribe(engine, url)
        async with outbound(settings, engine):
            # Those two never take anything: whoever waited for them would wait for ever.
            await asyncio.gather(*(took(live, each) for each in shops))
            await until(lambda: slow.most_at_once == settings.webhook_in_flight, PATIENCE)


async def test_one_event_that_a_subscriber_refuses_holds_its_own_store_only(settings: Settings, engine: Engine) -> None:
    stuck, free = branch(engine), branch(engine)

    def answering(request: Request) -> int:
        return 500 if request.place == (stuck.store_id, 2) else 200

    async with Subscriber(answering).listening() as other, outbound(settings, engine):
        hook = subscribe(engine, other.url)
        await took(other, free)
        assert other.order(stuck.store_id) == [1]
        await until(lambda: bool(deliveries(engine, hook.webhook_id, "waiting")), PATIENCE)
        (waiting,) = deliveries(engine, hook.webhook_id, "waiting")
        assert (waiting.seq, waiting.last_status) == (2, 500)
        assert waiting.last_error == "HTTP 500: ok"
        with engine.begin() as connection:
            webhooks.decide(connection, waiting.delivery_id, {"status": "skipped", "next_attempt_at": None})
            webhooks.notify(connection, f"skip {waiting.delivery_id}")
        await until(lambda: other.order(stuck.store_id) == [seq for seq in numbers(stuck) if seq != 2], PATIENCE)
        assert [each.seq for each in deliveries(engine, hook.webhook_id, "skipped")] == [2]


async def test_what_fails_for_too_long_is_given_up_and_a_person_may_send_it_again(settings: Settings, engine: Engine) -> None:
    shop, well = branch(engine), False

    def answering(request: Request) -> int:
        return 200 if well or request.place != (shop.store_id, 2) else 503

    impatient = settings.model_copy(update={"webhook_give_up_seconds": 1})
    async with Subscriber(answering).listening() as other, outbound(impatient, engine):
        hook = subscribe(engine, other.url, stores=[shop.store_id])
        await until(lambda: other.order(shop.store_id) == [seq for seq in numbers(shop) if seq != 2], PATIENCE)
        await until(lambda: bool(deliveries(engine, hook.webhook_id, "failed")), PATIENCE)
        (failed,) = deliveries(engine, hook.webhook_id, "failed")
        assert failed.attempts > 2
        well = True
        with engine.begin() as connection:
            webhooks.decide(connection, failed.delivery_id, {"status": "waiting", "next_attempt_at": datetime.now(UTC)})
            webhooks.notify(connection, f"retry {failed.delivery_id}")
        await until(lambda: other.order(shop.store_id)[-1] == 2, PATIENCE)
        await until(lambda: not deliveries(engine, hook.webhook_id, "waiting"), PATIENCE)
        assert not deliveries(engine, hook.webhook_id, "failed")


async def test_the_retry_button_does_not_wait_for_the_next_attempt(settings: Settings, engine: Engine) -> None:
    shop, well = branch(engine), False
    patient = settings.model_copy(update={"webhook_retry_first_seconds": 600.0, "webhook_retry_most_seconds": 600.0})
    async with Subscriber(lambda _: 200 if well else 500).listening() as other, outbound(patient, engine):
        hook = subscribe(engine, other.url, stores=[shop.store_id])
        await until(lambda: bool(deliveries(engine, hook.webhook_id, "waiting")), PATIENCE)
        (waiting,) = deliveries(engine, hook.webhook_id, "waiting")
        well = True
        with engine.begin() as connection:
            webhooks.notify(connection, f"retry {waiting.delivery_id}")
        await took(other, shop)


async def test_a_pause_goes_on_where_it_was_and_a_new_address_is_tried_at_once(settings: Settings, engine: Engine) -> None:
    shop = branch(engine)
    async with Subscriber().listening() as old, Subscriber().listening() as new, outbound(settings, engine) as outside:
        hook = subscribe(engine, old.url, stores=[shop.store_id])
        await took(old, shop)
        before = numbers(shop)
        await until(lambda: outside.place(str(hook.webhook_id), shop.store_id) == before[-1], PATIENCE)
        _change(engine, hook, active=False)
        await until(lambda: not outside.delivers_to(hook.webhook_id), PATIENCE)
        shop.keep(*(sale(("apple", 1)) for _ in range(3)))
        await outside.wake(shop.store_id)
        await until(lambda: outside.place("feed", shop.store_id) == len(shop.log), PATIENCE)
        _change(engine, hook, active=True, url=new.url)
        await until(lambda: new.order(shop.store_id) == numbers(shop)[len(before) :], PATIENCE)
    assert old.order(shop.store_id) == before


async def test_what_a_private_network_hides_is_not_reached(settings: Settings, engine: Engine) -> None:
    shop = branch(engine, 1)
    async with outbound(settings, engine):
        hooks = [subscribe(engine, url) for url in ("https://10.0.0.1/", "https://169.254.169.254/latest", "http://example.org/")]
        await until(lambda: all(deliveries(engine, hook.webhook_id, "waiting") for hook in hooks), PATIENCE)
    for hook in hooks:
        waiting = next(each for each in deliveries(engine, hook.webhook_id) if each.store_id == shop.store_id)
        assert waiting.last_status is None
        assert waiting.last_error is not None


async def test_old_deliveries_are_dropped_and_waiting_ones_stay(settings: Settings, engine: Engine) -> None:
    shop = branch(engine, 2)
    async with Subscriber(lambda request: 500 if request.place[1] == 3 else 200).listening() as other:
        hook = subscribe(engine, other.url, stores=[shop.store_id])
        async with outbound(settings, engine):
            await until(lambda: bool(deliveries(engine, hook.webhook_id, "waiting")), PATIENCE)
    with engine.begin() as connection:
        connection.execute(text("UPDATE webhook_delivery SET first_attempt_at = now() - interval '31 days'"))
        assert webhooks.purge(connection, days=30, most=1) == 1
        assert webhooks.purge(connection, days=30, most=100) == 1
    assert [each.status for each in deliveries(engine, hook.webhook_id)] == ["waiting"]


@pytest.mark.timeout(180)
async def test_a_worker_killed_in_the_middle_goes_on_in_order_and_leaves_nothing_out(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    shops = [branch(engine, 40) for _ in range(3)]
    env = {
        "MAGASIN_ENV": "test",
        "MAGASIN_HOME": str(tmp_path),
        "MAGASIN_DATABASE_URL": settings.database_url,
        "MAGASIN_AMQP_URL": settings.amqp_url,
        "MAGASIN_REDIS_URL": settings.redis_url,
        "MAGASIN_WEBHOOK_RETRY_FIRST_SECONDS": "0.1",
    }
    answers = iter([200, 200, 200, 500] * 1_000)
    async with Subscriber(lambda _: next(answers)).listening() as other:
        subscribe(engine, other.url, stores=[each.store_id for each in shops])
        for part in (1, 2, 3):
            worker = Running(f"outbound-{part}", (sys.executable, "-m", "workers", "outbound"), env, tmp_path)
            reached = len(other.taken) + 25
            await until(lambda: len(other.taken) >= reached, 60)  # noqa: B023 - awaited in the loop
            worker.tell(signal.SIGKILL)
            await asyncio.to_thread(worker.process.wait)
        worker = Running("outbound-4", (sys.executable, "-m", "workers", "outbound"), env, tmp_path)
        try:
            await asyncio.gather(*(took(other, each) for each in shops))
        finally:
            assert await asyncio.to_thread(worker.stop) == 0


async def test_what_a_subscriber_was_told_is_what_the_log_says(settings: Settings, engine: Engine) -> None:
    """Refused events are told to nobody."""
    shop = Branch(engine).opened(oversell="refuse")
    shop.keep(sale(("apple", 1), if_insufficient="refuse"), sale(("apple", 1), if_insufficient="refuse"))
    refused = [event for event in shop.log if event.outcome == "refused"]
    assert len(refused) == 2
    async with Subscriber().listening() as other, outbound(settings, engine) as outside:
        hook = subscribe(engine, other.url, stores=[shop.store_id])
        await took(other, shop)
        await until(lambda: outside.place(str(hook.webhook_id), shop.store_id) == len(shop.log), PATIENCE)
    assert len(other.seen) == len(shop.log) - 2


def _change(engine: Engine, hook: webhooks.Webhook, **changes: object) -> None:
    with engine.begin() as connection:
        webhooks.change(connection, hook.webhook_id, changes)
        webhooks.notify(connection, "webhooks")
