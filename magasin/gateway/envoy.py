"""How is the plan written down for Envoy?

Three files: the bootstrap, which never changes, and two that Envoy watches: the listener with its routes and filters, and the clusters
with their instances. A file that is replaced takes effect at once, and no request under way is cut.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api.texts import PROBLEMS
from api.tokens import AUDIENCE, ISSUER
from magasin.gateway import policy
from magasin.gateway.plan import MOST_INSTANCES, Algorithm, Plan, Target
from magasin.gateway.policy import Service, fits, routes
from magasin.home import write_private

BOOTSTRAP, LISTENER, CLUSTERS = "envoy.json", "listener.json", "clusters.json"
TYPE: Final = "type.googleapis.com/envoy"
USER_HEADER: Final = "x-magasin-user"
"""Whose token it is, for the limit per person; whatever a client sends under this name is thrown away."""
POLICIES: Final[Mapping[Algorithm, str]] = {"rr": "ROUND_ROBIN", "weighted": "ROUND_ROBIN", "lc": "LEAST_REQUEST", "hash": "RING_HASH"}
BOUNDS: Final = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
MOST_PEOPLE: Final = 10_000
"""Whose last requests are remembered; the one not seen for longest is forgotten first."""
REFUSALS: Final = {
    400: "malformed_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    413: "too_large",
    429: "too_many_requests",
    502: "overloaded",
    503: "overloaded",
    504: "overloaded",
}
"""The API's own code for what Envoy refuses by itself."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where Envoy listens and where it tells of itself; `jwks` is the JSON that tells the keys that sign tokens."""

    listen: Target
    admin: Target
    jwks: str


def write(folder: Path, plan: Plan, targets: Mapping[str, Sequence[Target]], door: Door) -> Path:
    """Write the three files, each at once; answers the bootstrap."""
    _put(folder / CLUSTERS, clusters(plan, targets))
    _put(folder / LISTENER, listener(door))
    _put(folder / BOOTSTRAP, bootstrap(folder, door.admin))
    return folder / BOOTSTRAP


def bootstrap(folder: Path, admin: Target) -> dict[str, Any]:
    """What Envoy is started with."""
    return {
        "node": {"id": "magasin", "cluster": "magasin"},
        "admin": {"address": _address(admin)},
        "dynamic_resources": {
            "lds_config": {"path_config_source": {"path": str(folder / LISTENER)}},
            "cds_config": {"path_config_source": {"path": str(folder / CLUSTERS)}},
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 20_000,
                    },
                }
            ]
        },
    }


def clusters(plan: Plan, targets: Mapping[str, Sequence[Target]]) -> dict[str, Any]:
    """The instances of each service, in the form of a discovery answer."""
    found = [_cluster(service, plan.pools[service.name].algorithm, targets[service.name]) for service, _ in plan.services()]
    return {"resources": [{"@type": f"{TYPE}.config.cluster.v3.Cluster", **each} for each in found]}


def listener(door: Door) -> dict[str, Any]:
    """Who may come in, how often, how large, and where to: the same for every plan."""
    manager = {
        "@type": f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "entrance",
        "server_name": "magasin",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "75s",
        "common_http_protocol_options": {"idle_timeout": "70s", "headers_with_underscores_action": "REJECT_REQUEST"},
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "local_reply_config": {"mappers": [_problem(status, code) for status, code in REFUSALS.items()]},
        "route_config": {
            "name": "services",
            "internal_only_headers": [],
            "request_headers_to_remove": [USER_HEADER],
            "virtual_hosts": [{"name": "magasin", "domains": ["*"], "routes": _routes()}],
        },
        "http_filters": [
            _filter("cors", f"{TYPE}.extensions.filters.http.cors.v3.Cors"),
            _filter("jwt_authn", f"{TYPE}.extensions.filters.http.jwt_authn.v3.JwtAuthentication", **_tokens(door.jwks)),
            _filter(
                "local_ratelimit",
                f"{TYPE}.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
                stat_prefix="people",
            ),
            _filter("buffer", f"{TYPE}.extensions.filters.http.buffer.v3.Buffer", max_request_bytes=64 * 1_024),
            _filter("router", f"{TYPE}.extensions.filters.http.router.v3.Router"),
        ],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    entrance = {
        "name": "entrance",
        "address": _address(door.listen),
        "per_connection_buffer_limit_bytes": 1_048_576,
        "filter_chains": [chain],
    }
    return {"resources": [{"@type": f"{TYPE}.config.listener.v3.Listener", **entrance}]}


def _cluster(service: Service, algorithm: Algorithm, targets: Sequence[Target]) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": _address(target)}, "load_balancing_weight": target.weight if algorithm == "weighted" else 1}
        for target in targets
    ]
    return {
        "name": service.name,
        "type": "STATIC",
        "connect_timeout": f"{policy.CONNECT_SECONDS}s",
        "lb_policy": POLICIES[algorithm],
        "load_assignment": {"cluster_name": service.name, "endpoints": [{"lb_endpoints": endpoints}]},
        # Gone from the plan means gone at once: it is drained and stopped by whoever changed the plan.
        "ignore_health_on_host_removal": True,
        "health_checks": [
            {
                "timeout": "5s",
                "interval": f"{policy.CHECK_SECONDS}s",
                "interval_jitter": "0.2s",
                "no_traffic_interval": f"{policy.CHECK_SECONDS}s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/readyz"},
            }
        ],
        "outlier_detection": {
            "consecutive_gateway_failure": 3,
            # Written out: its default is to notice and do nothing.
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_5xx": 1_000,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "10s",
            "max_ejection_percent": 100,
        },
        # When all of them look sick (a machine that has no time answers no question in time), any of them is better than a refusal.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        # Three retries at a time, the default, are too few for the tills that a dying instance had.
        "circuit_breakers": {"thresholds": [dict.fromkeys(BOUNDS, 4_096)]},
    }


def _routes() -> list[dict[str, Any]]:
    hidden = [{"match": {"path": path}, "direct_response": {"status": 404}} for path in policy.HIDDEN]
    return [*hidden, *(_route(prefix, service) for prefix, service in routes())]


def _route(prefix: str, service: Service) -> dict[str, Any]:
    match = {"prefix": "/"} if prefix == "/" else {"path_separated_prefix": prefix}
    return {
        "match": match,
        "route": {
            "cluster": service.name,
            "timeout": "0s" if service.streams else f"{policy.ANSWER_SECONDS}s",
            **({"idle_timeout": "0s"} if service.streams else {}),
            "hash_policy": [
                {"header": {"header_name": policy.STICKY_HEADER.lower()}, "terminal": True},
                {"connection_properties": {"source_ip": True}},
            ],
            "retry_policy": {
                # Only what the instance has certainly not seen: a connection that never was, or that ended before the request went out.
                "retry_on": "connect-failure,refused-stream,reset-before-request",
                "num_retries": policy.RETRIES,
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {"@type": f"{TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
                    }
                ],
                "host_selection_retry_max_attempts": MOST_INSTANCES,
            },
        },
        "typed_per_filter_config": {
            "envoy.filters.http.buffer": _per_route_size(service),
            "envoy.filters.http.cors": _cors(),
            "envoy.filters.http.local_ratelimit": _limit(service),
        },
    }


def _per_route_size(service: Service) -> dict[str, Any]:
    kind = f"{TYPE}.extensions.filters.http.buffer.v3.BufferPerRoute"
    return {"@type": kind, "buffer": {"max_request_bytes": service.most_body_bytes}}


def _cors() -> dict[str, Any]:
    return {
        "@type": f"{TYPE}.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"safe_regex": {"regex": policy.ORIGINS}}],
        "allow_methods": ", ".join(policy.METHODS),
        "allow_headers": ", ".join(policy.ASKED_WITH).lower(),
        "expose_headers": ", ".join(policy.ANSWERED_WITH).lower(),
        "max_age": str(policy.CORS_SECONDS),
    }


def _limit(service: Service) -> dict[str, Any]:
    per_second = max(1, service.per_minute // 60)
    bucket = {"max_tokens": service.per_minute, "tokens_per_fill": per_second, "fill_interval": "1s"}
    whole = {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"}
    return {
        "@type": f"{TYPE}.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "people",
        "token_bucket": whole,
        "filter_enabled": {"default_value": {"numerator": 100}},
        "filter_enforced": {"default_value": {"numerator": 100}},
        "descriptors": [{"entries": [{"key": "person"}], "token_bucket": bucket}],
        "max_dynamic_descriptors": MOST_PEOPLE,
        "response_headers_to_add": [{"header": {"key": "retry-after", "value": "1"}}],
        "rate_limits": [{"actions": [{"request_headers": {"header_name": USER_HEADER, "descriptor_key": "person"}}]}],
    }


def _tokens(jwks: str) -> dict[str, Any]:
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "require_expiration": True,
        "max_lifetime": f"{policy.LONGEST_TOKEN_SECONDS}s",
        "forward": True,
        "local_jwks": {"inline_string": jwks},
        "claim_to_headers": [{"header_name": USER_HEADER, "claim_name": "sub"}],
    }
    rules: list[dict[str, Any]] = []
    for prefix, service in routes():
        # Within a service the open paths come first: they are the longer ones.
        rules += [{"match": _match(path)} for path in service.open_paths if fits(path, prefix)]
        if prefix not in service.open_paths:
            rules.append({"match": _match(prefix), "requires": {"provider_name": "magasin"}})
    return {"providers": {"magasin": provider}, "rules": rules, "bypass_cors_preflight": True}


def _match(prefix: str) -> dict[str, Any]:
    return {"prefix": "/"} if prefix == "/" else {"path_separated_prefix": prefix}


def _problem(status: int, code: str) -> dict[str, Any]:
    """What Envoy itself refuses says so as the API does, in both languages at once: Envoy doesn't look at what the client reads."""
    title = PROBLEMS[code].title
    body = {
        "type": f"/problems/{code}",
        "title": f"{title.fr} / {title.en}",
        "status": status,
        "code": code,
        "detail": "%LOCAL_REPLY_BODY%",
        "instance": "%REQ(:PATH)%",
        "trace_id": "%REQ(X-REQUEST-ID)%",
        "errors": [],
    }
    equal = {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": f"magasin.{status}"}}}}
    return {"filter": equal, "body_format_override": {"json_format": body, "content_type": "application/problem+json"}}


def _filter(name: str, kind: str, **config: Any) -> dict[str, Any]:  # noqa: ANN401 - members of a filter's own configuration
    return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": kind, **config}}


def _address(target: Target) -> dict[str, Any]:
    return {"socket_address": {"address": target.host, "port_value": target.port}}


def _put(path: Path, content: Mapping[str, Any]) -> None:
    write_private(path, json.dumps(content, indent=1))
