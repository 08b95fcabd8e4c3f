"""Does a file come in whole or not at all, and does it say everything that is wrong with it?"""

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.e2e.system import Json, Shop, System, sku

FRENCH = "sku;nom_fr;nom_en;catégorie FR;categorie_en;Prix;Code-barres;actif\r\n"
ENGLISH = "sku,name_fr,name_en,category_fr,category_en,price,barcode,active\n"


def sent(shop: Shop, what: str, content: str | bytes, **headers: str) -> httpx2.Response:
    """A file, as somebody sends it."""
    body = content.encode() if isinstance(content, str) else content
    return shop.http.post(f"/api/v2/imports/{what}", content=body, headers={"Content-Type": "text/csv", "Prefer": "wait=10", **headers})


def faults(answer: httpx2.Response) -> list[tuple[int, str, str]]:
    """(row, column, code) of each fault."""
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_import"), answer.text
    return [(each["row"], each["column"], each["code"]) for each in answer.json()["errors"]]


def articles(count: int) -> list[str]:
    return sorted(sku() for _ in range(count))


def price(shop: Shop, article: str) -> str | None:
    """What a product costs; None when there is none."""
    found = shop.http.get(f"/api/v2/products/{article}")
    return str(found.json()["price"]) if found.status_code == 200 else None


def rows_of(text: str, separator: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=separator))


def test_products_come_in_as_a_french_spreadsheet_writes_them(shop: Shop) -> None:
    first, second = articles(2)
    content = (
        f"\ufeff{FRENCH}{first};Fromage râpé;Shredded cheese;Crèmerie;Dairy;6,49;{first[2:]};oui\r\n"
        f"\r\n{second};Pâté;Pâté;Épicerie;Grocery;12;;non\r\n"
    )
    answer = sent(shop, "products", content)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert {name: told[name] for name in ("status", "rows", "events", "ignored_columns")} == {
        "status": "recorded",
        "rows": 2,
        "events": 2,
        "ignored_columns": [],
    }
    found = shop.read(f"products/{first}")
    assert (found["name"], found["category"]) == ({"fr": "Fromage râpé", "en": "Shredded cheese"}, {"fr": "Crèmerie", "en": "Dairy"})
    assert (found["price"], found["barcode"], found["active"]) == ("6.49", first[2:], True)
    assert (price(shop, second), shop.read(f"products/{second}")["active"]) == ("12.00", False)
    assert shop.read(answer.headers["location"].removeprefix("/api/v2/"))["status"] == "recorded"


def test_products_come_in_as_an_english_program_writes_them(shop: Shop) -> None:
    (article,) = articles(1)
    extra = ENGLISH.replace("price", "price,supplier")
    answer = sent(shop, "products", f'{extra}{article},"Lait, entier","Milk, whole",Frais,Fresh,3.50,Moulin,,\n')
    assert answer.status_code == 201, answer.text
    assert answer.json()["ignored_columns"] == ["supplier"]
    assert shop.read(f"products/{article}")["name"] == {"fr": "Lait, entier", "en": "Milk, whole"}


def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    (article,) = articles(1)
    answer = sent(shop, "products?dry_run=true", f"{ENGLISH}{article},Pain,Bread,Frais,Fresh,3.50,,\n")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["rows"]) == ("valid", 1)
    assert "location" not in answer.headers
    assert price(shop, article) is None
    assert shop.http.post("/api/v2/imports/products?dry_run=maybe", headers={"Content-Type": "text/csv"}).json()["errors"] == [
        {"pointer": "/query/dry_run", "code": "not_a_boolean", "detail": "Vrai ou faux est attendu."}
    ]


@pytest.mark.parametrize("asked", ["products", "products?dry_run=1"])
def test_all_faults_are_told_at_once_and_nothing_comes_in(shop: Shop, asked: str) -> None:
    good, bad, other = articles(3)
    content = (
        f"{FRENCH}{good};Bon;Good;Frais;Fresh;1,00;;\r\n"
        f"{bad};;Bad;Frais;Fresh;1,999;code barre;peut-être\r\n"
        "\r\n"
        f"pas un sku;Nom;Name;Frais;Fresh;-1;;\r\n"
        f"{good};Encore;Again;Frais;Fresh;2,00;;;de trop\r\n"
        f"{other};Nom;Name;Frais;Fresh;;;\r\n"
    )
    answer = sent(shop, asked, content)
    assert sorted(faults(answer)) == sorted(
        [
            (3, "nom_fr", "missing"),
            (3, "Prix", "too_precise"),
            (3, "Code-barres", "bad_format"),
            (3, "actif", "not_a_boolean"),
            (5, "sku", "bad_format"),
            (5, "Prix", "too_small"),
            (6, "", "too_many"),
            (6, "sku", "duplicate"),
            (7, "Prix", "missing"),
        ]
    )
    assert (answer.json()["rows"], answer.json()["total"]) == (5, 9)
    assert all(each["detail"] for each in answer.json()["errors"])
    assert "peut-être" not in answer.text, "what was sent isn't sent back"
    assert [price(shop, each) for each in (good, bad, other)] == [None] * 3
    english = sent(shop, asked, content, **{"Accept-Language": "en"}).json()["errors"]
    assert "This field is required." in {each["detail"] for each in english}


def test_the_file_of_faults_can_be_corrected_and_sent_again(shop: Shop) -> None:
    good, bad, worse = articles(3)
    content = f"{FRENCH}{good};Bon;Good;Frais;Fresh;1,00;;\r\n{bad};=Danger();Bad;Frais;Fresh;neuf;;\r\n{worse};Nom;;Frais;Fresh;3,00;;\r\n"
    answer = sent(shop, "products", content, Accept="text/csv")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/csv; charset=utf-8")
    assert "attachment" in answer.headers["content-disposition"]
    header, *rows = rows_of(answer.text, ";")
    assert header == [*FRENCH.strip().split(";"), "ligne", "erreur"]
    assert [(row[0], row[1], row[8]) for row in rows] == [(bad, "'=Danger()", "3"), (worse, "Nom", "4")]
    assert all(row[9] for row in rows)
    whole = rows_of(sent(shop, "products?format=csv&rows=all", content).text, ";")
    assert [(row[0], bool(row[9])) for row in whole[1:]] == [(good, False), (bad, True), (worse, True)]
    corrected = answer.text.replace(";neuf;", ";9,00;").replace(f"{worse};Nom;;", f"{worse};Nom;Name;")
    again = sent(shop, "products", corrected)
    assert again.status_code == 201, again.text
    assert [price(shop, each) for each in (good, bad, worse)] == [None, "9.00", "3.00"]
    assert shop.read(f"products/{bad}")["name"]["fr"] == "=Danger()"
    assert sent(shop, "products", answer.text).status_code == 422


def test_the_same_file_again_changes_nothing(shop: Shop) -> None:
    (article,) = articles(1)
    content = f"{ENGLISH}{article},Pain,Bread,Frais,Fresh,3.50,,\n"
    first, second = sent(shop, "products", content), sent(shop, "products", content)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert shop.read(f"events/{first.json()['event_id']}")["seq"] == shop.read(f"events/{second.json()['event_id']}")["seq"]
    dearer = content.replace("3.50", "4.00")
    assert sent(shop, "products", dearer).json()["import_id"] != first.json()["import_id"]
    assert price(shop, article) == "4.00"
    named = sent(shop, "products", content, **{"Idempotency-Key": f"prices of {article}"})
    assert named.status_code == 201
    assert price(shop, article) == "3.50", "with a key of its own it is another import"
    other = sent(shop, "products", dearer, **{"Idempotency-Key": f"prices of {article}"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert price(shop, article) == "3.50"


def test_without_waiting_the_answer_leads_to_the_last_event(shop: Shop) -> None:
    skus = articles(3)
    content = ENGLISH + "".join(f"{article},Pain,Bread,Frais,Fresh,3.50,,\n" for article in skus)
    answer = sent(shop, "products", content, Prefer="")
    assert (answer.status_code, answer.json()["status"], answer.json()["events"]) == (202, "accepted", 3)
    assert shop.settled(answer.json()["event_id"])["status"] == "recorded"
    assert [price(shop, article) for article in skus] == ["3.50"] * 3


def test_stores_come_in_and_sell(system: System, shop: Shop) -> None:
    names = [f"i{article[2:].lower()}" for article in articles(2)]
    content = (
        "magasin;nom;genre;fuseau_horaire;stock_insuffisant;fin_de_journee\n"
        f"{names[0]};Plateau;Magasin;America/Toronto;refuser;4:00\n{names[1]};Dépôt;centre;;;\n"
    )
    assert sent(shop, "stores", content).status_code == 201
    plateau, depot = (shop.read(f"stores/{name}") for name in names)
    assert (plateau["oversell"], plateau["day_ends"], plateau["kind"]) == ("refuse", "04:00", "store")
    assert (depot["kind"], depot["currency"], depot["oversell"]) == ("centre", "CAD", "allow")
    assert Shop(system, names[1], shop.http).sell("A")["status"] == "recorded"
    wrong = f"{names[0]};Un;boutique;Lune;;\n{names[0]};Deux;;;;\nsiege;Trois;;;;\nMAJ;;;;;\n"
    assert faults(sent(shop, "stores", content.splitlines()[0] + "\n" + wrong)) == [
        (2, "genre", "not_allowed_value"),
        (2, "fuseau_horaire", "bad_time_zone"),
        (3, "magasin", "duplicate"),
        (4, "magasin", "not_allowed_value"),
        (5, "nom", "missing"),
        (5, "magasin", "bad_format"),
    ]


def test_counts_of_many_shops_come_in_at_once(system: System, shop: Shop) -> None:
    other = system.open_store()
    skus = articles(501)
    shop.deliver(skus[0], 3)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    content = "store_id,sku,counted,counted_at\n" + "".join(f"{shop.store_id},{article},7,\n" for article in skus)
    content += f"{other.store_id},{skus[0]},9,{yesterday}\n"
    answer = sent(shop, "stock-counts", content)
    assert (answer.status_code, answer.json()["rows"], answer.json()["events"]) == (201, 502, 3)
    assert [shop.on_hand(skus[0]), shop.on_hand(skus[500]), other.on_hand(skus[0])] == [7, 7, 9]
    counted_at = shop.read("stock", store=other.store_id)["items"][0]["counted_at"]
    assert datetime.fromisoformat(counted_at) == datetime.fromisoformat(yesterday)


def test_counts_name_only_stores_that_are_the_callers_and_exist(system: System, shop: Shop) -> None:
    foreign = system.open_store()
    manager = Shop(system, shop.store_id, system.client("gestionnaire", [shop.store_id]))
    lines = (
        f"{foreign.store_id},A,1,",
        "nowhere,A,1,",
        f"{shop.store_id},A,-1,",
        f"{shop.store_id},B,1.0,2020-01-01",
        f"{shop.store_id},C,2,",
    )
    content = "store_id,sku,counted,counted_at\n" + "\n".join(lines)
    assert faults(sent(manager, "stock-counts", content)) == [
        (2, "store_id", "forbidden_store"),
        (3, "store_id", "forbidden_store"),
        (4, "counted", "too_small"),
        (5, "counted", "not_an_integer"),
        (5, "counted_at", "not_a_time"),
    ]
    assert (3, "store_id", "unknown_store") in faults(sent(shop, "stock-counts", content))
    old = "2019-01-01T00:00:00Z"
    assert faults(sent(manager, "stock-counts", f"store_id,sku,counted,counted_at\n{shop.store_id},A,1,{old}\n")) == [
        (2, "counted_at", "too_old")
    ]
    assert shop.read("stock", store=shop.store_id)["items"] == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "malformed_csv"),
        (b"\n \n", 400, "malformed_csv"),
        (ENGLISH.encode() + b"A,\xff,B,C,D,1,,\n", 400, "malformed_csv"),
        (ENGLISH.encode() + b'A,"B"b,C,D,E,1,,\n', 400, "malformed_csv"),
        (ENGLISH.encode() + b'A,"never closed\n', 400, "malformed_csv"),
        (ENGLISH.encode(), 422, "invalid_import"),
        (b"sku,sku,price\nA,A,1\n", 422, "invalid_import"),
    ],
)
def test_what_is_no_such_file_is_refused(shop: Shop, content: bytes, status: int, code: str) -> None:
    answer = sent(shop, "products", content)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_header_that_lacks_columns_is_told_before_its_rows(shop: Shop) -> None:
    found = faults(sent(shop, "products", "sku,sku,price,name_fr\nA,A,x,\n"))
    assert found == [(1, "sku", "duplicate"), (1, "nom_en", "missing"), (1, "categorie_fr", "missing"), (1, "categorie_en", "missing")]
    table = sent(shop, "products", "sku,price\nA,x\n", Accept="text/csv").text
    assert rows_of(table, ",")[1][2] == "1"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "text/csv; charset=latin-1"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Idempotency-Key": "x" * 257}, 422),
    ],
)
def test_other_kinds_of_content_are_refused(shop: Shop, headers: dict[str, str], status: int) -> None:
    assert sent(shop, "products", ENGLISH, **headers).status_code == status


def test_a_file_that_is_too_large_is_refused_before_it_is_read(shop: Shop) -> None:
    answer = sent(shop, "products", bytes(16_777_217))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_only_the_first_thousand_faults_are_told_but_all_are_counted(shop: Shop) -> None:
    content = ENGLISH + "A B,,,,,,,\n" * 700
    answer: Json = sent(shop, "products", content).json()
    assert len(answer["errors"]) == 1_000
    assert answer["total"] > 3_500
    table = rows_of(sent(shop, "products", content, Accept="text/csv").text, ",")
    assert len(table) == 701
    assert re.search("Ce champ est requis", table[1][-1])
