"""Poison among good sales: is it found in its groups, and does it go back once its cause is gone, whatever is killed meanwhile?"""

import asyncio
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import text

from infra.connection import connect
from infra.topology import INTAKE, INTAKE_KEY
from tests.e2e.system import Json, Shop, System, eventually

OPS = "/api/v2/ops"
KINDS = 10
OF_EACH = 10
GOOD_FOR_EACH = 10
PATIENCE_SECONDS = 60.0
WHY = {"reason": "le magasin est ouvert maintenant"}


@pytest.fixture
def desk(system: System) -> httpx2.Client:
    return system.client("operateur")


class Wires:
    """Sales as they travel. `tag` stands in each, so that a test finds its own."""

    def __init__(self, shop: Shop) -> None:
        self.tag = f"tag-{secrets.token_hex(6)}"
        self.shop = shop
        self.nowhere = f"n-{secrets.token_hex(5)}"

    def sale(self, quantity: int = 1, **changed: Any) -> Json:  # noqa: ANN401 - anything may be sent
        lines = [{"sku": "P-1", "quantity": quantity, "unit_price": "2.50"}]
        event = {"specversion": "1.0", "id": str(uuid4()), "source": self.tag, "type": "sale.recorded", "time": "2026-11-20T12:00:00Z"}
        return {**event, "storeid": self.shop.store_id, "data": {"lines": lines}, **changed}

    def poison(self) -> list[Callable[[], Json | bytes]]:
        """One maker for each kind of poison."""
        opened = {"kind": "oversell", "events": [], "details": {}}
        return [
            lambda: self.sale(type="sale.imagined"),
            lambda: self.sale(dataschema="urn:magasin:schema:sale.recorded:9"),
            lambda: self.sale(dataschema="urn:magasin:schema:sale.voided:1"),
            lambda: self.sale(0),
            lambda: self.sale(data={"lines": [], "colour": "red"}),
            lambda: self.sale(time="yesterday"),
            lambda: {name: value for name, value in self.sale().items() if name != "time"},
            lambda: self.sale(storeid="NO STORE"),
            lambda: self.sale(storeid=self.nowhere),
            lambda: self.sale(type="case.opened", data=opened),
        ]


def publish(url: str, messages: Sequence[Sequence[Json | bytes]]) -> None:
    """Put these messages into the intake, each an array of events."""

    async def work() -> None:
        from aio_pika import DeliveryMode, Message  # noqa: PLC0415 - only this test speaks to the broker itself

        connection = await connect(url, name="test")
        try:
            exchange = await (await connection.channel(publisher_confirms=True)).get_exchange(INTAKE)
            for each in messages:
                body = json.dumps(each).encode()
                await exchange.publish(Message(body, delivery_mode=DeliveryMode.PERSISTENT, message_id=uuid4().hex), INTAKE_KEY)
        finally:
            await connection.close()

    asyncio.run(work())


def got(client: httpx2.Client, what: str, **parameters: str | int) -> Json:
    answer = client.get(f"{OPS}/{what}", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def done(client: httpx2.Client, what: str, body: Json) -> Json:
    answer = client.post(f"{OPS}/{what}", json=body)
    assert answer.status_code in {200, 201, 202}, answer.text
    return dict(answer.json())


def recorded(system: System, tag: str) -> list[str]:
    with system.engine.connect() as connection:
        return [str(each) for each in connection.scalars(text("SELECT event_id FROM event_log WHERE source = :tag"), {"tag": tag})]


@pytest.mark.timeout(300)
def test_poison_is_found_in_its_groups_and_goes_back_each_once_whatever_is_killed(
    system: System, shop: Shop, desk: httpx2.Client, tmp_path: Path
) -> None:
    wires = Wires(shop)
    poison = [make() for make in wires.poison() for _ in range(OF_EACH)]
    good = [[wires.sale() for _ in range(GOOD_FOR_EACH)] for _ in poison]
    publish(system.settings.amqp_url, [[*some[:5], bad, *some[5:]] for some, bad in zip(good, poison, strict=True)])
    ids = {event["id"] for some in good for event in some}

    def all_there() -> bool | None:
        counted = sum(each["count"] for each in got(desk, "dead-letters", group_by="consumer", search=wires.tag)["items"])
        return (counted == KINDS * OF_EACH and len(recorded(system, wires.tag)) == len(ids)) or None

    eventually(all_there, seconds=PATIENCE_SECONDS)
    assert set(recorded(system, wires.tag)) == ids
    groups = got(desk, "dead-letters", group_by="fingerprint", search=wires.tag)["items"]
    assert [each["count"] for each in groups] == [OF_EACH] * KINDS
    (group,) = (each for each in groups if each["stores"] == [wires.nowhere])
    assert group["reasons"] == ["unknown_store"]
    assert group["summary"]["en"].endswith(f"store {wires.nowhere}, 1 line")

    query = {"fingerprint": group["fingerprint"], "store": wires.nowhere}
    selection = done(desk, "selections", {"query": query})
    assert (selection["count"], len(selection["digest"])) == (OF_EACH, 32)
    name = {"name": "Nouveau", "kind": "store", "timezone": "America/Toronto", "currency": "CAD"}
    opened = system.client().put(f"/api/v2/stores/{wires.nowhere}", json=name, headers={"Prefer": "wait=10"})
    assert opened.status_code == 201, opened.text
    order = {"selection_id": selection["selection_id"], "count": OF_EACH, "digest": selection["digest"], "max_per_second": 4, **WHY}
    begun = done(desk, "redrives", order)
    eventually(lambda: got(desk, f"redrives/{begun['id']}")["succeeded"] >= 2 or None)
    system.killed(["stock-writer", "operator"], tmp_path)

    def over() -> Json | None:
        found = got(desk, f"redrives/{begun['id']}")
        return found if found["state"] != "running" else None

    ended = eventually(over, seconds=PATIENCE_SECONDS)
    assert (ended["state"], ended["total"], ended["done"], ended["succeeded"], ended["failed"]) == ("done", OF_EACH, OF_EACH, OF_EACH, 0)
    assert ended["eta_seconds"] == 0
    after = recorded(system, wires.tag)
    assert len(after) == len(set(after)) == len(ids) + OF_EACH
    with system.engine.connect() as connection:
        where = {"store_id": wires.nowhere}
        level = connection.scalar(text("SELECT on_hand FROM stock_level WHERE store_id = :store_id"), where)
    assert level == -OF_EACH
    assert {each["outcome"] for each in got(desk, f"redrives/{begun['id']}/items")["items"]} == {"recorded"}
    letters = got(desk, "dead-letters", store=wires.nowhere)["items"]
    assert [each["status"] for each in letters] == ["redriven"] * OF_EACH
    lines = got(desk, "audit-log", target=begun["id"])["items"]
    assert [each["action"] for each in lines] == ["redrive.done", "redrive.start"]


def test_a_letter_tells_all_that_is_known_and_can_be_put_right(system: System, shop: Shop, desk: httpx2.Client) -> None:
    wires = Wires(shop)
    publish(system.settings.amqp_url, [[wires.sale(0)], [wires.sale(0)]])
    eventually(lambda: len(got(desk, "dead-letters", search=wires.tag)["items"]) == 2 or None)
    first, second = got(desk, "dead-letters", search=wires.tag)["items"]
    wanted = "id message_id event_id type store_id consumer reason error stack attempts fingerprint failed_at status payload"
    assert first.keys() >= set(wanted.split())
    assert first["payload"]["data"]["lines"][0]["quantity"] == 0
    shown = got(desk, f"dead-letters/{first['id']}")
    assert json.loads(shown["raw"]) == first["payload"]
    assert shown["traces"]["event"] is None

    page = desk.get(f"{OPS}/dead-letters", params={"search": wires.tag, "limit": 1})
    following = desk.get(page.links["next"]["url"])
    assert [each["id"] for each in (*page.json()["items"], *following.json()["items"])] == [first["id"], second["id"]]

    path = "/data/lines/0/quantity"
    refused = desk.post(f"{OPS}/dead-letters/{first['id']}/edit", json={**WHY, "patch": [{"op": "replace", "path": path, "value": -1}]})
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_edit")
    assert [each["pointer"] for each in refused.json()["errors"]] == [f"/event{path}"]
    missing = desk.post(f"{OPS}/dead-letters/{first['id']}/edit", json={**WHY, "patch": [{"op": "remove", "path": "/nothing"}]})
    assert missing.json()["errors"][0] | {"detail": ""} == {"pointer": "/patch/0", "code": "no_such_place", "detail": ""}
    nul = desk.post(f"{OPS}/dead-letters/{first['id']}/edit", json={**WHY, "patch": [{"op": "add", "path": "/data/x", "value": "\x00"}]})
    assert (nul.status_code, nul.json()["code"]) == (422, "invalid_content")

    made = desk.post(f"{OPS}/dead-letters/{first['id']}/edit", json={**WHY, "patch": [{"op": "replace", "path": path, "value": 3}]})
    assert made.status_code == 201, made.text
    assert made.headers["Location"] == f"{OPS}/dead-letters/{made.json()['new_letter_id']}"
    parked = done(desk, f"dead-letters/{second['id']}/park", WHY)
    assert (parked["status"], parked["changed"]) == ("parked", True)
    selection = done(desk, "selections", {"query": {"search": wires.tag}})
    assert selection["count"] == 1
    tried = done(desk, "redrives", {"selection_id": selection["selection_id"], "dry_run": True})
    eventually(lambda: got(desk, f"redrives/{tried['id']}")["state"] == "done" or None)
    assert got(desk, f"redrives/{tried['id']}")["outcomes"] == {"would_go_negative": 1}
    assert recorded(system, wires.tag) == []
    sent = done(desk, "redrives", {"selection_id": selection["selection_id"]})
    eventually(lambda: got(desk, f"redrives/{sent['id']}")["state"] == "done" or None)
    assert recorded(system, wires.tag) == [made.json()["event_id"]]
    assert got(desk, f"dead-letters/{first['id']}")["edited_id"] == made.json()["new_letter_id"]


def test_what_is_unknown_is_not_found_and_what_is_not_allowed_is_noted(system: System, desk: httpx2.Client) -> None:
    nobody = uuid4()
    for what in (f"dead-letters/{nobody}", f"selections/{nobody}", f"redrives/{nobody}", f"redrives/{nobody}/items"):
        assert desk.get(f"{OPS}/{what}").status_code == 404
    for what in (f"dead-letters/{nobody}/park", f"dead-letters/{nobody}/edit/approve", f"selections/{nobody}/park"):
        assert desk.post(f"{OPS}/{what}", json=WHY).status_code == 404
    assert desk.post(f"{OPS}/redrives", json={"selection_id": str(nobody)}).json()["code"] == "unknown_selection"
    assert desk.post(f"{OPS}/redrives/{nobody}/pause").json()["code"] == "unknown_job"
    assert desk.get(f"{OPS}/dead-letters", params={"group_by": "weather"}).status_code == 422
    assert system.client("gestionnaire").post(f"{OPS}/selections", json={"query": {}}).status_code == 403
    lines = got(desk, "audit-log", actor="gestionnaire-test", outcome="denied", limit=1)["items"]
    assert lines[0]["reason"] == "forbidden"
