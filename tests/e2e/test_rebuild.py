"""Can an operator build a projection again while shops sell, see what is wrong with the live one, and let everybody see the right one?"""

from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from tests.e2e.system import Json, Shop, System, eventually

REBUILDS = "/api/v2/ops/rebuilds"
DAILY = "daily-sales"
ABOUT_SECONDS = 15
"""How long a rebuild takes here: long enough to be killed in the middle."""
TAMPER = text("UPDATE daily_sales.store_day SET revenue_cents = revenue_cents + 12300 WHERE store_id = :store_id")


@pytest.fixture
def desk(system: System) -> httpx2.Client:
    """An operator's client; nobody else's rebuild is under way."""
    client = system.client("operateur")
    for each in client.get(REBUILDS, params={"limit": 500}).json()["items"]:
        if each["state"] in {"running", "paused", "ready", "failed", "stopped"}:
            client.post(f"{REBUILDS}/{each['id']}/cancel")
    return client


def begun(desk: httpx2.Client, **more: object) -> Json:
    answer = desk.post(REBUILDS, json={"projection": DAILY, "reason": "un total étonne", **more})
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"{REBUILDS}/{answer.json()['id']}"
    return dict(answer.json())


def shown(desk: httpx2.Client, rebuild: Json) -> Json:
    answer = desk.get(f"{REBUILDS}/{rebuild['id']}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def until(desk: httpx2.Client, rebuild: Json, state: str) -> Json:
    def look() -> Json | None:
        found = shown(desk, rebuild)
        assert found["state"] in {"running", state}, found
        return found if found["state"] == state else None

    return eventually(look, seconds=4 * ABOUT_SECONDS)


def ordered(desk: httpx2.Client, rebuild: Json, verb: str) -> Json:
    answer = desk.post(f"{REBUILDS}/{rebuild['id']}/{verb}", json={"reason": verb})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def generation(desk: httpx2.Client) -> int:
    (found,) = (each for each in desk.get("/api/v2/ops/projections").json()["items"] if each["name"] == DAILY)
    return int(found["generation"])


def test_a_wrong_figure_is_found_and_mended_while_the_shop_sells(system: System, desk: httpx2.Client, shop: Shop, tmp_path: Path) -> None:
    for _ in range(20):
        shop.post("sales", {"lines": [{"sku": "pomme", "quantity": 1, "unit_price": "2.00"}]})
    eventually(lambda: shop.day().get("sales") == 20 or None)
    with system.engine.begin() as connection:
        connection.execute(TAMPER, {"store_id": shop.store_id})
    before = generation(desk)
    with system.engine.connect() as connection:
        events = connection.execute(text("SELECT sum(seq) FROM store_head")).scalar_one()
    rebuild = begun(desk, max_per_second=max(1, int(events) // ABOUT_SECONDS))
    assert (rebuild["projection"], rebuild["state"], rebuild["diff"]) == (DAILY, "running", None)
    again = desk.post(REBUILDS, json={"projection": DAILY})
    assert (again.status_code, again.json()["code"], again.json()["rebuild"]) == (409, "rebuild_running", rebuild["id"])
    eventually(lambda: shown(desk, rebuild)["done"] or None)
    system.killed(["operator"], tmp_path)
    shop.sell("pomme")
    assert ordered(desk, rebuild, "pause")["state"] == "paused"
    assert ordered(desk, rebuild, "resume")["state"] == "running"
    ready = until(desk, rebuild, "ready")
    assert ready["done"] == ready["total"]
    assert ready["eta_seconds"] == 0
    (cell,) = (each for each in ready["diff"]["tables"]["store_day"]["examples"] if each["key"]["store_id"] == shop.store_id)
    assert cell["change"] == {"sales": 0, "units": 0, "returned_units": 0, "revenue_cents": -12_300}
    assert shop.day()["revenue"] == "165.50"
    promoted = ordered(desk, rebuild, "promote")
    assert (promoted["state"], promoted["live_generation"]) == ("promoted", promoted["generation"])
    assert shop.day()["revenue"] == "42.50"
    assert generation(desk) == promoted["generation"] > before
    shop.sell("pomme")
    assert shop.day()["revenue"] == "45.00"
    assert ordered(desk, rebuild, "rollback")["state"] == "rolled_back"
    assert (generation(desk), shop.day()["revenue"]) == (before, "168.00")
    shop.sell("pomme")
    assert ordered(desk, rebuild, "promote")["state"] == "promoted"
    assert shop.day()["revenue"] == "47.50"
    lines = desk.get("/api/v2/ops/audit-log", params={"target": rebuild["id"]}).json()["items"]
    deeds = [each["action"] for each in reversed(lines) if each["outcome"] == "done"]
    verbs = ["pause", "resume", "ready", "promote", "rollback", "promote"]
    assert [each.removeprefix("rebuild.") for each in deeds] == verbs


def test_who_is_no_operator_starts_nothing_and_is_noted(system: System, desk: httpx2.Client) -> None:
    manager = system.client("gestionnaire")
    assert manager.post(REBUILDS, json={"projection": DAILY}).status_code == 403
    assert manager.get(REBUILDS).status_code == 403
    denied = desk.get("/api/v2/ops/audit-log", params={"actor": "gestionnaire-test", "outcome": "denied"}).json()["items"]
    assert f"POST {REBUILDS}" in [each["target"] for each in denied]
    unknown = desk.post(REBUILDS, json={"projection": "weekly-dreams"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_projection")


def test_an_order_needs_no_words_and_a_cancelled_rebuild_is_over(desk: httpx2.Client) -> None:
    rebuild = begun(desk, max_per_second=1)
    assert desk.post(f"{REBUILDS}/{rebuild['id']}/cancel").json()["state"] == "cancelled"
    refused = desk.post(f"{REBUILDS}/{rebuild['id']}/promote")
    assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "wrong_status", "cancelled")
    newest, *_ = desk.get(REBUILDS, params={"limit": 1}).json()["items"]
    assert (newest["id"], newest["state"]) == (rebuild["id"], "cancelled")
    assert desk.get(f"{REBUILDS}/{'0' * 8}-0000-7000-8000-{'0' * 12}").status_code == 404
