"""Over which routes does one sign in, renew, sign out, and learn who one is?"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.passwords import LONGEST, SHORTEST
from api.problems import Problem, problem_responses
from api.reception import Session, reception_of
from api.security import Guard
from api.tokens import Principal, Tokens

FORM: Final = ("application/x-www-form-urlencoded", "multipart/form-data")
JSON: Final = ("application/json",)
# RFC 6749 §5.1: no store on the way may keep a token.
PRIVATE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def takes(*media_types: str) -> Callable[[Request], Coroutine[None, None, None]]:
    """Refuse, with 415, a body of another media type or with an encoding."""

    async def check(request: Request) -> None:
        found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if found not in media_types or "content-encoding" in request.headers:
            raise Problem("unsupported_media_type")

    return check


class SignIn(BaseModel):
    """The form of the OAuth 2 password grant; its other fields (grant_type, scope …) are accepted and mean nothing."""

    username: Annotated[str, Field(min_length=1, max_length=128)]
    password: Annotated[str, Field(min_length=1, max_length=LONGEST)]


class RefreshToken(BaseModel):
    """The token that the last answer gave."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: Annotated[str, Field(min_length=1, max_length=128)]


class PasswordChange(BaseModel):
    """The present password and the one to come."""

    model_config = ConfigDict(extra="forbid")

    current: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    new: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]


class Identity(BaseModel):
    """Who a token speaks for; `stores` is ``["*"]`` for every store."""

    username: str
    role: str
    stores: list[str]


class TokenAnswer(BaseModel):
    """Both tokens; `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int
    role: str
    stores: list[str]


router = APIRouter(prefix="/api/v2/auth", tags=["auth"])


@router.post(
    "/token",
    summary="Sign in",
    dependencies=[Depends(takes(*FORM))],
    response_model=TokenAnswer,
    responses=problem_responses("bad_credentials", "unsupported_media_type", "invalid_content", "too_many_requests", "overloaded"),
)
async def sign_in(request: Request, form: Annotated[SignIn, Form()]) -> Response:
    """Exchange a user name and a password for an access token of 15 minutes and a refresh token."""
    address = request.client.host if request.client else ""
    return _told(await reception_of(request).sign_in(form.username, form.password, address), request)


@router.post(
    "/refresh",
    summary="Renew",
    dependencies=[Depends(takes(*JSON))],
    response_model=TokenAnswer,
    responses=problem_responses("bad_refresh_token", "unsupported_media_type", "invalid_content"),
)
async def renew(request: Request, body: RefreshToken) -> Response:
    """Exchange a refresh token for new tokens. It is spent by that: showing it again closes the session."""
    return _told(await reception_of(request).renew(body.refresh_token), request)


@router.post(
    "/logout",
    summary="Sign out",
    status_code=204,
    dependencies=[Depends(takes(*JSON))],
    responses=problem_responses("unsupported_media_type", "invalid_content"),
)
async def sign_out(request: Request, body: RefreshToken) -> None:
    """Close the session that this refresh token belongs to."""
    await reception_of(request).sign_out(body.refresh_token)


@router.post(
    "/password",
    summary="Change one's own password",
    dependencies=[Depends(takes(*JSON))],
    response_model=TokenAnswer,
    responses=problem_responses("unauthorized", "unsupported_media_type", "invalid_content", "too_many_requests", "overloaded"),
)
async def change_password(request: Request, body: PasswordChange, who: Annotated[Principal, Depends(Guard("self.change"))]) -> Response:
    """Change the password of the account that the token speaks for. It is signed out everywhere; the answer has fresh tokens for here."""
    address = request.client.host if request.client else ""
    return _told(await reception_of(request).change_password(who.username, body.current, body.new, address), request)


@router.get("/me", summary="Who am I", responses=problem_responses("unauthorized"))
async def me(who: Annotated[Principal, Depends(Guard("self.read"))]) -> Identity:
    """Tell who the access token speaks for."""
    return Identity(username=who.username, role=who.role, stores=sorted(who.stores))


keys_router = APIRouter(tags=["auth"])


@keys_router.get("/.well-known/jwks.json", summary="The keys that check our tokens")
async def jwks(request: Request) -> dict[str, list[dict[str, str]]]:
    """Show the public keys (RFC 7517) by which others, such as the gateway, check access tokens."""
    tokens: Tokens = request.app.state.tokens
    return tokens.jwks()


def _told(session: Session, request: Request) -> Response:
    account = session.account
    answer = TokenAnswer(
        access_token=session.access_token,
        refresh_token=session.refresh_token,
        expires_in=request.app.state.tokens.lifetime_seconds,
        role=account.role,
        stores=list(account.stores),
    )
    return JSONResponse(answer.model_dump(), headers=PRIVATE)
