"""Is a token believed only when it is ours, in time, and of a sane size?"""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from api import tokens as module
from api.keys import SigningKey
from api.tokens import ALL_STORES, AUDIENCE, ISSUER, BadTokenError, Tokens

KEY = SigningKey(generate_private_key(public_exponent=65_537, key_size=2_048))
STRANGER = SigningKey(generate_private_key(public_exponent=65_537, key_size=2_048))
NOW = 1_800_000_000


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        """The seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(KEY, lifetime_seconds=900, clock=clock)


def forged(key: SigningKey = KEY, *, headers: dict[str, Any] | None = None, **changes: object) -> str:
    """A token with the right signature (or another's) and some claims changed; None takes a claim away."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "role": "caissier",
        "stores": ["a"],
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 900,
        "jti": "1",
    }
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, key.private, "RS256", headers={"kid": KEY.kid, **(headers or {})})


def unsigned(header: str, payload: str = "{}") -> str:
    """Any header text as a compact token."""
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (header, payload, "x"))


def test_what_was_issued_is_who_it_was_issued_to(tokens: Tokens) -> None:
    who = tokens.verify(tokens.issue("alice", "gestionnaire", ["b", "a"]))
    assert (who.username, who.role, who.stores, who.expires_at) == ("alice", "gestionnaire", frozenset({"a", "b"}), NOW + 900)
    assert not who.everywhere
    assert who.may_see("a")
    assert not who.may_see("c")
    assert tokens.verify(tokens.issue("bob", "gestionnaire", ALL_STORES)).may_see("not-yet-there")


def test_a_token_ends_with_its_life_also_when_it_is_remembered(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue("alice", "caissier", ["a"])
    assert tokens.verify(token) is tokens.verify(token)
    clock.now += 899.9
    tokens.verify(token)
    clock.now += 0.1
    with pytest.raises(BadTokenError):
        tokens.verify(token)


def test_a_clock_that_is_behind_a_little_does_no_harm(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue("alice", "caissier", ["a"])
    clock.now -= 5
    tokens.verify(token)
    clock.now -= 1
    with pytest.raises(BadTokenError):
        Tokens(KEY, lifetime_seconds=900, clock=clock).verify(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"exp": 10**30},
        {"exp": NOW + 901},
        {"iat": NOW + 500, "nbf": NOW, "exp": NOW + 1_400},
        {"exp": NOW},
        {"exp": float(NOW + 5)},
        {"exp": "1800000900"},
        {"exp": True},
        {"nbf": NOW + 60},
        {"iat": NOW + 900},
        {"stores": 7},
        {"stores": [1]},
        {"stores": [["a"]]},
        {"role": 1},
        {"sub": 1},
        {"sub": "x" * 4_000},
        *({name: None} for name in ("iss", "aud", "sub", "role", "stores", "exp", "nbf", "iat", "jti")),
    ],
)
def test_our_own_signature_is_not_enough(tokens: Tokens, changes: dict[str, Any]) -> None:
    with pytest.raises(BadTokenError):
        tokens.verify(forged(**changes))


def test_only_our_key_and_our_algorithm_count(tokens: Tokens) -> None:
    tokens.verify(forged())
    shared = "an HMAC secret of sufficient length for SHA-256"
    claims = jwt.decode(forged(), options={"verify_signature": False})
    bad = [
        forged(STRANGER),
        forged(headers={"kid": "../../etc/passwd"}),
        forged(headers={"kid": STRANGER.kid}),
        jwt.encode(claims, shared, "HS256", headers={"kid": KEY.kid}),
        jwt.encode(claims, KEY.private, "RS512", headers={"kid": KEY.kid}),
        jwt.encode(claims, "", "none", headers={"kid": KEY.kid}),
        jwt.encode(claims, KEY.private, "RS256"),
        forged()[:-4] + "AAAA",
        forged() + "x" * 4_096,
        unsigned("[" * 1_500),
        unsigned('{"kid": ["a"], "alg": "RS256"}'),
        unsigned('{"kid": 9' + "9" * 1_000 + "}"),
        "",
        "..",
        "é.é.é",
    ]
    for token in bad:
        with pytest.raises(BadTokenError):
            tokens.verify(token)


@given(st.text(max_size=50))
def test_no_text_can_break_it(text: str) -> None:
    with pytest.raises(BadTokenError):
        Tokens(KEY, lifetime_seconds=900).verify(text)


def test_no_more_are_remembered_than_the_bound(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 3)
    issued = [tokens.issue(f"user-{number}", "caissier", ["a"]) for number in range(5)]
    first = [tokens.verify(token) for token in issued]
    assert tokens.verify(issued[-1]) is first[-1]
    assert tokens.verify(issued[0]) is not first[0]
    assert len(tokens._checked) == 3  # noqa: SLF001 - the bound is what this test is about


def test_a_remembered_token_costs_one_look() -> None:
    tokens = Tokens(KEY, lifetime_seconds=900)
    token = tokens.issue("alice", "caissier", ["a"])
    tokens.verify(token)
    begin = time.perf_counter()
    for _ in range(10_000):
        tokens.verify(token)
    assert (time.perf_counter() - begin) / 10_000 < 20e-6


def test_the_published_key_checks_what_we_issue(tokens: Tokens) -> None:
    (published,) = json.loads(json.dumps(tokens.jwks()))["keys"]
    assert not published.keys() & {"d", "p", "q"}
    key = jwt.PyJWK(published)
    token = Tokens(KEY, lifetime_seconds=900).issue("alice", "caissier", ["a"])
    assert jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE)["sub"] == "alice"
    assert jwt.get_unverified_header(token)["kid"] == published["kid"]


def test_tokens_of_an_earlier_generation_are_refused_also_those_that_were_checked(tokens: Tokens) -> None:
    old, new = (tokens.issue("alice", "caissier", ["a"], generation) for generation in (1, 2))
    other = tokens.issue("bob", "caissier", ["a"])
    for each in (old, new, other):
        assert tokens.verify(each).role == "caissier"
    assert tokens.refuse_older("alice", 2)
    assert not tokens.refuse_older("alice", 2)
    assert not tokens.refuse_older("alice", 1)
    with pytest.raises(BadTokenError):
        tokens.verify(old)
    assert tokens.verify(new).username == "alice"
    assert tokens.verify(other).username == "bob"


@pytest.mark.parametrize("generation", ["1", 1.0, True, None, -1])
def test_a_generation_that_is_none_is_refused_once_there_was_one(tokens: Tokens, generation: object) -> None:
    tokens.refuse_older("alice", 1)
    with pytest.raises(BadTokenError):
        tokens.verify(forged(gen=generation))
