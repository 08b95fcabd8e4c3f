"""What do the pages look like? Three pictures for the README, taken from the running demonstration (`make screenshots`)."""

import os
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Error, Page, ViewportSize, expect

from tests.e2e.browsing import chromium
from tests.services import ROOT

PICTURES: Final = ROOT / "docs" / "pictures"
SIZE: Final[ViewportSize] = {"width": 1440, "height": 900}
VIEWS: Final = (
    ("caisse", "caissier-292", "light"),
    # The demonstration's last day.
    ("siege?periode=yesterday", "gestionnaire", "light"),
    ("exploitation", "operateur", "dark"),
)
BASKET: Final = ("café", "bananes", "lait", "fromage")
CATALOGUE_MS: Final = 60_000
SETTLE_MS: Final = 1_500
"""Drawings grow into their places."""


def sign_in(page: Page, url: str, username: str, password: str) -> None:
    """Sign in and wait for the menu."""
    page.goto(f"{url}/connexion")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.locator("header.top").wait_for()


def fill_the_cart(page: Page) -> None:
    """Take the first product that each of some words finds."""
    expect(page.get_by_text("à jour")).to_be_visible(timeout=CATALOGUE_MS)
    field = page.get_by_role("combobox", name="Chercher un produit")
    for words in BASKET:
        field.fill(words)
        page.get_by_role("grid").get_by_role("row").first.wait_for()
        page.keyboard.press("Enter")
    field.fill("céréales")
    page.get_by_role("grid").get_by_role("row").first.wait_for()


def take(url: str, password: str) -> list[Path]:
    """The files that were written."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    written = []
    with chromium() as browser:
        for view, username, theme in VIEWS:
            with browser.new_context(
                locale="fr-CA", color_scheme="dark" if theme == "dark" else "light", viewport=SIZE, service_workers="block"
            ) as context:
                page = context.new_page()
                sign_in(page, url, username, password)
                page.goto(f"{url}/{view}")
                page.locator("main h1").first.wait_for(state="attached")
                expect(page.locator("main .skeleton")).to_have_count(0, timeout=30_000)
                name = view.partition("?")[0]
                if name == "caisse":
                    fill_the_cart(page)
                page.wait_for_timeout(SETTLE_MS)
                written.append(PICTURES / f"{name}.png")
                page.screenshot(path=written[-1])
    return written


if __name__ == "__main__":
    address = os.environ.get("MAGASIN_URL", f"http://127.0.0.1:{os.environ.get('MAGASIN_PORT', '8080')}")
    try:
        for picture in take(address, os.environ.get("MAGASIN_DEMO_PASSWORD", "magasin-demo")):
            sys.stdout.write(f"{picture.relative_to(ROOT)}\n")
    except Error as error:
        sys.exit(f"The demonstration does not answer at {address}: start it with make run, in another terminal.\n{error}")
