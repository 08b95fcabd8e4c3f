"""What do all routes of the operators' desk have in common?"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Connection, Engine
from starlette.requests import Request

from api.auth import JSON, takes
from api.security import Guard
from api.tokens import Principal
from infra.audit import MOST_REASON
from infra.management import Management
from projections.standing import Standing

PREFIX: Final = "/api/v2/ops"
TAG: Final = "operators"
Onlooker = Annotated[Principal, Depends(Guard("ops.read"))]
Operator = Annotated[Principal, Depends(Guard("ops.act"))]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MOST_REASON, strip_whitespace=True, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"),
]
"""Why somebody does what he does: it goes into the audit log."""


class Why(BaseModel):
    """What an order to a job may say besides."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason | None = None


def why(who: Principal, body: Why | None) -> dict[str, Any]:
    """Who gives an order, and why."""
    return {"by": who.username, "reason": None if body is None else body.reason}


async def json_if_anything(request: Request) -> None:
    """Refuse, with 415, a body that isn't JSON; there need not be any."""
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        await takes(*JSON)(request)


def engine_of(request: Request) -> Engine:
    """The process's way to the database."""
    engine: Engine = request.app.state.engine
    return engine


def building_engine_of(request: Request) -> Engine:
    """The way to the database of whoever may build projections: the operator's, where the process was told it, else its own."""
    engine: Engine = request.app.state.building
    return engine


def management_of(request: Request) -> Management:
    """The process's way to the broker's own figures."""
    management: Management = request.app.state.management
    return management


def now_standing(_: Connection) -> Standing:
    """The standing of figures that change while one reads them: no answer is good for a second one."""
    now = datetime.now(UTC)
    return Standing(position=f"now:{now.timestamp()}", as_of=now, lag_seconds=0.0, stalled_stores=(), timezone="UTC")
