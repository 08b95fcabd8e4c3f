"""What was a webhook told, what became of it, and what may a person do about it?"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy import Connection

from api.audit import audited
from api.document import LISTED
from api.problems import Problem, problem_responses
from api.reading import Page, after_of, instant_part, paged, text_part
from api.reads import After, Form, Limit, Reading, StoreFilter
from api.tokens import Principal
from api.webhooks import REFUSALS, WebhookAdministrator, engine_of, known, standing
from infra import webhooks
from infra.webhooks import Delivery, Status

router = APIRouter(prefix="/api/v2/webhooks/{webhook_id}/deliveries", tags=["webhooks"])


class DeliveryShown(BaseModel):
    """One event for one webhook, and what became of it."""

    delivery_id: UUID
    event_id: UUID
    type: str
    store_id: str
    seq: int
    status: Status
    attempts: int
    first_attempt_at: datetime
    last_attempt_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status: int | None
    last_error: str | None


@router.get("", summary="Journal des envois / Delivery log", responses=LISTED | problem_responses("unknown_webhook"))
async def list_deliveries(
    *,
    request: Request,
    webhook_id: UUID,
    who: WebhookAdministrator,
    reader: Reading,
    status: Status | None = None,
    store: StoreFilter = None,
    limit: Limit = 50,
    after: After = None,
    form: Form = None,
) -> Response:
    """What was sent to a webhook and what became of it, begun last first."""
    del form
    place = after_of(after, instant_part, text_part)
    before = (place[0], _uuid(place[1])) if place else None

    def find(connection: Connection) -> Page:
        known(webhooks.find(connection, webhook_id))
        found = webhooks.deliveries(connection, webhook_id, status=status, store_id=store, after=before, limit=limit + 1)
        return paged([_sent(each).model_dump() for each in found], limit, "first_attempt_at", "delivery_id")

    return await reader.answer(request, who, standing, find)


@router.post(
    "/{delivery_id}/retry",
    summary="Renvoyer / Send again",
    status_code=202,
    responses=problem_responses(*REFUSALS, "unknown_delivery", "wrong_status", "invalid_content"),
)
async def retry_delivery(request: Request, webhook_id: UUID, delivery_id: UUID, who: WebhookAdministrator) -> DeliveryShown:
    """Try a delivery that waits at once; send one again that failed, was skipped or has arrived, outside the order of its store."""
    return await _decide(request, who, webhook_id, delivery_id, "retry", {"status": "waiting", "next_attempt_at": datetime.now(UTC)})


@router.post(
    "/{delivery_id}/skip",
    summary="Passer / Skip",
    responses=problem_responses(*REFUSALS, "unknown_delivery", "wrong_status", "invalid_content"),
)
async def skip_delivery(request: Request, webhook_id: UUID, delivery_id: UUID, who: WebhookAdministrator) -> DeliveryShown:
    """Give up a delivery that waits: the next one of its store goes out."""
    return await _decide(request, who, webhook_id, delivery_id, "skip", {"status": "skipped", "next_attempt_at": None})


async def _decide(
    request: Request, who: Principal, webhook_id: UUID, delivery_id: UUID, verb: str, changes: dict[str, Any]
) -> DeliveryShown:
    def step(connection: Connection) -> Delivery:
        webhook = known(webhooks.find(connection, webhook_id))
        found = webhooks.delivery(connection, delivery_id, lock=True)
        if found is None or found.webhook_id != webhook_id:
            raise Problem("unknown_delivery")
        if not webhook.active or (verb == "skip" and found.status != "waiting"):
            raise Problem("wrong_status", members={"status_of_delivery": found.status, "active": webhook.active})
        changed = webhooks.decide(connection, delivery_id, changes)
        webhooks.notify(connection, f"{verb} {delivery_id}")
        return changed

    details = {"webhook_id": str(webhook_id)}
    return _sent(await audited(engine_of(request), who, f"delivery.{verb}", str(delivery_id), step, details=details))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem("bad_cursor") from None


def _sent(delivery: Delivery) -> DeliveryShown:
    return DeliveryShown.model_validate({name: getattr(delivery, name) for name in DeliveryShown.model_fields})
