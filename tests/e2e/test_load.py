"""Do many people at once leave the stock that they should, and is it noticed when they don't?

Locust runs as it does for `make load-test`, for a few seconds, in two shops of the test's own.
"""

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from load.charts import rounded
from load.ledger import Difference, Ledger
from load.matrix import Cell, Found, Matrix, Taken, Told
from load.page import page
from load.pages import line
from load.run import FILE, LOCUST
from load.table import table
from magasin.home import LOOPBACK
from tests.e2e.system import Json, System, eventually
from tests.services import ROOT

PASSWORD = "mot-de-passe-du-test"  # noqa: S105 - of accounts that live as long as the test
SECONDS = 2
RUN_SECONDS = 300
SKUS = 4
UNITS = 1_000
pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def chain(system: System) -> dict[str, str]:
    """Two shops and their centre with goods, a cashier and a manager for each: what the load is told about them."""
    word = f"charge{secrets.token_hex(4)}"
    with httpx2.Client(base_url=f"{system.url}/api/v2", headers=system.headers(), timeout=60, trust_env=False) as admin:
        for number in range(SKUS):
            body = {"name": {"fr": f"{word} {number}", "en": word}, "category": {"fr": "Essai", "en": "Test"}, "price": "2.50"}
            _done(admin, "PUT", f"/products/{word}-{number}", body)
        centre = system.open_store(kind="centre")
        shops = [system.open_store(centre=centre.store_id) for _ in range(2)]
        goods = [{"sku": f"{word}-{number}", "quantity": UNITS} for number in range(SKUS)]
        for shop in (centre, *shops):
            shop.done("deliveries", {"supplier": "Moulin", "lines": goods})
        for shop in shops:
            for role in ("caissier", "gestionnaire"):
                stores = [shop.store_id, centre.store_id] if role == "gestionnaire" else [shop.store_id]
                account = {"username": f"{role}-{shop.store_id}", "password": PASSWORD, "role": role, "stores": stores}
                admin.post("/users", json=account).raise_for_status()
        eventually(lambda: len(admin.get("/products", params={"search": word}).json()["items"]) == SKUS or None)
    return {
        "MAGASIN_LOAD_STORES": ",".join(shop.store_id for shop in shops),
        "MAGASIN_LOAD_SEARCH": word,
        "MAGASIN_LOAD_MANAGER": "gestionnaire-{store}",
        "MAGASIN_DEMO_PASSWORD": PASSWORD,
    }


def _done(client: httpx2.Client, method: str, path: str, body: Json) -> None:
    client.request(method, path, json=body).raise_for_status()


def _loaded(url: str, chain: dict[str, str], folder: Path, **more: str) -> tuple[int, Told]:
    """Two people, for a moment: how it ended, and what was found."""
    if not LOCUST.exists():
        pytest.fail("Locust is not installed: make load-tools")
    result = folder / "cell.json"
    command = (LOCUST, "-f", FILE, "--headless", "--only-summary", "--users", "2", "--spawn-rate", "2", "--run-time", f"{SECONDS}s")
    env = {**os.environ, **chain, **more, "MAGASIN_LOAD_RESULT": str(result), "MAGASIN_LOAD_FOLDER": str(folder)}
    done = subprocess.run((*command, "--host", url), cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=RUN_SECONDS)
    assert result.exists(), done.stderr
    return done.returncode, Told.model_validate_json(result.read_bytes())


class Forgetful(BaseHTTPRequestHandler):
    """Passes everything on, but forgets the first sale and says that it was accepted."""

    behind = ""
    forgotten: list[Json]
    lock = threading.Lock()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on()

    def do_POST(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.lock:
            forgets = self.path.endswith("/sales") and not self.forgotten
            if forgets:
                self.forgotten.append({"store": self.path.split("/")[-2], **json.loads(content)})
        if forgets:
            self._answer(202, {"Content-Type": "application/json"}, b'{"status": "accepted"}')
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection", "accept-encoding"}}
        answer = httpx2.request(self.command, self.behind + self.path, headers=headers, content=content, timeout=60, trust_env=False)
        kept = {name: answer.headers[name] for name in ("Content-Type", "Link", "Location") if name in answer.headers}
        self._answer(answer.status_code, kept, answer.content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is in Locust's own figures."""


@contextmanager
def _forgetful(behind: str) -> Iterator[tuple[str, list[Json]]]:
    forgotten: list[Json] = []
    handler = type("Handler", (Forgetful,), {"behind": behind, "forgotten": forgotten})
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}", forgotten
        finally:
            server.shutdown()
            thread.join()


def test_a_small_load_leaves_the_stock_that_it_should(system: System, chain: dict[str, str], tmp_path: Path) -> None:
    code, told = _loaded(system.url, chain, tmp_path)
    assert told.refusals == {}
    assert (told.errors, told.verified.differences, told.verified.unknown, code) == (0, [], 0, 0)
    assert told.sales == told.verified.facts["sale"] > 0
    assert told.verified.units > 0


def test_a_sale_that_was_lost_is_found(system: System, chain: dict[str, str], tmp_path: Path) -> None:
    with _forgetful(system.url) as (url, forgotten):
        code, told = _loaded(url, chain, tmp_path, MAGASIN_LOAD_SETTLE_SECONDS="4")
    assert code == 1
    (lost,) = forgotten
    missing = {(each.store_id, each.sku) for each in told.verified.differences if each.found > each.expected}
    assert missing & {(lost["store"], each["sku"]) for each in lost["lines"]}


def test_the_ledger_counts_what_happened_and_names_every_shelf_that_differs() -> None:
    ledger = Ledger()
    ledger.doubt("sale", "s", "1", {("s", "A"): -2, ("s", "B"): -1})
    ledger.doubt("sale", "s", "2", {("s", "A"): -5})
    ledger.doubt("return", "s", "3", {("s", "A"): 1})
    ledger.learn("1", happened=True)
    ledger.learn("2", happened=False)
    assert ledger.unanswered() == [("3", "s")]
    assert ledger.facts == {"sale": 1}
    before = {("s", "A"): 10, ("s", "B"): 1, ("s", "C"): 7}
    assert ledger.differences(before, {("s", "A"): 8, ("s", "C"): 7}) == []
    assert ledger.differences(before, {("s", "A"): 9, ("s", "C"): 6}) == [Difference("s", "A", 8, 9), Difference("s", "C", 7, 6)]


def _found() -> Found:
    told = Told.model_validate(
        {
            "began": 0.0,
            "ended": 10.0,
            "requests": 1_500,
            "errors": 3,
            "sales": 1_020,
            "p50_ms": 5,
            "p95_ms": 20,
            "p99_ms": 40,
            "by_name": [{"name": "sale", "requests": 1_020, "errors": 3, "p95_ms": 20}],
            "refusals": {"sale: <b>429</b>": 3},
            "verified": {
                "facts": {"sale": 1_020},
                "cells": 4,
                "units": 2_000,
                "unknown": 0,
                "differences": [{"store_id": "s", "sku": "A", "expected": 1, "found": 2}],
            },
        }
    )
    taken = {name: Taken(cpu_percent=25.0, rss_mb=100.0) for name in ("api-1", "api-2", "stock-writer")}
    cells = [Cell(algorithm="lc", instances=2, users=users, told=told, taken=taken, machine_load=2.0) for users in (1, 10, 50)]
    return Found(when="2026-01-01", machine="two", system="here", seconds=10, planned=3, ended_early=None, cells=cells)


def test_the_report_says_every_figure_and_what_stands_beside_it() -> None:
    found = _found()
    html, markdown = page(found), table(found)
    assert "9 wrong" not in html
    assert "3 wrong" in html
    assert "sale: &lt;b&gt;429&lt;/b&gt;" in html
    assert "http" not in html.replace("http-equiv", "")
    assert "2.0 × requests" in html, "150 requests a second with 50 people, and the old system had 75"
    assert "| lc | 2 | 50 | 150 | 102 | 5 | 20 | 40 | 3 | wrong on 1 shelves | 50 / 25 / – | 100 | 2.0 × requests |" in markdown
    assert "WRONG on 1 shelves" in line(found.cells[0])


def test_the_matrix_has_every_cell_once_and_a_chart_ends_above_its_highest_point() -> None:
    matrix = Matrix()
    assert len(matrix) == len(set(matrix.deployments())) * 3 == 48
    assert [rounded(value) for value in (0.3, 1, 3, 150, 801)] == [1, 1, 4, 200, 1000]


def test_what_can_not_be_asked_for_is_refused_at_once() -> None:
    for words in (("--algorithms", "best"), ("--users", "0"), ("--instances", "")):
        done = subprocess.run((sys.executable, "-m", "load", *words), cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 2, done.stderr
