"""Does headquarters see what happens elsewhere, without a reload, and can it ask why a figure is what it is?"""

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.browsing import PATIENCE_MS
from tests.e2e.lines import Wire
from tests.e2e.system import Shop, System, sku

PASSPHRASE: Final = "a horse looks at the chain"  # noqa: S105 - of accounts that live as long as a test
NOW: Final = {"Prefer": "wait=10"}


@dataclass
class Headquarters:
    """The page of a manager of one shop, and that shop."""

    shop: Shop
    page: Page
    wire: Wire

    def figure(self, name: str) -> Locator:
        """One of the figures at the top."""
        return self.page.locator(f".tile.{name} .value")

    def card(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True).first

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")


@pytest.fixture(params=["fr-CA"])
def desk(request: pytest.FixtureRequest, system: System, browser: Browser) -> Iterator[Headquarters]:
    """Headquarters of a new shop, looked at in the language asked for, on a line of its own."""
    shop = system.open_store(centre=system.open_store(kind="centre").store_id)
    manager = f"m-{secrets.token_hex(6)}"
    account = {"username": manager, "password": PASSPHRASE, "role": "gestionnaire", "stores": [shop.store_id]}
    assert shop.http.post("/api/v2/users", json=account).status_code == 201
    wire = Wire(system.url)
    context = browser.new_context(locale=request.param, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{wire.url}/siege")
    page.locator("[autocomplete=username]").fill(manager)
    page.locator("[autocomplete=current-password]").fill(PASSPHRASE)
    page.keyboard.press("Enter")
    expect(page.locator(".tile.sales .value")).to_have_text("0")
    page.evaluate("window.never_reloaded = true")
    yield Headquarters(shop, page, wire)
    context.close()
    wire.close()


@pytest.mark.parametrize("desk", ["fr-CA", "en-CA"], indirect=True)
def test_a_sale_posted_elsewhere_is_on_the_screen_without_a_reload(desk: Headquarters) -> None:
    french = desk.page.evaluate("document.documentElement.lang") == "fr"
    article = sku()
    desk.shop.sell(article, 3, till_id="caisse-1", till_seq=1)
    expect(desk.figure("sales")).to_have_text("1")
    expect(desk.figure("units")).to_have_text("3")
    expect(desk.card("Meilleures ventes" if french else "Top products")).to_contain_text(article)
    expect(desk.card("Magasins" if french else "Stores")).to_contain_text(
        re.compile(r"maintenant|il y a \d+ s" if french else r"now|\d+ secs? ago")
    )
    expect(desk.card("Alertes de stock" if french else "Stock alerts")).to_contain_text(article)
    expect(desk.page.locator("[data-test=freshness]")).to_have_text(re.compile(r"retard \d" if french else r"\d s behind"))

    desk.shop.sell(article, till_id="caisse-1", till_seq=4)
    expect(desk.figure("sales")).to_have_text("2")
    expect(desk.card("Caisses à surveiller" if french else "Tills to look after")).to_contain_text("2–3")
    assert desk.page.evaluate("window.never_reloaded") is True


def test_a_figure_explains_itself_by_keyboard(desk: Headquarters) -> None:
    for _ in range(2):
        desk.shop.sell(sku())
    expect(desk.figure("sales")).to_have_text("2")
    desk.figure("sales").focus()
    desk.page.keyboard.press("Enter")
    expect(desk.dialog.get_by_text("Les deux concordent")).to_be_visible()
    expect(desk.dialog.locator(".twins dd")).to_have_text(["2", "2"])
    expect(desk.dialog.locator(".facts li")).to_have_count(2)
    desk.page.keyboard.press("Escape")
    expect(desk.figure("sales")).to_be_focused()

    chart = desk.card("Ventes par heure")
    chart.get_by_text("Tableau", exact=True).click()
    chart.get_by_role("button", name=re.compile(r"^\d+ h$")).first.focus()
    desk.page.keyboard.press("Enter")
    expect(desk.dialog).to_contain_text("Les deux concordent")


def test_what_runs_out_is_asked_for_and_its_way_is_followed(desk: Headquarters) -> None:
    article = sku()
    desk.shop.sell(article, 2)
    alerts = desk.card("Alertes de stock")
    alerts.get_by_role("button", name=re.compile(f"Réapprovisionner {article}")).click()
    desk.dialog.get_by_role("textbox", name="Quantité").fill("6")
    desk.dialog.get_by_role("button", name="Demander", exact=True).click()
    expect(desk.dialog).to_be_hidden()
    expect(alerts).to_contain_text("Demandé")

    (restock,) = desk.shop.read("restocks", store=desk.shop.store_id)["items"]
    assert [(line["sku"], line["requested"]) for line in restock["lines"]] == [(article, 6)]
    for verb, word in (("approve", "Accordé"), ("ship", "En route")):
        answer = desk.shop.http.post(f"/api/v2/restocks/{restock['restock_id']}/{verb}", json={}, headers=NOW)
        assert answer.status_code == 201, answer.text
        expect(alerts).to_contain_text(word)


def test_what_was_read_stays_while_the_line_is_away_and_catches_up_after(desk: Headquarters) -> None:
    desk.shop.sell(sku())
    expect(desk.figure("sales")).to_have_text("1")
    with desk.wire.away():
        desk.shop.sell(sku())
        expect(desk.page.get_by_text(re.compile("Hors ligne"))).not_to_have_count(0)
        expect(desk.figure("sales")).to_have_text("1")
        expect(desk.page.locator("[data-test=freshness]")).to_have_text(re.compile(r"retard [1-9]"))
    expect(desk.figure("sales")).to_have_text("2")
    assert desk.page.evaluate("window.never_reloaded") is True
