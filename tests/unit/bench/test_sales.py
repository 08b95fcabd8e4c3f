"""The sales that the benchmark posts."""

from itertools import islice

from bench.sales import HOT, SPREAD, Line, Sale, Sold, sales


def test_the_same_seed_gives_the_same_sales() -> None:
    once, again = (list(islice(sales(SPREAD, 7, lines=2), 50)) for _ in range(2))
    assert once == again
    assert once != list(islice(sales(SPREAD, 8, lines=2), 50))


def test_hot_sales_are_of_one_store_and_ten_skus() -> None:
    made = list(islice(sales(HOT, 1, lines=2), 500))
    assert {sale.store_id for sale in made} == {"banc-01"}
    assert len({line.sku for sale in made for line in sale.lines}) == 10


def test_spread_sales_are_of_every_store() -> None:
    assert len({sale.store_id for sale in islice(sales(SPREAD, 1, lines=1), 500)}) == 12


def test_sales_of_a_batch_are_of_one_store() -> None:
    made = list(islice(sales(SPREAD, 3, lines=1, together=100), 1_000))
    assert all(len({sale.store_id for sale in made[start : start + 100]}) == 1 for start in range(0, 1_000, 100))


def test_a_sku_stands_in_a_sale_once() -> None:
    assert all(len({line.sku for line in sale.lines}) == 10 for sale in islice(sales(HOT, 5, lines=10), 50))


def test_what_was_sold_is_added_up() -> None:
    sold = Sold()
    sold.add([Sale("a", (Line("x", 2, 150), Line("y", 1, 99))), Sale("a", (Line("x", 1, 150),))])
    assert (sold.sales, sold.cents) == (2, 2 * 150 + 99 + 150)
    assert sold.units == {("a", "x"): 3, ("a", "y"): 1}
