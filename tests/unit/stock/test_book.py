"""What does a book tell of the movements of one event?"""

from uuid import uuid4

from events.fields import Sku
from stock.book import Book
from stock.rules import Level, Movement
from tests.telling import SHOP, minutes

EVENT = uuid4()


def test_a_cell_that_nobody_loaded_is_a_level_of_nothing() -> None:
    assert Book(shops={}, levels={}).level(SHOP, "apple") == Level()


def test_a_sale_nobody_loaded_is_one_that_nothing_is_known_of() -> None:
    book = Book(shops={}, levels={})
    assert book.sale(SHOP, EVENT).lines is None
    assert book.sale(SHOP, EVENT) is book.sale(SHOP, EVENT)


def test_the_same_sale_id_in_two_stores_is_two_sales() -> None:
    book = Book(shops={}, levels={})
    assert book.sale(SHOP, EVENT) is not book.sale("vieux-port", EVENT)


def test_changes_are_told_once_a_sku_from_the_first_to_the_last() -> None:
    book = Book(shops={}, levels={(SHOP, "apple"): Level(2)})
    lines = (("apple", -3), ("pear", -1), ("apple", 1))
    movements = [Movement(Sku(sku), minutes(0), EVENT, line, delta=delta) for line, (sku, delta) in enumerate(lines)]
    assert book.apply(SHOP, EVENT, movements) == [("apple", 2, 0), ("pear", 0, -1)]


def test_every_movement_is_kept_with_the_event_that_wrote_it() -> None:
    book = Book(shops={}, levels={})
    movement = Movement(Sku("apple"), minutes(0), uuid4(), 0, delta=1)
    book.apply(SHOP, EVENT, [movement])
    assert book.moved == {(SHOP, "apple"): [(EVENT, movement)]}
