"""With which browser are the pages tried? Debian's own; a module at a time, because its event loop would be in the way of other tests."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.services import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
PATIENCE_MS: Final = 30_000
PICTURES: Final = ROOT / ".magasin" / "ci" / "screenshots"
"""What the pages looked like when a test failed; a pipeline keeps them."""


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser, closed at the end."""
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - the tests without a browser start without it

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield found
        found.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser for this module."""
    with chromium() as found:
        yield found


def picture(browser: "Browser", name: str, folder: Path = PICTURES) -> list[Path]:
    """Every page that is open, as it looks now."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = [page for context in browser.contexts for page in context.pages]
    paths = [folder / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{number}.png" for number in range(len(pages))]
    for page, path in zip(pages, paths, strict=True):
        page.screenshot(path=path)
    return paths
