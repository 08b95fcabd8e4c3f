"""Does a till in a browser lose a sale, or sell twice, whatever happens to the line, to the page and to the answers?"""

import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from playwright.sync_api import TimeoutError as NotThereError

from tests.e2e.browsing import PATIENCE_MS
from tests.e2e.lines import Wire
from tests.e2e.system import Json, Shop, System, eventually

PASSPHRASE: Final = "correct horse battery"  # noqa: S105 - of accounts that live as long as a test
MOMENT_MS: Final = 1_000
A_SALE: Final = r"^POST /api/v2/stores/[^/]+/sales "
KEPT_OFFLINE: Final = "navigator.serviceWorker.ready.then(found => found.active !== null)"


@pytest.fixture
def wire(system: System) -> Iterator[Wire]:
    """The line between the browser and the system."""
    found = Wire(system.url)
    yield found
    found.close()


@dataclass
class Product:
    """Something to sell, with a barcode of its own, and a mark by which it is found among what other tests sell."""

    name: str
    price: str
    sku: str = field(default_factory=lambda: f"T-{secrets.token_hex(5)}")
    barcode: str = field(default_factory=lambda: str(secrets.randbelow(9 * 10**12) + 10**12))
    mark: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def label(self) -> str:
        """What the till calls it, in French."""
        return f"{self.name} {self.mark}"


@dataclass
class Till:
    """A till in a browser, used as a cashier does: by keyboard and scanner."""

    context: BrowserContext
    page: Page
    url: str
    username: str

    @property
    def field(self) -> Locator:
        return self.page.get_by_role("combobox", name=re.compile("Chercher un produit|Search for a product"))

    @property
    def pill(self) -> Locator:
        return self.page.locator(".till-pill")

    @property
    def lines(self) -> Locator:
        return self.page.locator(".cart .lines li")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def sign_in(self) -> None:
        """Open the till for the first time, until it can be opened without a line as well."""
        if "/connexion" not in self.page.url:
            self.page.goto(f"{self.url}/caisse")
        self.page.locator("[autocomplete=username]").fill(self.username)
        self.page.locator("[autocomplete=current-password]").fill(PASSPHRASE)
        self.page.keyboard.press("Enter")
        expect(self.field).to_be_focused()
        expect(self.page.get_by_text(re.compile("produits?, à jour|products?, updated"))).to_be_visible()

    def reopen(self) -> None:
        """Close the page, and open it again."""
        self.page.close()
        self.page = self.context.new_page()
        self.page.goto(f"{self.url}/caisse")
        expect(self.field).to_be_focused()

    def scan(self, code: str) -> None:
        """As a scanner does: the code and Enter."""
        expect(self.field).to_be_focused()
        self.page.keyboard.type(code)
        self.page.keyboard.press("Enter")

    def pay(self, given: str = "") -> str:
        """Be paid in cash, and begin the next sale: the number on the receipt."""
        self.page.keyboard.press("F9")
        expect(self.page.get_by_label(re.compile("Montant remis|Amount given"))).to_be_focused()
        self.page.keyboard.type(given)
        self.page.keyboard.press("Enter")
        number = self.page.locator("[data-receipt]").inner_text()
        expect(self.dialog.get_by_role("button", name=re.compile("Nouvelle vente|New sale"))).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(self.field).to_be_focused()
        return number

    def ring(self, code: str) -> str:
        """Sell what a scanner reads."""
        self.scan(code)
        expect(self.lines).to_have_count(1)
        return self.pay()

    def button(self, name: str) -> Locator:
        return self.dialog.get_by_role("button", name=name, exact=True)


@dataclass
class Stand:
    """A shop with a till, and something to sell."""

    shop: Shop
    till: Till
    coffee: Product
    cream: Product

    def sales(self) -> list[Json]:
        """The shop's sales in the order in which they were recorded."""
        return sorted(self.shop.read(f"stores/{self.shop.store_id}/sales", limit=500)["items"], key=lambda each: each["seq"])

    def settled(self, count: int) -> list[Json]:
        """The same, once there are so many."""
        return eventually(lambda: found if len(found := self.sales()) >= count else None)

    def one(self, sale: Json) -> Json:
        """A sale with its lines."""
        return self.shop.read(f"stores/{self.shop.store_id}/sales/{sale['sale_id']}")


def cashier_of(shop: Shop) -> str:
    """The name of a new cashier of that shop."""
    name = f"c-{secrets.token_hex(6)}"
    account = {"username": name, "password": PASSPHRASE, "role": "caissier", "stores": [shop.store_id]}
    assert shop.http.post("/api/v2/users", json=account).status_code == 201
    return name


@pytest.fixture
def stand(system: System, wire: Wire, browser: Browser) -> Iterator[Stand]:
    """A till that a cashier has just opened, in a shop of its own."""
    with open_stand(system, wire, browser) as found:
        yield found


class open_stand:  # noqa: N801 - used as a function
    """A stand in a block; what is open in the browser is closed after it."""

    def __init__(self, system: System, wire: Wire, browser: Browser, locale: str = "fr-CA", **store: str) -> None:
        shop = system.open_store(**store)
        products = Product("Café moulu", "7.49"), Product("Crème brûlée", "2.98")
        for each in products:
            body = {
                "name": {"fr": each.label, "en": f"EN {each.label}"},
                "category": {"fr": "Épicerie", "en": "Grocery"},
                "price": each.price,
            }
            answer = shop.http.put(f"/api/v2/products/{each.sku}", json={**body, "barcode": each.barcode}, headers={"Prefer": "wait=10"})
            assert answer.status_code == 201, answer.text
        cashier = cashier_of(shop)
        self.context = browser.new_context(locale=locale, viewport={"width": 1280, "height": 800})
        self.context.set_default_timeout(PATIENCE_MS)
        self.stand = Stand(shop, Till(self.context, self.context.new_page(), wire.url, cashier), *products)

    def __enter__(self) -> Stand:
        self.stand.till.sign_in()
        return self.stand

    def __exit__(self, *_: object) -> None:
        self.context.close()


def test_a_sale_by_keyboard_is_recorded_with_its_number_and_what_was_given(stand: Stand) -> None:
    till = stand.till
    till.page.keyboard.type(f"creme bru {stand.cream.mark}")
    expect(till.page.get_by_role("row").first).to_contain_text("Crème brûlée")
    till.page.keyboard.press("Enter")
    till.scan(f"2*{stand.coffee.barcode}")
    expect(till.lines).to_have_count(2)
    till.page.keyboard.press("+")
    expect(till.page.locator(".total b")).to_have_text(re.compile(r"25,45\s\$"))
    till.page.keyboard.press("Delete")
    expect(till.lines).to_have_count(1)
    till.page.keyboard.press("Control+z")
    expect(till.lines).to_have_count(2)
    number = till.pay("30")
    (sale,) = stand.settled(1)
    told = stand.one(sale)
    assert {each["sku"]: (each["quantity"], each["unit_price"]) for each in told["lines"]} == {
        stand.cream.sku: (1, "2.98"),
        stand.coffee.sku: (3, "7.49"),
    }
    assert (told["payment"], sale["till_seq"], sale["total"]) == ({"method": "cash", "tendered": "30.00"}, 1, "25.45")
    assert number == f"{stand.shop.store_id}-{sale['till_id'][-4:].upper()}-00001"
    expect(till.pill).to_have_text("En ligne")


def test_what_is_sold_offline_goes_in_order_and_once_also_after_the_page_was_closed(stand: Stand, wire: Wire) -> None:
    till = stand.till
    assert till.page.evaluate(KEPT_OFFLINE)
    with wire.away():
        till.ring(stand.coffee.barcode)
        till.ring(f"4*{stand.cream.barcode}")
        expect(till.pill).to_have_text("Hors ligne – 2 ventes en attente")
        till.scan(stand.coffee.barcode)
        expect(till.lines).to_have_count(1)
        till.reopen()
        expect(till.lines).to_have_count(1)
        till.pay()
        till.page.keyboard.type(f"brulee {stand.cream.mark}")
        expect(till.page.get_by_role("row").first).to_contain_text("Crème brûlée")
        till.page.keyboard.press("Enter")
        till.pay()
        expect(till.pill).to_have_text("Hors ligne – 4 ventes en attente")
        assert stand.sales() == []
        till.page.get_by_role("button", name=re.compile("^Compte")).click()
        till.page.get_by_role("button", name="Se déconnecter").click()
        expect(till.dialog).to_contain_text("4 opérations ne sont pas encore envoyées")
        till.button("Rester connecté").click()
        till.reopen()
        expect(till.pill).to_have_text("Hors ligne – 4 ventes en attente")
    expect(till.pill).to_have_text("En ligne")
    sales = stand.settled(4)
    assert [each["till_seq"] for each in sales] == [1, 2, 3, 4]
    assert [each["total"] for each in sales] == ["7.49", "11.92", "7.49", "2.98"]
    assert {each["till_id"] for each in sales} == {sales[0]["till_id"]}


def test_a_sale_whose_answers_are_lost_is_sold_once(stand: Stand, wire: Wire) -> None:
    till = stand.till
    wire.lose(3, A_SALE)
    for code in (stand.coffee.barcode, f"2*{stand.coffee.barcode}", f"3*{stand.coffee.barcode}"):
        till.ring(code)
    expect(till.pill).to_have_text("En ligne")
    assert wire.lost == 3
    wire.lose(1_000, A_SALE)
    till.ring(f"4*{stand.coffee.barcode}")
    eventually(lambda: wire.lost > 3 or None)
    till.page.close()
    wire.lose(0, A_SALE)
    till.page = till.context.new_page()
    till.page.goto(f"{till.url}/caisse")
    expect(till.pill).to_have_text("En ligne")
    sales = stand.settled(4)
    assert [(each["till_seq"], each["units"]) for each in sales] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert stand.shop.on_hand(stand.coffee.sku) == -10


def test_a_refused_sale_is_shown_and_holds_up_nobody(system: System, wire: Wire, browser: Browser) -> None:
    with open_stand(system, wire, browser, oversell="refuse") as stand:
        till = stand.till
        stand.shop.deliver(stand.cream.sku, 5)
        refused = till.ring(stand.coffee.barcode)
        till.ring(f"2*{stand.cream.barcode}")
        expect(till.page.get_by_role("alert")).to_contain_text("1 opération refusée")
        till.page.keyboard.press("F4")
        till.dialog.get_by_role("button", name=refused).click()
        expect(till.dialog.get_by_role("alert")).to_contain_text("Stock insuffisant")
        till.button("Vendre quand même").click()
        expect(till.dialog.locator("h3").first).to_have_text(re.compile("-00003$"))
        expect(till.dialog.locator(".pill").first).to_have_text("Enregistrée")
        till.button("Annuler la vente").click()
        till.button("Annuler la vente").click()
        expect(till.dialog.locator(".pill").first).to_have_text("Annulée")
        assert [(each["till_seq"], each["status"]) for each in stand.settled(2)] == [(2, "recorded"), (3, "voided")]


def test_goods_come_back_and_more_are_asked_for_without_a_line(system: System, wire: Wire, browser: Browser) -> None:
    with open_stand(system, wire, browser, centre=system.open_store(kind="centre").store_id) as stand:
        take_back_and_ask_for_more(stand, wire)


def take_back_and_ask_for_more(stand: Stand, wire: Wire) -> None:
    """Both while the line is down, then both arrive."""
    till = stand.till
    number = till.ring(f"3*{stand.coffee.barcode}")
    stand.settled(1)
    expect(till.pill).to_have_text("En ligne")
    with wire.away():
        till.page.keyboard.press("F4")
        till.dialog.get_by_role("button", name=number).click()
        till.button("Retour d’articles").click()
        till.button(f"Un de plus à retourner : {stand.coffee.label}").click()
        till.button("Valider le retour").click()
        expect(till.dialog.locator(".after")).to_contain_text(f"2 × {stand.coffee.label}")
        till.page.keyboard.press("Escape")
        till.page.keyboard.type(f"moulu {stand.coffee.mark}")
        till.page.keyboard.press("F7")
        till.button("Demander").click()
        expect(till.pill).to_have_text("Hors ligne – 2 opérations en attente")
    expect(till.pill).to_have_text("En ligne")
    (sale,) = stand.settled(1)
    (back,) = eventually(lambda: stand.one(sale)["returns"] or None)
    assert [(each["sku"], each["quantity"], each["condition"]) for each in back["lines"]] == [(stand.coffee.sku, 2, "resellable")]
    (asked,) = eventually(lambda: stand.shop.read("restocks", store=stand.shop.store_id)["items"] or None)
    assert [(each["sku"], each["requested"]) for each in asked["lines"]] == [(stand.coffee.sku, 10)]


def test_a_session_that_ended_keeps_the_cart_and_who_signs_in_next_stands_elsewhere(system: System, wire: Wire, browser: Browser) -> None:
    with open_stand(system, wire, browser, locale="en-CA") as stand:
        till = stand.till
        till.scan(stand.coffee.barcode)
        expect(till.lines).to_have_count(1)
        assert system.client().post(f"/api/v2/users/{till.username}/sign-out").status_code == 204
        again = till.page.locator("[autocomplete=current-password]")
        eventually(lambda: ended(stand, again) or None)
        again.fill(PASSPHRASE)
        till.page.keyboard.press("Enter")
        expect(till.field).to_be_focused()
        expect(till.lines).to_contain_text(f"EN {stand.coffee.label}")
        till.pay()
        expect(till.pill).to_have_text("Online")
        assert stand.settled(1)[0]["total"] == "7.49"

        elsewhere = Stand(system.open_store(), till, stand.coffee, stand.cream)
        till.username = cashier_of(elsewhere.shop)
        till.page.get_by_role("button", name=re.compile("^Account")).click()
        till.page.get_by_role("button", name="Sign out").click()
        till.page.wait_for_url("**/connexion**")
        till.sign_in()
        till.ring(stand.cream.barcode)
        assert elsewhere.settled(1)[0]["total"] == "2.98"


def ended(stand: Stand, form: Locator) -> bool:
    """Whether the page asks for the password; it is made to ask the system something until then."""
    if form.is_visible():
        return True
    with suppress(NotThereError):  # the page may ask between the two
        stand.till.field.fill(secrets.choice(("caf", "cre", "mou")), timeout=MOMENT_MS)
    return False
