"""Does a collector see the way of a sale as one trace, and does nobody load a library who doesn't ask for that?"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from infra.traces import Traces
from magasin.home import LOOPBACK
from tests.e2e.system import Running, Shop, System, environment, eventually, free_port, sale, sku, start_api
from tests.services import ROOT


class Collector:
    """Takes spans, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as the library has it
                """Keep quiet."""

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def take(self, told: ExportTraceServiceRequest) -> None:
        for each in told.resource_spans:
            (service,) = [pair.value.string_value for pair in each.resource.attributes if pair.key == "service.name"]
            self.spans += [(service, span) for scope in each.scope_spans for span in scope.spans]

    def named(self, name: str) -> tuple[str, Span] | None:
        """The first span of that name, with its service."""
        return next((each for each in self.spans if each[1].name == name), None)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


def traceparent(flags: str = "01") -> str:
    return f"00-{token_hex(16)}-{token_hex(8)}-{flags}"


def test_a_span_bears_the_ids_that_were_given_on_and_lies_below_its_caller(collector: Collector) -> None:
    came, own = traceparent(), traceparent()
    own = f"{came[:36]}{own[36:]}"
    made = Traces()
    made.begin("test", collector.url)
    made.tell("asked", began=1.0, ended=2.5, own=own, parent=came)
    made.tell("done", began=2.0, ended=1.0, parent=own)
    made.tell("alone", began=1.0, ended=2.0, own=traceparent())
    made.tell("unwanted", began=1.0, ended=2.0, own=traceparent("00"))
    made.end()
    found = {span.name: span for _, span in collector.spans}
    assert found.keys() == {"asked", "done", "alone"}
    assert [found["asked"].trace_id.hex(), found["asked"].span_id.hex(), found["asked"].parent_span_id.hex()] == [
        own[3:35],
        own[36:52],
        came[36:52],
    ]
    assert found["asked"].end_time_unix_nano - found["asked"].start_time_unix_nano == 1_500_000_000
    assert (found["done"].trace_id, found["done"].parent_span_id) == (found["asked"].trace_id, found["asked"].span_id)
    assert found["done"].end_time_unix_nano == found["done"].start_time_unix_nano
    assert found["alone"].parent_span_id == b""


def test_by_default_nothing_is_told_and_nothing_loaded() -> None:
    code = "import sys, api.app, workers.__main__, infra.traces; print(infra.traces.traces.on, 'infra.spans' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "False False\n"


@pytest.mark.timeout(240)
def test_the_way_of_a_sale_is_one_trace(system: System, shop: Shop, collector: Collector, tmp_path: Path) -> None:
    """Other workers of the system take messages, too; they tell nobody. So it sells until both of those that tell had one."""
    told = {"MAGASIN_TRACES_URL": collector.url}
    with ExitStack() as stack:
        for name in ("stock-writer", "projector"):
            port = free_port()
            env = {**environment(system.settings), **told, "MAGASIN_PROBE_PORT": str(port)}
            worker = Running(name, (sys.executable, "-m", "workers", name), env, tmp_path)
            stack.callback(worker.stop)
            worker.ready(f"http://{LOOPBACK}:{port}")
        settings = system.settings.model_copy(update={"port": free_port()})
        url, api = start_api(settings, "traced", tmp_path, **told)
        stack.callback(api.stop)
        with httpx2.Client(base_url=url, headers=system.headers(), timeout=20, trust_env=False) as http:

            def seen() -> bool | None:
                answer = http.post(f"{shop.path}/sales", json=sale(sku()))
                assert answer.status_code == 202, answer.text
                shop.settled(answer.json()["event_id"])
                return (collector.named("recorded") is not None and collector.named("projected") is not None) or None

            eventually(seen, seconds=90)
    requests = {span.span_id: span for service, span in collector.spans if service == "api" and span.name.endswith("/sales")}
    for name, service in (("recorded", "stock-writer"), ("projected", "projector")):
        found = collector.named(name)
        assert found is not None
        assert found[0] == service
        above = requests[found[1].parent_span_id]
        assert above.trace_id == found[1].trace_id
        assert above.name == "POST /api/v2/stores/{store_id}/sales"
        assert above.start_time_unix_nano <= found[1].end_time_unix_nano
