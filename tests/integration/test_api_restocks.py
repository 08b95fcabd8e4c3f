"""Can two stores agree about goods over HTTP, may each do only its part, and is every answer the same when it is asked for again?"""

import json
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from api.commands import Command
from api.restocks import COMMANDS
from tests.e2e.system import Fragile, Json, Shop, System, sku

WAIT = {"Prefer": "wait=10"}
STEPS: dict[str, Json] = {
    "approve": {},
    "reject": {"reason": "rien de trop"},
    "cancel": {"reason": "erreur"},
    "ship": {},
    "receive": {"lines": [], "close": True},
}


class Pair:
    """A shop with its centre, each with a manager of its own, and a cashier in the shop."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.centre = system.open_store(kind="centre")
        self.shop = system.open_store(centre=self.centre.store_id)
        self.sender = system.client("gestionnaire", [self.centre.store_id])
        self.receiver = system.client("caissier", [self.shop.store_id])
        self.sku = sku()

    def ask(self, quantity: int = 10, /, **more: Any) -> Json:  # noqa: ANN401 - members of a request body
        """A request of the shop, recorded: the answer."""
        body = {"to_store": self.shop.store_id, "lines": [{"sku": self.sku, "quantity": quantity}], **more}
        answer = self.receiver.post("/api/v2/restocks", json=body, headers=WAIT)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    def step(self, restock_id: str, verb: str, body: Json | None = None, *, key: str | None = None) -> httpx2.Response:
        """A step taken by the store that it belongs to."""
        who = self.sender if verb in {"approve", "reject", "ship"} else self.receiver
        headers = WAIT if key is None else {**WAIT, "Idempotency-Key": key}
        return who.post(f"/api/v2/restocks/{restock_id}/{verb}", json=STEPS[verb] if body is None else body, headers=headers)

    def done(self, restock_id: str, verb: str, body: Json | None = None) -> Json:
        """The same, recorded: the answer."""
        answer = self.step(restock_id, verb, body)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    def read(self, restock_id: str) -> Json:
        """The restock as the shop sees it."""
        answer = self.receiver.get(f"/api/v2/restocks/{restock_id}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def stock(self, shop: Shop) -> tuple[int, int] | None:
        """What is on hand and in transit."""
        items = shop.read("stock", store=shop.store_id, sku=self.sku)["items"]
        return (items[0]["on_hand"], items[0]["in_transit"]) if items else None


@pytest.fixture(scope="module")
def pair(system: System) -> Pair:
    """One for all of them; every test may have restocks of its own."""
    return Pair(system)


@pytest.fixture(scope="module")
def asked(pair: Pair) -> str:
    """A restock that anything may be said about."""
    restock_id: str = pair.ask()["restock_id"]
    return restock_id


def test_a_restock_goes_its_way_from_request_to_the_last_receipt(system: System) -> None:
    pair = Pair(system)
    pair.centre.deliver(pair.sku, 50)
    pair.shop.deliver(pair.sku, 1)
    asked = pair.ask(10, note="pour samedi")
    restock_id = asked["restock_id"]
    assert asked == {
        "event_id": restock_id,
        "status": "recorded",
        "store_id": pair.shop.store_id,
        "seq": asked["seq"],
        "restock_id": restock_id,
    }
    approved = pair.done(restock_id, "approve", {"lines": [{"sku": pair.sku, "quantity": 8}]})
    assert (approved["store_id"], approved["restock_id"]) == (pair.centre.store_id, restock_id)
    pair.done(restock_id, "ship")
    assert (pair.stock(pair.centre), pair.stock(pair.shop)) == ((42, 0), (1, 8))
    pair.done(restock_id, "receive", {"lines": [{"sku": pair.sku, "received": 5}]})
    assert pair.stock(pair.shop) == (6, 3)
    pair.done(restock_id, "receive", {"lines": [{"sku": pair.sku, "received": 1, "damaged": 1}], "close": True})
    assert (pair.stock(pair.centre), pair.stock(pair.shop)) == ((42, 0), (7, 0))
    found = pair.read(restock_id)
    assert (found["status"], found["from_store"], found["to_store"], found["note"]) == (
        "received",
        pair.centre.store_id,
        pair.shop.store_id,
        "pour samedi",
    )
    figures = {"requested": 10, "approved": 8, "shipped": 8, "received": 6, "damaged": 1, "missing": 1}
    assert found["lines"] == [{"sku": pair.sku, "name": None, **figures}]
    assert [(step["type"], step["outcome"], step["state"]) for step in found["history"]] == [
        ("restock.requested", "recorded", "requested"),
        ("restock.approved", "recorded", "approved"),
        ("restock.shipped", "recorded", "shipped"),
        ("restock.received", "recorded", "partially_received"),
        ("restock.received", "recorded", "received"),
    ]
    assert {step["actor"] for step in found["history"]} == {"caissier-test", "gestionnaire-test"}
    late = pair.done(restock_id, "receive", {"lines": [{"sku": pair.sku, "received": 1}]})
    assert pair.stock(pair.shop) == (8, 0)
    assert pair.shop.settled(late["event_id"])["effect"] == {"state": "received", "missing": {pair.sku: -1}}
    kinds = Counter(case["kind"] for case in pair.shop.read("cases", store=pair.shop.store_id)["items"])
    assert {kind: kinds[kind] for kind in ("damaged_receipt", "short_receipt", "late_receipt")} == {
        "damaged_receipt": 1,
        "short_receipt": 1,
        "late_receipt": 1,
    }


def test_a_wrong_step_is_a_conflict_that_tells_the_state(pair: Pair) -> None:
    restock_id = pair.ask()["restock_id"]
    for verb in ("ship", "receive"):
        answer = pair.step(restock_id, verb)
        assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
        problem = answer.json()
        assert (problem["code"], problem["state"], problem["status"]) == ("wrong_state", "requested", 409)
    pair.done(restock_id, "approve")
    pair.done(restock_id, "ship")  # refused as too early before: that isn't remembered against it
    answer = pair.step(restock_id, "cancel")
    assert (answer.status_code, answer.json()["state"]) == (409, "shipped")
    pair.done(restock_id, "receive", {"lines": [{"sku": pair.sku, "received": 10}]})
    assert pair.step(restock_id, "receive").json()["state"] == "received"
    more = pair.step(pair.ask()["restock_id"], "approve", {"lines": [{"sku": pair.sku, "quantity": 11}]})
    assert (more.status_code, more.json()["code"], more.json()["most"]) == (409, "exceeds_restock", {pair.sku: 10})


def test_a_step_that_can_never_be_taken_again_is_refused_even_if_nobody_waits(pair: Pair) -> None:
    restock_id = pair.ask()["restock_id"]
    path = f"/api/v2/restocks/{restock_id}"
    for verb in ("approve", "ship"):
        answer = pair.sender.post(f"{path}/{verb}", json={})
        assert answer.status_code == 202, "the one before may still be on its way"
        pair.shop.settled(answer.json()["event_id"])
        assert pair.sender.post(f"{path}/{verb}", json={}).json() == answer.json(), "the same decision"
    for verb in ("approve", "reject", "ship"):
        late = pair.sender.post(f"{path}/{verb}", json=STEPS[verb], headers={"Idempotency-Key": str(uuid4())})
        assert (late.status_code, late.json()["code"], late.json()["state"]) == (409, "wrong_state", "shipped")
    assert pair.receiver.post(f"{path}/cancel", json=STEPS["cancel"]).json()["state"] == "shipped"
    assert [step["outcome"] for step in pair.read(restock_id)["history"]] == ["recorded"] * 3


def test_of_several_who_decide_at_once_one_wins_and_the_others_hear_the_state(pair: Pair) -> None:
    for _ in range(5):
        restock_id = pair.ask()["restock_id"]
        gate = threading.Barrier(3)

        def decide(verb: str, gate: threading.Barrier = gate, restock_id: str = restock_id) -> httpx2.Response:
            gate.wait()
            return pair.step(restock_id, verb)

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(decide, ["approve", "reject", "reject"]))
        state = pair.read(restock_id)["status"]
        # The two who reject with the same words are one and the same decision.
        assert sorted(answer.status_code for answer in answers) == ([201, 409, 409] if state == "approved" else [201, 201, 409])
        assert {answer.json()["state"] for answer in answers if answer.status_code == 409} == {state}


def test_a_decision_said_again_is_the_same_decision(pair: Pair) -> None:
    restock_id = pair.ask()["restock_id"]
    first, again = pair.done(restock_id, "approve"), pair.done(restock_id, "approve")
    assert again == first
    assert pair.step(restock_id, "approve", {"lines": [{"sku": pair.sku, "quantity": 1}]}).json()["code"] == "wrong_state"
    key = str(uuid4())
    shipped = pair.step(restock_id, "ship", key=key)
    assert pair.step(restock_id, "ship", key=key).json() == shipped.json()
    assert pair.step(restock_id, "ship", {"lines": [{"sku": pair.sku, "quantity": 1}]}, key=key).json()["code"] == "idempotency_mismatch"
    receipt = {"receipt_id": str(uuid4()), "lines": [{"sku": pair.sku, "received": 2}]}
    assert pair.done(restock_id, "receive", receipt) == pair.done(restock_id, "receive", receipt)
    twice = {"lines": [{"sku": pair.sku, "received": 3}]}  # two deliveries in the same words
    assert pair.done(restock_id, "receive", twice)["event_id"] != pair.done(restock_id, "receive", twice)["event_id"]
    assert pair.read(restock_id)["lines"][0]["received"] == 8


def test_a_request_said_again_is_the_same_request_even_if_the_centre_has_changed(system: System) -> None:
    pair = Pair(system)
    body: Json = {"restock_id": str(uuid4())}
    first = pair.ask(**body)
    details = {"name": "Essai", "timezone": "America/Toronto", "centre": system.open_store(kind="centre").store_id}
    assert pair.shop.http.put(pair.shop.path, json=details, headers=WAIT).status_code == 201
    assert pair.ask(**body) == first
    assert pair.read(body["restock_id"])["from_store"] == pair.centre.store_id
    other = {"to_store": pair.shop.store_id, "lines": [{"sku": pair.sku, "quantity": 11}], **body}
    assert pair.receiver.post("/api/v2/restocks", json=other).json()["code"] == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("more", "pointer", "code"),
    [
        ({"from_store": "nowhere-at-all"}, "/from_store", "unknown_store"),
        ({"from_store": "{self}"}, "/from_store", "same_store"),
        ({"from_store": "NO"}, "/from_store", "bad_format"),
        ({"lines": []}, "/lines", "too_few"),
        ({"lines": [{"sku": "a", "quantity": 0}]}, "/lines/0/quantity", "too_small"),
        ({"status": "received"}, "/status", "unknown_field"),
        ({"occurred_at": "2099-01-01T00:00:00Z"}, "/occurred_at", "in_the_future"),
    ],
)
def test_what_can_be_no_request_is_told_at_its_place(pair: Pair, more: Json, pointer: str, code: str) -> None:
    filled = {name: pair.shop.store_id if value == "{self}" else value for name, value in more.items()}
    body = {"to_store": pair.shop.store_id, "lines": [{"sku": "a", "quantity": 1}], **filled}
    answer = pair.receiver.post("/api/v2/restocks", json=body)
    assert answer.status_code == 422
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [(pointer, code)]


def test_a_store_without_a_centre_has_to_say_who_sends(system: System, shop: Shop) -> None:
    answer = shop.http.post("/api/v2/restocks", json={"to_store": shop.store_id, "lines": [{"sku": "a", "quantity": 1}]})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "no_centre")
    body = {"to_store": "nowhere-at-all", "from_store": shop.store_id, "lines": [{"sku": "a", "quantity": 1}]}
    assert shop.http.post("/api/v2/restocks", json=body).json()["code"] == "unknown_store"
    bound = system.client("caissier", [shop.store_id])
    assert bound.post("/api/v2/restocks", json=body).json()["code"] == "forbidden", "whether it exists or not"


def test_a_receipt_has_to_say_something(pair: Pair) -> None:
    restock_id = pair.ask()["restock_id"]
    empty: list[Json] = [{}, {"lines": []}, {"lines": [], "close": False}]
    for body in empty:
        answer = pair.step(restock_id, "receive", body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "empty_receipt")
    assert pair.step(restock_id, "reject", {}).json()["errors"][0]["pointer"] == "/reason"
    nothing = pair.sender.post(f"/api/v2/restocks/{restock_id}/approve", headers=WAIT)
    assert nothing.status_code == 201, "to approve everything there is nothing to say"


def test_each_step_is_for_its_own_store_and_nobody_else_learns_of_it(pair: Pair, system: System) -> None:
    restock_id = pair.ask()["restock_id"]
    shop_manager = system.client("gestionnaire", [pair.shop.store_id])
    centre_cashier = system.client("caissier", [pair.centre.store_id])
    stranger = system.client("gestionnaire", [system.open_store().store_id])
    for verb, body in STEPS.items():
        path = f"/api/v2/restocks/{restock_id}/{verb}"
        wrong = shop_manager if verb in {"approve", "reject", "ship"} else pair.sender
        assert wrong.post(path, json=body).json()["code"] == "forbidden"
        assert stranger.post(path, json=body).json()["code"] == "unknown_restock"
        assert stranger.post(f"/api/v2/restocks/{uuid4()}/{verb}", json=body).json()["code"] == "unknown_restock"
        assert stranger.post(f"/api/v2/restocks/nonsense/{verb}", json=body).json()["errors"][0]["pointer"] == "/path/restock_id"
        if verb in {"approve", "reject", "ship"}:
            assert centre_cashier.post(path, json=body).json()["code"] == "forbidden"
        assert system.client("operateur").post(path, json=body).json()["code"] == "forbidden"
    assert stranger.get(f"/api/v2/restocks/{restock_id}").json()["code"] == "unknown_restock"
    assert stranger.get("/api/v2/restocks").json()["items"] == []
    assert stranger.get(f"/api/v2/restocks?store={pair.shop.store_id}").json()["code"] == "forbidden"
    for reader in (pair.sender, pair.receiver, shop_manager, centre_cashier):
        assert reader.get(f"/api/v2/restocks/{restock_id}").json()["restock_id"] == restock_id
    assert pair.read(restock_id)["status"] == "requested"


def test_restocks_are_listed_page_by_page_and_by_status(system: System) -> None:
    pair = Pair(system)
    ids = [pair.ask(place + 1)["restock_id"] for place in range(5)]
    pair.done(ids[0], "approve")
    pair.done(ids[3], "reject")
    seen: list[str] = []
    path: str | None = f"/api/v2/restocks?store={pair.centre.store_id}&limit=2"
    while path:
        answer = pair.sender.get(path)
        seen += [item["restock_id"] for item in answer.json()["items"]]
        path = answer.links["next"]["url"] if "next" in answer.links else None
    assert seen == ids[::-1]
    for status, expected in (("approved", [ids[0]]), ("rejected", [ids[3]]), ("shipped", [])):
        items = pair.receiver.get("/api/v2/restocks", params={"status": status}).json()["items"]
        assert [item["restock_id"] for item in items] == expected
    (rejected,) = pair.receiver.get("/api/v2/restocks?status=rejected").json()["items"]
    assert (rejected["reason"], rejected["lines"][0]["requested"]) == ("rien de trop", 4)
    assert pair.receiver.get("/api/v2/restocks?status=lost").status_code == 422
    csv = pair.receiver.get("/api/v2/restocks?format=csv")
    assert csv.text.splitlines()[0].startswith("restock_id,")


def test_what_another_stores_log_changes_is_seen_at_once(system: System) -> None:
    pair = Pair(system)
    pair.shop.deliver(pair.sku, 1)
    restock_id = pair.ask()["restock_id"]
    reads = [f"/api/v2/restocks/{restock_id}", "/api/v2/restocks", f"/api/v2/stock?store={pair.shop.store_id}"]
    for verb, body in (("approve", None), ("ship", None), ("receive", {"lines": [{"sku": pair.sku, "received": 10}]})):
        tags = {path: pair.receiver.get(path).headers["etag"] for path in reads}
        pair.done(restock_id, verb, body)
        for path, tag in tags.items():
            changed = pair.receiver.get(path, headers={"If-None-Match": tag}).status_code == 200
            assert changed or ("/stock" in path and verb == "approve")
    assert pair.stock(pair.shop) == (11, 0)


def test_who_asks_may_go_on_before_the_request_is_recorded(pair: Pair, system: System) -> None:
    body = {"to_store": pair.shop.store_id, "lines": [{"sku": pair.sku, "quantity": 1}]}
    with system.processes["stock-writer"].held():
        answer = pair.receiver.post("/api/v2/restocks", json=body)
        restock_id = answer.json()["restock_id"]
        assert (answer.status_code, restock_id) == (202, answer.json()["event_id"])
        assert answer.headers["location"] == f"/api/v2/events/{restock_id}"
        late = pair.receiver.post(f"/api/v2/restocks/{restock_id}/cancel", json={"reason": "non"})
        assert (late.status_code, late.headers["retry-after"]) == (503, "2")
        with ThreadPoolExecutor(1) as pool:
            going_on = pool.submit(pair.step, restock_id, "approve")
            system.processes["stock-writer"].tell(signal.SIGCONT)
            assert going_on.result().status_code == 201
    assert pair.read(restock_id)["status"] == "approved"


def test_without_redis_a_restock_is_found_and_goes_on(fragile: Fragile, pair: Pair) -> None:
    restock_id = pair.ask()["restock_id"]
    manager = fragile.system.client("gestionnaire", [pair.centre.store_id])
    with fragile.redis.away():
        assert manager.post(f"/api/v2/restocks/{restock_id}/approve", json={}, headers=WAIT).status_code == 201
        assert manager.post(f"/api/v2/restocks/{uuid4()}/approve", json={}).json()["code"] == "unknown_restock"


def test_suggestions_are_told_with_their_numbers_and_an_explanation(system: System) -> None:
    pair = Pair(system)
    skus = sorted(sku() for _ in range(3))
    for article in skus:
        limits = pair.shop.http.put(f"{pair.shop.path}/products/{article}", json={"reorder_point": 4, "target_level": 12}, headers=WAIT)
        assert limits.status_code == 201
    pair.shop.sell(skus[0], 2)
    path: str | None = f"/api/v2/restocks/suggestions?store={pair.shop.store_id}&limit=2"
    found: list[Json] = []
    while path:
        answer = pair.receiver.get(path)
        found += answer.json()["items"]
        path = answer.links["next"]["url"] if "next" in answer.links else None
    assert [(each["sku"], each["quantity"], each["from_store"]) for each in found] == [
        (article, 14 if article == skus[0] else 12, pair.centre.store_id) for article in skus
    ]
    first = found[0]
    assert first["numbers"].items() >= {"on_hand": -2, "sold_units": 2, "reorder_point": 4, "target_level": 12}.items()
    assert "-2 en stock" in first["explanation"]["fr"]
    assert "The target level is 12: 14 are needed." in first["explanation"]["en"]
    body = {"to_store": first["store_id"], "from_store": first["from_store"], "lines": [{"sku": skus[0], "quantity": first["quantity"]}]}
    pair.shop.settled(pair.receiver.post("/api/v2/restocks", json=body).json()["event_id"])
    left = pair.receiver.get("/api/v2/restocks/suggestions")
    assert [each["sku"] for each in left.json()["items"]] == skus[1:], "what was asked for isn't suggested again"
    assert pair.receiver.get("/api/v2/restocks/suggestions", headers={"If-None-Match": left.headers["etag"]}).status_code == 304
    assert left.json()["meta"]["complete"] is True
    assert "explanation.fr" in pair.receiver.get("/api/v2/restocks/suggestions?format=csv").text.splitlines()[0]
    assert pair.receiver.get(f"/api/v2/restocks/suggestions?store={pair.centre.store_id}").json()["code"] == "forbidden"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({name for command in COMMANDS for name in command.body.model_fields} | {"sku", "quantity", "received", "damaged"})
LIKELY = st.dictionaries(
    st.sampled_from(FIELDS), ANYTHING | st.lists(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=5), max_size=3)
)


@given(body=ANYTHING | LIKELY, command=st.sampled_from(COMMANDS))
@settings(max_examples=80, phases=[Phase.generate, Phase.shrink])
def test_no_json_at_all_breaks_a_step(pair: Pair, asked: str, body: object, command: Command) -> None:
    content = json.dumps(body).encode()
    path = command.path.format(restock_id=asked)
    answer = pair.shop.http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 202 or answer.headers["content-type"] == "application/problem+json"


def test_nothing_of_all_that_was_dead_lettered(pair: Pair) -> None:
    pair.done(pair.ask()["restock_id"], "approve")
    with pair.system.engine.connect() as connection:
        stores = [pair.shop.store_id, pair.centre.store_id]
        found = connection.execute(text("SELECT reason, error FROM dead_letter WHERE store_id = ANY(:stores)"), {"stores": stores}).all()
    assert found == []
