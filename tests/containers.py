"""The three servers as containers, for a machine where a Docker engine answers. The tags are those of the compose file."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import httpx2
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

from magasin.servers import AMQP_URL, DATABASE_URL, MANAGEMENT_URL, REDIS_URL

POSTGRES_IMAGE = "postgres:18.1-bookworm"
RABBITMQ_IMAGE = "rabbitmq:4.2.1-management"
REDIS_IMAGE = "redis:8.2.3"
PASSWORD = "test"  # noqa: S105 - of containers that live as long as a test run
START_SECONDS = 120
PING_SECONDS = 5
PULL_SECONDS = 300


def docker_serves() -> bool:
    """True when there is an engine, we may use it, and it has the images or gets them."""
    scheme, _, place = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").partition("://")
    transport = httpx2.HTTPTransport(uds=place) if scheme == "unix" else httpx2.HTTPTransport()
    base = f"http://{'docker' if scheme == 'unix' else place}"
    images = [POSTGRES_IMAGE, RABBITMQ_IMAGE, REDIS_IMAGE]
    if not testcontainers_config.ryuk_disabled:
        images.append(testcontainers_config.ryuk_image)
    patience = httpx2.Timeout(PULL_SECONDS, connect=PING_SECONDS)
    with httpx2.Client(base_url=base, transport=transport, timeout=patience, trust_env=False) as engine:
        try:
            return engine.get("/_ping", timeout=PING_SECONDS).is_success and all(_there(engine, image) for image in images)
        except httpx2.HTTPError:
            return False


def _there(engine: httpx2.Client, image: str) -> bool:
    """Whether the engine has this image, after it tried to get it."""
    if not engine.get(f"/images/{image}/json").is_success:
        name, _, tag = image.rpartition(":")
        engine.post("/images/create", params={"fromImage": name, "tag": tag})
    return engine.get(f"/images/{image}/json").is_success


@contextmanager
def started_containers(named: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The addresses of all servers, with a container for each that isn't `named` already."""
    addresses = dict(named)
    with ExitStack() as stack:
        if DATABASE_URL not in addresses:
            # Said twice: once by the server that makes the data, once by the one that serves.
            wait = LogMessageWaitStrategy("database system is ready to accept connections", times=2)
            postgres = DockerContainer(POSTGRES_IMAGE).with_exposed_ports(5432).with_env("POSTGRES_USER", "magasin")
            stack.enter_context(postgres.with_env("POSTGRES_PASSWORD", PASSWORD).waiting_for(wait.with_startup_timeout(START_SECONDS)))
            addresses[DATABASE_URL] = f"postgresql://magasin:{PASSWORD}@{_address(postgres, 5432)}/magasin"
        if AMQP_URL not in addresses:
            # Asked and not read from its log: where that goes is a matter of the image.
            healthy = HttpWaitStrategy(15672, "/api/health/checks/local-alarms").with_basic_credentials("magasin", PASSWORD)
            ready = healthy.for_status_code(200).with_startup_timeout(START_SECONDS)
            rabbitmq = DockerContainer(RABBITMQ_IMAGE).with_exposed_ports(5672, 15672).with_env("RABBITMQ_DEFAULT_USER", "magasin")
            stack.enter_context(rabbitmq.with_env("RABBITMQ_DEFAULT_PASS", PASSWORD).waiting_for(ready))
            addresses[AMQP_URL] = f"amqp://magasin:{PASSWORD}@{_address(rabbitmq, 5672)}/"
            addresses[MANAGEMENT_URL] = f"http://magasin:{PASSWORD}@{_address(rabbitmq, 15672)}"
        if REDIS_URL not in addresses:
            answering = LogMessageWaitStrategy("Ready to accept connections").with_startup_timeout(START_SECONDS)
            redis = stack.enter_context(DockerContainer(REDIS_IMAGE).with_exposed_ports(6379).waiting_for(answering))
            addresses[REDIS_URL] = f"redis://{_address(redis, 6379)}/0"
        yield addresses


def _address(container: DockerContainer, port: int) -> str:
    return f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
