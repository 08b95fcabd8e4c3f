"""The commands, as somebody types them."""

import asyncio
import os
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from infra.settings import Settings, settings
from magasin import __main__ as command_line
from magasin import demo, house, migrate
from magasin import run as running
from magasin.gateway.plan import Plan
from magasin.home import Claim, Memory, Running
from magasin.processes import Identity, identity_of
from magasin.servers import Servers
from magasin.state import STOP_SECONDS, WontStopError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command_line, "settings", lambda: Settings(home=tmp_path, port=8_081))
    monkeypatch.delenv("MAGASIN_URL", raising=False)
    monkeypatch.delenv("MAGASIN_ENV", raising=False)
    return tmp_path


def typed(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line.app, list(words))
    return result.exit_code, result.output


def pretend_to_run(home: Path) -> None:
    me = identity_of(os.getpid())
    assert me
    Running(me, {}, {"MAGASIN_URL": "http://127.0.0.1:8081"}).save(home)


def test_env_tells_how_to_reach_the_running_system(home: Path) -> None:
    pretend_to_run(home)
    code, output = typed("env")
    assert code == 0
    assert output.splitlines()[:2] == ["MAGASIN_URL=http://127.0.0.1:8081", "MAGASIN_DEMO_PASSWORD=magasin-demo"]


@pytest.mark.parametrize("command", ["env", "demo"])
def test_what_needs_a_running_system_says_how_to_start_it(command: str) -> None:
    code, output = typed(command)
    assert code == 1
    assert "make run" in output


def test_stop_says_whether_anything_ran(home: Path) -> None:
    assert typed("stop") == (0, "Nothing was running.\n")
    Running(Identity(1, 1), {"redis": Identity(2, 2)}).save(home)
    assert typed("stop") == (0, "Stopped.\n")


def test_stop_says_where_to_look_when_it_fails(home: Path) -> None:
    claim = Claim(home)
    code, output = typed("stop")
    claim.release()
    assert code == 1
    assert f"within {STOP_SECONDS} s" in output
    assert WontStopError.__name__ not in output


def test_a_worker_that_does_not_exist_is_answered_with_those_that_do() -> None:
    code, output = typed("worker", "cleaner")
    assert code == 1
    assert "stock-writer, projector, dead-letters, outbound, operator" in output


def test_api_and_worker_turn_into_those_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[str, ...]] = []
    monkeypatch.setattr("magasin.__main__.os.execv", lambda _, command: became.append(command))
    monkeypatch.setattr("magasin.__main__.os.chdir", lambda _: None)
    assert (typed("api"), typed("worker", "projector")) == ((0, ""), (0, ""))
    assert became[0][1:] == ("-m", "api")
    assert became[1][1:] == ("-m", "workers", "projector")


def test_run_is_a_demonstration_unless_the_environment_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, bool, Plan | None]] = []
    monkeypatch.setattr(running, "run", lambda chosen, _, *, demonstration, plan: started.append((chosen.env, demonstration, plan)))
    typed("run")
    typed("run", "--no-demonstration")
    monkeypatch.setenv("MAGASIN_ENV", "production")
    typed("run")
    assert started == [("demo", True, None), ("demo", False, None), ("production", False, None)]


def test_many_instances_are_started_by_a_plan_and_a_bad_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(running, "run", lambda _chosen, _console, *, demonstration, plan: plans.append(plan))  # noqa: ARG005 - as run has it
    typed("run", "--instances", "3", "--balance", "lc")
    (plan,) = plans
    assert isinstance(plan, Plan)
    assert set(map(tuple, plan.instances().values())) == {("api-1", "api-2", "api-3")}
    code, said = typed("run", "--instances", "3", "--balance", "best")
    assert code == 1
    assert "best" in said


def test_deploy_needs_a_gateway_that_runs_or_docker(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    code, said = typed("deploy", "--sales", "2", "hash")
    assert (code, "nothing is running" in said) == (1, True)
    pretend_to_run(home)
    code, said = typed("deploy", "--sales", "2", "hash")
    assert (code, "no gateway" in said) == (1, True)


def test_demo_ends_with_the_verdict_on_the_figures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def off_by_one(base_url: str, password: str, console: Console) -> int:
        console.print(base_url, password)
        await asyncio.sleep(0)
        return 1

    monkeypatch.setattr(demo, "demonstrate", off_by_one)
    pretend_to_run(home)
    assert typed("demo") == (1, "http://127.0.0.1:8081 magasin-demo\n")


def test_migrate_goes_to_the_newest_step_or_writes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(migrate, "migrate", lambda url: done.append((url,)))
    monkeypatch.setattr(migrate, "write_step", lambda url, message: done.append((url, message)))
    typed("migrate")
    typed("migrate", "--new", "webhooks")
    assert done == [(Settings().database_url,), (Settings().database_url, "webhooks")]


def test_the_data_lies_below_the_checkout_wherever_the_command_was_given() -> None:
    assert house.home_of(Settings(home=Path(".magasin"))) == house.ROOT / ".magasin"
    assert house.home_of(Settings(home=Path("/srv/magasin"))) == Path("/srv/magasin")


def test_an_api_on_all_interfaces_is_reached_by_the_local_one() -> None:
    assert house.base_url(Settings(host="0.0.0.0", port=80)) == "http://127.0.0.1:80"  # noqa: S104 - nothing is bound here


def test_each_process_is_told_the_addresses_and_tells_its_own(home: Path) -> None:
    servers = Servers(addresses={"MAGASIN_AMQP_URL": "amqp://x"})
    children = {child.name: child for child in house.processes(settings().model_copy(update={"home": home}), servers, Memory.of(home))}
    assert sorted(children) == ["api", "dead-letters", "operator", "outbound", "projector", "stock-writer"]
    assert all(child.env["MAGASIN_AMQP_URL"] == "amqp://x" for child in children.values())
    assert servers.addresses["MAGASIN_STOCK_WRITER_URL"].endswith(children["stock-writer"].env["MAGASIN_PROBE_PORT"])
    assert max(children.values(), key=lambda child: child.stage).name == "api"
