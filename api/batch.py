"""How does a till that was offline tell everything at once? Each sale is checked by itself; the valid ones are taken."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from api.command_list import RECORD_SALE
from api.commands import JSON, Desk, body_of, data_of, event_id_of, source_of
from api.intake import Intake
from api.known import Known
from api.locale import language_of
from api.problems import Fault, Problem, errors_of, problem_of
from api.security import Guard
from api.texts import Language
from api.tokens import Principal
from events.sales import SaleRecorded
from schemas.envelope import Accepted, fingerprint
from schemas.requests import RecordSale, RecordSales

PATH = f"{RECORD_SALE.path}/batch"
FIELDS = {"sale_id", "occurred_at"}
PERMISSION = "sale.record"
MISMATCH = Problem("idempotency_mismatch", errors=[Fault("/sale_id", "idempotency_mismatch")])


class BatchDesk:
    """Takes many sales of one store in one request."""

    def __init__(self, desk: Desk, intake: Intake, known: Known) -> None:
        self._desk = desk
        self._intake = intake
        self._known = known
        self._guard = Guard(PERMISSION)

    async def record(self, request: Request) -> Response:
        """202 with one result a sale: accepted, or invalid with its faults, or a mismatch with an earlier sale of that id."""
        who = self._guard.admit(request)
        store_id = request.path_params["store_id"]
        await self._known.store(store_id)
        try:
            asked = RecordSales.model_validate_json(await body_of(request))
        except ValidationError as error:
            raise problem_of(error) from None
        language = language_of(request.headers.get("accept-language"))
        results: list[dict[str, Any]] = []
        taken: list[tuple[int, tuple[Accepted, bytes]]] = []
        for index, content in enumerate(asked.sales):
            try:
                event = self._drafted(request, who, store_id, index, content)
            except (ValidationError, Problem) as error:
                results.append({"index": index, "event_id": None, "status": "invalid", "errors": _faults(error, index, language)})
            else:
                results.append({"index": index, "event_id": str(event[0].event_id), "status": "accepted"})
                taken.append((index, event))
        agreed = await self._intake.accept_many([event for _, event in taken])
        for (index, _), fine in zip(taken, agreed, strict=True):
            if not fine:
                results[index]["status"] = "mismatch"
                results[index]["errors"] = _faults(MISMATCH, index, language)
        return Response(to_json({"results": results}), 202, media_type=JSON)

    def _drafted(self, request: Request, who: Principal, store_id: str, index: int, content: object) -> tuple[Accepted, bytes]:
        sale = RecordSale.model_validate(content)
        key = request.headers.get("idempotency-key")
        now = datetime.now(UTC)
        self._desk.check_instant(sale.occurred_at, now, "/occurred_at")
        occurred_at = None if sale.occurred_at is None else sale.occurred_at.astimezone(UTC)
        data = data_of(sale, FIELDS, {})
        event = Accepted(
            event_id=sale.sale_id or (event_id_of(key, store_id, index) if key else uuid7()),
            type=SaleRecorded.type,
            version=SaleRecorded.version,
            store_id=store_id,
            source=source_of(store_id, sale),
            occurred_at=occurred_at or now,
            received_at=now,
            data={},
            fingerprint=fingerprint(SaleRecorded.type, store_id, occurred_at, data),
            actor=who.username,
            traceparent=request.state.traceparent,
        )
        return event, data


def _faults(error: ValidationError | Problem, index: int, language: Language) -> list[dict[str, str]]:
    """The faults of one sale, each with its place in the whole request."""
    place = ("sales", index)
    if isinstance(error, ValidationError):
        return errors_of(error, place, language)
    return [replace(fault, pointer=f"/sales/{index}{fault.pointer}").told(language) for fault in error.errors]
