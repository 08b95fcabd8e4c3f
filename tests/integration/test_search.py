"""Does a search find what is meant: whole codes first, every word wherever it stands, and the nearest words when nothing else is found?"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from sqlalchemy import Connection, Engine

from infra.database import together
from stock.assortment import Description, statements
from stock.catalogue import Meant, Wanted, meant, products
from tests.e2e.system import Json, Shop, System, eventually, sku

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = {
    "A-1": ("Fromage râpé", "Shredded cheese", "123456789012"),
    "A-2": ("Fromages fins", "Fine cheeses", None),
    "B-1": ("Yogourt nature", "Plain yogurt", None),
    "B-2": ("Yogourt notre terroir", "Our local yogurt", None),
    "C-123456789012": ("Chocolat noir", "Dark chocolate", None),
    "C": ("Chou 1,5 kg", "Cabbage 1.5 kg", None),
}


@pytest.fixture
def catalogue(engine: Engine) -> Iterator[Connection]:
    """A connection to a database with a few products."""
    with engine.begin() as connection:
        together(connection, statements(defined(article, *named) for article, named in NAMES.items()))
    with engine.connect() as connection:
        yield connection


def defined(article: str, french: str, english: str, barcode: str | None, seconds: int = 0) -> Description:
    name, category = {"fr": french, "en": english}, {"fr": "Épicerie", "en": "Grocery"}
    product = {"sku": article, "name": name, "category": category, "price": "1.00", "barcode": barcode}
    return product, NOON + timedelta(seconds=seconds)


def found(catalogue: Connection, typed: str) -> list[str]:
    """The SKUs, the same page by page as all at once."""
    with catalogue.begin():
        whole = [row["sku"] for row in products(catalogue, Wanted(search=typed), after=None, limit=50).rows]
        pages: list[str] = []
        place: tuple[int, str] | None = None
        while page := products(catalogue, Wanted(search=typed), after=place, limit=1).rows:
            pages.append(page[0]["sku"])
            place = page[0]["reading"], page[0]["sku"]
    assert pages == whole
    return whole


@pytest.mark.parametrize(
    ("typed", "skus"),
    [
        ("fromage", ["A-1", "A-2"]),
        ("RAPE fromage", ["A-1"]),
        ("fromge", ["A-1", "A-2"]),
        ("fromge rapé", ["A-1"]),
        ("fromge raep", ["A-1"]),
        ("yogourt natre", ["B-1", "B-2"]),
        ("yogurt", ["B-1", "B-2"]),
        ("choclat", ["C-123456789012"]),
        ("chocal", ["C-123456789012"]),
        ("epicrie", sorted(NAMES)),
        ("chou 1,5", ["C"]),
        ("chuo 1,5", ["C"]),
        ("chou 1,6", []),
        ("xylophone", []),
        ("fromage xylophone", []),
    ],
)
def test_words_find_what_is_meant(catalogue: Connection, typed: str, skus: list[str]) -> None:
    assert found(catalogue, typed) == skus


def test_a_whole_code_finds_its_product_first(catalogue: Connection) -> None:
    assert found(catalogue, "123456789012") == ["A-1", "C-123456789012"]
    assert found(catalogue, " c ") == ["C", "A-1", "A-2", "C-123456789012"]
    assert found(catalogue, "a-2") == ["A-2"]
    assert found(catalogue, "12345678901") == ["A-1", "C-123456789012"]
    assert found(catalogue, "923456789012") == []


def test_what_was_taken_instead_is_told(catalogue: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    with catalogue.begin():
        assert meant(catalogue, "fromge rape") == Meant(skus={"A-1"}, corrected=("fromage rape",))
        assert meant(catalogue, "fromage") == Meant(skus={"A-1", "A-2"})
        assert meant(catalogue, "xylophone") == Meant(skus=set())
        assert meant(catalogue, None) == meant(catalogue, "?") == Meant()
        monkeypatch.setattr("stock.catalogue.FEW", 1)
        assert meant(catalogue, "fromage") == Meant(phrase="fromage")
        assert meant(catalogue, "fromge") == Meant(phrase="fromage", corrected=("fromage",))
        both = products(catalogue, Wanted(search="yogourt natre"), after=None, limit=50)
        assert both.corrected == ("yogourt nature", "yogourt notre")
        assert [row["reading"] for row in both.rows] == [2, 3]


def test_a_category_narrows_a_search_for_misspelt_words(catalogue: Connection) -> None:
    with catalogue.begin():
        assert products(catalogue, Wanted(search="fromge", category="grocery"), after=None, limit=1).rows[0]["sku"] == "A-1"
        assert products(catalogue, Wanted(search="fromge", category="garden"), after=None, limit=1).rows == []


def test_a_new_word_is_known_at_once_and_a_renamed_product_is_not_found_by_its_old_one(engine: Engine, catalogue: Connection) -> None:
    with engine.begin() as connection:
        together(connection, statements([defined("A-1", "Gruyère", "Gruyere", None)]))
    assert found(catalogue, "gruyre") == ["A-1"]
    assert found(catalogue, "shreded") == []


def test_the_description_that_was_given_last_counts_in_whatever_order_they_come(engine: Engine, catalogue: Connection) -> None:
    later, latest = defined("A-1", "Gouda", "Gouda", None, 1), defined("A-1", "Brie", "Brie", None, 2)
    for batch in ([latest, later], [later], [defined("A-1", "Feta", "Feta", None, 0)]):
        with engine.begin() as connection:
            together(connection, statements(batch))
        assert found(catalogue, "brie") == ["A-1"]
        assert found(catalogue, "gouda") == found(catalogue, "feta") == []


@pytest.fixture(scope="module")
def cheese(system: System) -> Shop:
    """A shop with one product that was sold, and another."""
    shop = system.open_store()
    article = shop.store_id.upper()
    for each, name in ((article, "Emmental Grandcru"), (f"{article}-X", "Parmigiano Stravecchio")):
        body = {
            "name": {"fr": name, "en": name},
            "category": {"fr": "Crèmerie", "en": "Dairy"},
            "price": "4.00",
            "barcode": f"7{each[2:8]}",
        }
        assert shop.http.put(f"/api/v2/products/{each}", json=body, headers={"Prefer": "wait=10"}).status_code == 201
    shop.sell(article)
    return shop


def looked(shop: Shop, read: str, typed: str) -> httpx2.Response:
    answer = shop.http.get(f"/api/v2/{read}", params={"search": typed, "limit": 1})
    assert answer.status_code == 200, answer.text
    return answer


def test_the_answer_tells_what_was_looked_for_instead(cheese: Shop) -> None:
    article = cheese.store_id.upper()
    for read, filters in (("products", {}), ("stock", {"store": cheese.store_id})):
        answer = cheese.read(read, search="emental grandcur", **filters)
        assert [item["sku"] for item in answer["items"]] == [article]
        assert answer["meta"]["corrected"] == ["emmental grandcru"]
        assert "reading" not in answer["items"][0]
    exact: Json = cheese.read("products", search="emmental grandcru")
    assert "corrected" not in exact["meta"]
    table = cheese.http.get("/api/v2/products", params={"search": "emental grandcur", "format": "csv"}).text
    assert "reading" not in table
    assert article in table


def test_pages_of_a_search_follow_each_other(cheese: Shop) -> None:
    article = cheese.store_id.upper()
    first = looked(cheese, "products", article)
    assert [item["sku"] for item in first.json()["items"]] == [article]
    second = cheese.http.get(first.links["next"]["url"])
    assert [item["sku"] for item in second.json()["items"]] == [f"{article}-X"]
    assert "next" not in second.links


def test_a_place_of_another_list_is_refused(cheese: Shop) -> None:
    cursor = httpx2.URL(looked(cheese, "products", cheese.store_id).links["next"]["url"]).params["after"]
    assert cheese.http.get("/api/v2/products", params={"after": cursor}).json()["code"] == "bad_cursor"


def test_a_deleted_letter_costs_no_shop_its_stock(cheese: Shop) -> None:
    eventually(lambda: cheese.read("stock", search="emmental", store=cheese.store_id)["items"] or None)
    assert cheese.read("stock", search="emmetal", store=cheese.store_id)["items"][0]["on_hand"] == -1
    assert cheese.read("stock", search=sku())["items"] == []


def test_stock_of_several_products_is_one_question(cheese: Shop) -> None:
    article = cheese.store_id.upper()
    other = f"{article}-Y"
    cheese.sell(other)

    def listed(**asked: str | list[str]) -> list[str]:
        answer = cheese.http.get("/api/v2/stock", params={"store": cheese.store_id, **asked})
        assert answer.status_code == 200, answer.text
        return [item["sku"] for item in answer.json()["items"]]

    assert eventually(lambda: listed(sku=[other, article, "nobody"]) == [article, other] or None)
    assert listed(sku=other) == [other]
    assert listed(sku=[other, article], search="emmental") == [article]
    refused = cheese.http.get("/api/v2/stock", params={"sku": [article, "no good"]})
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/query/sku/1"]
