"""The baselines' front."""

from pathlib import Path

import httpx2
import pytest

from bench import wire
from bench.baselines import front
from bench.sales import Line, Sale
from infra.settings import Settings
from schemas.envelope import Accepted

BODY = wire.sale_body(Sale("banc-01", (Line("B00001", 2, 150),)), wire.sale_id(1_700_000_000_000, 1, 7), "2026-01-02T03:04:05Z")


async def test_a_baseline_takes_a_sale_through_the_routes_own_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Settings(env="test", home=tmp_path, backdate_days=3_650)
    monkeypatch.setattr(front, "settings", lambda: config)
    taken: list[tuple[Accepted, bytes]] = []

    async def take(event: Accepted, data: bytes) -> None:
        taken.append((event, data))

    async def every_store(_store_id: str) -> None:
        return

    app = front.application(take)
    monkeypatch.setattr(app.state.known, "store", every_store)
    token = app.state.tokens.issue("caissier-banc-01", "caissier", ["banc-01"])
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://api", headers=headers) as client:
        accepted = await client.post("/api/v2/stores/banc-01/sales", content=BODY)
        foreign = await client.post("/api/v2/stores/banc-02/sales", content=BODY)
        invalid = await client.post("/api/v2/stores/banc-01/sales", content=BODY.replace('"quantity":2', '"quantity":0'))
    assert [answer.status_code for answer in (accepted, foreign, invalid)] == [202, 403, 422]
    assert [(wire.number_of(str(event.event_id)), event.store_id, data[:22]) for event, data in taken] == [
        (7, "banc-01", b'{"till_id":"caisse-1",')
    ]
