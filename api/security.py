"""May this caller do that, in this store?

One table says which roles have which permission, one function decides, and every route asks it through a `Guard`. A refusal is the same
whether the store exists or not.
"""

from typing import Annotated, Final

from fastapi import Security
from fastapi.security import OAuth2PasswordBearer
from starlette.requests import HTTPConnection, Request

from api.denials import note_denied
from api.problems import Problem
from api.tokens import BadTokenError, Principal, Tokens

CASHIER, MANAGER, OPERATOR, ADMIN = "caissier", "gestionnaire", "operateur", "admin"
ROLES: Final = (CASHIER, MANAGER, OPERATOR, ADMIN)

_SHOP: Final = frozenset({CASHIER, MANAGER, ADMIN})
_MANAGE: Final = frozenset({MANAGER, ADMIN})
_EVERYONE: Final = frozenset(ROLES)
_HEADQUARTERS: Final = frozenset({MANAGER, OPERATOR, ADMIN})
_REPAIR: Final = frozenset({OPERATOR, ADMIN})
_ADMIN: Final = frozenset({ADMIN})

PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    "sale.record": _SHOP,
    "sale.return": _SHOP,
    "sale.void": _SHOP,
    "restock.request": _SHOP,
    "restock.cancel": _SHOP,
    "restock.receive": _SHOP,
    "restock.approve": _MANAGE,
    "restock.reject": _MANAGE,
    "restock.ship": _MANAGE,
    "stock.adjust": _MANAGE,
    "stock.count": _MANAGE,
    "stock.count_blind": _SHOP,
    "delivery.record": _MANAGE,
    "case.resolve": _MANAGE,
    "till.waive": _MANAGE,
    "product.define": _MANAGE,
    "product.stock": _MANAGE,
    "store.define": _ADMIN,
    "event.read": _EVERYONE,
    "store.read": _EVERYONE,
    "product.read": _EVERYONE,
    "stock.read": _EVERYONE,
    "sale.read": _EVERYONE,
    "restock.read": _EVERYONE,
    "live.read": _EVERYONE,
    "self.read": _EVERYONE,
    "self.change": _EVERYONE,
    "case.read": _HEADQUARTERS,
    "report.read": _HEADQUARTERS,
    "ops.read": _REPAIR,
    "ops.act": _REPAIR,
    "user.manage": _ADMIN,
    "webhook.manage": _ADMIN,
}

# What concerns the whole chain needs a principal of all stores, whatever its role.
WHOLE_CHAIN: Final = frozenset({"product.define", "store.define", "ops.read", "ops.act", "user.manage", "webhook.manage"})

# Who is refused one of these is noted in the audit log.
WATCHED: Final = frozenset({"ops.act", "user.manage", "webhook.manage"})

CHALLENGE: Final = 'Bearer realm="magasin"'
SCHEME_NAME: Final = "bearer"
_SCHEME: Final = OAuth2PasswordBearer(
    tokenUrl="/api/v2/auth/token",
    refreshUrl="/api/v2/auth/refresh",
    scheme_name=SCHEME_NAME,
    description="An RS256 access token of 15 minutes.",
    auto_error=False,
)


def principal(connection: HTTPConnection) -> Principal:
    """Who asks, by the Authorization header; remembered in ``request.state.principal``. Raises a 401 `Problem`."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if not token or scheme.lower() != "bearer":
        raise Problem("unauthorized", headers={"WWW-Authenticate": CHALLENGE})
    tokens: Tokens = connection.app.state.tokens
    try:
        found = tokens.verify(token)
    except BadTokenError:
        raise Problem("unauthorized", headers={"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}) from None
    connection.state.principal = found
    return found


def allow(who: Principal, permission: str, store_id: str | None = None) -> None:
    """Decide: nothing happens if `who` has `permission`, in that store if one is named; else a 403 `Problem` is raised."""
    if who.role not in PERMISSIONS[permission]:
        raise Problem("forbidden")
    if permission in WHOLE_CHAIN and not who.everywhere:
        raise Problem("forbidden")
    if store_id is not None and not who.may_see(store_id):
        raise Problem("forbidden")


def visible_stores(who: Principal) -> frozenset[str] | None:
    """The stores that a read without a filter is limited to; None for no limit."""
    return None if who.everywhere else who.stores


def stores_to_read(who: Principal, permission: str, asked: str | None) -> frozenset[str] | None:
    """The stores that a read covers: the one asked for (403 if foreign), else all of the caller's own; None for every store."""
    allow(who, permission, asked)
    return visible_stores(who) if asked is None else frozenset({asked})


class Guard:
    """A permission asked at a route's door: as ``Depends(Guard("stock.adjust"))``, or by hand with `admit` in a plain Starlette route.

    The store comes from the path (``store_id``) and from every ``store=`` of the query. A store that only the body names is for the route
    to ask `allow` about.
    """

    def __init__(self, permission: str) -> None:
        if permission not in PERMISSIONS:
            raise KeyError(permission)
        self.permission = permission

    async def __call__(self, request: Request, _token: Annotated[str | None, Security(_SCHEME)] = None) -> Principal:
        """Admit the caller of a FastAPI route; the unused parameter puts the scheme into the OpenAPI document."""
        try:
            return self.admit(request)
        except Problem as problem:
            if problem.code == "forbidden" and self.permission in WATCHED:
                await note_denied(request, self.permission)
            raise

    def admit(self, connection: HTTPConnection) -> Principal:
        """The caller, if it may. Raises a 401 or 403 `Problem`."""
        who = principal(connection)
        allow(who, self.permission, connection.path_params.get("store_id"))
        if connection.scope["query_string"]:
            for store_id in connection.query_params.getlist("store"):
                allow(who, self.permission, store_id)
        return who
