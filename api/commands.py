"""What can a shop tell the system, and how is it checked before the broker gets it?

One way for every command: who asks, the body's shape, its instants, then one event under the client's own id. Nothing is looked up that
the rules decide later; what is refused here is only what could never be an event.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.intake import Intake, Outcome
from api.journal import Journal
from api.known import Known
from api.problems import Fault, Problem, problem_of
from api.security import Guard, allow
from api.tokens import Principal
from events.base import Event, Shape
from events.fields import SKU, STORE_ID, Instant
from infra.settings import Settings
from schemas.envelope import CATALOGUE_STREAM, Accepted, fingerprint

KEYS = UUID("0d8f6a52-7b0e-5c55-9d6e-3c1a1f3f6a01")
JSON = "application/json"
MOST_WAIT_SECONDS = 10
LONGEST_KEY = 256
FORMS = {"store_id": re.compile(STORE_ID), "sku": re.compile(SKU)}
WAIT = re.compile(r"\s*wait\s*=\s*\"?([0-9]{1,4})\"?\s*(?:;.*)?", re.IGNORECASE)
INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


@dataclass(frozen=True)
class Command:
    """One command: its body, the event it becomes, who may give it, and which fields of the body are the envelope's.

    `stream` finds the store where the path doesn't name it; `needs` tells from the raw body which permission it takes besides; `instants`
    are further instants of the body with their pointers; `verify` may refuse the event at once by what is known already.
    """

    path: str
    method: str
    body: type[Shape]
    event: type[Event]
    permission: str
    summary: str
    id_field: str | None = None
    time_field: str = "occurred_at"
    adds: Callable[[Request, Any], Mapping[str, Any]] = field(default=lambda _request, _body: {})
    subject: str | None = None
    opens_store: bool = False
    stream: Callable[[Request, Principal], Awaitable[str]] | None = None
    needs: Callable[[bytes], str] | None = None
    instants: Callable[[Any], Iterable[tuple[str, datetime]]] = field(default=lambda _body: ())
    verify: Callable[[Request, Accepted], None] | None = None

    @cached_property
    def envelope_fields(self) -> set[str]:
        """The body's fields that travel in the envelope and not in the event's data."""
        return {name for name in (self.id_field, self.time_field) if name in self.body.model_fields}


class Desk:
    """Takes commands over HTTP. Holds nothing of its own but its parts."""

    def __init__(self, settings: Settings, intake: Intake, known: Known) -> None:
        self._settings = settings
        self._intake = intake
        self._known = known
        self._journal = Journal()

    def endpoint(self, command: Command) -> Callable[[Request], Awaitable[Response]]:
        """The handler of one command."""
        guard = Guard(command.permission)

        async def handle(request: Request) -> Response:
            who = guard.admit(request)
            if command.needs is not None:
                allow(who, command.needs(await request.body()))
            store_id = await self._stream(request, command, who)
            body = self.parsed(command, request, await body_of(request))
            seconds = wait_seconds(request)
            event, data = self._drafted(command, request, who, store_id, body, wanted=seconds > 0)
            if command.verify is not None:
                command.verify(request, event)
            if event.subject is not None and _given_instant(command, body) is None:
                await self._known.sale(store_id, event.subject)
            return await self.give(request, event, data, seconds)

        return handle

    async def give(self, request: Request, event: Accepted, data: bytes, seconds: int, more: Mapping[str, Any] | None = None) -> Response:
        """Hand an event to the broker; answers 202, or what became of it within so many seconds, with `more` members. Raises Problem."""
        if seconds == 0:
            await self._intake.accept(event, data)
            self._journal.note(event, request)
            return _accepted(event, more=more)
        outcome = await self._intake.accept_and_wait(event, data, seconds)
        self._journal.note(event, request)
        return _answered(event, outcome, seconds, more or {})

    async def _stream(self, request: Request, command: Command, who: Principal) -> str:
        """The stream that the event belongs to. Raises Problem unknown_store, or whatever the command's own `stream` raises."""
        if command.stream is not None:
            return await command.stream(request, who)
        store_id = request.path_params.get("store_id")
        if store_id is None:
            return CATALOGUE_STREAM
        if not command.opens_store:
            await self._known.store(store_id)
        return str(store_id)

    def parsed(self, command: Command, request: Request, body: bytes) -> Shape:
        """The body as its shape. Raises Problem with everything that is wrong with the request, not only with its shape."""
        faults = _faults_outside(command, request)
        try:
            found: Shape = command.body.__pydantic_validator__.validate_json(body)
        except ValidationError as error:
            problem = problem_of(error)
            if problem.code == "invalid_content":
                faults += [*problem.errors, *self._fault_of_instant(command, body)]
                problem = Problem("invalid_content", errors=faults)
            raise problem from None
        if faults:
            raise Problem("invalid_content", errors=faults)
        return found

    def _fault_of_instant(self, command: Command, body: bytes) -> list[Fault]:
        """The instant of a body that has other faults too."""
        content = from_json(body)
        try:
            self.check_instant(INSTANT.validate_python(content[command.time_field]), datetime.now(UTC), f"/{command.time_field}")
        except Problem as problem:
            return problem.errors
        except (ValidationError, LookupError, TypeError):
            pass
        return []

    def _drafted(
        self, command: Command, request: Request, who: Principal, store_id: str, body: Shape, *, wanted: bool
    ) -> tuple[Accepted, bytes]:
        given = _given_instant(command, body)
        now = datetime.now(UTC)
        self._check_instants([(f"/{command.time_field}", given), *command.instants(body)], now)
        occurred_at = None if given is None else given.astimezone(UTC)
        data = data_of(body, command.envelope_fields, command.adds(request, body))
        event = Accepted(
            event_id=own_id(request, store_id, getattr(body, command.id_field) if command.id_field else None),
            type=command.event.type,
            version=command.event.version,
            store_id=store_id,
            source=source_of(store_id, body),
            occurred_at=occurred_at or now,
            received_at=now,
            data={},
            fingerprint=fingerprint(command.event.type, store_id, occurred_at, data),
            actor=who.username,
            subject=sale_of(request) if command.subject else None,
            traceparent=request.state.traceparent,
            reply_to="api" if wanted else None,
        )
        return event, data

    def _check_instants(self, told: Iterable[tuple[str, datetime | None]], now: datetime) -> None:
        """Raise one Problem with the faults of all these instants."""
        found: list[Problem] = []
        for pointer, instant in told:
            try:
                self.check_instant(instant, now, pointer)
            except Problem as problem:
                found.append(problem)
        if found:
            codes = {problem.code for problem in found}
            raise Problem(codes.pop() if len(codes) == 1 else "invalid_content", errors=[each for one in found for each in one.errors])

    def check_instant(self, occurred_at: datetime | None, now: datetime, pointer: str) -> None:
        """Raise the Problem of an instant too far ahead of `now`, or too long ago. Compared as given: in UTC it may have no year."""
        if occurred_at is None:
            return
        if occurred_at > now + timedelta(seconds=self._settings.future_tolerance_seconds):
            raise Problem("in_the_future", errors=[Fault(pointer, "in_the_future")])
        if occurred_at < now - timedelta(days=self._settings.backdate_days):
            raise Problem("too_old", errors=[Fault(pointer, "too_old")])


async def body_of(request: Request) -> bytes:
    """The body of a JSON request. Raises Problem unsupported_media_type; the edge bounds its size."""
    media = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    if media != JSON or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type")
    return await request.body()


def data_of(body: Shape, envelope_fields: set[str], adds: Mapping[str, Any]) -> bytes:
    """The event's data as JSON, always written in the same way: equal requests have equal bytes."""
    data = body.__pydantic_serializer__.to_json(body, exclude=envelope_fields, exclude_none=True)
    if not adds:
        return data
    return data[:-1] + (b"," if len(data) > 2 else b"") + to_json(dict(adds))[1:]  # noqa: PLR2004 - "{}"


def source_of(store_id: str, body: Shape) -> str:
    """Where a fact comes from, as CloudEvents wants it: the till when there is one."""
    till_id = getattr(body, "till_id", None)
    return f"/stores/{store_id}/tills/{till_id}" if till_id else f"/stores/{store_id}"


def _faults_outside(command: Command, request: Request) -> list[Fault]:
    """What is wrong with the path and the headers. What a PUT defines gets its name from the path, which is checked like a field."""
    faults = []
    names = request.path_params
    if command.method == "PUT":
        faults = [Fault(f"/path/{name}", "bad_format") for name, form in FORMS.items() if name in names and not form.fullmatch(names[name])]
        if names.get("store_id") == CATALOGUE_STREAM:
            faults.append(Fault("/path/store_id", "not_allowed_value"))
    if command.subject is not None and sale_of(request) is None:
        faults.append(Fault(f"/path/{command.subject}", "not_a_uuid"))
    if len(request.headers.get("idempotency-key", "")) > LONGEST_KEY:
        faults.append(Fault("/header/Idempotency-Key", "too_long", {"max_length": LONGEST_KEY}))
    return faults


def sale_of(request: Request) -> UUID | None:
    """The sale that the path names; None when that is no UUID."""
    try:
        return UUID(request.path_params["sale_id"])
    except ValueError:
        return None


def _given_instant(command: Command, body: Shape) -> datetime | None:
    found: datetime | None = getattr(body, command.time_field, None)
    return found


def own_id(request: Request, store_id: str, given: UUID | None) -> UUID:
    """The command's own id: from the body, else from the Idempotency-Key, else a new one (which nobody can repeat)."""
    if given is not None:
        return given
    key = request.headers.get("idempotency-key")
    return event_id_of(key, store_id) if key else uuid7()


def event_id_of(key: str, store_id: str, *more: object) -> UUID:
    """The id that an Idempotency-Key means, bare or in quotes: a UUID as it is, any other text as a UUIDv5 of store and key."""
    key = key.strip().removeprefix('"').removesuffix('"')
    try:
        if not more:
            return UUID(key)
    except ValueError:
        pass
    return uuid5(KEYS, "|".join((store_id, key, *map(str, more))))


def wait_seconds(request: Request) -> int:
    """N of ``Prefer: wait=N``, at most 10; 0 when it isn't asked for or can't be read (RFC 7240: then it is ignored)."""
    if "prefer" in request.headers:
        for preference in ",".join(request.headers.getlist("prefer")).split(","):
            if found := WAIT.fullmatch(preference):
                return min(int(found[1]), MOST_WAIT_SECONDS)
    return 0


def _location(event: Accepted) -> str:
    return f"/api/v2/events/{event.event_id}"


def _accepted(event: Accepted, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None) -> Response:
    content = b'{"event_id":"%b","status":"accepted","store_id":"%b"}' % (str(event.event_id).encode(), event.store_id.encode())
    if more:
        content = content[:-1] + b"," + to_json(dict(more))[1:]
    return Response(content, 202, {"location": _location(event), **(headers or {})}, JSON)


def _answered(event: Accepted, outcome: Outcome | None, seconds: int, more: Mapping[str, Any]) -> Response:
    applied = {"Preference-Applied": f"wait={seconds}"}
    if outcome is None:
        return _accepted(event, applied, more)
    match outcome["outcome"]:
        case "recorded":
            content = {"event_id": event.event_id, "status": "recorded", "store_id": event.store_id, "seq": outcome["seq"], **more}
            return Response(to_json(content), 201, {"location": _location(event), **applied}, JSON)
        case "refused":
            members = {"event_id": str(event.event_id), "seq": outcome["seq"], **(outcome.get("effect") or {})}
            raise Problem(outcome["reason"], members=members, headers={"Location": _location(event), **applied})
        case _:
            raise Problem("idempotency_mismatch", headers=applied)
