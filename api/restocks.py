"""How do two stores agree about goods? Each step of a restock is a command of the store that takes it.

The path names the restock and not the store, so the restock is looked up for its two stores. A step that it can never take again is
refused at once; what the rest is worth is for the rules to decide, as the step before may still be on its way to the log. A decision that
comes without an id gets one made of who decides what: said again, it is the same decision.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.commands import KEYS, Command, Desk, body_of, data_of, own_id, source_of, wait_seconds
from api.known import Known
from api.problems import Fault, Problem
from api.security import Guard, allow
from api.tokens import Principal
from events.base import Event, Shape
from events.restocks import (
    RestockApproved,
    RestockCancelled,
    RestockReceived,
    RestockRejected,
    RestockRequested,
    RestockShipped,
)
from schemas import requests as ask
from schemas.envelope import Accepted, fingerprint
from stock.restock import ON_THE_WAY, PLANNED, Status

RESTOCKS = "/api/v2/restocks"
Endpoint = Callable[[Request], Awaitable[Response]]

REQUEST = Command(
    path=RESTOCKS,
    method="POST",
    body=ask.RequestRestock,
    event=RestockRequested,
    permission="restock.request",
    summary="Demander un réapprovisionnement / Request a restock",
    id_field="restock_id",
)


@dataclass(frozen=True)
class Step:
    """A command about a restock, which of its stores takes it, and the states in which it is possible or may yet become so."""

    command: Command
    acting: Literal["from_store", "to_store"]
    until: frozenset[Status]


def _step(verb: str, acting: Literal["from_store", "to_store"], event: type[Event], body: type[Shape], summary: str) -> Step:
    command = Command(
        path=f"{RESTOCKS}/{{restock_id}}/{verb}",
        method="POST",
        body=body,
        event=event,
        permission=f"restock.{verb}",
        summary=summary,
        id_field="receipt_id",
    )
    return Step(command, acting, UNTIL[verb])


UNTIL: dict[str, frozenset[Status]] = {
    "approve": frozenset({"requested"}),
    "reject": frozenset({"requested"}),
    "cancel": frozenset(PLANNED),
    "ship": frozenset(PLANNED),
    "receive": frozenset({*PLANNED, *ON_THE_WAY, "received"}),
}
STEPS = (
    _step("approve", "from_store", RestockApproved, ask.ApproveRestock, "Accorder un réapprovisionnement / Approve a restock"),
    _step("reject", "from_store", RestockRejected, ask.RejectRestock, "Refuser un réapprovisionnement / Reject a restock"),
    _step("cancel", "to_store", RestockCancelled, ask.CancelRestock, "Annuler un réapprovisionnement / Cancel a restock"),
    _step("ship", "from_store", RestockShipped, ask.ShipRestock, "Expédier un réapprovisionnement / Ship a restock"),
    _step("receive", "to_store", RestockReceived, ask.ReceiveRestock, "Recevoir un réapprovisionnement / Receive a restock"),
)
COMMANDS = (REQUEST, *(step.command for step in STEPS))


class RestockDesk:
    """Takes the commands about restocks."""

    def __init__(self, desk: Desk, known: Known) -> None:
        self._desk = desk
        self._known = known

    def endpoints(self) -> Iterator[tuple[Command, Endpoint]]:
        """Every command with its handler."""
        yield REQUEST, self._request
        for step in STEPS:
            yield step.command, self._endpoint(step)

    async def _request(self, request: Request) -> Response:
        who = Guard(REQUEST.permission).admit(request)
        body: Any = self._desk.parsed(REQUEST, request, await body_of(request))
        allow(who, REQUEST.permission, body.to_store)
        await self._known.store(body.to_store)
        restock_id = own_id(request, body.to_store, body.restock_id)
        way = {"restock_id": restock_id, "from_store": await self._sender(body)}
        told = data_of(body, REQUEST.envelope_fields, {})
        data = data_of(body, {*REQUEST.envelope_fields, "from_store"}, way)
        event = self._drafted(REQUEST, request, who, body.to_store, body, told)
        return await self._give(request, replace(event, event_id=restock_id), data, restock_id)

    async def _sender(self, body: ask.RequestRestock) -> str:
        """The store that is asked. Raises Problem when there is none, when it doesn't exist, or when it is the store that asks."""
        found = body.from_store or await self._known.centre(body.to_store)
        if found is None:
            raise _at_sender("no_centre")
        if found == body.to_store:
            raise _at_sender("same_store")
        try:
            await self._known.store(found)
        except Problem as problem:
            raise _at_sender(problem.code) from None
        return found

    def _endpoint(self, step: Step) -> Endpoint:
        command = step.command
        guard = Guard(command.permission)

        async def handle(request: Request) -> Response:
            who = guard.admit(request)
            restock_id = _restock_in(request)
            found = await self._known.restock(who, restock_id)
            store_id: str = found[step.acting]
            allow(who, command.permission, store_id)
            body: Any = self._desk.parsed(command, request, await _body_or_nothing(request))
            way = {"restock_id": restock_id, "from_store": found["from_store"], "to_store": found["to_store"]}
            told = data_of(body, command.envelope_fields, way)
            data = data_of(body, command.envelope_fields, way | _filled_in(body, found))
            event = self._drafted(command, request, who, store_id, body, told)
            event = replace(event, event_id=_step_id(request, body, event, found), subject=restock_id)
            if found["status"] not in step.until and not await self._known.recorded(event.event_id):
                raise Problem("wrong_state", members={"state": found["status"], "restock_id": str(restock_id)})
            return await self._give(request, event, data, restock_id)

        return handle

    def _drafted(self, command: Command, request: Request, who: Principal, store_id: str, body: Any, told: bytes) -> Accepted:  # noqa: ANN401 - a command's body
        """The event, under an id of its own; `told` is what the client said, without what is filled in here."""
        now = datetime.now(UTC)
        self._desk.check_instant(body.occurred_at, now, "/occurred_at")
        occurred_at = None if body.occurred_at is None else body.occurred_at.astimezone(UTC)
        return Accepted(
            event_id=uuid7(),
            type=command.event.type,
            version=command.event.version,
            store_id=store_id,
            source=source_of(store_id, body),
            occurred_at=occurred_at or now,
            received_at=now,
            data={},
            fingerprint=fingerprint(command.event.type, store_id, occurred_at, told),
            actor=who.username,
            traceparent=request.state.traceparent,
            reply_to="api" if wait_seconds(request) else None,
        )

    async def _give(self, request: Request, event: Accepted, data: bytes, restock_id: UUID) -> Response:
        return await self._desk.give(request, event, data, wait_seconds(request), {"restock_id": restock_id})


def _at_sender(code: str) -> Problem:
    return Problem("invalid_content", errors=[Fault("/from_store", code)])


def _restock_in(request: Request) -> UUID:
    try:
        return UUID(request.path_params["restock_id"])
    except ValueError:
        raise Problem("invalid_content", errors=[Fault("/path/restock_id", "not_a_uuid")]) from None


async def _body_or_nothing(request: Request) -> bytes:
    """The body; nothing at all is an empty object: to approve or ship everything there is nothing to say."""
    if "content-type" not in request.headers and not await request.body():
        return b"{}"
    return await body_of(request)


def _filled_in(body: Shape, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a shipment without lines ships: everything approved, or asked for if that was all so far."""
    if not isinstance(body, ask.ShipRestock) or body.lines is not None:
        return {}
    units = "requested" if found["status"] == "requested" else "approved"
    return {"lines": [{"sku": line["sku"], "quantity": line[units]} for line in found["lines"]]}


def _step_id(request: Request, body: Shape, event: Accepted, found: Mapping[str, Any]) -> UUID:
    """The id from the body or the Idempotency-Key, else one made of who decides what.

    Two receipts with the same words may be two deliveries, and a shipment that was refused as too early may be right later: those have
    no such id.
    """
    given: UUID | None = getattr(body, "receipt_id", None)
    repeatable = event.type != RestockReceived.type and (event.type != RestockShipped.type or found["status"] != "requested")
    if given is not None or request.headers.get("idempotency-key") or not repeatable:
        return own_id(request, event.store_id, given)
    return uuid5(KEYS, "|".join((str(found["restock_id"]), event.type, event.actor, event.fingerprint)))
