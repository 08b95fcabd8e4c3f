"""Does somebody who was signed out everywhere lose every door at once, and does the audit log tell who did what?"""

import secrets
from dataclasses import dataclass

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.e2e.system import Fragile, Json, System, eventually

FIRST, SECOND = "correct horse battery", "staple correct horse"


@dataclass
class Person:
    """Somebody with an account of their own, at two instances of the API."""

    system: System
    other: System
    username: str

    def sign_in(self, password: str = FIRST) -> httpx2.Response:
        return httpx2.post(
            f"{self.system.url}/api/v2/auth/token", data={"username": self.username, "password": password}, timeout=20, trust_env=False
        )

    def doors(self, tokens: Json) -> list[int]:
        """What both instances say to the access token."""
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return [
            httpx2.get(f"{each.url}/api/v2/auth/me", headers=headers, trust_env=False).status_code for each in (self.system, self.other)
        ]

    def renew(self, tokens: Json) -> int:
        body = {"refresh_token": tokens["refresh_token"]}
        return httpx2.post(f"{self.system.url}/api/v2/auth/refresh", json=body, timeout=20, trust_env=False).status_code

    def turned_away(self, tokens: Json) -> None:
        """Return when no instance takes the access token any more."""
        eventually(lambda: self.doors(tokens) == [401, 401] or None)


@pytest.fixture
def person(system: System, fragile: Fragile) -> Person:
    made = Person(system, fragile.system, f"p-{secrets.token_hex(6)}")
    body = {"username": made.username, "password": FIRST, "role": "caissier", "stores": ["a"]}
    assert system.client().post("/api/v2/users", json=body).status_code == 201
    return made


def audit(system: System, **wanted: str) -> list[Json]:
    answer = system.client("operateur").get("/api/v2/ops/audit-log", params=wanted)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["meta"]) >= {"as_of", "complete"}
    return [dict(line) for line in answer.json()["items"]]


def test_signing_out_everywhere_refuses_every_token_at_every_instance_and_a_new_sign_in_works_at_once(person: Person) -> None:
    here, there = person.sign_in().json(), person.sign_in().json()
    assert person.doors(here) == person.doors(there) == [200, 200]
    answer = person.system.client().post(f"/api/v2/users/{person.username}/sign-out")
    assert (answer.status_code, answer.content) == (204, b"")
    assert person.doors(here)[0] == person.doors(there)[0] == 401
    person.turned_away(here)
    person.turned_away(there)
    assert person.renew(here) == person.renew(there) == 401
    assert person.doors(person.sign_in().json()) == [200, 200]


def test_who_is_signed_out_everywhere_sees_nothing_live_any_more(person: Person) -> None:
    headers = {"Authorization": f"Bearer {person.sign_in().json()['access_token']}"}
    with httpx2.stream("GET", f"{person.other.url}/api/v2/live", headers=headers, timeout=30, trust_env=False) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert person.system.client().post(f"/api/v2/users/{person.username}/sign-out").status_code == 204
        assert not [line for line in lines if line.startswith("data")]


def test_another_role_counts_at_once_and_the_session_renews_itself(person: Person) -> None:
    tokens = person.sign_in().json()
    changes = {"role": "gestionnaire", "stores": ["*"]}
    assert person.system.client().patch(f"/api/v2/users/{person.username}", json=changes).status_code == 200
    person.turned_away(tokens)
    assert person.renew(tokens) == 200


def test_one_changes_ones_own_password_by_the_present_one(person: Person) -> None:
    tokens, path = person.sign_in().json(), f"{person.system.url}/api/v2/auth/password"
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    def change(current: str, new: str) -> httpx2.Response:
        return httpx2.post(path, headers=headers, json={"current": current, "new": new}, timeout=20, trust_env=False)

    wrong = change(SECOND, SECOND)
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/current")
    assert change(FIRST, "short").status_code == 422
    changed = change(FIRST, SECOND)
    assert changed.status_code == 200
    person.turned_away(tokens)
    assert person.renew(tokens) == 401
    assert person.doors(changed.json()) == [200, 200]
    assert (person.sign_in(FIRST).status_code, person.sign_in(SECOND).status_code) == (401, 200)
    lines = audit(person.system, target=person.username, action="self.password")
    assert [(line["outcome"], line["reason"]) for line in lines] == [("done", None), ("failed", "wrong_password")]


def test_the_audit_log_tells_who_did_it_who_failed_and_who_was_not_let(person: Person) -> None:
    http, path = person.system.client(), f"/api/v2/users/{person.username}"
    assert http.patch(path, json={"disabled": True, "password": SECOND}).status_code == 200
    assert http.post("/api/v2/users", json={"username": person.username, "password": FIRST, "role": "admin"}).status_code == 409
    for _ in range(3):
        assert person.system.client("gestionnaire").patch(path, json={"role": "admin"}).status_code == 403
    lines = audit(person.system, target=person.username)
    assert [(line["action"], line["outcome"], line["reason"]) for line in lines] == [
        ("user.create", "failed", "account_exists"),
        ("user.change", "done", None),
        ("user.create", "done", None),
    ]
    assert lines[1]["details"] == {"disabled": True, "password": "changed"}
    assert {line["actor"] for line in lines} == {"admin-test"}
    (denied,) = audit(person.system, target=f"PATCH {path}")
    assert (denied["action"], denied["outcome"], denied["actor"]) == ("user.manage", "denied", "gestionnaire-test")
    with person.system.engine.connect() as connection:
        written = str(connection.execute(text("SELECT array_agg(a::text) FROM audit_log a")).scalar_one())
    assert FIRST not in written
    assert SECOND not in written


def test_the_audit_log_has_pages_and_its_filters_are_checked(person: Person) -> None:
    http, path = person.system.client("operateur"), "/api/v2/ops/audit-log?limit=1&actor=admin-test"
    seen: list[int] = []
    while path and len(seen) < 3:
        answer = http.get(path)
        seen += [line["id"] for line in answer.json()["items"]]
        path = answer.links.get("next", {}).get("url", "")
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)
    assert http.get("/api/v2/ops/audit-log?outcome=perhaps").status_code == 422
    assert http.get("/api/v2/ops/audit-log", params={"target": person.username, "format": "csv"}).text.count("user.create") == 1


@pytest.mark.parametrize("change", ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
def test_the_audit_log_refuses_to_be_changed(person: Person, change: str) -> None:
    with person.system.engine.connect() as connection, pytest.raises(IntegrityError, match="append-only"):
        connection.execute(text(change))
