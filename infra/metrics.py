"""What does a process count and time? Names begin with ``magasin_``; labels are bounded: exchanges, queues, outcomes, never a SKU."""

from prometheus_client import Counter, Gauge, Histogram

confirm_seconds = Histogram(
    "magasin_confirm_seconds",
    "From handing a message to the broker until its confirm.",
    ["exchange"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
publish_failures = Counter(
    "magasin_publish_failures",
    "Publishes that ended without a confirm (unknown, not failed; unroutable ones are certain).",
    ["exchange", "outcome"],
)
publisher_ready = Gauge(
    "magasin_publisher_ready",
    "1 while a probe has been confirmed on the publisher's present channel, else 0.",
    ["publisher"],
)
group_events = Histogram(
    "magasin_group_events",
    "Events that shared one message and one confirm.",
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
)
consumed_messages = Counter(
    "magasin_consumed_messages",
    "Messages settled: acknowledged after their batch was committed, or rejected to the dead letters.",
    ["queue", "outcome"],
)
batch_messages = Histogram(
    "magasin_batch_messages",
    "Messages that one call of the handler took.",
    ["queue"],
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
)
batch_seconds = Histogram(
    "magasin_batch_seconds",
    "How long one call of the handler took, successful or not.",
    ["queue", "outcome"],
)
consumer_sessions = Counter(
    "magasin_consumer_sessions",
    "Times that consuming began: 1 in a quiet life, more after interruptions and pauses.",
    ["queue"],
)
