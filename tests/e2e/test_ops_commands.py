"""Do the operators' commands do the same through the API and without it, and does their exit code say what happened?"""

import getpass
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from magasin import __main__ as command_line
from magasin import ops_door
from magasin.home import LOOPBACK
from magasin.ops_desk import FAILED, NOBODY, NOT_ALLOWED, REFUSED, USAGE
from tests.e2e.system import Json, Shop, System, environment, free_port, sku

PASSWORD = "a long enough password"  # noqa: S105 - of an account that lives as long as the test
WHY = ("--reason", "on le regarde de près")


@pytest.fixture(scope="module")
def account(system: System) -> str:
    """Somebody who may."""
    name = f"ops-{sku().lower()}"
    made = system.client().post("/api/v2/users", json={"username": name, "password": PASSWORD, "role": "operateur", "stores": ["*"]})
    assert made.status_code == 201, made.text
    return name


@pytest.fixture(autouse=True)
def terminal(system: System, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """His terminal, with the servers' addresses in the environment."""
    for variable, value in environment(system.settings).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("MAGASIN_URL", system.url)
    monkeypatch.setenv(ops_door.USER, account)
    monkeypatch.setenv(ops_door.PASSWORD, PASSWORD)
    monkeypatch.setenv("LANG", "C")
    monkeypatch.setattr(ops_door, "settings", lambda: system.settings)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def busy(shop: Shop) -> Iterator[tuple[Shop, str]]:
    """A shop in which something was sold, and what."""
    article = sku()
    shop.deliver(article, 9)
    shop.sell(article, 2)
    yield shop, article
    _level(shop, article, 7)


def _level(shop: Shop, article: str, on_hand: int) -> None:
    with shop.system.engine.begin() as connection:
        changed = text("UPDATE stock_level SET on_hand = :on_hand WHERE store_id = :store_id AND sku = :sku")
        connection.execute(changed, {"on_hand": on_hand, "store_id": shop.store_id, "sku": article})


def typed(*words: str) -> Result:
    return CliRunner().invoke(command_line.app, ["ops", *words])


def answered(*words: str, code: int = 0) -> Json:
    result = typed(*words, "--json")
    assert result.exit_code == code, result.output
    found: Json = json.loads(result.stdout)
    return found


WAYS = pytest.mark.parametrize("way", [(), ("--direct",)], ids=["through the API", "straight to the servers"])


@WAYS
def test_what_was_tampered_with_is_found_named_and_told_by_the_exit_code(busy: tuple[Shop, str], way: Sequence[str]) -> None:
    shop, article = busy
    words = ("verifications", "start", "--store", shop.store_id, "--yes", *way)
    right = answered(*words)
    assert (right["state"], right["mismatches"]) == ("done", [])
    _level(shop, article, 8)
    wrong = answered(*words, code=FAILED)
    assert wrong["mismatches"] == [{"where": f"stock_level/{shop.store_id}/{article}/on_hand", "expected": 7, "found": 8}]
    found = typed("verifications", "show", wrong["id"], *way)
    assert (found.exit_code, "mismatches" in found.stdout) == (0, True)


@WAYS
def test_a_replay_into_the_systems_own_queues_is_counted_first_and_changes_nothing(busy: tuple[Shop, str], way: Sequence[str]) -> None:
    shop, article = busy
    with shop.system.engine.connect() as connection:
        head = connection.scalar(text("SELECT seq FROM store_head WHERE store_id = :s"), {"s": shop.store_id})
    for queue in ("stock-writer", "projector"):
        words = ("replays", "start", queue, "--store", shop.store_id, "--sku", article)
        preview = answered(*words, "--dry-run", *way)
        assert (preview["dry_run"], preview["total"], preview["done"]) == (
            True,
            3,
            0,
        )  # the delivery, the sale, and the unknown product's case
        done = answered(*words, "--yes", *way)
        assert (done["state"], done["done"], done["queue"]) == ("done", 3, queue)
    shop.sell(article, 1)  # whatever lay in front of it in the queues is settled now
    with shop.system.engine.connect() as connection:
        assert connection.scalar(text("SELECT seq FROM store_head WHERE store_id = :s"), {"s": shop.store_id}) == head + 1
        assert connection.scalar(text("SELECT count(*) FROM dead_letter WHERE store_id = :s"), {"s": shop.store_id}) == 0
    assert shop.on_hand(article) == 6
    _level(shop, article, 7)


def test_with_the_api_down_the_way_is_straight_and_the_audit_log_names_the_person(
    busy: tuple[Shop, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = busy
    monkeypatch.setenv("MAGASIN_URL", f"http://{LOOPBACK}:{free_port()}")
    result = typed("projections", "pause", "hourly-sales", "--store", shop.store_id, "--yes", *WHY)
    assert result.exit_code == 0, result.output
    assert "Straight to the servers" in result.stderr
    assert "paused" in result.stdout
    try:
        (line,) = answered("audit", "--target", f"hourly-sales/{shop.store_id}", "--limit", "1")["items"]
        assert (line["action"], line["outcome"], line["reason"]) == ("projection.pause", "done", WHY[1])
        assert line["actor"].startswith(f"{getpass.getuser()}@")
    finally:
        assert typed("projections", "resume", "hourly-sales", "--store", shop.store_id, "--yes", *WHY).exit_code == 0


LISTS = (
    "overview", "queues", "jobs", "consumers list", "projections list", "letters list", "letters groups", "selections list",
    "redrives list", "rebuilds list", "replays list", "verifications list", "verifications standing", "audit",
)  # fmt: skip


def test_every_list_is_a_table_for_people_and_json_for_programs() -> None:
    for command in LISTS:
        shown, told = typed(*command.split()), typed(*command.split(), "--json")
        assert {shown.exit_code, told.exit_code} <= {0, FAILED}, command
        assert shown.stdout.strip(), command
        assert isinstance(json.loads(told.stdout), dict), command


def test_letters_are_chosen_and_a_selection_is_parked_and_restored(shop: Shop) -> None:
    made = answered("selections", "make", f"store={shop.store_id}", "--yes")
    assert made["count"] == 0
    assert answered("selections", "show", made["selection_id"])["digest"] == made["digest"]
    assert answered("selections", "park", made["selection_id"], "--yes", *WHY)["count"] == 0
    assert answered("redrives", "start", made["selection_id"], "--dry-run")["dry_run"] is True


def test_a_dry_run_of_an_order_says_what_it_would_send_and_sends_nothing() -> None:
    told = answered("consumers", "pause", "outbound", "--dry-run", *WHY)
    assert told["request"] == {"method": "POST", "path": "/api/v2/ops/consumers/outbound/pause", "body": {"reason": WHY[1]}}
    (outbound,) = (each for each in answered("consumers", "list")["items"] if each["name"] == "outbound")
    assert outbound["pause"] is None


def test_nothing_is_done_without_a_yes_when_nobody_can_be_asked() -> None:
    result = typed("consumers", "pause", "outbound", *WHY)
    assert result.exit_code == USAGE
    assert "--yes" in result.stderr


def test_the_exit_code_tells_refused_not_allowed_and_nobody_there_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = typed("consumers", "pause", "nobody", "--yes", "--json", *WHY)
    assert (unknown.exit_code, json.loads(unknown.stderr)["code"]) == (REFUSED, "unknown_consumer")
    nobody = typed("queues", "--url", f"http://{LOOPBACK}:{free_port()}")
    assert nobody.exit_code == NOBODY
    monkeypatch.setenv(ops_door.PASSWORD, "another password entirely")
    stranger = typed("queues")
    assert stranger.exit_code == NOT_ALLOWED
    assert ops_door.USER in stranger.stderr


def test_shells_complete_the_commands() -> None:
    assert "--install-completion" in CliRunner().invoke(command_line.app, ["--help"]).stdout
