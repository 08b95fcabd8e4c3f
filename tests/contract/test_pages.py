"""What does a browser get from this server, and does it ever get anything from another one?"""

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from api import pages
from api.app import create_app
from api.pages import SECTIONS, WEB, swagger_ui
from infra.settings import Settings

SOURCES = WEB.parent / "src"
WRITTEN = sorted(path for path in SOURCES.rglob("*") if path.suffix in {".ts", ".vue", ".css"} and "api" not in path.parts)
HOST = re.compile(r"(?:https?:|wss?:)?//[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
KNOWN = ("http://127.0.0.1:8000",)
PAGE = "<!doctype html><title>Magasin</title>"
SCRIPT = "export const sold = 1;\n" * 40


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The application with a small build, whose servers are all away: the pages need none."""
    web = tmp_path / "web"
    (web / "assets").mkdir(parents=True)
    (web / "docs").mkdir()
    for name, text in (("index.html", PAGE), ("assets/index-a1b2.js", SCRIPT), ("docs/index.html", PAGE), ("manifest.webmanifest", "{}")):
        (web / name).write_text(text, encoding="utf-8")
    (web / "assets" / "index-a1b2.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    monkeypatch.setattr(pages, "WEB", web)
    config = Settings(
        env="test",
        home=tmp_path,
        database_url="postgresql://magasin@127.0.0.1:1/magasin",
        amqp_url="amqp://guest:guest@127.0.0.1:1/",
        redis_url="redis://127.0.0.1:1/0",
    )
    return create_app(config)


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Accept": "text/html", "Accept-Encoding": "gzip"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://magasin.test", headers=headers) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/caisse", "/docs/", "/assets/index-a1b2.js", "/manifest.webmanifest"])
async def test_every_file_comes_with_a_policy_that_allows_this_server_only(browser: httpx2.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_what_has_its_mark_in_its_name_is_kept_and_everything_else_is_asked_about(browser: httpx2.AsyncClient) -> None:
    assert "immutable" in (await browser.get("/assets/index-a1b2.js")).headers["cache-control"]
    first = await browser.get("/")
    assert first.headers["cache-control"] == "no-cache"
    second = await browser.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (second.status_code, second.content) == (304, b"")


async def test_texts_travel_as_the_build_compressed_them_to_whoever_can_read_that(browser: httpx2.AsyncClient) -> None:
    small = await browser.get("/assets/index-a1b2.js")
    assert (small.headers["content-encoding"], small.text) == ("gzip", SCRIPT)
    assert small.headers["content-type"].startswith("text/javascript")
    plain = await browser.get("/assets/index-a1b2.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == SCRIPT
    assert small.headers["etag"] != plain.headers["etag"]
    assert plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("section", sorted(SECTIONS))
async def test_an_address_of_the_application_is_answered_with_its_page(browser: httpx2.AsyncClient, section: str) -> None:
    for path in (f"/{section}", f"/{section}/some/view"):
        answer = await browser.get(path)
        assert (answer.status_code, answer.text) == (200, PAGE)


async def test_the_application_itself_says_that_there_is_nothing(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/nothing-here")
    assert (answer.status_code, answer.text) == (404, PAGE)


async def test_a_path_without_a_page_is_a_problem(browser: httpx2.AsyncClient) -> None:
    for path in (
        "/nothing.js",
        "/assets/old-1.js",
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/api/v2/nothing",
        "/api",
        "/api/caisse",
    ):
        answer = await browser.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    answer = await browser.get("/caisse", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_pages_that_are_not_built_yet_are_a_problem_too(browser: httpx2.AsyncClient) -> None:
    for file in pages.WEB.rglob("*"):
        if file.is_file():
            file.unlink()
    for path in ("/", "/caisse"):
        answer = await browser.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


async def test_a_page_can_only_be_read(browser: httpx2.AsyncClient) -> None:
    answer = await browser.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_the_metrics_call_all_files_by_one_name(browser: httpx2.AsyncClient) -> None:
    await browser.get("/assets/index-a1b2.js")
    text = (await browser.get("/metrics")).text
    assert 'magasin_http_requests_total{method="GET",route="/",status="200"}' in text
    assert "a1b2" not in text


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.relative_to(SOURCES).as_posix())
def test_no_source_names_another_host_or_has_a_style_that_the_policy_forbids(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    if not file.name.endswith(".test.ts"):
        assert [found for found in HOST.findall(text) if not found.startswith(KNOWN)] == []
    if file.suffix == ".vue":
        assert not re.findall(r"[^:\w-]style=\"|\bv-html\b|javascript:", text)


def test_swagger_ui_loads_nothing_from_elsewhere() -> None:
    style = (swagger_ui() / "swagger-ui.css").read_text(encoding="utf-8")
    assert not [url for url in re.findall(r"url\(([^)]*)\)", style) if not url.strip("\"'").startswith("data:")]
