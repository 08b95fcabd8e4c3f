"""Who does a bearer token speak for?

Access tokens are RS256 JWTs that live for 15 minutes at most. Checking one costs 170-260 µs, so one that was checked is remembered until
it expires: after that, knowing the caller is one look into a dictionary. Refusing tokens before their time costs that look nothing: they
carry the generation of their account, and what is refused is simply not remembered any more.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import jwt

from api.keys import SigningKey, key_of
from infra.settings import Settings

ISSUER: Final = "magasin"
AUDIENCE: Final = "magasin-api"
ALGORITHM: Final = "RS256"
LONGEST_TOKEN: Final = 4_096
LONGEST_LIFE_SECONDS: Final = 900
MOST_REMEMBERED: Final = 8_192
# Another machine's clock may be behind ours by this much when it first sees a token.
SKEW_SECONDS: Final = 5
REQUIRED: Final = ["iss", "aud", "sub", "role", "stores", "exp", "nbf", "iat", "jti"]

ALL_STORES: Final = frozenset({"*"})


class BadTokenError(Exception):
    """The token is none of ours, or has expired."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a name, one role, the stores it may act for (`ALL_STORES` for every one), and until when (seconds since 1970)."""

    username: str
    role: str
    stores: frozenset[str]
    expires_at: float

    @property
    def everywhere(self) -> bool:
        """Whether it may act for every store, also those that don't exist yet."""
        return "*" in self.stores or self.role == "admin"

    def may_see(self, store_id: str) -> bool:
        """Whether that store is one of its own."""
        return store_id in self.stores or self.everywhere


class Tokens:
    """Issues tokens with one key and checks them against a fixed table of keys."""

    def __init__(self, key: SigningKey, *, lifetime_seconds: int, clock: Callable[[], float] = time.time) -> None:
        self.lifetime_seconds = min(lifetime_seconds, LONGEST_LIFE_SECONDS)
        self._key = key
        self._keys = {key.kid: key.public}
        self._clock = clock
        self._checked: OrderedDict[str, Principal] = OrderedDict()
        self._least_generation: dict[str, int] = {}

    def issue(self, username: str, role: str, stores: Iterable[str], generation: int = 0) -> str:
        """A token for that account, valid from now on for `lifetime_seconds` or until its generation is refused."""
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": username,
            "role": role,
            "stores": sorted(stores),
            "iat": now,
            "nbf": now - SKEW_SECONDS,
            "exp": now + self.lifetime_seconds,
            "jti": str(uuid4()),
            "gen": generation,
        }
        return jwt.encode(claims, self._key.private, ALGORITHM, headers={"kid": self._key.kid})

    def verify(self, token: str) -> Principal:
        """The principal of a token. Raises `BadTokenError`."""
        known = self._checked.get(token)
        if known is not None and known.expires_at > self._clock():
            return known
        principal = self._check(token)
        self._checked[token] = principal
        if len(self._checked) > MOST_REMEMBERED:
            # All live equally long, so the one remembered first is about the next to expire.
            self._checked.popitem(last=False)
        return principal

    def refuse_older(self, username: str, generation: int) -> bool:
        """Refuse that account's tokens of earlier generations from now on; False when they were refused already."""
        if generation <= self._least_generation.get(username, 0):
            return False
        self._least_generation[username] = generation
        for token in [token for token, known in self._checked.items() if known.username == username]:
            del self._checked[token]
        return True

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys, as ``/.well-known/jwks.json`` shows them."""
        return {"keys": [self._key.jwk]}

    def _check(self, token: str) -> Principal:
        if len(token) > LONGEST_TOKEN:
            raise BadTokenError
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            # The signature first, by PyJWT; times by `_principal`, because PyJWT accepts an exp of 10³⁰ and has its own clock.
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            return self._principal(claims)
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BadTokenError from error

    def _principal(self, claims: dict[str, Any]) -> Principal:
        now, (issued, begins, expires) = self._clock(), (claims[name] for name in ("iat", "nbf", "exp"))
        if not all(type(instant) is int for instant in (issued, begins, expires)):
            raise BadTokenError
        if (
            not begins <= now < expires
            or not 0 < expires - issued <= LONGEST_LIFE_SECONDS
            or expires - now > LONGEST_LIFE_SECONDS + SKEW_SECONDS
        ):
            raise BadTokenError
        generation = claims.get("gen", 0)
        if type(generation) is not int or generation < self._least_generation.get(claims["sub"], 0):
            raise BadTokenError
        stores = frozenset(claims["stores"])
        if not all(isinstance(text, str) for text in (*stores, claims["sub"], claims["role"])):
            raise BadTokenError
        return Principal(claims["sub"], claims["role"], stores, float(expires))


def tokens_of(settings: Settings) -> Tokens:
    """The tokens of this installation. Raises what `api.keys.key_of` raises."""
    return Tokens(key_of(settings), lifetime_seconds=settings.access_token_seconds)
