"""Who has an account, and what may an administrator do about it?"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import Response

from api.audit import audited
from api.auth import JSON, takes
from api.passwords import LONGEST, SHORTEST
from api.problems import Problem, problem_responses
from api.reception import reception_of
from api.security import Guard
from api.tokens import Principal
from infra import accounts
from infra.accounts import Account

# 50 store names of 32 letters still make a token of less than 4 KiB.
MOST_STORES: Final = 50
USERNAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
log = structlog.get_logger(__name__)


def _sorted_once(stores: list[str]) -> list[str]:
    return ["*"] if "*" in stores else sorted(set(stores))


Role = Literal["caissier", "gestionnaire", "operateur", "admin"]
StoreName = Annotated[str, Field(pattern=r"^([a-z0-9-]{1,32}|\*)$")]
Stores = Annotated[list[StoreName], Field(min_length=1, max_length=MOST_STORES), AfterValidator(_sorted_once)]
Password = Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]
Username = Annotated[str, Path(pattern=USERNAME)]
Administrator = Annotated[Principal, Depends(Guard("user.manage"))]


class NewUser(BaseModel):
    """An account to be made. Operators and administrators have every store unless told otherwise."""

    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(pattern=USERNAME)]
    password: Password
    role: Role
    stores: Annotated[Stores | None, Field(validate_default=True)] = None

    @field_validator("stores")
    @classmethod
    def _shop_staff_has_stores(cls, stores: list[str] | None, others: ValidationInfo) -> list[str] | None:
        if stores is None and others.data.get("role") in {"caissier", "gestionnaire"}:
            code = "missing"
            raise PydanticCustomError(code, "stores")
        return stores


class UserChange(BaseModel):
    """What is to be different; what is left out or null stays."""

    model_config = ConfigDict(extra="forbid")

    password: Password | None = None
    role: Role | None = None
    stores: Stores | None = None
    disabled: Annotated[bool, Field(strict=True)] | None = None


class User(BaseModel):
    """An account as administrators see it."""

    username: str
    role: str
    stores: list[str]
    disabled: bool
    created_at: datetime


class Users(BaseModel):
    """A page of accounts, by name."""

    items: list[User]
    meta: dict[str, Any]


router = APIRouter(prefix="/api/v2/users", tags=["users"])


@router.get("", summary="List the accounts", responses=problem_responses("unauthorized", "forbidden", "invalid_content"))
async def list_users(
    request: Request,
    response: Response,
    _who: Administrator,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: Annotated[str, Query(pattern=r"^[a-z0-9._-]{0,64}$")] = "",
) -> Users:
    """List accounts by name; ``Link: …; rel="next"`` leads to the following ones."""
    found = await reception_of(request).transact(lambda connection: accounts.page(connection, after=after, limit=limit + 1))
    if len(found) > limit:
        response.headers["Link"] = f'<{request.url.path}?limit={limit}&after={found[limit - 1].username}>; rel="next"'
    meta = {"as_of": datetime.now(UTC), "lag_seconds": 0, "complete": True, "stalled_stores": [], "timezone": "UTC"}
    return Users(items=[_told(account) for account in found[:limit]], meta=meta)


@router.get("/{username}", summary="Show an account", responses=problem_responses("unauthorized", "forbidden", "unknown_account"))
async def show_user(request: Request, username: Username, _who: Administrator) -> User:
    """Show one account."""
    return _told(_known(await reception_of(request).transact(lambda connection: accounts.find(connection, username))))


@router.post(
    "",
    summary="Make an account",
    status_code=201,
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses("unauthorized", "forbidden", "account_exists", "unsupported_media_type", "invalid_content"),
)
async def create_user(request: Request, response: Response, body: NewUser, who: Administrator) -> User:
    """Make an account that can sign in at once."""
    reception = reception_of(request)
    password_hash = await reception.passwords.hash_of(body.password)

    def step(connection: Connection) -> Account | None:
        if not accounts.add(connection, body.username, password_hash, body.role, body.stores or ["*"]):
            raise Problem("account_exists")
        return accounts.find(connection, body.username)

    details = {"role": body.role, "stores": body.stores or ["*"]}
    made = _known(await audited(_engine(request), who, "user.create", body.username, step, details=details))
    log.info("account_created", actor=who.username, username=made.username, role=made.role, stores=made.stores)
    response.headers["Location"] = f"{request.url.path}/{made.username}"
    return _told(made)


@router.patch(
    "/{username}",
    summary="Change an account",
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses("unauthorized", "forbidden", "unknown_account", "last_admin", "unsupported_media_type", "invalid_content"),
)
async def change_user(request: Request, username: Username, body: UserChange, who: Administrator) -> User:
    """Change role, stores, password or access. Access tokens that are out are refused from now on.

    Disabling it or giving it a new password signs it out everywhere; after a change of role or stores its sessions renew themselves.
    """
    reception = reception_of(request)
    changes = body.model_dump(exclude_none=True)
    details = {name: "changed" if name == "password" else value for name, value in changes.items()}
    if password := changes.pop("password", None):
        changes["password_hash"] = await reception.passwords.hash_of(password)

    def step(connection: Connection) -> Account:
        return _change(connection, username, changes)

    changed = await audited(_engine(request), who, "user.change", username, step, details=details)
    if changes:
        await reception.sessions.refuse(changed)
    log.info("account_changed", actor=who.username, username=username, changed=sorted(details))
    return _told(changed)


@router.post(
    "/{username}/sign-out",
    summary="Sign out everywhere",
    status_code=204,
    responses=problem_responses("unauthorized", "forbidden", "unknown_account", "invalid_content"),
)
async def sign_out_everywhere(request: Request, username: Username, who: Administrator) -> None:
    """Close every session of an account and refuse its access tokens, at every API instance."""

    def step(connection: Connection) -> Account:
        changed = _known(accounts.refuse_tokens(connection, username))
        accounts.close_all_sessions(connection, username)
        return changed

    changed = await audited(_engine(request), who, "user.sign_out", username, step)
    await reception_of(request).sessions.refuse(changed)
    log.info("account_signed_out", actor=who.username, username=username)


def _change(connection: Connection, username: str, changes: dict[str, Any]) -> Account:
    """One transaction: nobody dismisses the last administrator, and a closed account has no session left."""
    if changes.get("disabled") or changes.get("role", "admin") != "admin":
        admins = accounts.active_admins(connection)
        if admins == [username]:
            raise Problem("last_admin")
    changed = _known(accounts.change(connection, username, changes))
    if changes.get("disabled") or "password_hash" in changes:
        accounts.close_all_sessions(connection, username)
    return _known(accounts.refuse_tokens(connection, username)) if changes else changed


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _known(account: Account | None) -> Account:
    if account is None:
        raise Problem("unknown_account")
    return account


def _told(account: Account) -> User:
    return User(
        username=account.username,
        role=account.role,
        stores=list(account.stores),
        disabled=account.disabled,
        created_at=account.created_at,
    )
