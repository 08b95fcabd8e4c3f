"""Does an API that is told to stop finish what it has begun, lose nothing that it accepted, and wait for no browser?"""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import select

from infra.event_log import event_log
from tests.e2e.system import PATIENCE_SECONDS, Running, Shop, System, free_port, sale, sku, start_api

TILLS = 8


@pytest.fixture
def second(system: System, tmp_path: Path) -> Iterator[tuple[str, Running]]:
    """Another API of the same system, to be stopped."""
    url, running = start_api(system.settings.model_copy(update={"port": free_port()}), "second", tmp_path)
    yield url, running
    running.stop()


def test_a_stop_under_load_cuts_nobody_off_and_loses_nothing(system: System, shop: Shop, second: tuple[str, Running]) -> None:
    url, running = second
    article, headers = sku(), system.headers("caissier", [shop.store_id])
    answers: list[tuple[str, int]] = []
    enough = threading.Event()

    def till() -> None:
        while True:
            body = sale(article)
            try:
                # A connection for each: reusing one would race with the end of an idle one, which no server can prevent.
                answer = httpx2.post(f"{url}{shop.path}/sales", json=body, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)
            except httpx2.ConnectError:
                return
            except httpx2.HTTPError:
                assert running.process.poll() is not None or enough.is_set(), "cut off while nobody asked it to stop"
                return
            answers.append((body["sale_id"], answer.status_code))
            if len(answers) > 5 * TILLS:
                enough.set()

    with ExitStack() as stack:
        stream = stack.enter_context(httpx2.stream("GET", f"{url}/api/v2/live", headers=headers, timeout=PATIENCE_SECONDS, trust_env=False))
        lines = stream.iter_lines()
        assert next(lines)
        with ThreadPoolExecutor(TILLS) as tills:
            done = [tills.submit(till) for _ in range(TILLS)]
            assert enough.wait(PATIENCE_SECONDS)
            began = time.monotonic()
            running.tell(signal.SIGTERM)
            code = running.process.wait(PATIENCE_SECONDS)
            stopped_after = time.monotonic() - began
            for each in done:
                each.result()
        assert all(isinstance(line, str) for line in lines), "the stream ends, it doesn't break"
    assert code == 0
    assert stopped_after < 8, "no browser holds it up"
    assert {status for _, status in answers} == {202}
    last = shop.sell(article)
    assert last["status"] == "recorded"
    ids = {sale_id for sale_id, _ in answers}
    with system.engine.connect() as connection:
        recorded = {str(each) for each in connection.execute(select(event_log.c.event_id).where(event_log.c.event_id.in_(ids))).scalars()}
    assert recorded == ids


def test_those_who_wait_for_an_outcome_get_their_answer(system: System, shop: Shop, second: tuple[str, Running]) -> None:
    url, running = second
    headers = system.headers("caissier", [shop.store_id]) | {"Prefer": "wait=10"}
    bodies = [sale(sku()) for _ in range(TILLS)]

    def ask(body: dict[str, object]) -> httpx2.Response:
        return httpx2.post(f"{url}{shop.path}/sales", json=body, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)

    with system.processes["stock-writer"].held(), ThreadPoolExecutor(TILLS) as tills:
        asked = [tills.submit(ask, body) for body in bodies]
        for body in bodies:
            shop.accepted(str(body["sale_id"]))
        began = time.monotonic()
        running.tell(signal.SIGTERM)
        assert [each.result().status_code for each in asked] == [202] * TILLS
        assert running.process.wait(PATIENCE_SECONDS) == 0
        assert time.monotonic() - began < 8
    for body in bodies:
        assert shop.settled(str(body["sale_id"]))["status"] == "recorded"
