"""Is Docker Compose told the right things in the right order, and is Kong's file never one that Kong refused?

A program stands in for `docker` that writes down its words: no engine here has an image of Kong.
"""

import json
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # tests only read with it

from api.keys import make_once
from infra.settings import Settings
from magasin import house
from magasin.gateway import deploy as deployment
from magasin.gateway import deployed
from magasin.gateway.compose import Compose
from magasin.gateway.orders import NotDeployed, Order

DOCKER = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/told"
case "$*" in
  *" ps "*) cat "$here/running" ;;
  *"$(cat "$here/broken")"*) echo "that is broken" >&2; exit 1 ;;
esac
"""
COMPOSE = "compose --profile gateway"
UP = f"{COMPOSE} up --detach --no-recreate --wait --wait-timeout 180"
RELOAD = [f"{COMPOSE} exec -T kong kong config parse /etc/magasin/kong/kong.yml", f"{COMPOSE} exec -T kong kong reload"]


class Machine:
    """A checkout with its secret, and a machine whose Docker writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        self.root, self._bin = folder / "checkout", folder / "bin"
        self._bin.mkdir()
        (self._bin / "docker").write_text(DOCKER)
        (self._bin / "docker").chmod(0o755)
        self.key = self.root / deployment.USUAL_FOLDER / deployment.KEY
        make_once(self.key)
        (self.root / deployed.BASE_FILE).write_text("services: {}\n")
        self.runs()

    @property
    def path(self) -> str:
        return f"{self._bin}:/usr/bin:/bin"

    def runs(self, *services: str, broken: str = "nothing at all") -> None:
        """These services run now, and a command with these words fails."""
        (self._bin / "running").write_text("\n".join(services))
        (self._bin / "broken").write_text(broken)

    def deploy(self, replace: bool = False, **services: str) -> list[str]:  # noqa: FBT001, FBT002 - a switch of the command line
        """Deploy, and read what Docker was told."""
        (self._bin / "told").unlink(missing_ok=True)
        deployment.deploy(Order(services=services, replace=replace), Settings(home=self.root / "home"))
        return [line for line in self.told() if " ps " not in line and "version" not in line]

    def told(self) -> list[str]:
        return (self._bin / "told").read_text().splitlines()

    def kong(self) -> str:
        return (self.root / deployed.KONG_FILE).read_text()

    def instances(self) -> list[str]:
        return sorted(yaml.safe_load((self.root / deployed.INSTANCES_FILE).read_text())["services"])


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setenv("PATH", found.path)
    monkeypatch.delenv(deployment.FOLDER, raising=False)
    monkeypatch.setattr(house, "ROOT", found.root)
    monkeypatch.setattr(Compose, "drain_seconds", 0.0)
    return found


def test_the_first_deployment_starts_the_instances_and_then_all_the_rest(machine: Machine) -> None:
    assert machine.deploy(sales="2 hash") == [f"{UP} api sales-1 sales-2", UP]
    assert machine.instances() == ["sales-1", "sales-2"]
    kong = yaml.safe_load(machine.kong())
    targets = {each["name"]: [target["target"] for target in each["targets"]] for each in kong["upstreams"]}
    assert targets["sales.magasin"] == ["sales-1:8080", "sales-2:8080"]
    assert targets["reports.magasin"] == ["api:8080"]
    (secret,) = kong["consumers"][0]["jwt_secrets"]
    assert "PRIVATE" not in machine.kong()
    assert secret["rsa_public_key"].startswith("-----BEGIN PUBLIC KEY-----\n")


def test_a_change_starts_then_tells_kong_then_stops(machine: Machine) -> None:
    machine.runs("postgres", "kong", "api", "sales-1", "reports-1")
    assert machine.deploy(sales="2 lc") == [f"{UP} --no-deps sales-2", *RELOAD, f"{COMPOSE} rm --stop --force reports-1"]
    assert machine.instances() == ["sales-1", "sales-2"]


def test_all_instances_are_replaced_behind_kong(machine: Machine) -> None:
    machine.runs("kong", "api", "sales-1", "sales-2")
    machine.deploy(sales="2 lc")
    remove = f"{COMPOSE} rm --stop --force"
    assert machine.deploy(replace=True) == [
        *RELOAD,
        f"{UP} --no-deps api-1-spare", *RELOAD, f"{remove} api", f"{UP} --no-deps api", *RELOAD, f"{remove} api-1-spare",
        *RELOAD, f"{remove} sales-1", f"{UP} --no-deps sales-1", *RELOAD,
        *RELOAD, f"{remove} sales-2", f"{UP} --no-deps sales-2", *RELOAD,
    ]  # fmt: skip
    assert machine.instances() == ["sales-1", "sales-2"]
    assert deployed.plan_of(machine.kong()).words() == {"sales": "2 lc", "rest": "1 rr"}


@pytest.mark.parametrize("broken", ["--no-deps sales-2", "config parse", "kong reload"])
def test_what_fails_leaves_the_file_and_the_instances_as_they_were(machine: Machine, broken: str) -> None:
    machine.runs("kong", "api", "sales-1")
    machine.deploy(sales="1 lc")
    before = machine.kong()
    machine.runs("kong", "api", "sales-1", broken=broken)
    with pytest.raises(NotDeployed, match="that is broken"):
        machine.deploy(sales="2 hash")
    assert (machine.kong(), machine.instances()) == (before, ["sales-1"])
    assert machine.told()[-1] == f"{COMPOSE} rm --stop --force sales-2"


def test_without_a_key_nothing_is_deployed(machine: Machine) -> None:
    machine.key.unlink()
    with pytest.raises(NotDeployed, match="make secrets"):
        machine.deploy(sales="2 hash")


def test_what_is_only_written_starts_nothing(machine: Machine) -> None:
    deployment.write(Order(services={"live": "2 lc"}), Settings(home=machine.root / "home"))
    assert machine.instances() == ["live-1", "live-2"]
    scraped = json.loads((machine.root / deployed.TARGETS_FILE).read_text())
    assert [each["targets"] for each in scraped] == [["live-1:8080"], ["live-2:8080"]]
    assert json.loads(machine.kong().splitlines()[1].removeprefix(deployed.PLAN)) == {"live": "2 lc", "rest": "1 rr"}
