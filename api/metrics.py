"""What does an API instance count? Labels are route templates, commands and outcomes; never a store's or a product's name."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

http_requests = Counter("magasin_http_requests", "Requests answered.", ["method", "route", "status"])
http_seconds = Histogram(
    "magasin_http_request_seconds",
    "Time from a request's head to the end of its answer.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
commands = Counter("magasin_commands", "Commands by outcome: accepted, mismatch, unavailable.", ["type", "outcome"])
live_streams = Gauge("magasin_live_streams", "Browsers that listen for live updates.")
cache_lookups = Counter("magasin_cache_lookups", "Reads answered from the cache or not.", ["outcome"])


@cache
def requests_of(method: str, route: str, status: int) -> Counter:
    """The counter of one kind of answer; there are as many as routes and statuses. Looking labels up anew costs 3 µs each time."""
    return http_requests.labels(method, route, str(status))


@cache
def seconds_of(method: str, route: str) -> Histogram:
    """The timer of one route."""
    return http_seconds.labels(method, route)


@cache
def commands_of(type_: str, outcome: str) -> Counter:
    """The counter of one kind of command and outcome."""
    return commands.labels(type_, outcome)
