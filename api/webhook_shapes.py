"""How is a webhook described, by who makes it and to who looks at it?"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from events.base import TYPES
from events.fields import STORE_ID
from infra.outgoing import LONGEST_URL, BadTarget, target_of
from infra.webhooks import Webhook

MOST_NAMED: Final = 100
KNOWN_TYPES: Final = frozenset(name for name, _ in TYPES)


def _url(url: str) -> str:
    try:
        target_of(url)
    except BadTarget as error:
        code = "bad_target"
        raise PydanticCustomError(code, "url") from error
    return url


def _types(types: list[str]) -> list[str]:
    if not set(types) <= KNOWN_TYPES | {"*"}:
        code = "not_allowed_value"
        raise PydanticCustomError(code, "types")
    return ["*"] if "*" in types else sorted(set(types))


def _stores(stores: list[str]) -> list[str]:
    return ["*"] if "*" in stores else sorted(set(stores))


Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL), AfterValidator(_url)]
Types = Annotated[list[str], Field(min_length=1, max_length=MOST_NAMED), AfterValidator(_types)]
StoreName = Annotated[str, Field(pattern=rf"{STORE_ID}|^\*$")]
Stores = Annotated[list[StoreName], Field(min_length=1, max_length=MOST_NAMED), AfterValidator(_stores)]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class NewWebhook(BaseModel):
    """What is to be told to whom: recorded events of these types and stores (``["*"]``: all)."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    types: Types = Field(default_factory=lambda: ["*"])
    stores: Stores = Field(default_factory=lambda: ["*"])
    description: Description = ""


class WebhookChange(BaseModel):
    """What is to be different; what is left out or null stays. ``active: false`` is a pause: later it goes on where it was."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    types: Types | None = None
    stores: Stores | None = None
    description: Description | None = None
    active: Annotated[bool, Field(strict=True)] | None = None


class WebhookShown(BaseModel):
    """A webhook without its secret."""

    webhook_id: UUID
    url: str
    types: list[str]
    stores: list[str]
    description: str
    active: bool
    removed: bool
    created_by: str
    created_at: datetime
    updated_at: datetime


class WebhookWithSecret(WebhookShown):
    """A webhook with the secret that signs its requests: shown now and never again."""

    secret: str


class Tested(BaseModel):
    """What became of a request that was sent to try a webhook."""

    outcome: str
    status: int | None
    error: str | None
    seconds: float


def shown(webhook: Webhook) -> WebhookShown:
    """The webhook as administrators see it."""
    return WebhookShown.model_validate({name: getattr(webhook, name) for name in WebhookShown.model_fields})


def with_secret(webhook: Webhook) -> WebhookWithSecret:
    """The same for the one moment in which its secret is told."""
    return WebhookWithSecret.model_validate({name: getattr(webhook, name) for name in WebhookWithSecret.model_fields})
