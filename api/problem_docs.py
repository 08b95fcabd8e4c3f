"""How does the OpenAPI document describe what goes wrong?"""

from collections import defaultdict
from typing import Any, Final

from fastapi import FastAPI

from api.texts import PROBLEMS

REF: Final = "#/components/schemas/Problem"
UNUSED: Final = ("HTTPValidationError", "ValidationError")
CLIENT, SERVER = "4XX", "5XX"

_FAULT: Final[dict[str, Any]] = {
    "title": "Fault",
    "type": "object",
    "required": ["pointer", "code", "detail"],
    "properties": {
        "pointer": {"type": "string", "description": "JSON pointer (RFC 6901) into the body, or /query/…, /path/…, /header/…"},
        "code": {"type": "string", "description": "Never changes."},
        "detail": {"type": "string", "description": "In the language of the answer."},
    },
}
_PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "trace_id", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string", "description": "Never changes.", "examples": ["invalid_content"]},
        "trace_id": {"type": "string"},
        "errors": {"type": "array", "maxItems": 100, "items": {"$ref": "#/components/schemas/Fault"}},
    },
}


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses=`` of a route that may answer with these codes: one entry a status, its description naming the codes."""
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[PROBLEMS[code].status].append(code)
    return {status: problem(", ".join(f"`{code}`" for code in found)) for status, found in sorted(by_status.items())}


def document_problems(app: FastAPI) -> None:
    """Have the application's OpenAPI document go through `with_problems`, once."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = with_problems(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """The document with the problem schema, FastAPI's own 422 replaced, and 4XX and 5XX said for every operation."""
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in UNUSED:
        schemas.pop(name, None)
    schemas.update(Problem=_PROBLEM, Fault=_FAULT)
    for item in schema.get("paths", {}).values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                _complete(operation["responses"])
    return schema


def _complete(responses: dict[str, Any]) -> None:
    if "HTTPValidationError" in str(responses.get("422", "")):
        responses["422"] = problem("`invalid_content`: every fault with its pointer")
    responses.setdefault(CLIENT, problem("The request was refused."))
    responses.setdefault(SERVER, problem("The service failed, or something that it needs is away."))


def problem(description: str) -> dict[str, Any]:
    """The entry of a response that is a problem."""
    return {"description": description, "content": {"application/problem+json": {"schema": {"$ref": REF}}}}
