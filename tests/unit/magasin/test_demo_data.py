"""Do the files become commands that the contract takes, the same ones every time?"""

import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from events.catalogue import ProductDetails, StoreDetails
from events.sales import SaleDetails
from events.stock import DeliveryDetails
from magasin import demo_data
from magasin.demo_data import (
    baskets,
    delivery_body,
    ean13,
    last_day_from,
    last_day_of_files,
    moved,
    opening_deliveries,
    opening_instant,
    opening_units,
    posts,
    product_body,
    products,
    readable_size,
    sale_body,
    sent_twice,
    store_bodies,
)

LAST_DAY = date(2026, 11, 21)
SUMMER_TIME_ENDS = datetime(2026, 11, 1, 6, tzinfo=UTC)


def facts(body: bytes, *, without: tuple[str, ...]) -> str:
    """The part of a request that a fact keeps."""
    return json.dumps({name: value for name, value in json.loads(body).items() if name not in without})


def test_every_product_is_a_description_that_the_catalogue_takes() -> None:
    made = [ProductDetails.model_validate_json(product_body(product)) for product in products()]
    assert len(made) == len({product.sku for product in products()}) == 9_855
    assert len({details.barcode for details in made}) == 9_855
    assert len({details.category.fr for details in made}) == 20
    assert all(details.price >= Decimal("0.01") for details in made)
    shouted = [details.name for details in made if details.name.fr.isupper() or details.name.en.isupper()]
    assert not shouted


def test_categories_are_french_first() -> None:
    milk = next(product for product in products() if product.sku == "820923")
    assert (milk.category_fr, milk.category_en) == ("Épicerie", "Grocery")
    assert milk.name_en == "White milk gal, national brand"
    assert milk.name_fr == "Lait blanc gal, marque nationale"
    assert milk.price_cents == 399


def test_every_shop_asks_one_centre_which_is_defined_first() -> None:
    made = {store_id: StoreDetails.model_validate_json(body) for store_id, body in store_bodies().items()}
    centre, *shops = made.values()
    assert centre.kind == "centre"
    assert next(iter(made)) == "centre"
    assert {shop.centre for shop in shops} == {"centre"}
    assert set(made) - {"centre"} == {basket.store_id for basket in baskets()}
    assert {details.timezone for details in made.values()} == {"America/Toronto"}


def test_every_basket_is_a_sale_that_tills_number_without_a_gap() -> None:
    numbers: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for basket in baskets():
        SaleDetails.model_validate_json(facts(sale_body(basket, LAST_DAY), without=("sale_id", "occurred_at")))
        numbers[basket.store_id, basket.till_id].append(basket.till_seq)
    assert len(baskets()) == len({basket.sale_id for basket in baskets()}) == 2_051
    assert all(given == list(range(1, len(given) + 1)) for given in numbers.values())
    assert len(numbers) == 3 * len(demo_data.SHOPS)


def test_what_was_paid_is_sent_where_the_rounded_unit_price_would_lose_it() -> None:
    lines = [line for basket in baskets() for line in basket.lines]
    assert len(lines) == 21_465
    assert sum(line.quantity * line.unit_cents != line.total_cents for line in lines) == 318
    sent = json.loads(sale_body(baskets()[0], LAST_DAY))["lines"]
    assert sum(Decimal(line["line_total"]) for line in sent) == Decimal(sum(line.total_cents for line in baskets()[0].lines)) / 100


def test_the_last_day_is_the_chosen_one_and_the_hour_of_the_day_stays() -> None:
    for basket in baskets():
        local = moved(basket.local, LAST_DAY).astimezone(ZoneInfo("America/Toronto"))
        assert local.time() == basket.local.time()
        assert local.date() - basket.local.date() == LAST_DAY - last_day_of_files()
    instants = [moved(basket.local, LAST_DAY) for basket in baskets()]
    assert min(instants) < SUMMER_TIME_ENDS < max(instants)
    assert max(instants).astimezone(ZoneInfo("America/Toronto")).date() == LAST_DAY


@pytest.mark.parametrize("last_day", [LAST_DAY, date(2026, 7, 1), date(2027, 3, 15), date(2027, 1, 1)])
def test_any_basket_tells_which_last_day_was_chosen(last_day: date) -> None:
    assert {last_day_from(basket, moved(basket.local, last_day)) for basket in baskets()} == {last_day}


def test_posting_is_out_of_order_and_one_in_ten_twice_byte_for_byte() -> None:
    sent = posts(LAST_DAY)
    times = Counter(post.basket.basket_id for post in sent)
    assert {basket_id for basket_id, count in times.items() if count == 2} == {b.basket_id for b in baskets() if sent_twice(b)}
    assert 0.08 < (len(sent) - len(times)) / len(times) < 0.12
    assert len({(post.basket.basket_id, post.body) for post in sent}) == len(times)
    out_of_order = sum(after.basket.local < before.basket.local for before, after in pairwise(sent))
    assert out_of_order > len(sent) / 4
    assert [post.body for post in posts(LAST_DAY)] == [post.body for post in sent]


def test_opening_stock_comes_before_the_first_sale_in_deliveries_that_the_contract_takes() -> None:
    deliveries = opening_deliveries()
    for delivery in deliveries:
        DeliveryDetails.model_validate_json(facts(delivery_body(delivery, LAST_DAY), without=("delivery_id", "occurred_at")))
    assert len({delivery.delivery_id for delivery in deliveries}) == len(deliveries)
    first_sale = min(moved(basket.local, LAST_DAY) for basket in baskets())
    assert timedelta(hours=1) < first_sale - opening_instant(LAST_DAY) < timedelta(days=2)
    assert datetime(2026, 11, 22, tzinfo=UTC) - opening_instant(LAST_DAY) < timedelta(days=32)


def test_one_pair_in_ten_is_short_so_that_some_shelves_end_empty_and_some_below() -> None:
    stock = {(delivery.store_id, sku): units for delivery in opening_deliveries() for sku, units in delivery.lines}
    centre = {sku: stock.pop((demo_data.CENTRE, sku)) for store_id, sku in list(stock) if store_id == demo_data.CENTRE}
    assert len(centre) == len({sku for _, sku in stock})
    assert len(stock) == 16_171
    for basket in baskets():
        for line in basket.lines:
            stock[basket.store_id, line.sku] -= line.quantity
    assert sum(units < 0 for units in stock.values()) == 60
    assert sum(units == 0 for units in stock.values()) == 1_629
    assert {opening_units(store_id, "820923", 10) for store_id in demo_data.SHOPS} <= {8, 12}


@pytest.mark.parametrize(("product_id", "barcode"), [("1000050", "2000010000500"), ("0", "2000000000008"), ("18293696", "2000182936966")])
def test_barcodes_carry_their_check_digit(product_id: str, barcode: str) -> None:
    assert ean13(product_id) == barcode
    assert sum(int(digit) * weight for digit, weight in zip(barcode, [1, 3] * 7, strict=False)) % 10 == 0


@pytest.mark.parametrize(
    ("size", "english", "french"),
    [
        ("15.75 OZ", "15.75 oz", "15,75 oz"),
        ("70 SQ FT", "70 sq ft", "70 pi²"),
        ("24CT", "24 ct", "24 un."),
        ("L      4 OZ", "L 4 oz", "L 4 oz"),
        ("974238  PK", "", ""),
        ("", "", ""),
        ("12 OZ PET", "12 oz pet", "12 oz pet"),
    ],
)
def test_sizes_are_written_as_each_language_writes_them(size: str, english: str, french: str) -> None:
    assert readable_size(size) == english
    assert readable_size(size, french=True) == french
