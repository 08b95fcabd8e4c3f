"""Does one table decide who may do what, and does a refusal give nothing away?"""

from typing import Annotated

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from api.keys import SigningKey
from api.problems import Problem, install
from api.security import PERMISSIONS, ROLES, Guard, allow, stores_to_read, visible_stores
from api.tokens import ALL_STORES, Principal, Tokens

CASHIER = Principal("c", "caissier", frozenset({"a"}), 9e9)
MANAGER = Principal("m", "gestionnaire", frozenset({"a", "b"}), 9e9)
CHIEF = Principal("g", "gestionnaire", ALL_STORES, 9e9)
OPERATOR = Principal("o", "operateur", ALL_STORES, 9e9)
ADMIN = Principal("x", "admin", frozenset(), 9e9)

WHO_MAY = {
    "sale.record": "c m g x",
    "sale.return": "c m g x",
    "sale.void": "c m g x",
    "restock.request": "c m g x",
    "restock.cancel": "c m g x",
    "restock.receive": "c m g x",
    "restock.approve": "m g x",
    "restock.reject": "m g x",
    "restock.ship": "m g x",
    "stock.adjust": "m g x",
    "stock.count": "m g x",
    "stock.count_blind": "c m g x",
    "delivery.record": "m g x",
    "case.resolve": "m g x",
    "till.waive": "m g x",
    "product.define": "g x",
    "product.stock": "m g x",
    "store.define": "x",
    "event.read": "c m g o x",
    "store.read": "c m g o x",
    "product.read": "c m g o x",
    "stock.read": "c m g o x",
    "sale.read": "c m g o x",
    "restock.read": "c m g o x",
    "live.read": "c m g o x",
    "self.read": "c m g o x",
    "self.change": "c m g o x",
    "case.read": "m g o x",
    "report.read": "m g o x",
    "ops.read": "o x",
    "ops.act": "o x",
    "user.manage": "x",
    "webhook.manage": "x",
}


def allowed(who: Principal, permission: str, store_id: str | None = None) -> bool:
    try:
        allow(who, permission, store_id)
    except Problem as problem:
        return problem.code != "forbidden"
    return True


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_every_permission_is_held_by_those_written_here_and_no_others(permission: str) -> None:
    able = {who.username for who in (CASHIER, MANAGER, CHIEF, OPERATOR, ADMIN) if allowed(who, permission)}
    assert able == set(WHO_MAY[permission].split())
    assert PERMISSIONS[permission] <= set(ROLES)


def test_a_store_of_others_is_refused_to_all_but_those_of_every_store() -> None:
    assert allowed(CASHIER, "sale.record", "a")
    assert allowed(MANAGER, "stock.adjust", "b")
    for who in (CASHIER, MANAGER):
        assert not allowed(who, "sale.record", "z")
        assert not allowed(who, "stock.read", "z")
    assert allowed(CHIEF, "stock.adjust", "z")
    assert allowed(ADMIN, "stock.adjust", "z")
    assert not allowed(Principal("?", "owner", ALL_STORES, 9e9), "self.read")


def test_a_read_covers_ones_own_stores() -> None:
    assert visible_stores(MANAGER) == frozenset({"a", "b"})
    assert visible_stores(CHIEF) is None
    assert stores_to_read(MANAGER, "stock.read", None) == frozenset({"a", "b"})
    assert stores_to_read(MANAGER, "stock.read", "b") == frozenset({"b"})
    assert stores_to_read(OPERATOR, "stock.read", None) is None
    with pytest.raises(Problem):
        stores_to_read(MANAGER, "stock.read", "z")


def test_a_permission_that_does_not_exist_is_noticed_at_import() -> None:
    with pytest.raises(KeyError):
        Guard("sale.recrod")


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens(SigningKey(generate_private_key(public_exponent=65_537, key_size=2_048)), lifetime_seconds=900)


@pytest.fixture(scope="module")
def client(tokens: Tokens) -> TestClient:
    app = FastAPI()
    app.state.tokens = tokens
    install(app)

    @app.get("/stores/{store_id}/sales")
    async def sales(store_id: str, who: Annotated[Principal, Depends(Guard("sale.read"))], limit: int = 1) -> str:
        return f"{who.username} {store_id} {limit}"

    @app.get("/stock", dependencies=[Depends(Guard("stock.read"))])
    async def stock() -> str:
        return "stock"

    return TestClient(app)


def test_the_door_opens_for_the_right_token_only(client: TestClient, tokens: Tokens) -> None:
    good = {"Authorization": "bearer " + tokens.issue("c", "caissier", ["a"])}
    assert client.get("/stores/a/sales", headers=good).json() == "c a 1"
    for header in ({}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}):
        response = client.get("/stores/a/sales?limit=x", headers=header)
        assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == 'Bearer realm="magasin"'
    response = client.get("/stores/a/sales", headers={"Authorization": "Bearer nonsense"})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].endswith('error="invalid_token"')


def test_a_foreign_store_is_refused_by_path_and_by_every_filter(client: TestClient, tokens: Tokens) -> None:
    headers = {"Authorization": "Bearer " + tokens.issue("c", "caissier", ["a"])}
    answers = [client.get(f"/stores/{store}/sales", headers=headers).json() for store in ("b", "does-not-exist")]
    assert {(answer["status"], answer["detail"]) for answer in answers} == {(403, answers[0]["detail"])}
    assert client.get("/stock", headers=headers).status_code == 200
    assert client.get("/stock?store=a", headers=headers).status_code == 200
    assert client.get("/stock?store=b", headers=headers).status_code == 403
    assert client.get("/stock?store=a&store=b", headers=headers).status_code == 403


def test_the_document_says_how_to_sign_in(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["paths"]["/stock"]["get"]["security"] == [{"bearer": []}]
    flow = schema["components"]["securitySchemes"]["bearer"]["flows"]["password"]
    assert flow["tokenUrl"] == "/api/v2/auth/token"
