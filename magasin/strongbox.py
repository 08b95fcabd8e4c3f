"""Which secrets does an installation in containers have, and how do they come to be?

Files of one folder, a secret each, which the compose file mounts under ``/run/secrets``. What is there is kept, so that making them again
after an update only adds the new ones: passwords are in the servers' data, too. What follows from a password (a URL, the broker's users) is
written again each time.

Only their owner can enter the folder. The files themselves can be read, because Compose mounts each as it is, and in the containers
everybody is another user.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.keys import KEY_BITS
from infra.broker_users import definitions
from magasin import certificate
from magasin.home import write_private

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o444
PASSWORD_BYTES: Final = 24

DATABASE: Final = "magasin"
OWNER: Final = "magasin"
READER: Final = "reader"
MONITORING: Final = "monitoring"
PROCESSES: Final = ("api", "stock-writer", "projector", "dead-letters", "outbound", "operator")
"""Each has a role of its own in the database and a user of its own at the broker."""
DATABASE_ROLES: Final = (*PROCESSES, READER)
BROKER_USERS: Final = (*PROCESSES, MONITORING)

CERTIFICATE: Final = "gateway_certificate"
CERTIFICATE_KEY: Final = "gateway_key"


def password() -> str:
    """One that nobody guesses, of letters, digits, ``-`` and ``_``: it means the same in a URL and in every server's file."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def signing_key() -> str:
    """The key that signs tokens (PEM), which all instances of the API share."""
    key = generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


ALONE: Final[Mapping[str, Callable[[], str]]] = {
    **dict.fromkeys(("postgres_password", "redis_password", "erlang_cookie", "admin_password", "grafana_password"), password),
    "jwt_private_key": signing_key,
}
"""What follows from nothing else, and how it is made."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was missing and is there now, by name; whether the gateway's certificate is new."""

    names: tuple[str, ...]
    certificate: bool


def fill(folder: Path, hosts: Sequence[str] = (), *, renew_certificate: bool = False) -> Made:
    """Make what is missing. `hosts` are the names and addresses under which the gateway is reached, besides this machine's own.

    Raises OSError when the folder can't be written, e.g. because it is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER_MODE)
    known, new = {}, []
    for name, make in _makers().items():
        path = folder / name
        if not path.exists():
            _write(path, make())
            new.append(name)
        known[name] = path.read_text(encoding="utf-8").strip()
    for name, text in _following(known).items():
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text:
            _write(folder / name, text)
    missing = not all((folder / name).exists() for name in (CERTIFICATE, CERTIFICATE_KEY))
    if missing or renew_certificate:
        pair = certificate.self_signed(hosts)
        _write(folder / CERTIFICATE_KEY, pair.key)
        _write(folder / CERTIFICATE, pair.certificate)
    return Made(tuple(new), missing or renew_certificate)


def _makers() -> dict[str, Callable[[], str]]:
    named = [*(_database_password(name) for name in DATABASE_ROLES), *(_broker_password(name) for name in BROKER_USERS)]
    return {**ALONE, **dict.fromkeys(named, password)}


def _following(known: Mapping[str, str]) -> dict[str, str]:
    """What is written from the passwords: the addresses of the servers as the processes know them, and what the servers read."""
    owner, redis = known["postgres_password"], known["redis_password"]
    users = {user: known[_broker_password(user)] for user in BROKER_USERS}
    return {
        "database_url_owner": f"postgresql://{OWNER}:{owner}@postgres:5432/{DATABASE}",
        **{f"database_url_{_file(name)}": _database_url(name, known[_database_password(name)]) for name in DATABASE_ROLES},
        **{f"amqp_url_{_file(name)}": f"amqp://{name}:{users[name]}@rabbitmq:5672/magasin" for name in PROCESSES},
        "rabbitmq_management_url": f"http://{MONITORING}:{users[MONITORING]}@rabbitmq:15672",
        "rabbitmq_definitions": json.dumps(definitions(users), indent=1),
        "redis_url": f"redis://:{redis}@redis:6379/0",
        "redis_conf": f"requirepass {redis}\n",
        "redis_exporter": json.dumps({"redis://redis:6379": redis}),
    }


def _database_url(name: str, secret: str) -> str:
    return f"postgresql://{DATABASE}_{_file(name)}:{secret}@postgres:5432/{DATABASE}"


def _database_password(name: str) -> str:
    return f"database_password_{name}"


def _broker_password(name: str) -> str:
    return f"amqp_password_{name}"


def _file(name: str) -> str:
    return name.replace("-", "_")


def _write(path: Path, text: str) -> None:
    """A new file in the old one's place. Not in the same place: a container that runs keeps what it was started with."""
    write_private(path, text, mode=FILE_MODE)
    path.chmod(FILE_MODE)  # whatever the shell's umask took away
