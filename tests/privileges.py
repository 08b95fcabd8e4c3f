"""A role and a broker user for each process of a test's system, as an installation has them."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
from sqlalchemy import make_url

from infra.broker_users import USERS, definitions
from magasin.database_roles import PASSWORD_FILES, ROLES, apply
from tests.sandbox import HTTP_SECONDS
from tests.services import Services

Environments = Mapping[str, Mapping[str, str]]


def as_user(url: str, user: str, password: str) -> str:
    """The same server, database or virtual host, for somebody else."""
    return make_url(url).set(username=user, password=password).render_as_string(hide_password=False)


def database_urls(database_url: str, folder: Path) -> dict[str, str]:
    """Make the database's roles, with passwords in that folder: the URL of each by the name of its process."""
    folder.mkdir(exist_ok=True)
    passwords = {role.name: secrets.token_hex(8) for role in ROLES}
    for name, password in passwords.items():
        (folder / PASSWORD_FILES[name]).write_text(f"{password}\n", encoding="utf-8")
    apply(database_url, folder)
    database = make_url(database_url).database or ""
    return {role.name: as_user(database_url, role.called(database), passwords[role.name]) for role in ROLES}


@contextmanager
def broker_urls(services: Services, amqp_url: str) -> Iterator[dict[str, str]]:
    """Let the broker load the definitions into the virtual host of that URL: the URL of each user by name. Needs the management API."""
    vhost = make_url(amqp_url).database or "/"
    passwords = {user.name: secrets.token_hex(8) for user in USERS}
    with httpx2.Client(base_url=services.management_url or "", timeout=HTTP_SECONDS, trust_env=False) as management:
        loaded = definitions(passwords, vhost=vhost, prefix=f"{vhost}.")
        management.post("/api/definitions", json=loaded).raise_for_status()
        try:
            yield {name: as_user(amqp_url, f"{vhost}.{name}", password) for name, password in passwords.items()}
        finally:
            for user in loaded["users"]:
                management.delete(f"/api/users/{user['name']}").raise_for_status()


@contextmanager
def least(services: Services, database_url: str, amqp_url: str, folder: Path) -> Iterator[Environments]:
    """What each process is told, by its name. Without a management API the broker's own user is everybody's."""
    databases = database_urls(database_url, folder)
    if services.management_url is None:
        yield {name: told(databases, name, amqp_url) for name in databases}
        return
    with broker_urls(services, amqp_url) as brokers:
        monitoring = make_url(brokers["monitoring"])
        watching = as_user(services.management_url, monitoring.username or "", str(monitoring.password))
        yield {
            name: {**told(databases, name, brokers[name]), "MAGASIN_RABBITMQ_MANAGEMENT_URL": watching}
            for name in databases
            if name in brokers
        }


def told(databases: Mapping[str, str], name: str, amqp_url: str) -> dict[str, str]:
    """The addresses of one process. Only the API carries out orders about builds."""
    own = {"MAGASIN_DATABASE_URL": databases[name], "MAGASIN_AMQP_URL": amqp_url}
    return {**own, "MAGASIN_OPERATOR_DATABASE_URL": databases["operator"]} if name == "api" else own
