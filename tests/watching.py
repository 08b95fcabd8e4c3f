"""A Prometheus and a blackbox exporter of a test's own, with the project's own configuration; only addresses and clocks are others."""

import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any, Final

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from magasin.home import LOOPBACK
from magasin.processes import dying_with_parent
from tests.e2e.system import free_port
from tests.services import ROOT

COMPOSE: Final = ROOT / "compose"
SECONDS: Final = 3
"""Between two looks at everybody."""
START_SECONDS: Final = 60.0
DAYS: Final = 90


def program(name: str) -> str:
    """Where that program lies; the test is skipped where nobody has installed it."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} isn't installed on this machine")
    return found


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running one."""

    url: str

    def ask(self, query: str) -> list[float]:
        """The values that a query finds; what is no number isn't one."""
        answer = httpx2.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=20, trust_env=False)
        assert answer.status_code == 200, f"{query}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return [value for value in (float(each["value"][1]) for each in found) if value == value]  # noqa: PLR0124 - not so of NaN


@contextmanager
def prometheus(targets: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that asks these processes, each by its name."""
    port, exporter = free_port(), free_port()
    with ExitStack() as stack:
        gateway = stack.enter_context(secure_server(folder))
        blackbox = [program("prometheus-blackbox-exporter"), f"--config.file={COMPOSE / 'blackbox' / 'blackbox.yml'}"]
        stack.enter_context(running([*blackbox, f"--web.listen-address={LOOPBACK}:{exporter}"], folder / "blackbox.log"))
        config = _configured(targets, folder / "prometheus", exporter=exporter, gateway=gateway)
        command = [program("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        stack.enter_context(running([*command, f"--web.listen-address={LOOPBACK}:{port}"], folder / "prometheus.log"))
        awaited(f"http://{LOOPBACK}:{port}/-/ready", folder / "prometheus.log")
        yield Prometheus(f"http://{LOOPBACK}:{port}")


def _configured(targets: Mapping[str, str], folder: Path, *, exporter: int, gateway: int) -> Path:
    shutil.copytree(COMPOSE / "prometheus", folder)
    found = [{"targets": [address], "labels": {"process": name}} for name, address in targets.items()]
    (folder / "targets" / "test.json").write_text(json.dumps(found), encoding="utf-8")
    config = folder / "prometheus.yml"
    changes = {
        "blackbox-exporter:9115": f"{LOOPBACK}:{exporter}",
        "kong:8443": f"{LOOPBACK}:{gateway}",
        "interval: 10s": f"interval: {SECONDS}s",
        "interval: 1m": f"interval: {SECONDS}s",
        "scrape_timeout: 8s": f"scrape_timeout: {SECONDS}s",
    }
    told = config.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in told
        told = told.replace(old, new)
    config.write_text(told, encoding="utf-8")
    return config


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """A block in which that program runs."""
    with log.open("wb") as output:
        process = subprocess.Popen(dying_with_parent(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def awaited(url: str, log: Path) -> None:
    """Return when that address answers; fail with the end of the log when it doesn't."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx2.get(url, timeout=5, trust_env=False).is_success:
                return
        except httpx2.HTTPError:
            pass
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")[-2_000:]
        time.sleep(0.05)


@contextmanager
def secure_server(folder: Path) -> Iterator[int]:
    """A server that shows a certificate and says nothing: its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(folder))

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            try:
                with context.wrap_socket(self.request, server_side=True) as line:
                    line.recv(1)
            except OSError:
                return

    with ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def _certificate(folder: Path) -> Path:
    """Key and certificate in one file, good for 90 days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=DAYS))
        .sign(key, hashes.SHA256())
    )
    file = folder / "gateway.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file
