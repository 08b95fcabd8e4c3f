"""Do many instances behind one door serve as one: shared out as was asked, nobody let in who may not, nobody cut when they change places?

The same questions for whatever gateway stands there: `tests.e2e.gateways` finds it, or starts Envoy in front of instances.
"""

import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Self

import httpx2
import pytest

from magasin.gateway.entrance import NoGateway, program
from magasin.gateway.plan import asked, pool, shared
from magasin.gateway.policy import INSTANCE, STICKY_HEADER
from tests.e2e.gateways import PATIENCE_SECONDS, READS, House, standing, started
from tests.e2e.system import eventually, sale

TOGETHER = 6
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    there = os.environ.get("MAGASIN_GATEWAY_URL")
    if there:
        yield standing(there)
        return
    try:
        program()
    except NoGateway:
        pytest.fail("Envoy is not installed: make gateway")
    with started(request.getfixturevalue("system"), tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def person(house: House) -> dict[str, str]:
    """Somebody whom nobody has counted yet."""
    return house.bearer(f"p-{secrets.token_hex(5)}")


def is_refused(house: House, answer: httpx2.Response, status: int, code: str) -> None:
    """The door refused, in the API's own form where the door can speak like that."""
    assert answer.status_code == status, answer.text
    if house.speaks:
        assert (answer.headers["content-type"], answer.json()["code"]) == ("application/problem+json", code)


class Crowd:
    """People who ask and sell all the time, each on a connection that is kept; what they were answered."""

    def __init__(self, house: House, headers: dict[str, str]) -> None:
        self.answers: Counter[str] = Counter()
        self._shop = house.open_store()
        self._over = threading.Event()
        self._house, self._headers = house, headers
        self._people = [threading.Thread(target=self._live, args=(place,)) for place in range(TOGETHER)]

    def __enter__(self) -> Self:
        for each in self._people:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._people:
            each.join()

    def _live(self, place: int) -> None:
        with self._house.client(self._headers) as client:
            while not self._over.is_set():
                try:
                    answer = client.post(f"{self._shop.path}/sales", json=sale("A")) if place % 2 else client.get("/api/v2/stores?limit=1")
                    self.answers[described(answer)] += 1
                except httpx2.HTTPError as error:
                    self.answers[type(error).__name__] += 1
                time.sleep(0.05)

    def all_sold_is_recorded(self) -> bool:
        """Whether every sale that was accepted is in the stock, once; of one that wasn't answered nobody knows."""
        sold, unknown = self.answers["POST 202"], sum(self.failed().values())

        def recorded() -> bool | None:
            on_hand = self._shop.on_hand("A")
            return (on_hand is not None and sold <= -on_hand <= sold + unknown) or None

        return eventually(recorded, seconds=60)

    def failed(self) -> dict[str, int]:
        """What wasn't answered as it should be."""
        return {answer: count for answer, count in self.answers.items() if answer not in {"GET 200", "POST 202"}}


def described(answer: httpx2.Response) -> str:
    """Method and status; of what failed also who refused it, an instance or the door."""
    outcome = f"{answer.request.method} {answer.status_code}"
    if answer.is_success:
        return outcome
    return f"{outcome} by {answer.headers[INSTANCE]}" if INSTANCE in answer.headers else f"{outcome} by the door: {answer.text}"


def test_the_door_lets_in_who_has_a_token_and_says_so_as_the_api_does(house: House, person: dict[str, str]) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"{person['Authorization'][:-6]}AAAAAA"}):
        is_refused(house, house.get("/api/v2/stores", **headers), 401, "unauthorized")
    assert house.get("/api/v2/stores", **person).status_code == 200
    assert house.get("/.well-known/jwks.json").status_code == 200
    assert house.get("/healthz").status_code == 200
    assert [house.get(path).status_code for path in ("/metrics", "/readyz")] == [404, 404]


def test_the_door_bounds_what_comes_in_and_tells_who_may_ask_from_where(house: House, person: dict[str, str]) -> None:
    with house.client() as client:
        large = client.post("/api/v2/auth/refresh", content=b" " * 70_000, headers={"Content-Type": "application/json"})
        is_refused(house, large, 413, "too_large")
        asked_for = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        near, far = (
            client.options("/api/v2/stores", headers={"Origin": origin, **asked_for})
            for origin in ("http://localhost:5173", "https://evil.test")
        )
        assert near.headers["access-control-allow-origin"] == "http://localhost:5173"
        assert "access-control-allow-origin" not in far.headers
        told = client.get("/api/v2/stores?limit=1", headers={**person, "X-Request-ID": "abc-1"})
        assert told.headers["x-request-id"] == "abc-1"


def test_one_person_who_asks_too_much_waits_and_the_others_do_not(house: House) -> None:
    hasty, calm = (house.bearer(f"{name}-{secrets.token_hex(4)}") for name in ("hasty", "calm"))
    with house.client() as client:

        def ask(headers: dict[str, str]) -> httpx2.Response:
            return client.get("/api/v2/auth/nothing", headers=headers)

        answers = [ask({**hasty, "x-magasin-user": f"somebody-{number}"}) for number in range(600)]
        assert {each.status_code for each in answers} == {404, 429}
        refused = next(each for each in answers if each.status_code == 429)
        is_refused(house, refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert ask(calm).status_code == 404


def test_requests_are_shared_out_as_the_plan_says(house: House, person: dict[str, str]) -> None:
    house.change(asked({"sales": "2 weighted:4,1"}, pool("2 hash")))
    shares = house.shares("sales", 60, person)
    assert set(shares) == {"sales-1", "sales-2"}
    assert 2 < shares["sales-1"] / shares["sales-2"] < 8
    assert len(house.shares("products", 10, {**person, STICKY_HEADER: "till-7"})) == 1
    tills = [{**person, STICKY_HEADER: f"till-{number}"} for number in range(30)]
    assert {house.ask("products", **till) for till in tills} == {"api-1", "api-2"}


def test_instances_change_places_under_load_and_nobody_is_cut(house: House, person: dict[str, str]) -> None:
    with Crowd(house, person) as crowd:
        house.change(shared("3 lc"))
        house.change(asked({"sales": "1 rr"}, pool("1 rr")))
        house.change(shared("2 rr"))
        house.owner.replace()
    assert crowd.failed() == {}
    assert crowd.all_sold_is_recorded()


def test_a_killed_instance_is_left_out_and_comes_back(house: House, person: dict[str, str]) -> None:
    house.change(shared("2 rr"))
    with Crowd(house, person) as crowd:
        house.owner.kill("api-1")
        eventually(lambda: house.get(READS["sales"], **person).headers.get(INSTANCE) == "api-1" or None, seconds=PATIENCE_SECONDS)
    # Only what the dying one had in its hands, or was handed before anybody knew; a till sends that again under the same id. What an
    # instance itself puts off, because a busy machine's broker lets it wait, is not the door's.
    dropped = sum(count for answer, count in crowd.failed().items() if " by api-" not in answer)
    assert dropped <= 2 * TOGETHER, crowd.failed()
    assert crowd.all_sold_is_recorded()
