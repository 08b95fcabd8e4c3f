"""Is the plan what was asked for, does every route have a service, and do both gateways say the same?"""

from typing import Any

import pytest

from api.app import create_app
from infra.settings import Settings
from magasin.gateway import envoy, kong
from magasin.gateway.plan import BadPlan, Plan, Pool, Target, asked, pool, shared
from magasin.gateway.policy import HIDDEN, SERVICES, fits, is_open, service_of

ASKED = {"auth": "2 rr", "products": "3 lc", "sales": "5 hash", "reports": "2 weighted"}
KEY = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"


@pytest.fixture
def plan() -> Plan:
    return asked(ASKED, pool("1 rr"))


def targets(plan: Plan) -> dict[str, list[Target]]:
    return {service: [Target(member.name, 8_080, member.weight) for member in members] for service, members in plan.members().items()}


@pytest.fixture
def listener() -> dict[str, Any]:
    (found,) = envoy.listener(envoy.Door(Target("127.0.0.1", 1), Target("127.0.0.1", 2), '{"keys": []}'))["resources"]
    (chain,) = found["filter_chains"]
    (manager,) = chain["filters"]
    config: dict[str, Any] = manager["typed_config"]
    return config


def test_words_make_a_plan_and_what_is_not_named_gets_the_rest(plan: Plan) -> None:
    assert {name: (own.instances, own.algorithm) for name, own in plan.pools.items()} == {
        "auth": (2, "rr"),
        "products": (3, "lc"),
        "sales": (5, "hash"),
        "reports": (2, "weighted"),
        "live": (1, "rr"),
        "ops": (1, "rr"),
        "pages": (1, "rr"),
    }
    assert plan.instances()["products"] == ["products-1", "products-2", "products-3"]
    assert plan.instances()["ops"] == plan.instances()["live"] == ["api-1"]


def test_shared_instances_are_the_same_for_every_service() -> None:
    assert {tuple(names) for names in shared("3 lc").instances().values()} == {("api-1", "api-2", "api-3")}


def test_an_instance_that_is_away_keeps_the_shares_of_the_others_and_may_have_a_stand_in() -> None:
    three = asked({"sales": "3 weighted"}, pool("1 rr"))
    assert [(each.name, each.weight) for each in three.without("sales-2", None).members()["sales"]] == [("sales-1", 3), ("sales-3", 1)]
    assert three.without("api-1", "api-1-spare").instances()["ops"] == ["api-1-spare"]
    assert three.names() == ["api-1", "sales-1", "sales-2", "sales-3"]


@pytest.mark.parametrize("words", [{"rest": "5 lc"}, {"sales": "3 weighted:50,30,20", "live": "2 hash", "rest": "1 rr"}])
def test_a_plan_says_the_words_that_make_it(words: dict[str, str]) -> None:
    plan = asked({name: each for name, each in words.items() if name != "rest"}, pool(words["rest"]))
    assert plan.words() == words


def test_weights_are_what_was_said_and_fall_by_one_when_nothing_was() -> None:
    assert [pool("3 weighted").weight(place) for place in range(3)] == [3, 2, 1]
    assert [pool("3 weighted:50,30,20").weight(place) for place in range(3)] == [50, 30, 20]
    assert pool("3 lc").weight(0) == 1


@pytest.mark.parametrize(
    "words",
    ["", "x rr", "0 rr", "65 rr", "-1", "2 best", "2 rr:1,1", "2 weighted:1", "2 weighted:0,1", "2 weighted:a,b", "2 weighted:101,1"],
)
def test_what_makes_no_pool_is_refused(words: str) -> None:
    with pytest.raises(BadPlan):
        pool(words)


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(BadPlan, match="orders"):
        asked({"orders": "2 rr"}, Pool(1))


def test_every_route_of_the_api_belongs_to_a_service_and_only_signing_in_is_open() -> None:
    paths = create_app(Settings(env="test")).openapi()["paths"]
    owners = {path: service_of(path).name for path in paths if path.startswith("/api/")}
    assert "pages" not in owners.values()
    assert set(owners.values()) == {service.name for service in SERVICES} - {"pages"}
    assert {path for path in owners if is_open(path)} == {f"/api/v2/auth/{name}" for name in ("token", "refresh", "logout")}


def test_a_prefix_ends_at_a_slash() -> None:
    assert service_of("/api/v2/stock").name == "products"
    assert service_of("/api/v2/stocktaking").name == "pages"
    assert not fits("/api/v2/stocks", "/api/v2/stock")


def test_envoy_asks_the_longest_prefix_first_and_for_a_token_unless_a_path_is_open(listener: dict[str, Any]) -> None:
    rules = next(each for each in listener["http_filters"] if each["name"].endswith("jwt_authn"))["typed_config"]["rules"]
    for path in (
        "/api/v2/auth/token",
        "/api/v2/auth/me",
        "/api/v2/stores/a/sales",
        "/api/v2/ops/overview",
        "/caisse",
        "/.well-known/jwks.json",
    ):
        first = next(rule for rule in rules if fits(path, rule["match"].get("path_separated_prefix", rule["match"].get("prefix"))))
        assert ("requires" in first) is not is_open(path), path


def test_envoy_hides_what_is_for_the_house_and_lets_streams_last(listener: dict[str, Any]) -> None:
    (host,) = listener["route_config"]["virtual_hosts"]
    assert [route["match"]["path"] for route in host["routes"] if "direct_response" in route] == list(HIDDEN)
    timeouts = {route["route"]["cluster"]: route["route"]["timeout"] for route in host["routes"] if "route" in route}
    assert {name for name, seconds in timeouts.items() if seconds == "0s"} == {"live"}


def test_both_gateways_have_the_same_instances_orders_sizes_and_limits(plan: Plan, listener: dict[str, Any]) -> None:
    around = kong.declaration(plan, targets(plan), kong.Surroundings(KEY))
    clusters = {each["name"]: each for each in envoy.clusters(plan, targets(plan))["resources"]}
    (host,) = listener["route_config"]["virtual_hosts"]
    routes = {route["route"]["cluster"]: route for route in host["routes"] if "route" in route}
    for service, own in plan.services():
        upstream = next(each for each in around["upstreams"] if each["name"] == f"{service.name}.magasin")
        lb = clusters[service.name]["load_assignment"]["endpoints"][0]["lb_endpoints"]
        assert [each["target"] for each in upstream["targets"]] == [f"{name}:8080" for name in plan.instances()[service.name]]
        assert [each["endpoint"]["address"]["socket_address"]["address"] for each in lb] == plan.instances()[service.name]
        assert [each["weight"] // 100 for each in upstream["targets"]] == [each["load_balancing_weight"] for each in lb]
        assert (upstream["algorithm"], clusters[service.name]["lb_policy"]) == (
            kong.ALGORITHMS[own.algorithm],
            envoy.POLICIES[own.algorithm],
        )
        entry = next(each for each in around["services"] if each["name"] == service.name)
        filters = routes[service.name]["typed_per_filter_config"]
        assert entry["plugins"][0]["config"]["allowed_payload_size"] * 1_024 == service.most_body_bytes
        assert filters["envoy.filters.http.buffer"]["buffer"]["max_request_bytes"] == service.most_body_bytes
        limits = {
            plugin["config"]["minute"] for route in entry["routes"] for plugin in route["plugins"] if plugin["name"] == "rate-limiting"
        }
        (bucket,) = filters["envoy.filters.http.local_ratelimit"]["descriptors"]
        assert limits == {service.per_minute} == {bucket["token_bucket"]["max_tokens"]}


def test_kong_wants_a_token_wherever_the_api_does_and_never_looks_for_one_in_an_address(plan: Plan) -> None:
    around = kong.declaration(plan, targets(plan), kong.Surroundings(KEY))
    routes = [route for service in around["services"] for route in service["routes"] if service["name"] != "hidden"]
    guarded = {route["name"] for route in routes if any(plugin["name"] == "jwt" for plugin in route["plugins"])}
    assert guarded == {service.name for service in SERVICES} - {"pages"}
    tokens = [plugin["config"] for route in routes for plugin in route["plugins"] if plugin["name"] == "jwt"]
    assert all(each["uri_param_names"] == [] and each["claims_to_verify"] == ["exp", "nbf"] for each in tokens)
    assert all("-" not in (each.get("hash_on_header") or "") for each in around["upstreams"])
