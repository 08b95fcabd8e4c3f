"""Is every failure answered as a problem, in the client's language, and never with the client's own input?"""

import ast
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query
from httpx2 import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.testclient import TestClient

import api
from api.faults import CODES, faults_of
from api.problems import Problem, errors_of, install, problem_of, problem_responses
from api.texts import FAULTS, PROBLEMS

SECRET = "s3cr3t-input"  # noqa: S105 - stands for anything a client may send, and must not come back


class Line(BaseModel):
    """A line as routes have it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sku: Annotated[str, Field(pattern=r"^[A-Z]{1,9}$")]
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000)]
    price: float = 1.0


class Basket(BaseModel):
    """A body as routes have it."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[list[Line], Field(min_length=1, max_length=500)]


def application() -> FastAPI:
    """An application with one route for each way to fail."""
    app = FastAPI()
    install(app)

    @app.post("/baskets")
    async def take(basket: Basket, limit: Annotated[int, Query(le=500)] = 50) -> int:
        return len(basket.lines) + limit

    @app.get("/fail/{how}", responses=problem_responses("unknown_store", "unknown_sale", "forbidden"))
    async def fail(how: str, request: Request) -> None:
        request.state.trace_id = "trace-1"
        failures: dict[str, Exception] = {
            "problem": Problem("too_many_requests", headers={"Retry-After": "7"}, seconds=7),
            "no-parameter": Problem("too_many_requests"),
            "stock": Problem("insufficient_stock", members={"available": {"A": 3}}),
            "new-reason": Problem("shop_on_fire"),
            "database": OperationalError(f"SELECT '{SECRET}'", {}, Exception(SECRET)),
            "broker": Problem("broker_unavailable"),
            "bug": RuntimeError(SECRET),
        }
        raise failures[how]

    return app


@pytest.fixture
def client() -> TestClient:
    """A client that gets 500s as answers."""
    return TestClient(application(), raise_server_exceptions=False)


def problem(response: Response) -> dict[str, Any]:
    """The body of a problem answer, with what every one of them must have."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "code", "trace_id", "errors"}
    assert body["status"] == response.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert SECRET not in response.text
    return body


def test_all_faults_come_at_once_each_with_its_pointer(client: TestClient) -> None:
    lines = [{"sku": SECRET, "quantity": 0}, {"quantity": True}, {"sku": "A", "quantity": 1, "é": 1, "note": 1, "x" * 99: 1}]
    body = problem(client.post("/baskets?limit=501", json={"lines": lines}))
    assert body["status"] == 422
    assert {(error["pointer"], error["code"]) for error in body["errors"]} == {
        ("/query/limit", "too_large"),
        ("/lines/0/sku", "bad_format"),
        ("/lines/0/quantity", "too_small"),
        ("/lines/1/sku", "missing"),
        ("/lines/1/quantity", "not_an_integer"),
        ("/lines/2/note", "unknown_field"),
        ("/lines/2", "unknown_field"),
    }


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b"", 422, "invalid_content"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b"9" * 5_000, 400, "malformed_json"),
        (b"null", 422, "invalid_content"),
        (b"[]", 422, "invalid_content"),
        (b'{"lines": [{"sku": "A", "quantity": NaN}]}', 422, "invalid_content"),
        (b'{"lines": [{"sku": "A", "quantity": 1, "price": NaN}]}', 422, "invalid_content"),
        (b'{"lines": [{"sku": "A", "quantity": 1, "price": 1e400}]}', 422, "invalid_content"),
        (b'{"lines": [{"sku": "A", "quantity": 1e400}]}', 422, "invalid_content"),
        (b'{"lines": [{"sku": "\\ud800", "quantity": 1}]}', 422, "invalid_content"),
        (b'{"lines": [{"sku": "A", "quantity": 1}], "\\ud800": 1}', 422, "invalid_content"),
        (b'{"lines": [{"sku": "A\\u0000", "quantity": 1}]}', 422, "invalid_content"),
    ],
)
def test_what_no_encoder_takes_is_refused_and_not_repeated(client: TestClient, raw: bytes, status: int, code: str) -> None:
    response = client.post("/baskets", content=raw, headers={"Content-Type": "application/json"})
    body = problem(response)
    assert (body["status"], body["code"]) == (status, code)


def test_no_answer_has_more_than_a_hundred_faults(client: TestClient) -> None:
    response = client.post("/baskets", json={"lines": [{"sku": "x" * 2_000, "quantity": 0}] * 400})
    assert len(problem(response)["errors"]) == 100
    assert len(response.content) < 20_000


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("problem", 429, "too_many_requests"),
        ("no-parameter", 429, "too_many_requests"),
        ("stock", 409, "insufficient_stock"),
        ("new-reason", 409, "shop_on_fire"),
        ("database", 503, "database_unavailable"),
        ("broker", 503, "broker_unavailable"),
        ("bug", 500, "internal_error"),
    ],
)
def test_every_failure_is_a_problem_and_leaks_nothing(client: TestClient, how: str, status: int, code: str) -> None:
    response = client.get(f"/fail/{how}")
    body = problem(response)
    assert (body["status"], body["code"], body["trace_id"], body["instance"]) == (status, code, "trace-1", f"/fail/{how}")
    assert response.headers["content-language"] == "fr"
    assert (status == 503) == (response.headers.get("retry-after") == "2")
    assert "{" not in body["detail"]


def test_headers_and_further_members_go_with_the_answer(client: TestClient) -> None:
    assert client.get("/fail/problem").headers["retry-after"] == "7"
    assert "7 second(s)" in client.get("/fail/problem", headers={"Accept-Language": "en"}).json()["detail"]
    assert client.get("/fail/stock").json()["available"] == {"A": 3}


def test_unknown_addresses_and_methods_are_problems_too(client: TestClient) -> None:
    assert problem(client.get("/nowhere"))["code"] == "not_found"
    response = client.delete("/baskets")
    assert problem(response)["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"
    assert problem(client.get("/nowhere/" + "%F0%9F%92%A9" * 300))["instance"].startswith("/nowhere/%F0")


def test_the_language_is_the_clients(client: TestClient) -> None:
    english = problem(client.post("/baskets", json={}, headers={"Accept-Language": "en-CA, fr;q=0.4"}))
    french = problem(client.post("/baskets", json={}))
    assert english["title"] == "Invalid content"
    assert english["errors"][0]["detail"] == "This field is required."
    assert french["title"] == "Contenu non valide"
    assert french["code"] == english["code"]


def test_raw_json_checked_by_hand_gives_the_same_problems() -> None:
    adapter = TypeAdapter(Basket)
    for raw, code in ((b"{", "malformed_json"), (b'{"lines": []}', "invalid_content")):
        with pytest.raises(ValidationError) as raised:
            adapter.validate_json(raw)
        assert problem_of(raised.value).code == code
    assert errors_of(raised.value, ("sales", 3), "en") == [
        {"pointer": "/sales/3/lines", "code": "too_few", "detail": "There are too few items. (≥ 1)"}
    ]


def test_a_check_of_our_own_brings_its_own_code() -> None:
    def refuse(_value: object) -> object:
        message = "wrong_total"
        raise PydanticCustomError(message, "{secret}", {"secret": SECRET})

    class Sale(BaseModel):
        total: Annotated[str, AfterValidator(refuse)]

    with pytest.raises(ValidationError) as raised:
        Sale.model_validate({"total": "1"})
    assert [fault.code for fault in faults_of(raised.value)] == ["wrong_total"]
    assert SECRET not in json.dumps(errors_of(raised.value))


def test_every_code_has_its_sentences_in_both_languages() -> None:
    assert set(CODES.values()) <= set(FAULTS)
    for entry in PROBLEMS.values():
        assert 400 <= entry.status < 600
        assert all((*entry.title, *entry.detail))
        assert entry.detail.fr != entry.detail.en
    for text in FAULTS.values():
        assert text.fr != text.en


def test_every_code_raised_in_the_api_is_in_the_catalogue() -> None:
    missing = set()
    for path in Path(api.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem" and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant) and code.value not in PROBLEMS:
                    missing.add((path.name, code.value))
    assert not missing


def test_openapi_says_problem_everywhere(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(schema)
    assert {"Problem", "Fault"} <= schema["components"]["schemas"].keys()
    fail = schema["paths"]["/fail/{how}"]["get"]["responses"]
    assert "`unknown_store`, `unknown_sale`" in fail["404"]["description"]
    assert fail["4XX"]["content"] == fail["404"]["content"]
    take = schema["paths"]["/baskets"]["post"]["responses"]
    assert list(take["422"]["content"]) == ["application/problem+json"]
    assert "5XX" in take
