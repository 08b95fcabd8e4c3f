"""Does the compose file keep its promises: limits, no capabilities, only the gateway published, secrets in files, pinned versions?"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # tests only read with it

from magasin.house import WORKERS
from magasin.strongbox import fill
from tests.compose.standins import needed
from tests.containers import POSTGRES_IMAGE, RABBITMQ_IMAGE, REDIS_IMAGE
from tests.services import ROOT

Service = dict[str, Any]

CORE = {"postgres", "rabbitmq", "redis", "migrate", "api", *WORKERS}
PROFILES = {
    "gateway": {"kong"},
    "observability": {
        "prometheus",
        "alertmanager",
        "grafana",
        "fluent-bit",
        "blackbox-exporter",
        "postgres-exporter",
        "redis-exporter",
    },
    "cluster": {"rabbitmq-2", "rabbitmq-3", "rabbitmq-copies"},
    "load": {"locust"},
    "tools": {"magasin", "upkeep"},
}
ENDING = {"migrate", "rabbitmq-copies", "magasin", "upkeep", "locust"}
"""They do one thing and end, so nobody asks them how they are."""
SPEECHLESS = {"fluent-bit"}
"""Its image has no program that could ask it."""
PINNED = re.compile(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)*$")
SECRET = re.compile(r"^/run/secrets/(.+)$")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


FILE = read("docker-compose.yml")
SERVICES: dict[str, Service] = FILE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def is_ours(service: Service) -> bool:
    return "build" in service


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert any(each.startswith("/tmp:") for each in service["tmpfs"])  # noqa: S108 - a name inside of a container


@pytest.mark.parametrize("name", SERVICES)
def test_its_lines_end_in_bounded_files_that_know_its_name(name: str) -> None:
    assert SERVICES[name]["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5", "tag": "{{.Name}}"}}


@pytest.mark.parametrize("name", SERVICES)
def test_it_is_looked_at_unless_it_ends_by_itself(name: str) -> None:
    service = SERVICES[name]
    if name in ENDING | SPEECHLESS:
        assert service["healthcheck"] == {"disable": True}
    elif is_ours(service):
        assert "healthcheck" not in service, "the image has one"
    else:
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_our_image_says_itself_how_it_is_looked_at_and_who_it_is() -> None:
    assert 'CMD ["python", "-m", "magasin.healthy"]' in DOCKERFILE
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert not DOCKERFILE.startswith("# syntax")


@pytest.mark.parametrize("image", needed([each["image"] for each in SERVICES.values() if not is_ours(each)]))
def test_versions_are_pinned(image: str) -> None:
    assert PINNED.search(image), image


def test_the_tests_take_the_servers_that_the_compose_file_takes() -> None:
    assert {name: SERVICES[name]["image"] for name in ("postgres", "rabbitmq", "redis")} == {
        "postgres": POSTGRES_IMAGE,
        "rabbitmq": RABBITMQ_IMAGE,
        "redis": REDIS_IMAGE,
    }


def test_each_service_is_in_its_profile() -> None:
    found: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        for profile in service.get("profiles", ["core"]):
            found.setdefault(profile, set()).add(name)
    assert found == {"core": CORE, **PROFILES}


def test_only_the_gateway_is_published_and_what_this_machine_may_see_is_seen_by_it_alone() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"kong"}
    for service in read("docker-compose.override.yml")["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_only_who_must_reaches_the_outside_and_the_data() -> None:
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, own in networks.items() if "outside" in own} == {"kong", "outbound", "alertmanager"}
    assert {name for name, own in networks.items() if "data" in own} == {
        *CORE,
        *PROFILES["cluster"],
        "upkeep",
        "postgres-exporter",
        "redis-exporter",
    }
    internal = {name for name, network in FILE["networks"].items() if network.get("internal")}
    assert internal == set(FILE["networks"]) - {"outside"}


def test_who_waits_for_somebody_waits_until_he_works() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ENDING else "service_healthy"
            assert how["condition"] == wanted, f"{name} waits for {other}"


def mentioned(service: Service) -> Iterator[str]:
    """The secrets that its environment names as files."""
    for value in service.get("environment", {}).values():
        found = SECRET.match(str(value))
        if found:
            yield found[1]


def test_every_secret_is_made_is_mounted_where_it_is_named_and_is_needed(tmp_path: Path) -> None:
    fill(tmp_path)
    made = {path.name for path in tmp_path.iterdir()}
    declared = FILE["secrets"]
    assert set(declared) <= made
    assert all(each == {"file": f"${{MAGASIN_SECRETS:-compose/secrets}}/{name}"} for name, each in declared.items())
    for name, service in SERVICES.items():
        assert set(mentioned(service)) <= set(service.get("secrets", [])), name
    assert {secret for service in SERVICES.values() for secret in service.get("secrets", [])} == set(declared)


def test_no_environment_holds_a_secret() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|PRIVATE|_URL_FILE|_PASS_", variable) and variable != "MAGASIN_DEMO_PASSWORD":
                assert str(value).startswith("/run/secrets"), f"{name}: {variable}"


def test_whoever_prometheus_asks_is_a_service_that_it_reaches() -> None:
    for job in read("compose/prometheus/prometheus.yml")["scrape_configs"]:
        names = [name for each in job.get("dns_sd_configs", []) for name in each["names"]]
        names += [target.partition(":")[0] for each in job.get("static_configs", []) for target in each["targets"]]
        for name in names:
            assert name == "localhost" or "watch" in SERVICES[name]["networks"], name


def test_workers_are_asked_where_they_answer() -> None:
    assert {SERVICES[name]["environment"]["MAGASIN_PROBE_PORT"] for name in WORKERS} == {"9100"}


def test_the_image_has_the_packages_of_the_project_and_no_others() -> None:
    packages = re.search(r"^packages = \[(.+)\]$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert packages
    wanted = set(re.findall(r'"(\w+)"', packages[1]))
    assert set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)) == wanted
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    assert wanted | {"web"} <= allowed


def locked(name: str) -> dict[str, str]:
    """The locked packages with their versions."""
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


def test_what_is_in_the_image_is_what_was_tested() -> None:
    tested, image = locked("requirements.lock"), locked("requirements-image.lock")
    assert image.items() <= tested.items(), "run: make lock"
    assert locked("requirements-build.lock").items() <= tested.items()
    assert {"fastapi", "psycopg", "sqlalchemy", "uvicorn"} <= image.keys()
    assert not image.keys() & {"pytest", "ruff", "mypy", "hatchling"}
