"""Is the broker's file the one that the code makes, and does it hold what it must not?"""

import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

import pytest

from infra.broker_users import OUTSIDER, PASSWORD_FILES, USERS, definitions
from infra.topology import EVENTS, EXCHANGES, FEED, INTAKE, QUEUES
from magasin.definitions import NoPasswordsError, written

COMMITTED = Path(__file__).resolve().parents[2] / "compose" / "rabbitmq" / "definitions.json"
RIGHTS = {permission["user"]: permission for permission in definitions({})["permissions"]}


def may(user: str, right: str, name: str) -> bool:
    return re.search(RIGHTS[user][right], name) is not None


def test_the_file_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == written(), "magasin definitions > compose/rabbitmq/definitions.json"


def test_the_file_lets_nobody_sign_in() -> None:
    assert {user["password_hash"] for user in json.loads(COMMITTED.read_text(encoding="utf-8"))["users"]} == {""}


def test_passwords_come_from_files_and_are_hashed_as_the_broker_does(tmp_path: Path) -> None:
    (tmp_path / PASSWORD_FILES["api"]).write_text("till-and-tray\n", encoding="utf-8")
    users = {user["name"]: user["password_hash"] for user in json.loads(written(tmp_path))["users"]}
    hashed = b64decode(users["api"])
    assert hashed[4:] == sha256(hashed[:4] + b"till-and-tray").digest()
    assert {users[user.name] for user in USERS if user.name != "api"} == {""}


def test_a_folder_without_passwords_and_a_password_for_nobody_are_faults(tmp_path: Path) -> None:
    with pytest.raises(NoPasswordsError):
        written(tmp_path)
    with pytest.raises(ValueError, match="root"):
        definitions({"root": "x"})
    with pytest.raises(ValueError, match="api"):
        definitions({"api": ""})


def test_each_queue_is_read_by_the_process_of_its_name_alone() -> None:
    for queue in QUEUES:
        assert [user for user in RIGHTS if may(user, "read", queue.name)] == [queue.name]


def test_each_exchange_is_written_to_by_those_who_have_something_to_say() -> None:
    assert {name: [user for user in RIGHTS if may(user, "write", name)] for name in (INTAKE, EVENTS, FEED)} == {
        INTAKE: ["api", "stock-writer"],
        EVENTS: ["stock-writer"],
        FEED: ["outbound"],
    }


def test_the_way_into_every_queue_by_its_name_is_the_operators_alone() -> None:
    assert [user for user in RIGHTS if may(user, "write", "amq.default")] == ["operator"]


def test_nobody_makes_or_removes_anything_of_ours() -> None:
    ours = [*EXCHANGES, *(queue.name for queue in QUEUES)]
    assert not [(user, name) for user in RIGHTS for name in ours if may(user, "configure", name)]


def test_an_outsider_reads_the_feed_into_queues_of_its_own_and_nothing_else() -> None:
    assert may(OUTSIDER, "configure", f"{OUTSIDER}.accounting")
    assert may(OUTSIDER, "read", f"{OUTSIDER}.accounting")
    assert not may(OUTSIDER, "configure", f"{OUTSIDER}x")
    assert [name for name in EXCHANGES if may(OUTSIDER, "read", name)] == [FEED]
    assert not [name for name in EXCHANGES if may(OUTSIDER, "write", name)]
