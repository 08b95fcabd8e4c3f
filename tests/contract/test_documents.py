"""Are the machine-readable documents complete, and do they agree with the contract and with the code that runs?"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.command_list import COMMANDS
from events.base import TYPES
from infra.settings import Settings
from infra.topology import EVENTS, FEED, INTAKE
from projections import REPORTS

Json = dict[str, Any]

# What the contract names and the system has.
CONTRACT = {
    "POST /api/v2/auth/token",
    "POST /api/v2/auth/refresh",
    "POST /api/v2/auth/logout",
    "GET /api/v2/auth/me",
    "GET /api/v2/users",
    "POST /api/v2/users",
    "PATCH /api/v2/users/{username}",
    "POST /api/v2/stores/{store_id}/sales",
    "POST /api/v2/stores/{store_id}/sales/batch",
    "POST /api/v2/stores/{store_id}/sales/{sale_id}/returns",
    "POST /api/v2/stores/{store_id}/sales/{sale_id}/void",
    "POST /api/v2/stores/{store_id}/stock-changes",
    "POST /api/v2/stores/{store_id}/stock-counts",
    "POST /api/v2/stores/{store_id}/deliveries",
    "PUT /api/v2/stores/{store_id}",
    "PUT /api/v2/products/{sku}",
    "PUT /api/v2/stores/{store_id}/products/{sku}",
    "POST /api/v2/imports/products",
    "POST /api/v2/imports/stores",
    "POST /api/v2/imports/stock-counts",
    "POST /api/v2/restocks",
    "POST /api/v2/restocks/{restock_id}/approve",
    "POST /api/v2/restocks/{restock_id}/reject",
    "POST /api/v2/restocks/{restock_id}/cancel",
    "POST /api/v2/restocks/{restock_id}/ship",
    "POST /api/v2/restocks/{restock_id}/receive",
    "GET /api/v2/restocks",
    "GET /api/v2/restocks/suggestions",
    "GET /api/v2/restocks/{restock_id}",
    "GET /api/v2/events/{event_id}",
    "GET /api/v2/stores",
    "GET /api/v2/stores/{store_id}",
    "GET /api/v2/products",
    "GET /api/v2/products/{sku}",
    "GET /api/v2/stock",
    "GET /api/v2/stores/{store_id}/stock/{sku}/movements",
    "GET /api/v2/stores/{store_id}/sales",
    "GET /api/v2/stores/{store_id}/sales/{sale_id}",
    "GET /api/v2/cases",
    "POST /api/v2/cases/{case_id}/resolve",
    "GET /api/v2/reports/tills",
    "GET /api/v2/reports",
    "GET /api/v2/reports/daily-sales",
    "GET /api/v2/reports/hourly-sales",
    "GET /api/v2/reports/store-performance",
    "GET /api/v2/reports/consolidated",
    "GET /api/v2/reports/top-products",
    "GET /api/v2/reports/stock-valuation",
    "GET /api/v2/reports/low-stock",
    "GET /api/v2/reports/shrinkage",
    "GET /api/v2/reports/{name}/explain",
    "GET /api/v2/live",
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/jwks.json",
}
UNDOCUMENTED = re.compile(r"/(|docs.*|openapi\.json|asyncapi\.json|metrics|api/\{rest:path\}|web.*)")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(env="test", home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def openapi(settings: Settings) -> Json:
    document: Json = create_app(settings).openapi()
    return document


@pytest.fixture(scope="module")
def asyncapi(settings: Settings) -> Json:
    app = create_app(settings)
    endpoint = next(route.endpoint for route in iter_route_contexts(app.routes) if route.path == "/asyncapi.json")
    document: Json = endpoint()  # type: ignore[misc]  # a route's endpoint
    return document


def operations(openapi: Json) -> Iterator[tuple[str, Json]]:
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolved(document: Json, reference: str) -> Any:  # noqa: ANN401 - any part of a document
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name.replace("~1", "/").replace("~0", "~")]
    return found


def test_everything_of_the_contract_is_in_the_document(openapi: Json) -> None:
    assert openapi["openapi"].startswith("3.1")
    assert set(dict(operations(openapi))) >= CONTRACT


def test_every_route_is_documented_or_known_not_to_be(openapi: Json, settings: Settings) -> None:
    documented = set(dict(operations(openapi)))
    for route in iter_route_contexts(create_app(settings).routes):
        if not UNDOCUMENTED.fullmatch(str(route.path)):
            assert {f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"}} <= documented


def test_every_reference_leads_somewhere(openapi: Json, asyncapi: Json) -> None:
    for document in (openapi, asyncapi):
        found = set(references(document))
        assert found
        for reference in found:
            assert resolved(document, reference) is not None, reference


def test_every_operation_is_described(openapi: Json) -> None:
    names = [operation["operationId"] for _, operation in operations(openapi)]
    assert len(set(names)) == len(names)
    for line, operation in operations(openapi):
        assert operation["summary"]
        assert operation["responses"].keys() & {"200", "201", "202", "204"}, line
        assert {"4XX", "5XX"} <= operation["responses"].keys()
        assert all(response["description"] for response in operation["responses"].values())
        in_path = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", line)), line
        assert all(each["required"] for each in operation.get("parameters", ()) if each["in"] == "path")
        parameters = [(each["in"], each["name"]) for each in operation.get("parameters", ())]
        assert len(set(parameters)) == len(parameters)


def test_who_needs_a_token_is_told(openapi: Json) -> None:
    schemes = openapi["components"]["securitySchemes"]
    for line, operation in operations(openapi):
        open_ = "/api/v2/" not in line or re.search("auth/(token|refresh|logout)", line)
        assert bool(operation.get("security")) is not bool(open_), line
        assert {name for each in operation.get("security", ()) for name in each} <= set(schemes)


# Their address says everything.
WITHOUT_BODY = {
    "POST /api/v2/users/{username}/sign-out",
    "POST /api/v2/webhooks/{webhook_id}/rotate-secret",
    "POST /api/v2/webhooks/{webhook_id}/test",
    "POST /api/v2/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
    "POST /api/v2/webhooks/{webhook_id}/deliveries/{delivery_id}/skip",
}


def test_every_command_shows_its_body(openapi: Json) -> None:
    for line, operation in operations(openapi):
        method, path = line.split()
        assert ("requestBody" in operation) is (method in {"POST", "PUT", "PATCH"} and line not in WITHOUT_BODY), line
        if line in WITHOUT_BODY:
            continue
        if method in {"POST", "PUT", "PATCH"}:
            (schema,) = (kind["schema"] for kind in operation["requestBody"]["content"].values())
            (reference,) = (each["$ref"] for each in schema.get("anyOf", [schema]) if "$ref" in each)
            assert resolved(openapi, reference)["properties"], line
            # Of orders to an operators' job nothing but the reason stands in the body, and that may be left out.
            assert operation["requestBody"].get("required", False) or line.startswith("POST /api/v2/ops/"), line
        command = next((each for each in COMMANDS if (each.method, each.path) == (method, path)), None)
        if command:
            shape = resolved(openapi, schema["$ref"])
            assert set(shape["properties"]) == set(command.body.model_fields)
            assert shape["additionalProperties"] is False
            assert {"201", "202", "409"} <= operation["responses"].keys()
            assert {"Prefer", "Idempotency-Key"} <= {each["name"] for each in operation["parameters"]}
    batch = openapi["components"]["schemas"]["RecordSales"]["properties"]["sales"]
    assert (batch["maxItems"], batch["items"]) == (500, {"$ref": "#/components/schemas/RecordSale"})
    lines = openapi["components"]["schemas"]["RecordSale"]["properties"]["lines"]
    assert (lines["minItems"], lines["maxItems"]) == (1, 500)


def test_every_list_says_that_it_is_a_table_too(openapi: Json) -> None:
    for line, operation in operations(openapi):
        names = {each["name"] for each in operation.get("parameters", ())}
        if "after" in names and "users" not in line:
            content = operation["responses"]["200"]["content"]
            assert {"application/json", "text/csv"} <= content.keys()
            assert set(content["application/json"]["schema"]["required"]) >= {"events" if "explain" in line else "items", "meta"}
            assert {"limit", "format"} <= names, line


def test_every_report_is_there_with_its_measures_parameters_and_members(openapi: Json) -> None:
    for name, report in REPORTS.items():
        operation = openapi["paths"][f"/api/v2/reports/{name}"]["get"]
        assert operation["summary"] == report.question
        assert all(measure.name in operation["description"] for measure in report.measures)
        assert {each["name"] for each in operation["parameters"]} >= {option for option, _ in report.options}
        members = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
        assert members.keys() >= {"items", "meta", *(section for section, _ in report.sections)}


def test_every_event_is_in_the_events_document(asyncapi: Json) -> None:
    assert asyncapi["asyncapi"].startswith("3.")
    messages = asyncapi["components"]["messages"]
    assert set(messages) == {f"{name}.v{version}" for name, version in TYPES}
    for (name, version), event in TYPES.items():
        message = messages[f"{name}.v{version}"]
        assert message["title"]
        assert set(resolved(asyncapi, message["payload"]["$ref"])["properties"]) == set(event.model_fields)
    channels = asyncapi["channels"]
    assert {channels[name]["bindings"]["amqp"]["exchange"]["name"] for name in channels} == {INTAKE, EVENTS, FEED}
    for channel in channels.values():
        assert set(channel["messages"]) == set(messages)
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))


def test_the_documents_are_served(tmp_path: Path) -> None:
    from starlette.testclient import TestClient  # noqa: PLC0415 - only here

    client = TestClient(create_app(Settings(env="test", home=tmp_path)))
    assert client.get("/openapi.json").json()["info"]["title"] == "Magasin"
    assert client.get("/asyncapi.json").json()["info"]["title"] == "Magasin"
    docs = client.get("/docs")
    assert docs.status_code == 200
    assert "text/html" in docs.headers["content-type"]
    assert client.get("/").status_code == 200
