r"""Who may do what at the broker, and what does ``definitions.json`` say of it?

Each process is a user of its own with the rights that it uses and no more. Nobody but the outsider of the example may make anything that
lasts: exchanges, queues and bindings come from the definitions. The patterns that all processes share are for the probe of a connection
and the canary: ``amq.direct``, to which nothing but canaries is bound, and ``amq\.gen-.*``, the exclusive queues, which are closed to
every connection but the one that made them. Write on ``amq.default`` would reach every queue by its name, whatever the other patterns
say, so only the operator's process has it: redriving and replaying mean exactly that.

The committed file holds no password: its users have an empty hash, which no password fits. `definitions` with passwords makes the file
that a broker loads.
"""

import re
import secrets
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from infra import topology
from infra.topology import DEAD_LETTERS, EVENTS, FEED, INTAKE, INTAKE_KEY, LIVE, OUTBOUND, PROBES, PROJECTOR, RECORDED_KEY, STOCK_WRITER

VIRTUAL_HOST: Final = "magasin"
OUTSIDER: Final = "feed-reader"
"""An outsider's consumer of the feed, as an example: it makes queues that begin with its name, and reads nothing else."""
EXCLUSIVE: Final = r"amq\.gen-.*"
DEFAULT_EXCHANGE: Final = "amq.default"
"""What the exchange without a name is called where rights are given."""
MOST_WAITING_BYTES: Final = 8_589_934_592
"""What may wait for a worker: the API then answers 503 long before the disk is full and the broker stops for everybody."""
MOST_OUTSIDE_BYTES: Final = 1_073_741_824
"""What may wait for an outsider; then its oldest messages go, and the feed of the others doesn't wait for it."""
_SALT_BYTES: Final = 4
"""RabbitMQ's own: the hash is base64 of the salt and of SHA-256 over salt and password."""


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """Rights of one user: whole names of what it writes to and reads from. `keys`: the routing keys it may use at an exchange.

    `own`: the prefix of durable queues that it may make, fill and read.
    """

    name: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    keys: Mapping[str, str] | None = None
    own: str | None = None
    tags: str = ""
    connects: bool = True

    def permission(self, vhost: str) -> dict[str, str]:
        """What it may configure, write and read, as three anchored patterns."""
        own = [rf"{re.escape(self.own)}\..+"] if self.own else []
        # Whoever makes queues of its own has no canary: it is no process of ours.
        shared = [EXCLUSIVE, re.escape(PROBES)] if self.connects and not self.own else []
        makes = [EXCLUSIVE] if shared else []
        return {
            "user": self.name,
            "vhost": vhost,
            "configure": _pattern([*makes, *own]),
            "write": _pattern([*map(re.escape, self.writes), *shared, *own]),
            "read": _pattern([*map(re.escape, self.reads), *shared, *own]),
        }

    def topics(self, vhost: str) -> list[dict[str, str]]:
        """The routing keys that it may publish with, by exchange. (At an exchange that isn't named here RabbitMQ allows every key.)"""
        keys = self.keys or {}
        return [
            {"user": self.name, "vhost": vhost, "exchange": exchange, "write": f"^{re.escape(key)}$", "read": "^$"}
            for exchange, key in keys.items()
        ]


USERS: Final = (
    BrokerUser("api", writes=(INTAKE, LIVE), reads=(LIVE,), keys={INTAKE: INTAKE_KEY}),
    # It gives the rest of a parcel back to the intake.
    BrokerUser("stock-writer", writes=(INTAKE, EVENTS, LIVE), reads=(STOCK_WRITER.name,), keys={INTAKE: INTAKE_KEY, EVENTS: RECORDED_KEY}),
    BrokerUser("projector", writes=(LIVE,), reads=(PROJECTOR.name,)),
    BrokerUser("dead-letters", reads=(DEAD_LETTERS.name,)),
    # To bind a queue takes write on the queue and read on the exchange: it does that while somebody wants to hear of what is recorded.
    BrokerUser("outbound", writes=(FEED, OUTBOUND.name), reads=(LIVE, OUTBOUND.name)),
    BrokerUser("operator", writes=(DEFAULT_EXCHANGE,)),
    BrokerUser("monitoring", tags="monitoring", connects=False),
    BrokerUser(OUTSIDER, reads=(FEED,), own=OUTSIDER),
)
PASSWORD_FILES: Final = {user.name: f"amqp_password_{user.name}" for user in USERS}
"""Where a user's password lies in the folder of secrets."""


def definitions(passwords: Mapping[str, str], *, vhost: str = VIRTUAL_HOST, prefix: str = "") -> dict[str, Any]:
    """RabbitMQ's ``definitions.json``: virtual host, users, rights, policies, topology.

    A user without a password can't sign in. `prefix`: of the users' names, where several virtual hosts share a broker.
    Raises ValueError where a password is for nobody, or empty.
    """
    names = {user.name for user in USERS}
    wrong = sorted(name for name, password in passwords.items() if name not in names or not password)
    if wrong:
        message = f"no such broker user, or an empty password: {', '.join(wrong)}"
        raise ValueError(message)
    users = [
        {
            "name": f"{prefix}{user.name}",
            "password_hash": _hashed(passwords.get(user.name)),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": user.tags,
            "limits": {},
        }
        for user in USERS
    ]
    permissions = [user.permission(vhost) for user in USERS]
    topics = [topic for user in USERS for topic in user.topics(vhost)]
    for each in (*permissions, *topics):
        each["user"] = f"{prefix}{each['user']}"
    return {
        "vhosts": [{"name": vhost}],
        "users": users,
        "permissions": permissions,
        "topic_permissions": topics,
        "policies": _policies(vhost),
        **topology.definitions(vhost),
    }


def _policies(vhost: str) -> list[dict[str, Any]]:
    """What an operator may change while everything runs; a queue's arguments can't be."""
    workers = f"^({STOCK_WRITER.name}|{PROJECTOR.name})$"
    return [
        _policy(vhost, "workers", workers, {"max-length-bytes": MOST_WAITING_BYTES}),
        _policy(vhost, "outsiders", rf"^{OUTSIDER}\.", {"max-length-bytes": MOST_OUTSIDE_BYTES, "overflow": "drop-head"}),
    ]


def _policy(vhost: str, name: str, pattern: str, limits: Mapping[str, str | int]) -> dict[str, Any]:
    return {"vhost": vhost, "name": name, "pattern": pattern, "apply-to": "queues", "priority": 0, "definition": dict(limits)}


def _pattern(names: list[str]) -> str:
    """A pattern that these names match as a whole; none of them: nothing matches."""
    return f"^({'|'.join(names)})$" if names else "^$"


def _hashed(password: str | None) -> str:
    if password is None:
        return ""
    salt = secrets.token_bytes(_SALT_BYTES)
    return b64encode(salt + sha256(salt + password.encode()).digest()).decode()
