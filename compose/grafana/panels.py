"""What does the dashboard show? Figures for people who keep the system running, from the gravest to the smallest.

Titles are French first, like everything that people look at. A query may contain ``$__rate_interval``, which Grafana replaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["figure", "course"]


@dataclass(frozen=True, slots=True)
class Query:
    """A question to Prometheus, and what its lines are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: a `figure` is the last value, a `course` a line over time. `red` and above is bad, or below when `low_is_bad`."""

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "course"
    red: float | None = None
    low_is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: Sequence[Panel]


def figure(  # noqa: PLR0913 - what a panel has, each by its name
    title: str, about: str, expression: str, *, unit: str = "short", red: float | None = None, low_is_bad: bool = False
) -> Panel:
    """A panel with one number."""
    return Panel(title, about, [Query(expression)], unit, "figure", red, low_is_bad)


def course(title: str, about: str, *queries: tuple[str, str], unit: str = "short", red: float | None = None) -> Panel:
    """A panel with lines; each query with its legend."""
    return Panel(title, about, [Query(*each) for each in queries], unit, "course", red)


BATCH_SIZE: Final = (
    "sum by (consumer) (rate(magasin_batch_events_sum[$__rate_interval]))"
    " / sum by (consumer) (rate(magasin_batch_events_count[$__rate_interval]))"
)
STATE: Final = Row(
    "État · State",
    [
        figure("Alertes · Alerts", "Alerts that fire now.", 'count(ALERTS{alertstate="firing"}) or vector(0)', red=1),
        figure("Ventes acceptées · Accepted", "Commands that the broker has confirmed.", "magasin:accepted:rate1m", unit="ops"),
        figure("Processus · Processes", "Our processes that answer.", 'sum(up{job="magasin"})', red=6, low_is_bad=True),
        figure(
            "Pas prêts · Not ready", "Processes that answer and can't work.", 'count(probe_success{job="ready"} == 0) or vector(0)', red=1
        ),
        figure("Écarts · Mismatches", "Figures that differ from the log.", "magasin:verified_mismatches", red=1),
        figure(
            "Prouvé il y a · Proven", "The oldest proof that figures equal the log.", "magasin:verified_age_seconds", unit="s", red=21_600
        ),
        figure("Lettres mortes · Dead letters", "Those that wait for somebody.", 'magasin:dead_letters{status="waiting"}', red=1),
        figure("Caisses muettes · Silent tills", "Silent while others of their store sell.", 'magasin:tills{state="alone"}', red=1),
        figure("Plus ancien message · Oldest", "Of all queues.", "max(magasin:oldest_message_seconds)", unit="s", red=60),
        figure("Retard · Lag", "Of the projection that is furthest behind.", "max(magasin:projection_lag_seconds)", unit="s", red=10),
        figure("Base de données · Database", "1 while it can be read.", "max(magasin_database_ready)", red=1, low_is_bad=True),
        figure(
            "Certificat · Certificate",
            "Until the gateway's certificate ends.",
            "probe_ssl_earliest_cert_expiry - time()",
            unit="s",
            red=259_200,
            low_is_bad=True,
        ),
    ],
)
ANSWERS: Final = Row(
    "Réponses · Answers",
    [
        course(
            "Requêtes · Requests",
            "Answers by status.",
            ("sum by (status) (rate(magasin_http_requests_total[$__rate_interval]))", "{{status}}"),
            unit="reqps",
        ),
        course(
            "Durée, 95 % · Time, 95 %",
            "Of requests, live streams and probes left out.",
            ("magasin:http_request_seconds:p95_5m", "p95"),
            unit="s",
        ),
        course(
            "Erreurs 5xx · 5xx errors",
            "Part of all requests.",
            ("magasin:http_request_errors:ratio5m", "5xx"),
            unit="percentunit",
            red=0.01,
        ),
        course(
            "Commandes · Commands",
            "By what became of them.",
            ("sum by (outcome) (rate(magasin_commands_total[$__rate_interval]))", "{{outcome}}"),
            unit="ops",
        ),
        course("Pages en direct · Live pages", "Pages that listen.", ("sum(magasin_live_streams)", "pages")),
        course(
            "Cache",
            "Reads answered from Redis, or not.",
            ("sum by (outcome) (rate(magasin_cache_lookups_total[$__rate_interval]))", "{{outcome}}"),
            unit="ops",
        ),
    ],
)
BROKER: Final = Row(
    "Courtier · Broker",
    [
        course("Messages en attente · Waiting", "In each queue.", ("max by (queue) (magasin_queue_ready_messages)", "{{queue}}")),
        course("Le plus ancien · Oldest", "Age of the oldest message.", ("magasin:oldest_message_seconds", "{{queue}}"), unit="s", red=60),
        course(
            "Confirmations · Confirms",
            "From handing over until the confirm.",
            ("magasin:confirm_seconds:p50_5m", "p50"),
            ("magasin:confirm_seconds:p99_5m", "p99"),
            unit="s",
            red=0.5,
        ),
        course(
            "Sans confirmation · Unconfirmed",
            "Publishes that ended without a confirm.",
            ("sum(rate(magasin_publish_failures_total[$__rate_interval])) or vector(0)", "failed"),
            unit="ops",
        ),
        course("Alarmes · Alarms", "Nodes by what is wrong.", ("max by (alarm) (magasin_broker_alarms)", "{{alarm}}"), red=1),
        course(
            "Événements par message · Events a message",
            "How full the API's groups are.",
            (
                "sum(rate(magasin_group_events_sum[$__rate_interval])) / sum(rate(magasin_group_events_count[$__rate_interval]))",
                "events",
            ),
        ),
    ],
)
WORK: Final = Row(
    "Traitement · Work",
    [
        course(
            "Événements réglés · Settled events",
            "By the stock writer, by outcome.",
            ("sum by (outcome) (rate(magasin_events_total[$__rate_interval]))", "{{outcome}}"),
            unit="ops",
        ),
        course(
            "De la caisse aux rapports · Till to reports",
            "From acceptance until in every projection.",
            ("histogram_quantile(0.5, sum by (le) (rate(magasin_critical_seconds_bucket[$__rate_interval])))", "p50"),
            ("magasin:critical_seconds:p99_5m", "p99"),
            unit="s",
        ),
        course(
            "Durée d'un lot · Time of a batch",
            "95 of 100 take less.",
            ("histogram_quantile(0.95, sum by (le, queue) (rate(magasin_batch_seconds_bucket[$__rate_interval])))", "{{queue}}"),
            unit="s",
        ),
        course(
            "Événements par lot · Events a batch",
            "More under load.",
            (BATCH_SIZE, "{{consumer}}"),
        ),
    ],
)
PROJECTIONS: Final = Row(
    "Projections",
    [
        course(
            "Retard · Lag",
            "Age of the oldest event that isn't in it.",
            ("magasin:projection_lag_seconds", "{{projection}}"),
            unit="s",
            red=10,
        ),
        course("Retard en événements · Lag in events", "Events that aren't in it.", ("magasin:projection_lag_events", "{{projection}}")),
        course(
            "Magasins arrêtés · Stopped stores",
            "At an event that can't be taken, or told to wait.",
            ("sum(max by (projection) (magasin_projection_stalled_stores))", "stalled"),
            ("sum(max by (projection) (magasin_projection_paused_stores))", "paused"),
            red=1,
        ),
    ],
)
REPAIR: Final = Row(
    "Exploitation · Repair",
    [
        course("Lettres mortes · Dead letters", "By what became of them.", ("magasin:dead_letters", "{{status}}")),
        course(
            "Vérification · Verification",
            "Events folded again, a second.",
            ('sum(rate(magasin_verified_events_total{process="operator"}[$__rate_interval]))', "events"),
            unit="ops",
        ),
        course(
            "Travaux · Jobs",
            "Redrives, rebuilds, replays, full verifications under way.",
            ('sum(magasin_jobs_at_work{process="operator"})', "jobs"),
        ),
        course("Caisses · Tills", "Of the last week.", ("magasin:tills", "{{state}}")),
    ],
)
OUTSIDE: Final = Row(
    "Vers l'extérieur · Outside",
    [
        course("Pas encore sortis · Not yet out", "Events, by reader.", ("max by (reader) (magasin_outward_missing_events)", "{{reader}}")),
        course(
            "Livraisons en attente · Waiting deliveries", "To webhooks.", ('sum(magasin_webhook_waiting{process="outbound"})', "deliveries")
        ),
        course(
            "Qui mène · Leader",
            "1 for the process that feeds and delivers.",
            ('sum(magasin_outward_leading{process="outbound"})', "leaders"),
        ),
    ],
)
MACHINES: Final = Row(
    "Processus · Processes",
    [
        course(
            "Processeur · Processor",
            "Processors in use.",
            ('sum by (process) (rate(process_cpu_seconds_total{job="magasin"}[$__rate_interval]))', "{{process}}"),
        ),
        course(
            "Mémoire · Memory",
            "Resident.",
            ('sum by (process) (process_resident_memory_bytes{job="magasin"})', "{{process}}"),
            unit="bytes",
        ),
        course("Prêts · Ready", "1 while a process is fit for work.", ('min by (process) (probe_success{job="ready"})', "{{process}}")),
        course("Fichiers ouverts · Open files", "And sockets.", ('sum by (process) (process_open_fds{job="magasin"})', "{{process}}")),
    ],
)
ROWS: Final = (STATE, ANSWERS, BROKER, WORK, PROJECTIONS, REPAIR, OUTSIDE, MACHINES)
