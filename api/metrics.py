"""What does an API instance count? Labels are route templates, commands and outcomes; never a store's or a product's name."""

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
