"""How is the plan written down for Kong, which needs no database for it?

A declarative file of Kong 3: for each service an upstream with its instances, the routes that lead there and what may pass. Kong checks
signature and time of a token; the API checks everything again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from magasin.gateway.plan import HIDDEN, STICKY_HEADER, Algorithm, Plan, Pool, Service, Target

FORMAT: Final = "3.0"
ALGORITHMS: Final[Mapping[Algorithm, str]] = {
    "rr": "round-robin",
    "weighted": "round-robin",
    "lc": "least-connections",
    "hash": "consistent-hashing",
}
CONSUMER: Final = "magasin"
"""Who issued every token: the claim `iss` names it."""
UNUSED: Final = "none"
"""The form wants a word; a signature of RS256 is checked by the public key alone."""
MILLISECONDS: Final = 1_000
ANSWER_SECONDS: Final = 60
LONGEST_STREAM_SECONDS: Final = 3_600
"""A browser whose stream ends comes back with the last id that it saw."""
MIB: Final = 1_048_576
WEIGHT_UNIT: Final = 100


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What Kong has to know beside the plan.

    The public key (PEM) that checks tokens, where Redis is, and which other pages may ask.
    """

    public_key: str
    redis_host: str = "redis"
    redis_port: int = 6379
    origins: tuple[str, ...] = ("https://localhost:8443",)


def declaration(plan: Plan, targets: Mapping[str, Sequence[Target]], around: Surroundings) -> dict[str, Any]:
    """The whole file, as YAML or JSON have it."""
    return {
        "_format_version": FORMAT,
        "_transform": True,
        "upstreams": [_upstream(service, own, targets[service.name]) for service, own in plan.services()],
        "services": [*(_service(service, around) for service, _ in plan.services()), _hidden()],
        "consumers": [
            {
                "username": CONSUMER,
                "jwt_secrets": [{"key": CONSUMER, "algorithm": "RS256", "rsa_public_key": around.public_key, "secret": UNUSED}],
            }
        ],
        "plugins": [_cors(around), _correlation(), _prometheus()],
    }


def _upstream(service: Service, own: Pool, targets: Sequence[Target]) -> dict[str, Any]:
    sticky = {
        "hash_on": "header",
        # With a hyphen Kong 3.9 never finds the header; it looks for X-Client-Id all the same.
        "hash_on_header": STICKY_HEADER.lower().replace("-", "_"),
        "hash_fallback": "ip",
    }
    return {
        "name": _host(service),
        "algorithm": ALGORITHMS[own.algorithm],
        "slots": 1_000,
        **(sticky if own.algorithm == "hash" else {}),
        "healthchecks": {
            "active": {
                "type": "http",
                "http_path": "/readyz",
                "timeout": 2,
                "concurrency": 5,
                "healthy": {"interval": 2, "successes": 1, "http_statuses": [200]},
                "unhealthy": {"interval": 2, "http_failures": 2, "tcp_failures": 1, "timeouts": 2, "http_statuses": [500, 502, 503, 504]},
            },
            "passive": {
                "type": "http",
                "healthy": {"successes": 1},
                "unhealthy": {"http_failures": 0, "tcp_failures": 1, "timeouts": 3},
            },
        },
        "targets": [{"target": f"{target.host}:{target.port}", "weight": target.weight * WEIGHT_UNIT} for target in targets],
    }


def _service(service: Service, around: Surroundings) -> dict[str, Any]:
    seconds = LONGEST_STREAM_SECONDS if service.streams else ANSWER_SECONDS
    guarded = [prefix for prefix in service.prefixes if prefix not in service.open_paths]
    routes = []
    if guarded:
        routes.append(_route(service.name, guarded, [_tokens(), _limit(service, around, by_token=True)]))
    if service.open_paths:
        routes.append(_route(f"{service.name}-open", service.open_paths, [_limit(service, around, by_token=False)]))
    return {
        "name": service.name,
        "host": _host(service),
        "port": 80,
        "protocol": "http",
        "connect_timeout": MILLISECONDS,
        "read_timeout": seconds * MILLISECONDS,
        "write_timeout": ANSWER_SECONDS * MILLISECONDS,
        "retries": 3,
        "routes": routes,
        "plugins": [
            {
                "name": "request-size-limiting",
                "config": {
                    "allowed_payload_size": service.most_body_bytes // 1_024,
                    "size_unit": "kilobytes",
                    "require_content_length": False,
                },
            }
        ],
    }


def _route(name: str, prefixes: Sequence[str], plugins: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "paths": [prefix if prefix == "/" else f"~{re.escape(prefix)}(?:/|$)" for prefix in prefixes],
        # A longer prefix is a better answer; Kong takes the first regular expression that fits.
        "regex_priority": max(len(prefix) for prefix in prefixes),
        "strip_path": False,
        "preserve_host": True,
        "request_buffering": True,
        "response_buffering": False,
        "plugins": plugins,
    }


def _hidden() -> dict[str, Any]:
    closed = {"name": "request-termination", "config": {"status_code": 404, "message": "Introuvable / Not found"}}
    paths = [f"~{path}$" for path in HIDDEN]
    return {
        "name": "hidden",
        "host": "localhost",
        "routes": [{"name": "hidden", "paths": paths, "regex_priority": 1_000, "plugins": [closed]}],
    }


def _tokens() -> dict[str, Any]:
    return {
        "name": "jwt",
        "config": {
            "key_claim_name": "iss",
            "claims_to_verify": ["exp", "nbf"],
            "maximum_expiration": 0,
            "header_names": ["authorization"],
            # Never from the address of a page: those end up in logs.
            "uri_param_names": [],
            "cookie_names": [],
            "run_on_preflight": False,
        },
    }


def _limit(service: Service, around: Surroundings, *, by_token: bool) -> dict[str, Any]:
    whom = {"limit_by": "header", "header_name": "Authorization"} if by_token else {"limit_by": "ip"}
    return {
        "name": "rate-limiting",
        "config": {
            **whom,
            "minute": service.per_minute,
            "policy": "redis",
            "redis": {"host": around.redis_host, "port": around.redis_port},
            # Redis may be away: then nobody is limited, and everybody served.
            "fault_tolerant": True,
            "hide_client_headers": False,
        },
    }


def _cors(around: Surroundings) -> dict[str, Any]:
    return {
        "name": "cors",
        "config": {
            "origins": list(around.origins),
            "methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
            "headers": [
                "Authorization", "Content-Type", "Accept-Language", "Idempotency-Key", "Prefer", "If-None-Match", "Last-Event-ID",
                "X-Request-ID", STICKY_HEADER,
            ],
            "exposed_headers": ["ETag", "Link", "Location", "X-Request-ID", "Retry-After", "Preference-Applied"],
            "max_age": 600,
            "credentials": False,
        },
    }  # fmt: skip


def _correlation() -> dict[str, Any]:
    return {"name": "correlation-id", "config": {"header_name": "X-Request-ID", "generator": "uuid", "echo_downstream": True}}


def _prometheus() -> dict[str, Any]:
    measured = ("status_code_metrics", "latency_metrics", "bandwidth_metrics", "upstream_health_metrics")
    return {"name": "prometheus", "config": {**dict.fromkeys(measured, True), "per_consumer": False}}


def _host(service: Service) -> str:
    return f"{service.name}.magasin"
