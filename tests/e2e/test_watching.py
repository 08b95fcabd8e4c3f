"""Does every picture of the dashboard show something of a system at work, and can one request be followed through the logs of all?"""

import json
import time
from pathlib import Path
from secrets import token_hex

import pytest

from compose.grafana.panels import ROWS
from tests.e2e.system import Json, Shop, System, eventually, sale, sku
from tests.watching import DAYS, SECONDS, prometheus

PATIENCE_SECONDS = 90.0
RATE_INTERVAL = f"{4 * SECONDS}s"
FALLBACK = " or vector(0)"
ONLY_IN_TROUBLE = {"ALERTS", "magasin_publish_failures_total", "probe_success"}
"""What has no line while all is well; a query about it says 0 then. Every other one has to find something."""
PROCESSES = 6


def queries() -> dict[str, str]:
    """What is asked of Prometheus, by where it stands."""
    return {
        f"{row.title} / {panel.title} / {number}": query.expression.replace("$__rate_interval", RATE_INTERVAL)
        for row in ROWS
        for panel in row.panels
        for number, query in enumerate(panel.queries, start=1)
    }


@pytest.mark.timeout(240)
def test_each_panel_shows_something_of_a_system_at_work(system: System, shop: Shop, tmp_path: Path) -> None:
    assert all(any(name in query for name in ONLY_IN_TROUBLE) for query in queries().values() if FALLBACK in query)
    targets = {"api": system.url.removeprefix("http://"), **system.probes}
    with prometheus(targets, tmp_path) as watching:
        empty, deadline = queries(), time.monotonic() + PATIENCE_SECONDS
        while empty and time.monotonic() < deadline:
            shop.sell(sku(), till_id="1", till_seq=int(time.monotonic() * 1_000))
            shop.read("reports/daily-sales", store=shop.store_id)
            empty = {place: query for place, query in empty.items() if not watching.ask(query)}
        assert empty == {}
        assert watching.ask('sum(up{job="magasin"})') == [PROCESSES]
        assert watching.ask('sum(probe_success{job="ready"})') == [PROCESSES]
        (left,) = watching.ask("(probe_ssl_earliest_cert_expiry - time()) / 86400")
        assert DAYS - 1 < left <= DAYS
        # Of a system that is well nobody is called. What comes and goes with a busy machine isn't meant, nor are the figures that other
        # tests tampered with.
        graver = 'ALERTS{alertstate="firing", alertname=~"MagasinProcess.*|MagasinDatabaseAway|MagasinBroker.*"}'
        assert watching.ask(graver) == []


def test_one_request_is_followed_through_api_writer_and_projector_by_its_trace(system: System, shop: Shop) -> None:
    trace = token_hex(16)
    answer = shop.post("sales", sale(sku()), traceparent=f"00-{trace}-{token_hex(8)}-01")
    assert answer.status_code == 202, answer.text
    shop.settled(answer.json()["event_id"])

    def told(process: str) -> list[Json]:
        lines = system.processes[process].log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if trace in line]

    for process, message in (("api", "accepted"), ("stock-writer", "settled"), ("projector", "projected")):
        (line,) = eventually(lambda process=process: told(process) or None)  # type: ignore[misc]
        assert (line["service"], line["message"]) == (process, message)
        assert {"timestamp", "level"} <= line.keys()
