"""What do the workers count? Labels are bounded: outcomes, projections, consumers; never a SKU, never an event."""

from prometheus_client import Counter, Gauge, Histogram

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

events_total = Counter("magasin_events", "Events that the stock writer settled.", ["outcome"])
dead_lettered_total = Counter("magasin_dead_lettered", "Messages and events parked as dead letters.", ["consumer"])
batch_events = Histogram("magasin_batch_events", "Events settled in one batch.", ["consumer"], buckets=BATCH_BUCKETS)
critical_seconds = Histogram(
    "magasin_critical_seconds", "Time from an event's acceptance to its place in every projection.", buckets=SECONDS_BUCKETS
)
projection_lag_events = Gauge("magasin_projection_lag_events", "Events in the log that a projection hasn't applied.", ["projection"])
projection_lag_seconds = Gauge(
    "magasin_projection_lag_seconds", "Age of the oldest event that a projection hasn't applied.", ["projection"]
)
stalled_stores = Gauge("magasin_projection_stalled_stores", "Stores for which a projection stopped at an event.", ["projection"])
paused_stores = Gauge("magasin_projection_paused_stores", "Stores for which a projection was told to wait.", ["projection"])
consumer_paused = Gauge("magasin_consumer_paused", "1 while operators let the consumer wait, else 0.", ["consumer"])
oldest_unsettled_seconds = Gauge("magasin_oldest_message_seconds", "Age of the oldest delivery not yet acknowledged.", ["consumer"])
outward_leading = Gauge("magasin_outward_leading", "1 in the process that feeds and delivers, 0 in one that stands by.")
outward_missing = Gauge("magasin_outward_missing_events", "Events in the log that haven't gone out.", ["reader"])
feed_events_total = Counter("magasin_feed_events", "Events published singly to magasin.feed.")
webhook_attempts_total = Counter("magasin_webhook_attempts", "Requests to webhooks by what became of them.", ["outcome"])
webhook_seconds = Histogram("magasin_webhook_seconds", "How long a request to a webhook took.", buckets=SECONDS_BUCKETS)
webhook_waiting = Gauge("magasin_webhook_waiting", "Deliveries that wait for another attempt.")
webhook_given_up_total = Counter("magasin_webhook_given_up", "Deliveries that were tried for too long and count as failed.")
jobs_at_work = Gauge("magasin_jobs_at_work", "Jobs that this process moves on right now.")
job_units_total = Counter("magasin_job_units", "Units of work done by jobs.", ["kind"])
replayed_total = Counter("magasin_replayed", "Messages of replays that consumers of the system left alone.", ["consumer"])
verified_age_seconds = Gauge("magasin_verified_age_seconds", "Since when it isn't proven that what is kept equals the log.")
verified_mismatches = Gauge("magasin_verified_mismatches", "Figures that differed from the log when they were looked at last.")
verified_stores_to_come = Gauge("magasin_verified_stores_to_come", "Stores that were never looked at.")
verified_events_total = Counter("magasin_verified_events", "Events of the log folded again in the background.")
database_ready = Gauge("magasin_database_ready", "1 while the operator reads the database; else what it tells of the whole is old.")
queue_ready_messages = Gauge("magasin_queue_ready_messages", "Messages that wait in a queue, as the broker tells it.", ["queue"])
queue_oldest_seconds = Gauge("magasin_queue_oldest_seconds", "Age of the oldest unsettled message of a queue, or a bound of it.", ["queue"])
broker_alarms = Gauge("magasin_broker_alarms", "Nodes of the broker under an alarm, by what is wrong.", ["alarm"])
dead_letters = Gauge("magasin_dead_letters", "Dead letters that are kept, by what became of them.", ["status"])
tills = Gauge("magasin_tills", "Tills of the last week: heard lately, silent, and silent alone in a store that sells.", ["state"])
