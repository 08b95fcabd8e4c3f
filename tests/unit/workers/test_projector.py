"""Which stores are told that something changed?"""

from schemas.envelope import Accepted, Recorded
from tests.restocking import CENTRE, Transfer
from tests.telling import SHOP, logged, sale, told
from workers.projector import changed


def at(place: int, accepted: Accepted) -> Recorded:
    return logged(accepted, seq=place)


def test_a_store_is_told_the_last_place_and_the_types_of_its_own_log() -> None:
    events = [at(3, told(sale(("apple", 1)))), at(4, told(sale(("apple", 1))))]
    assert changed({SHOP: events}) == [{"store_id": SHOP, "seq": 4, "types": ["sale.recorded"]}]
    assert changed({}) == []


def test_what_one_store_does_with_a_restock_is_told_to_the_other_too() -> None:
    way = Transfer()
    assert changed({CENTRE: [at(7, way.approved()), at(8, way.shipped(apple=1))]}) == [
        {"store_id": CENTRE, "seq": 8, "types": ["restock.approved", "restock.shipped"]},
        {"store_id": SHOP, "seq": 0, "types": ["restock.approved", "restock.shipped"]},
    ]
    both = changed({CENTRE: [at(9, way.shipped(apple=1))], SHOP: [at(5, told(sale(("apple", 1))))]})
    assert both[1] == {"store_id": SHOP, "seq": 5, "types": ["restock.shipped", "sale.recorded"]}
