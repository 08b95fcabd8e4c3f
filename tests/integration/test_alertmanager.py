"""Does an alert reach people, once and soon, and do those keep quiet that only follow from a graver one?"""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from magasin.home import LOOPBACK
from tests.e2e.system import eventually, free_port
from tests.watching import COMPOSE, awaited, program, running

SECONDS = 40.0


class People:
    """Who is told: the messages that came."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        people = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                people.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the library has it
                """Keep quiet."""

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.address = f"{LOOPBACK}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def names(self) -> list[str]:
        """The alerts that they heard of."""
        return sorted(alert["labels"]["alertname"] for message in self.told for alert in message["alerts"])


@pytest.fixture
def people() -> Iterator[People]:
    made = People()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_broker_under_alarm_is_one_message_and_not_ten(people: People, tmp_path: Path) -> None:
    config, port = tmp_path / "alertmanager.yml", free_port()
    told = (COMPOSE / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    assert "fluent-bit:9880" in told
    config.write_text(told.replace("fluent-bit:9880", people.address), encoding="utf-8")
    url = f"http://{LOOPBACK}:{port}"
    with ExitStack() as stack:
        command = [program("prometheus-alertmanager"), f"--config.file={config}", f"--storage.path={tmp_path / 'data'}"]
        alone = [f"--web.listen-address={LOOPBACK}:{port}", "--cluster.listen-address="]
        stack.enter_context(running([*command, *alone], tmp_path / "log"))
        awaited(f"{url}/-/ready", tmp_path / "log")
        fire(url, ("MagasinBrokerBlocked", "critical"), ("MagasinPublishesFail", "critical"), ("MagasinConfirmsSlow", "warning"))
        fire(url, ("MagasinDeadLetters", "warning"), ("MagasinQuiet", "info"))
        eventually(lambda: "MagasinDeadLetters" in people.names() or None, seconds=SECONDS)
        assert people.names() == ["MagasinBrokerBlocked", "MagasinDeadLetters"]


def fire(url: str, *alerts: tuple[str, str]) -> None:
    """Raise alerts: name and severity."""
    body = [{"labels": {"alertname": name, "severity": severity}, "annotations": {"summary": name}} for name, severity in alerts]
    answer = httpx2.post(f"{url}/api/v2/alerts", json=body, timeout=10, trust_env=False)
    assert answer.status_code == 200, answer.text
