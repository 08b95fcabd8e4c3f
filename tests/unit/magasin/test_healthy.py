"""Does the health check of a container say what its process says?"""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from magasin.healthy import is_healthy, port_of


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A process that answers /readyz so, and everything else with 404; its port."""

    class Process(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            del format, args

    with HTTPServer(("127.0.0.1", 0), Process) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_a_container_is_as_healthy_as_its_process_is_ready(status: int, *, healthy: bool) -> None:
    with answering(status) as port:
        assert is_healthy(port) is healthy


def test_a_process_that_does_not_listen_is_not_healthy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not is_healthy(taken.getsockname()[1])


def test_a_process_that_does_not_answer_in_time_is_not_healthy() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not is_healthy(silent.getsockname()[1], seconds=0.05)


def test_a_worker_is_asked_at_its_probe_and_the_api_where_it_listens() -> None:
    assert port_of({"MAGASIN_PROBE_PORT": "9100"}) == 9100
    assert port_of({"MAGASIN_PORT": "8081", "MAGASIN_PROBE_PORT": "0"}) == 8081
    assert port_of({}) == 8080


def test_the_exit_code_tells_docker() -> None:
    with answering(200) as port:
        command = [sys.executable, "-m", "magasin.healthy"]
        assert subprocess.run(command, check=False, env={"MAGASIN_PORT": str(port)}).returncode == 0
    assert subprocess.run(command, check=False, env={"MAGASIN_PORT": str(port)}).returncode == 1
