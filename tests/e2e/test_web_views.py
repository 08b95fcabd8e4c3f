"""Can everybody use every view: in both languages and themes, by keyboard, over a slow line, when a session ends?"""

import json
import re
import secrets
import time
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from magasin.web_build import WEB
from tests.e2e.system import System

PASSPHRASE: Final = "every view for everybody"  # noqa: S105 - of accounts that live as long as a test
VIEWS: Final = (
    "/",
    "/caisse",
    "/siege",
    "/exploitation/apercu",
    "/exploitation/messages",
    "/exploitation/reconstructions",
    "/exploitation/rejeux",
    "/exploitation/verification",
    "/exploitation/audit",
    "/gestion/produits",
    "/gestion/magasins",
    "/gestion/utilisateurs",
    "/gestion/importations",
    "/gestion/comptages",
    "/gestion/webhooks",
)
STORES: Final = 10
AXE: Final = "node_modules/axe-core/axe.min.js"
SLOW: Final = {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 50_000}


def account(system: System, role: str = "admin", stores: tuple[str, ...] = ("*",)) -> str:
    """The name of a new account."""
    name = f"v-{secrets.token_hex(6)}"
    made = {"username": name, "password": PASSPHRASE, "role": role, "stores": [*stores]}
    assert system.client().post("/api/v2/users", json=made).status_code == 201
    return name


def signed_in(page: Page, url: str, name: str) -> None:
    """Sign in as a person does: with the keyboard only."""
    page.goto(f"{url}/connexion")
    expect(page.locator("input[name=username]")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSPHRASE)
    page.keyboard.press("Enter")
    expect(page.locator("header.top")).to_be_visible()


def context_of(browser: Browser, language: str = "fr", theme: str = "light", width: int = 1280) -> BrowserContext:
    """A browser that speaks a language and has a theme. What it keeps for offline is another module's matter."""
    return browser.new_context(
        locale=f"{language}-CA",
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 860},
        service_workers="block",
    )


def faults(page: Page) -> list[str]:
    """What axe finds serious or worse on the page."""
    page.evaluate((WEB / AXE).read_text(encoding="utf-8"))
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found: dict[str, Any] = json.loads(page.evaluate(f"axe.run({{runOnly: {json.dumps(rules)}}}).then(JSON.stringify)"))
    return [
        f"{page.url} {each['id']}: {each['nodes'][0]['html'][:200]} ({len(each['nodes'])})"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("language", "theme"), [("fr", "light"), ("en", "dark")])
def test_no_view_has_a_serious_fault_or_an_untranslated_text(browser: Browser, system: System, language: str, theme: str) -> None:
    system.open_store()
    name = account(system)
    with context_of(browser, language, theme) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None)
        page.goto(f"{system.url}/connexion")
        expect(page.locator("h1")).to_be_visible()
        complaints += faults(page)
        signed_in(page, system.url, name)
        for path in VIEWS:
            page.goto(f"{system.url}{path}")
            expect(page.locator("main h1").first).to_be_attached()
            expect(page.locator("main [role=status] .unseen")).to_have_count(0)
            expect(page.locator("html")).to_have_attribute("lang", language)
            text = page.locator("main").inner_text()
            complaints += [
                f"{path}: {each}" for each in re.findall(r"\b(?:caisse|siege|exploitation|gestion|accueil|ui|app)\.[a-z_]+", text)
            ]
            complaints += faults(page)
        assert complaints == []


def test_a_narrow_screen_is_wide_enough(browser: Browser, system: System) -> None:
    for _ in range(STORES):  # a column each
        system.open_store()
    name = account(system)
    with context_of(browser, width=360) as context:
        page = context.new_page()
        signed_in(page, system.url, name)
        for path in VIEWS:
            page.goto(f"{system.url}{path}")
            expect(page.locator("main h1").first).to_be_attached()
            expect(page.locator("main [role=status] .unseen")).to_have_count(0)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_a_slow_line_is_fast_enough(browser: Browser, system: System) -> None:
    with context_of(browser) as context:
        page = context.new_page()
        context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
        began = time.monotonic()
        page.goto(f"{system.url}/", wait_until="commit")
        expect(page.locator("input[name=username]")).to_be_focused()
        assert time.monotonic() - began <= 5.0


def test_a_session_that_ends_keeps_the_page_and_what_was_typed(browser: Browser, system: System) -> None:
    name = account(system)
    with context_of(browser) as context:
        page = context.new_page()
        signed_in(page, system.url, name)
        page.goto(f"{system.url}/gestion/produits")
        page.get_by_role("button", name="Nouveau produit").click()
        page.get_by_label("Nom (français)").fill("Tarte aux pommes")
        assert system.client().post(f"/api/v2/users/{name}/sign-out").status_code == 204
        asked = page.get_by_role("dialog", name="Votre session a expiré")
        asked.locator("input[name=password]").fill(PASSPHRASE)
        asked.get_by_role("button", name="Se connecter").click()
        expect(asked).to_have_count(0)
        expect(page.get_by_label("Nom (français)")).to_have_value("Tarte aux pommes")
        page.get_by_label("Code (SKU)").fill(f"T-{secrets.token_hex(4)}")
        for label in ("Nom (anglais)", "Catégorie (français)", "Catégorie (anglais)"):
            page.get_by_label(label).fill("Pie")
        page.get_by_label("Prix").fill("7,25")
        page.get_by_role("button", name="Enregistrer").click()
        expect(page.get_by_text("Enregistré", exact=True).first).to_be_visible()


def test_each_role_sees_its_own_doors(browser: Browser, system: System) -> None:
    shop = system.open_store()
    for role, stores, seen in (
        ("caissier", (shop.store_id,), ["Caisse", "Gestion"]),
        ("gestionnaire", ("*",), ["Accueil", "Caisse", "Siège", "Gestion"]),
        ("operateur", ("*",), ["Accueil", "Siège", "Exploitation"]),
    ):
        with context_of(browser) as context:
            page = context.new_page()
            signed_in(page, system.url, account(system, role, stores))
            expect(page.locator("header nav a")).to_have_text(seen)
            page.goto(f"{system.url}/gestion/utilisateurs" if role == "operateur" else f"{system.url}/exploitation/apercu")
            expect(page.get_by_role("heading", name="Cette page n’est pas pour votre rôle.")).to_be_visible()


def test_a_first_sale_is_seen_to_arrive(browser: Browser, system: System) -> None:
    # Of the stores of other tests, some refuse what they haven't got.
    shop = system.open_store()
    put = {"name": {"fr": "Pain", "en": "Bread"}, "category": {"fr": "Pain", "en": "Bread"}, "price": "4.25"}
    assert system.client(Prefer="wait=10").put("/api/v2/products/0-PAIN", json=put).status_code in {200, 201}
    with context_of(browser) as context:
        page = context.new_page()
        signed_in(page, system.url, account(system, "gestionnaire", (shop.store_id,)))
        page.goto(f"{system.url}/")
        page.get_by_role("button", name=re.compile("^Vendre")).click()
        expect(page.get_by_text(re.compile("Visible au siège")).locator("..")).to_contain_text(re.compile(r"\d ms"))


def test_a_file_with_faults_shows_them_all_and_a_right_one_is_recorded(browser: Browser, system: System) -> None:
    with context_of(browser) as context:
        page = context.new_page()
        signed_in(page, system.url, account(system))
        page.goto(f"{system.url}/gestion/importations")
        heading = "sku;nom_fr;nom_en;categorie_fr;categorie_en;prix\n"
        file = page.locator("input[type=file]")
        file.set_input_files({"name": "p.csv", "mimeType": "text/csv", "buffer": f"{heading}A;;B;C;C;x\nB;B;B;C;;2\n".encode()})
        expect(page.locator("tbody tr")).to_have_count(3)
        code = f"T-{secrets.token_hex(4)}"
        file.set_input_files({"name": "p.csv", "mimeType": "text/csv", "buffer": f"{heading}{code};Thé;Tea;C;C;3,50\n".encode()})
        page.get_by_role("button", name="Importer", exact=True).click()
        expect(page.get_by_text("1 ligne enregistrée.")).to_be_visible()
        assert system.client().get(f"/api/v2/products/{code}").json()["price"] == "3.50"
