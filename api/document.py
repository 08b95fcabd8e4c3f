"""How do the machine-readable documents stay true? Both are made from the code that runs: OpenAPI for HTTP, AsyncAPI for the events."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.commands import Command
from events.base import TYPES
from infra.topology import EVENTS, FEED, INTAKE, INTAKE_KEY, RECORDED_KEY
from schemas.envelope import dataschema

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
        "schema": {"type": "string", "maxLength": 256},
        "description": "Names the command when its body has no id: a UUID as it is, any other text as a UUIDv5 of store and key.",
    },
    {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string", "pattern": "^wait=([1-9]|10)$"},
        "description": "wait=N (1 to 10 s): wait for the outcome, 201 recorded or 409 refused.",
    },
]


def command_entry(command: Command) -> dict[str, Any]:
    """What the OpenAPI document says of a command besides its path and problems."""
    return body_entry(command.body, ACCEPTED) | {"parameters": HEADERS}


def body_entry(body: type[BaseModel], answer: dict[str, Any]) -> dict[str, Any]:
    """A JSON body of that shape, answered with 202 (or 201 with its outcome)."""
    content = {"application/json": {"schema": {"$ref": REFS.format(model=body.__name__)}}}
    answered = {"content": {"application/json": {"schema": answer}}}
    return {
        "requestBody": {"required": True, "content": content},
        "responses": {
            "202": {"description": "Accepted by the broker", **answered},
            "201": {"description": "Recorded in the log", **answered},
        },
    }


def describe(app: FastAPI, bodies: Iterable[type[BaseModel]]) -> None:
    """Complete the app's OpenAPI document with the shapes of these bodies."""
    made: Callable[[], dict[str, Any]] = app.openapi
    shapes = _schemas(bodies)

    def openapi() -> dict[str, Any]:
        document = made()
        known = document.setdefault("components", {}).setdefault("schemas", {})
        for name, shape in shapes.items():
            known.setdefault(name, shape)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


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
            "feed": _channel(FEED, "{type}.v{version}.{store_id}", "Every recorded event singly, in order per store.", every),
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
