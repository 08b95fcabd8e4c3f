"""What does a browser get from this server, and does it ever get anything from another one?"""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.pages import WEB, swagger_ui
from infra.settings import Settings

PAGES = ("/", "/docs/")
FILES = sorted(path for path in WEB.rglob("*") if path.is_file())
LOADED = re.compile(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)|url\(["']?([^"')]+)|(?:from|import)\s*\(?["']([^"']+)""")
HOST = re.compile(r"(?:https?:|wss?:)?//[\w.-]+\.\w+", re.IGNORECASE)
SPACES = "http://www.w3.org/"  # names of XML vocabularies: nothing is fetched there


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application, whose servers are all away: the pages need none."""
    config = Settings(
        env="test",
        home=tmp_path_factory.mktemp("home"),
        database_url="postgresql://magasin@127.0.0.1:1/magasin",
        amqp_url="amqp://guest:guest@127.0.0.1:1/",
        redis_url="redis://127.0.0.1:1/0",
    )
    return create_app(config)


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://magasin.test") as client:
        yield client


@pytest.mark.parametrize("path", [f"/{file.relative_to(WEB).as_posix()}" for file in FILES] + list(PAGES))
async def test_every_file_comes_with_a_policy_that_allows_this_server_only(browser: httpx2.AsyncClient, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-cache"


async def test_a_file_that_the_browser_has_is_not_sent_again(browser: httpx2.AsyncClient) -> None:
    first = await browser.get("/app.js")
    second = await browser.get("/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (second.status_code, second.content) == (304, b"")
    assert second.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("page", PAGES)
async def test_everything_that_a_page_loads_is_there(browser: httpx2.AsyncClient, page: str) -> None:
    text = (await browser.get(page)).text
    loaded = re.findall(r'<(?:link|script|img)\b[^>]*?(?:href|src)="([^"]+)"', text)
    assert loaded
    for each in loaded:
        answer = await browser.get(str(httpx2.URL(f"http://magasin.test{page}").join(each)))
        assert answer.status_code == 200, each


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_page_names_another_host(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace(SPACES, "")
    assert not HOST.findall(text)
    assert not [each for found in LOADED.findall(text) for each in found if each.startswith(("http", "//"))]


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".html"], ids=lambda file: file.parent.name)
def test_no_page_has_code_or_style_of_its_own(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.findall(r"<script\b(?![^>]*\bsrc=)|<style\b|\sstyle=|\son\w+=|javascript:", text)


def test_swagger_ui_loads_nothing_from_elsewhere() -> None:
    style = (swagger_ui() / "swagger-ui.css").read_text(encoding="utf-8")
    assert not [url for url in re.findall(r"url\(([^)]*)\)", style) if not url.strip("\"'").startswith("data:")]


async def test_a_path_without_a_page_is_a_problem(browser: httpx2.AsyncClient) -> None:
    for path in ("/nothing-here", "/../pyproject.toml", "/%2e%2e/pyproject.toml", "/api/v2/nothing", "/api"):
        answer = await browser.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


async def test_a_page_can_only_be_read(browser: httpx2.AsyncClient) -> None:
    answer = await browser.post("/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_the_metrics_call_all_files_by_one_name(browser: httpx2.AsyncClient) -> None:
    await browser.get("/style.css")
    text = (await browser.get("/metrics")).text
    assert 'magasin_http_requests_total{method="GET",route="/",status="200"}' in text
    assert "style.css" not in text
