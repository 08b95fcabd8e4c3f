"""What may pass the door, whoever guards it: which paths belong together, how large, how often, with which token and from where?

Every instance is the whole API: a service is a name for some of its paths, so that each can have as many instances as it needs and its own
order among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

STICKY_HEADER: Final = "X-Client-Id"
"""What consistent hashing looks at; where a client doesn't send it, its address."""
KIB: Final = 1_024
INSTANCE: Final = "X-Magasin-Instance"
"""In this header of its answers an instance says its name, where it has one: who asks sees how requests are shared out."""

LONGEST_TOKEN_SECONDS: Final = 960
"""A quarter of an hour, and a minute for clocks that differ."""
CONNECT_SECONDS: Final = 1
ANSWER_SECONDS: Final = 60
"""An import of 20,000 rows takes a quarter of that."""
RETRIES: Final = 3
"""Only for what the instance has certainly not seen."""
CHECK_SECONDS: Final = 2

ORIGINS: Final = r"https?://(localhost|127\.0\.0\.1)(:[0-9]+)?"
"""The pages come from here; of other origins only the machine itself may ask, for whoever works on the pages."""
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
ASKED_WITH: Final = (
    "Authorization", "Content-Type", "Accept-Language", "Idempotency-Key", "Prefer", "If-None-Match", "Last-Event-ID", "X-Request-ID",
    STICKY_HEADER,
)  # fmt: skip
"""The headers that a page of such an origin may send, and below those that it may read."""
ANSWERED_WITH: Final = ("ETag", "Link", "Location", "X-Request-ID", "Retry-After", "Preference-Applied")
CORS_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Service:
    """Some paths of the API. A path belongs to the service with the longest of the prefixes that fit.

    `open_paths` are the prefixes that need no token; `most_body_bytes` is what one request may bring; `per_minute` is how many requests one
    person may send; `streams`: an answer may last as long as it likes.
    """

    name: str
    prefixes: tuple[str, ...]
    open_paths: tuple[str, ...] = ()
    most_body_bytes: int = 1_024 * KIB
    per_minute: int = 1_200
    streams: bool = False


API: Final = "/api/v2"
SERVICES: Final = (
    Service(
        "auth",
        (f"{API}/auth", f"{API}/users", "/.well-known"),
        open_paths=(f"{API}/auth/token", f"{API}/auth/refresh", f"{API}/auth/logout", "/.well-known"),
        most_body_bytes=64 * KIB,
        per_minute=300,
    ),
    # A catalogue of 10,000 that somebody loads one by one takes under two minutes.
    Service("products", (f"{API}/products", f"{API}/imports", f"{API}/stock"), most_body_bytes=16_384 * KIB, per_minute=6_000),
    Service("sales", (f"{API}/stores", f"{API}/restocks", f"{API}/cases", f"{API}/events"), most_body_bytes=8_192 * KIB, per_minute=6_000),
    Service("reports", (f"{API}/reports",)),
    Service("live", (f"{API}/live",), per_minute=120, streams=True),
    Service("ops", (f"{API}/ops", f"{API}/webhooks")),
    Service("pages", ("/",), open_paths=("/",), most_body_bytes=64 * KIB),
)
HIDDEN: Final = ("/metrics", "/readyz")
"""What an instance tells its own house only."""


def service_of(path: str) -> Service:
    """The service that answers a path."""
    found = [(len(prefix), service) for service in SERVICES for prefix in service.prefixes if fits(path, prefix)]
    return max(found, key=lambda each: each[0])[1]


def is_open(path: str) -> bool:
    """Whether a path needs no token."""
    return any(fits(path, prefix) for prefix in service_of(path).open_paths)


def fits(path: str, prefix: str) -> bool:
    """Whether a path is the prefix or lies below it: /api/v2/stock is not below /api/v2/stoc."""
    return prefix in {"/", path} or path.startswith(f"{prefix}/")


def routes() -> Sequence[tuple[str, Service]]:
    """Every prefix with its service, the longest first: the first that fits is the right one."""
    return sorted(((prefix, service) for service in SERVICES for prefix in service.prefixes), key=lambda each: (-len(each[0]), each[0]))
