"""What every test may ask for. Servers start at the first test that needs one."""

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine

from infra.database import engine_for
from infra.settings import Settings
from tests import sandbox
from tests.e2e.browsing import browser, picture
from tests.e2e.system import fragile, second_api, shop, system
from tests.services import FOLDER_VARIABLE, Services, begin_run, end_run, run_folder
from tests.services import services as services_of_run

__all__ = ["browser", "fragile", "second_api", "shop", "system"]

# A busy machine is no bug: how long an example takes is not what these tests are about.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_configure(config: pytest.Config) -> None:
    """The process that the others belong to opens the run."""
    if not hasattr(config, "workerinput"):
        begin_run()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """And closes it: nothing is left on servers that others use too, and a process of ours that still runs fails the run."""
    if hasattr(session.config, "workerinput") or FOLDER_VARIABLE not in os.environ:
        return
    if (run_folder() / "template.done").exists():
        sandbox.drop_template(services_of_run())
    remaining = end_run()
    if remaining:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write("\n".join(["", "These processes of the tests still run:", *remaining, ""]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the pages looked like when a test of theirs failed."""
    report = yield
    shown: Any = item.funcargs.get("browser")
    if report.failed and shown is not None:
        with suppress(Exception):  # a picture that can't be taken must not hide why the test failed
            picture(shown, item.name)
    return report


@pytest.fixture(scope="session")
def services() -> Services:
    """The servers of this run."""
    return services_of_run()


@pytest.fixture
def database(services: Services) -> Iterator[str]:
    """The URL of a database of this test's own, as the migrations make it."""
    with sandbox.fresh_database(services) as url:
        yield url


@pytest.fixture
def broker_url(services: Services) -> Iterator[str]:
    """The AMQP URL of an empty virtual host of this test's own."""
    with sandbox.fresh_broker(services) as url:
        yield url


@pytest.fixture
def redis_url(services: Services) -> Iterator[str]:
    """The URL of an empty Redis database."""
    with sandbox.fresh_redis(services) as url:
        yield url


@pytest.fixture
def settings_for_test(services: Services, database: str, broker_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings that name this test's own database, virtual host and Redis number."""
    return Settings(
        env="test",
        home=tmp_path,
        database_url=database,
        amqp_url=broker_url,
        redis_url=redis_url,
        rabbitmq_management_url=services.management_url,
    )


@pytest.fixture
def engine(settings_for_test: Settings) -> Iterator[Engine]:
    """Connections to this test's database."""
    pool = engine_for(settings_for_test, name="test")
    yield pool
    pool.dispose()
