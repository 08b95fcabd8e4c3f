"""How do the machine-readable documents stay true? Both are made from the code that runs: OpenAPI for HTTP, AsyncAPI for the events."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.commands import LONGEST_KEY, Command
from api.problem_docs import problem
from api.security import SCHEME_NAME
from api.workbook import MEDIA_TYPE as WORKBOOK
from events.base import TYPES
from events.fields import SKU, STORE_ID
from infra.topology import EVENTS, FEED, INTAKE, INTAKE_KEY, RECORDED_KEY
from schemas.envelope import dataschema
from schemas.requests import RecordSale, RecordSales
from stock.tills import MOST_OWING

NAMES: dict[str, dict[str, Any]] = {
    "store_id": {"type": "string", "pattern": STORE_ID},
    "sku": {"type": "string", "pattern": SKU},
    "sale_id": {"type": "string", "format": "uuid"},
    "restock_id": {"type": "string", "format": "uuid"},
    "case_id": {"type": "string", "format": "uuid"},
    "till_id": {"type": "string", "pattern": r"^[A-Za-z0-9._-]{1,64}$"},
}
REFS = "#/components/schemas/{model}"
ACCEPTED: dict[str, Any] = {
    "type": "object",
    "required": ["event_id", "status", "store_id"],
    "properties": {
        "event_id": {"type": "string", "format": "uuid"},
        "status": {"enum": ["accepted", "recorded"]},
        "store_id": {"type": "string"},
        "seq": {"type": "integer", "minimum": 1},
    },
}
HEADERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "schema": {"type": "string", "maxLength": LONGEST_KEY},
        "description": "Names the command when its body has no id: a UUID as it is, any other text as a UUIDv5 of store and key.",
    },
    {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string", "pattern": "^wait=([1-9]|10)$"},
        "description": "wait=N (1 to 10 s): wait for the outcome, 201 recorded or 409 refused.",
    },
]


BATCH_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "event_id", "status"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "event_id": {"type": ["string", "null"], "format": "uuid"},
                    "status": {"enum": ["accepted", "invalid", "mismatch"]},
                    "errors": {"type": "array", "items": {"$ref": REFS.format(model="Fault")}},
                },
            },
        }
    },
}
META: dict[str, Any] = {
    "title": "Meta",
    "description": "How fresh an answer is, and whether it is whole.",
    "type": "object",
    "required": ["as_of", "lag_seconds", "complete", "stalled_stores", "owing", "owing_count", "timezone"],
    "properties": {
        "as_of": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "Everything recorded up to then is in the answer; where the past was asked for, the instant asked for.",
        },
        "known_at": {"type": "string", "format": "date-time", "description": "Only what was recorded by then, where that was asked for."},
        "lag_seconds": {"type": "number", "minimum": 0, "description": "The age of the oldest event that isn't."},
        "complete": {"type": "boolean"},
        "stalled_stores": {"type": "array", "items": {"type": "string"}},
        "owing": {
            "type": "array",
            "maxItems": MOST_OWING,
            "description": "Tills that numbered sales which haven't come, for figures that are made of sales.",
            "items": {
                "type": "object",
                "required": ["store_id", "till_id", "missing", "first_missing", "last_heard_at"],
                "properties": {
                    "store_id": {"type": "string"},
                    "till_id": {"type": "string"},
                    "missing": {"type": "integer", "minimum": 1},
                    "first_missing": {"type": "integer", "minimum": 1},
                    "last_heard_at": {"type": "string", "format": "date-time"},
                },
            },
        },
        "owing_count": {"type": "integer", "minimum": 0, "description": "How many tills owe sales; `owing` has the first of them."},
        "timezone": {"type": "string"},
    },
}
_META = {"$ref": REFS.format(model="Meta")}
_UNCHANGED = {"description": "Nothing has changed since the answer with that ETag"}
_LIST: dict[str, Any] = {
    "type": "object",
    "required": ["items", "meta"],
    "properties": {"items": {"type": "array", "items": {"type": "object"}}, "meta": _META},
}
LISTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The items; Link rel=next leads to the following page",
        "content": {"application/json": {"schema": _LIST}, "text/csv": {"schema": {"type": "string"}}},
    },
    304: _UNCHANGED,
}
_TABLES: dict[str, Any] = {"text/csv": {"schema": {"type": "string"}}, WORKBOOK: {"schema": {"type": "string", "format": "binary"}}}


def reported(sections: Mapping[str, str]) -> dict[int | str, dict[str, Any]]:
    """What a report answers. `sections` are its members besides the rows, each with what it says."""
    members = {name: {"type": ["array", "object"], "items": {"type": "object"}, "description": says} for name, says in sections.items()}
    whole = {**_LIST, "required": ["items", *members, "meta"], "properties": {**_LIST["properties"], **members}}
    return {
        200: {
            "description": "The rows; Link rel=next leads to the following page. CSV and XLSX hold all rows unless `limit` is given.",
            "content": {"application/json": {"schema": whole}, **_TABLES},
        },
        304: _UNCHANGED,
        422: problem("`invalid_content`: every fault with its pointer; `too_many_rows`: an export of more than 100,000 rows"),
    }


REPORTED = reported({})
_FIGURE = {"type": ["integer", "string", "number", "null"]}
_EXPLANATION = {
    "type": "object",
    "required": ["measure", "label", "formula", "unit", "reported", "recomputed", "agrees", "made_of", "late_events", "events", "meta"],
    "properties": {
        "measure": {"type": "string"},
        "label": {"type": "object", "properties": {"fr": {"type": "string"}, "en": {"type": "string"}}},
        "meaning": {"type": "object", "properties": {"fr": {"type": "string"}, "en": {"type": "string"}}},
        "formula": {"type": "string"},
        "unit": {"type": "string"},
        "additive": {"type": "boolean", "description": "Whether the contributions add up to the figure; a quotient has none."},
        "reported": _FIGURE | {"description": "As the report has it."},
        "recomputed": _FIGURE | {"description": "Folded from the log just now, over all the events, as far as the report has come."},
        "agrees": {"type": "boolean"},
        "made_of": {
            "type": "array",
            "description": "The figures that this one is made of, when it is no sum of what events add; the events are the first one's.",
            "items": {
                "type": "object",
                "required": ["measure", "reported", "recomputed"],
                "properties": {"measure": {"type": "string"}, "reported": _FIGURE, "recomputed": _FIGURE},
            },
        },
        "event_count": {"type": "integer", "minimum": 0},
        "late_events": {"type": "integer", "minimum": 0},
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["event_id", "type", "seq", "store_id", "occurred_at", "recorded_at", "contribution", "late"],
                "properties": {
                    "event_id": {"type": "string", "format": "uuid"},
                    "type": {"type": "string"},
                    "store_id": {"type": "string"},
                    "seq": {"type": "integer", "minimum": 1},
                    "business_date": {"type": "string", "format": "date"},
                    "occurred_at": {"type": "string", "format": "date-time"},
                    "recorded_at": {"type": "string", "format": "date-time"},
                    "late": {
                        "type": "boolean",
                        "description": "Recorded over an hour after it happened, or after the day it counts on ended.",
                    },
                    "contribution": _FIGURE,
                    "amounts": {"type": "object", "additionalProperties": {"type": "integer"}},
                },
            },
        },
        "meta": _META,
    },
}
EXPLAINED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The figure and one page of its events; Link rel=next leads to the following page",
        "content": {"application/json": {"schema": _EXPLANATION}, **_TABLES},
    },
    304: _UNCHANGED,
    404: problem("`unknown_report`"),
    422: problem("`invalid_content`: every fault with its pointer; `too_much_to_explain`: made of more than 200,000 events"),
}
ONE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The thing asked for",
        "content": {"application/json": {"schema": {"type": "object", "required": ["meta"], "properties": {"meta": _META}}}},
    },
    304: _UNCHANGED,
}


def command_entry(command: Command) -> dict[str, Any]:
    """What the OpenAPI document says of a command besides its problems."""
    outcomes = {"202": ("Accepted by the broker", ACCEPTED), "201": ("Recorded in the log", ACCEPTED)}
    return _entry(command.path, command.body, outcomes) | {"parameters": [*_names_in(command.path), *HEADERS]}


def batch_entry(path: str) -> dict[str, Any]:
    """The same for a batch of sales."""
    taken = {"202": ("What became of each sale; the valid ones were accepted", BATCH_ANSWER)}
    return _entry(path, RecordSales, taken) | {"parameters": [*_names_in(path), *HEADERS[:1]]}


def _entry(path: str, body: type[BaseModel], outcomes: Mapping[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    answers = {
        status: {"description": words, "content": {"application/json": {"schema": shape}}} for status, (words, shape) in outcomes.items()
    }
    if "201" in answers:
        answers["409"] = problem("Refused by a rule; only with Prefer: wait")
    if "{store_id}" in path and not path.endswith("{store_id}"):
        answers["404"] = problem("`unknown_store`, `unknown_sale`")
    if "{restock_id}" in path:
        answers["404"] = problem("`unknown_restock`, also when it concerns none of the caller's stores")
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": REFS.format(model=body.__name__)}}}},
        "responses": answers,
        "security": [{SCHEME_NAME: []}],
    }


def _names_in(path: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": NAMES[name]} for name in re.findall(r"{(\w+)}", path)]


def describe(app: FastAPI, bodies: Iterable[type[BaseModel]], more: Mapping[str, dict[str, Any]]) -> None:
    """Complete the app's OpenAPI document with the shapes of these bodies, and `more` by name."""
    made: Callable[[], dict[str, Any]] = app.openapi
    shapes = _schemas(bodies) | dict(more) | {"Meta": META}
    shapes[RecordSales.__name__]["properties"]["sales"]["items"] = {"$ref": REFS.format(model=RecordSale.__name__)}

    def openapi() -> dict[str, Any]:
        document = made()
        known = document.setdefault("components", {}).setdefault("schemas", {})
        for name, shape in shapes.items():
            known.setdefault(name, shape)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3 document: what is sent between the processes, and what outsiders may bind to."""
    names = {key: f"{type_}.v{number}" for key in TYPES for type_, number in [key]}
    messages = {
        names[key]: {
            "name": key[0],
            "title": (event.__doc__ or "").split("\n", 1)[0],
            "contentType": "application/json",
            "payload": {"$ref": REFS.format(model=event.__name__)},
            "headers": {"type": "object", "properties": {"ce-dataschema": {"const": dataschema(*key)}}},
        }
        for key, event in TYPES.items()
    }
    every = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Magasin", "version": version, "description": "CloudEvents 1.0 over AMQP 0.9.1."},
        "defaultContentType": "application/cloudevents-batch+json",
        "channels": {
            "intake": _channel(INTAKE, INTAKE_KEY, "What the API accepted, in batches.", every),
            "recorded": _channel(EVENTS, RECORDED_KEY, "What was recorded, in batches, with seq and outcome.", every),
            "feed": _channel(FEED, "{type}.v{version}.{store_id}", "Every recorded event singly, in order per store.", every)
            | {"parameters": {"type": {}, "version": {}, "store_id": {}}},
        },
        "operations": {
            "accept": {"action": "send", "channel": {"$ref": "#/channels/intake"}},
            "record": {"action": "send", "channel": {"$ref": "#/channels/recorded"}},
        },
        "components": {"messages": messages, "schemas": _schemas(TYPES.values())},
    }


def _channel(exchange: str, key: str, description: str, messages: dict[str, Any]) -> dict[str, Any]:
    binding = {"amqp": {"is": "routingKey", "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False}}}
    return {"address": key, "description": description, "messages": messages, "bindings": binding}


def _schemas(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=REFS)
    return dict(found.get("$defs", {}))
