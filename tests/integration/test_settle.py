"""What hears someone who waits for an outcome, and what do the API's instances hear at all?"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from infra.announcements import Announcements
from schemas.envelope import Accepted
from tests.brokers import until
from tests.pipeline import pipeline, writer
from tests.services import Services
from tests.telling import Branch, delivered, letters, message, own_engine, sale, void


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@pytest.fixture
def branch(engine: Engine) -> Branch:
    return Branch(engine).opened()


def outcomes(branch: Branch, *told: Accepted) -> list[dict[str, Any]]:
    return writer(branch.engine).settle([message(told)]).outcomes


def test_who_waits_hears_the_place_of_what_was_recorded(branch: Branch) -> None:
    told = branch.told(delivered(("apple", 1)), reply_to="api")
    expected = {"event_id": str(told.event_id), "reply_to": "api", "outcome": "recorded", "seq": 2, "reason": None, "effect": None}
    assert outcomes(branch, told) == [expected]
    assert outcomes(branch, told) == [expected]


def test_who_waits_hears_why_it_was_refused(branch: Branch) -> None:
    (heard,) = outcomes(branch, branch.told(sale(("apple", 1), if_insufficient="refuse"), reply_to="api"))
    assert (heard["outcome"], heard["reason"], heard["effect"]) == ("refused", "insufficient_stock", {"available": {"apple": 0}})


def test_each_of_those_who_wait_for_one_event_hears_it_and_nobody_else_is_told_anything(branch: Branch) -> None:
    told = branch.told(delivered(("apple", 1)), reply_to="api")
    other = branch.told(delivered(("apple", 1)))
    assert [heard["event_id"] for heard in outcomes(branch, told, other, told)] == [str(told.event_id)] * 2


def test_an_id_used_for_other_content_is_told_so_even_in_one_batch(branch: Branch) -> None:
    first = branch.told(delivered(("apple", 1)), reply_to="api")
    second = branch.told(delivered(("apple", 2)), event_id=first.event_id, reply_to="api")
    assert [heard["outcome"] for heard in outcomes(branch, first, second)] == ["recorded", "conflict"]
    assert [heard["outcome"] for heard in outcomes(branch, second, first)] == ["conflict", "recorded"]


def test_nobody_hears_anything_of_what_was_parked(branch: Branch) -> None:
    stranger = Branch(branch.engine)
    assert outcomes(branch, stranger.told(void(branch.told(sale(("apple", 1))).event_id), reply_to="api")) == []
    assert [letter["reason"] for letter in letters(branch.engine)] == ["unknown_store"]


async def test_outcomes_and_what_was_projected_are_heard_over_the_broker(engine: Engine, branch: Branch, broker_url: str) -> None:
    heard: dict[str, list[dict[str, Any]]] = {"outcomes": [], "projected": []}
    async with pipeline(broker_url, engine) as line:
        listener = Announcements(broker_url, lambda kind, body: heard[kind].append(body), name="test")
        await listener.start()
        await until(lambda: listener.alive)
        told = branch.told(delivered(("apple", 1)), reply_to="api")
        async with line.sound():
            await line.tell([told])
            await until(lambda: all(heard.values()), 20)
        await listener.close()
    assert [each["event_id"] for each in heard["outcomes"][0]["outcomes"]] == [str(told.event_id)]
    stores = [each for body in heard["projected"] for each in body["stores"]]
    assert stores == [{"store_id": branch.store_id, "seq": 2, "types": ["delivery.received"]}]
    assert json.dumps(heard)
