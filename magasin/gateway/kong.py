"""How is the plan written down for Kong, which needs no database for it?

A declarative file of Kong 3: for each service an upstream with its instances, the routes that lead there and what may pass. Kong checks
signature and time of a token; the API checks everything again.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from api.texts import PROBLEMS
from api.tokens import ALGORITHM, ISSUER
from magasin.gateway import policy
from magasin.gateway.plan import Algorithm, Plan, Pool, Target
from magasin.gateway.policy import Service

FORMAT: Final = "3.0"
ALGORITHMS: Final[Mapping[Algorithm, str]] = {
    "rr": "round-robin",
    "weighted": "round-robin",
    "lc": "least-connections",
    "hash": "consistent-hashing",
}
UNUSED: Final = "none"
"""The form wants a word; a signature of RS256 is checked by the public key alone."""
MILLISECONDS: Final = 1_000
FOR_EVER_MILLISECONDS: Final = 2_147_483_646
"""The longest that Kong can wait for the next byte, 24 days: for answers without end."""
WEIGHT_UNIT: Final = 100
BEFORE_ALL_OTHERS: Final = 1_000
NOWHERE: Final = "localhost"
TOO_MANY: Final = PROBLEMS["too_many_requests"].title


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What Kong has to know beside the plan: the public key (PEM) that checks tokens. Without one no token gets in."""

    public_key: str | None = None


def declaration(plan: Plan, targets: Mapping[str, Sequence[Target]], around: Surroundings) -> dict[str, Any]:
    """The whole file, as YAML or JSON have it."""
    return {
        "_format_version": FORMAT,
        "upstreams": [_upstream(service, own, targets[service.name]) for service, own in plan.services()],
        "services": [*(_service(service) for service, _ in plan.services()), _hidden()],
        "consumers": [] if around.public_key is None else [_issuer(around.public_key)],
        "plugins": [_cors(), _correlation(), _prometheus()],
    }


def _issuer(public_key: str) -> dict[str, Any]:
    """Who issued every token: the claim `iss` names it."""
    key = {"key": ISSUER, "algorithm": ALGORITHM, "rsa_public_key": public_key, "secret": UNUSED}
    return {"username": ISSUER, "jwt_secrets": [key]}


def _upstream(service: Service, own: Pool, targets: Sequence[Target]) -> dict[str, Any]:
    sticky = {
        "hash_on": "header",
        # With a hyphen Kong 3.9 never finds the header; it looks for X-Client-Id all the same.
        "hash_on_header": policy.STICKY_HEADER.lower().replace("-", "_"),
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
                "timeout": 5,
                "concurrency": 5,
                "healthy": {"interval": policy.CHECK_SECONDS, "successes": 1, "http_statuses": [200]},
                "unhealthy": {
                    "interval": policy.CHECK_SECONDS,
                    "http_failures": 2,
                    "tcp_failures": 1,
                    "timeouts": 2,
                    "http_statuses": [500, 502, 503, 504],
                },
            },
            "passive": {
                "type": "http",
                "healthy": {"successes": 1},
                # A 503 of the API's own tells of the broker, not of the instance: only the active check looks at that.
                "unhealthy": {"http_failures": 0, "tcp_failures": 1, "timeouts": 3},
            },
        },
        "targets": [{"target": f"{target.host}:{target.port}", "weight": target.weight * WEIGHT_UNIT} for target in targets],
    }


def _service(service: Service) -> dict[str, Any]:
    guarded = [prefix for prefix in service.prefixes if prefix not in service.open_paths]
    routes = []
    if guarded:
        routes.append(_route(service.name, *_below(guarded), [_tokens(), _limit(service, by_token=True)]))
    if service.open_paths:
        routes.append(_route(f"{service.name}-open", *_below(service.open_paths), [_limit(service, by_token=False)]))
    size = {"allowed_payload_size": service.most_body_bytes // 1_024, "size_unit": "kilobytes", "require_content_length": False}
    seconds = None if service.streams else policy.ANSWER_SECONDS
    return _entry(service.name, _host(service), seconds, routes, [{"name": "request-size-limiting", "config": size}])


def _hidden() -> dict[str, Any]:
    """What no instance is asked at all."""
    title = PROBLEMS["not_found"].title
    body = {"type": "/problems/not_found", "title": f"{title.fr} / {title.en}", "status": 404, "code": "not_found", "errors": []}
    answer = {"status_code": 404, "content_type": "application/problem+json", "body": json.dumps(body, ensure_ascii=False)}
    paths = [f"~{path}$" for path in policy.HIDDEN]
    route = _route("hidden", paths, BEFORE_ALL_OTHERS, [{"name": "request-termination", "config": answer}])
    return _entry("hidden", NOWHERE, policy.ANSWER_SECONDS, [route], [])


def _entry(name: str, host: str, seconds: int | None, routes: list[dict[str, Any]], plugins: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "host": host,
        "port": 80,
        "protocol": "http",
        "connect_timeout": policy.CONNECT_SECONDS * MILLISECONDS,
        "read_timeout": FOR_EVER_MILLISECONDS if seconds is None else seconds * MILLISECONDS,
        "write_timeout": policy.ANSWER_SECONDS * MILLISECONDS,
        # A connection that never was is tried elsewhere; a POST or PATCH that went out never is (nginx's rule, which Kong leaves as it is).
        "retries": policy.RETRIES,
        "routes": routes,
        "plugins": plugins,
    }


def _below(prefixes: Sequence[str]) -> tuple[list[str], int]:
    """Paths that fit the prefixes and what lies below them, with their priority: a longer prefix is a better answer."""
    paths = [prefix if prefix == "/" else f"~{re.escape(prefix)}(?:/|$)" for prefix in prefixes]
    return paths, max(len(prefix) for prefix in prefixes)


def _route(name: str, paths: list[str], priority: int, plugins: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "paths": paths,
        # Kong takes the first regular expression that fits, and a plain prefix only where none does.
        "regex_priority": priority,
        "protocols": ["https"],
        "strip_path": False,
        "preserve_host": True,
        # Whole before it goes on: what was never sent can still go to another instance.
        "request_buffering": True,
        "response_buffering": False,
        "plugins": plugins,
    }


def _tokens() -> dict[str, Any]:
    return {
        "name": "jwt",
        "config": {
            "key_claim_name": "iss",
            "claims_to_verify": ["exp", "nbf"],
            "maximum_expiration": policy.LONGEST_TOKEN_SECONDS,
            "header_names": ["authorization"],
            # Never from the address of a page: those end up in logs.
            "uri_param_names": [],
            "cookie_names": [],
            "run_on_preflight": False,
        },
    }


def _limit(service: Service, *, by_token: bool) -> dict[str, Any]:
    """Kong knows one consumer, who issued the tokens: a person is told by the token, and by the address before there is one."""
    whom = {"limit_by": "header", "header_name": "Authorization"} if by_token else {"limit_by": "ip"}
    return {
        "name": "rate-limiting",
        "config": {
            **whom,
            "minute": service.per_minute,
            # In Kong's own memory: nobody's token becomes a key of another server, and Kong needs no password for one.
            "policy": "local",
            "fault_tolerant": True,
            "hide_client_headers": False,
            "error_message": f"{TOO_MANY.fr} / {TOO_MANY.en}",
        },
    }


def _cors() -> dict[str, Any]:
    return {
        "name": "cors",
        "config": {
            "origins": [f"^{policy.ORIGINS}$"],
            "methods": list(policy.METHODS),
            "headers": list(policy.ASKED_WITH),
            "exposed_headers": list(policy.ANSWERED_WITH),
            "max_age": policy.CORS_SECONDS,
            "credentials": False,
        },
    }


def _correlation() -> dict[str, Any]:
    return {"name": "correlation-id", "config": {"header_name": "X-Request-ID", "generator": "uuid", "echo_downstream": True}}


def _prometheus() -> dict[str, Any]:
    measured = ("status_code_metrics", "latency_metrics", "bandwidth_metrics", "upstream_health_metrics")
    return {"name": "prometheus", "config": {**dict.fromkeys(measured, True), "per_consumer": False}}


def _host(service: Service) -> str:
    return f"{service.name}.magasin"
