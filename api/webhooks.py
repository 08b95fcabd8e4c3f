"""How does an administrator have another system told of what is recorded?"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Annotated, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection, Engine
from uuid_utils.compat import uuid7

from api.audit import audited
from api.auth import JSON, takes
from api.document import LISTED
from api.problems import Fault, Problem, problem_responses
from api.reading import Page, after_of, paged
from api.reads import After, Form, Limit, Reading
from api.security import Guard
from api.tokens import Principal
from api.webhook_shapes import NewWebhook, Tested, WebhookChange, WebhookShown, WebhookWithSecret, shown, with_secret
from infra import outward, webhooks
from infra.outgoing import ForbiddenTarget, Outgoing, target_of
from infra.webhooks import Webhook, delivery_id_of
from projections.standing import Standing
from schemas import outward as shapes

T = TypeVar("T")
MOST_ACTIVE: Final = 100
TESTED: Final = "webhook.test"
SECRET_BYTES: Final = 32
WebhookAdministrator = Annotated[Principal, Depends(Guard("webhook.manage"))]
router = APIRouter(prefix="/api/v2/webhooks", tags=["webhooks"])
REFUSALS: Final = ("unauthorized", "forbidden", "unknown_webhook")


def outgoing_of(request: Request) -> Outgoing:
    """The process's way out."""
    found: Outgoing = request.app.state.outgoing
    return found


def engine_of(request: Request) -> Engine:
    """The process's way to the database."""
    engine: Engine = request.app.state.engine
    return engine


@router.get("", summary="Webhooks", responses=LISTED)
async def list_webhooks(
    *, request: Request, who: WebhookAdministrator, reader: Reading, limit: Limit = 50, after: After = None, form: Form = None
) -> Response:
    """The webhooks, the oldest first; those that were removed too, as inactive."""
    del form
    place = after_of(after, UUID)

    def find(connection: Connection) -> Page:
        rows = [shown(each).model_dump() for each in webhooks.page(connection, after=place[0] if place else None, limit=limit + 1)]
        return paged(rows, limit, "webhook_id")

    return await reader.answer(request, who, standing, find)


@router.post(
    "",
    summary="Abonner un système / Subscribe a system",
    status_code=201,
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses("unauthorized", "forbidden", "too_many_webhooks", "unsupported_media_type", "invalid_content"),
)
async def create_webhook(request: Request, response: Response, body: NewWebhook, who: WebhookAdministrator) -> WebhookWithSecret:
    """Tell this address of everything of these types and stores that is recorded from now on."""
    await _check_target(request, body.url)
    secret = _new_secret()
    webhook_id = uuid7()

    def step(connection: Connection) -> Webhook:
        _require_room(connection)
        made = webhooks.add(connection, {**body.model_dump(), "webhook_id": webhook_id, "secret": secret, "created_by": who.username})
        outward.begin_now(connection, str(webhook_id), made.only_stores)
        webhooks.notify(connection, "webhooks")
        return made

    made = await audited(engine_of(request), who, "webhook.create", str(webhook_id), step, details=body.model_dump())
    response.headers["Location"] = f"{request.url.path}/{webhook_id}"
    return with_secret(made)


@router.get("/{webhook_id}", summary="Un webhook / One webhook", responses=problem_responses(*REFUSALS, "invalid_content"))
async def show_webhook(request: Request, webhook_id: UUID, _who: WebhookAdministrator) -> WebhookShown:
    """One webhook, without its secret."""
    return shown(await _read(request, lambda connection: known(webhooks.find(connection, webhook_id))))


@router.patch(
    "/{webhook_id}",
    summary="Modifier un webhook / Change a webhook",
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses(*REFUSALS, "too_many_webhooks", "unsupported_media_type", "invalid_content"),
)
async def change_webhook(request: Request, webhook_id: UUID, body: WebhookChange, who: WebhookAdministrator) -> WebhookShown:
    """Change address, types or stores, pause or go on. What waits for another attempt is tried at once."""
    if body.url is not None:
        await _check_target(request, body.url)
    changes = body.model_dump(exclude_none=True)

    def step(connection: Connection) -> Webhook:
        before = known(webhooks.find(connection, webhook_id, lock=True))
        if changes.get("active") and not before.active:
            _require_room(connection)
        back = before.removed and changes.get("active", False)
        changed = webhooks.change(connection, webhook_id, changes | ({"removed": False} if back else {}))
        if back or changed.stores != before.stores:
            _begin_what_is_new(connection, before, changed)
        webhooks.hurry(connection, webhook_id)
        webhooks.notify(connection, "webhooks")
        return changed

    return shown(await audited(engine_of(request), who, "webhook.change", str(webhook_id), step, details=changes))


@router.delete(
    "/{webhook_id}",
    summary="Retirer un webhook / Remove a webhook",
    status_code=204,
    responses=problem_responses(*REFUSALS, "invalid_content"),
)
async def remove_webhook(request: Request, webhook_id: UUID, who: WebhookAdministrator) -> None:
    """Tell it nothing more; what waits is skipped. It stays in the list, inactive, with its log; activated again it begins anew."""

    def step(connection: Connection) -> None:
        known(webhooks.find(connection, webhook_id, lock=True))
        webhooks.change(connection, webhook_id, {"active": False, "removed": True})
        webhooks.skip_all(connection, webhook_id)
        outward.forget(connection, str(webhook_id))
        webhooks.notify(connection, "webhooks")

    await audited(engine_of(request), who, "webhook.remove", str(webhook_id), step)


@router.post(
    "/{webhook_id}/rotate-secret",
    summary="Nouveau secret / New secret",
    responses=problem_responses(*REFUSALS, "invalid_content"),
)
async def rotate_secret(request: Request, webhook_id: UUID, who: WebhookAdministrator) -> WebhookWithSecret:
    """Sign with a new secret from now on; the old one is worth nothing any more."""

    def step(connection: Connection) -> Webhook:
        known(webhooks.find(connection, webhook_id, lock=True))
        changed = webhooks.change(connection, webhook_id, {"secret": _new_secret()})
        webhooks.notify(connection, "webhooks")
        return changed

    return with_secret(await audited(engine_of(request), who, "webhook.rotate_secret", str(webhook_id), step))


@router.post("/{webhook_id}/test", summary="Essayer / Try", responses=problem_responses(*REFUSALS, "invalid_content"))
async def try_webhook(request: Request, webhook_id: UUID, who: WebhookAdministrator) -> Tested:
    """Send an event of type ``webhook.test`` now, signed like all others, and tell what came back."""
    webhook = await audited(
        engine_of(request), who, "webhook.test", str(webhook_id), lambda connection: known(webhooks.find(connection, webhook_id))
    )
    event_id, now = uuid7(), datetime.now(UTC)
    attributes = {"specversion": "1.0", "id": str(event_id), "source": "/webhooks", "type": TESTED, "time": now}
    body = shapes.written({**attributes, "datacontenttype": shapes.DATA_CONTENT_TYPE, "data": {"webhook_id": webhook_id}})
    headers = shapes.request_headers(webhook.secret, int(time()), body, TESTED, delivery_id_of(webhook_id, event_id))
    outgoing = outgoing_of(request)
    async with outgoing.client(1) as client:
        answer = await outgoing.post(client, webhook.url, body, headers)
    return Tested(outcome=answer.outcome, status=answer.status, error=answer.error, seconds=round(answer.seconds, 3))


async def _check_target(request: Request, url: str) -> None:
    """Refuse what leads into a private network. A name that can't be looked up now may be there tomorrow; each request looks again."""
    try:
        await outgoing_of(request).look_up(target_of(url))
    except ForbiddenTarget:
        raise Problem("invalid_content", errors=[Fault("/url", "forbidden_target")]) from None
    except (OSError, UnicodeError):
        return


async def _read(request: Request, ask: Callable[[Connection], T]) -> T:
    def run() -> T:
        with engine_of(request).connect() as connection:
            return ask(connection)

    return await asyncio.to_thread(run)


def _begin_what_is_new(connection: Connection, before: Webhook, after: Webhook) -> None:
    """Stores that were not covered until now begin at their present; the others keep their places, even those that are at zero."""
    reader = str(after.webhook_id)
    if not before.removed:
        outward.begin_at_zero(connection, reader, webhooks.covered(connection, before))
    outward.begin_now(connection, reader, after.only_stores)


def _require_room(connection: Connection) -> None:
    if webhooks.count_active(connection) >= MOST_ACTIVE:
        raise Problem("too_many_webhooks", most=MOST_ACTIVE)


def _new_secret() -> str:
    return f"whsec_{secrets.token_urlsafe(SECRET_BYTES)}"


def known(found: Webhook | None) -> Webhook:
    """The webhook. Raises Problem unknown_webhook when there is none."""
    if found is None:
        raise Problem("unknown_webhook")
    return found


def standing(_: Connection) -> Standing:
    """These lists change with every attempt, so no answer is good for a second one."""
    now = datetime.now(UTC)
    return Standing(position=f"webhooks:{now.timestamp()}", as_of=now, lag_seconds=0.0, stalled_stores=(), timezone="UTC")
