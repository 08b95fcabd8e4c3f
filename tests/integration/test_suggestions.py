"""Is what a store should ask for the right number, for the right reason, of the right store?"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import pytest
from sqlalchemy import Engine

from api.restock_reads import SOLD
from api.restock_words import explained
from events.catalogue import ProductStocked, StoreDefined
from events.fields import Sku, StoreId
from stock.suggestions import Wanted, suggestions
from tests.pipeline import NOBODY
from tests.restocking import Transfer
from tests.services import Services
from tests.telling import NOON, Branch, delivered, keep, own_engine, returned, sale, void
from workers.projector import Projector

TODAY = NOON.date()


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@dataclass(frozen=True)
class Chain:
    """A centre and its shops, with a SKU of their own."""

    engine: Engine
    centre: Branch
    sku: str

    def shop(self, **details: Any) -> Branch:  # noqa: ANN401 - fields of StoreDefined
        branch = Branch(self.engine)
        branch.keep(StoreDefined(**{"name": "Essai", "centre": StoreId(self.centre.store_id), **details}))
        return branch

    def stocked(self, branch: Branch, on_hand: int | None, reorder_point: int | None = None, target_level: int | None = None) -> Branch:
        if on_hand:
            branch.keep(delivered((self.sku, on_hand)))
        if reorder_point is not None or target_level is not None:
            branch.keep(ProductStocked(sku=Sku(self.sku), reorder_point=reorder_point, target_level=target_level))
        return branch

    def sold(self, branch: Branch, units: int, *, days_ago: int = 1) -> None:
        """Units sold then, and delivered the day before, so that nothing is missing for it."""
        at = NOON - timedelta(days=days_ago)
        branch.keep(branch.told(delivered((self.sku, units)), at=at - timedelta(days=1)), branch.told(sale((self.sku, units)), at=at))

    def suggested(self, *branches: Branch, today: date = TODAY) -> list[dict[str, Any]]:
        Projector(self.engine, NOBODY).catch_up()
        with self.engine.connect() as connection:
            wanted = Wanted([branch.store_id for branch in branches], today)
            return suggestions(connection, SOLD, wanted, after=None, limit=50)

    def quantity(self, branch: Branch, *, today: date = TODAY) -> int | None:
        found = self.suggested(branch, today=today)
        return found[0]["quantity"] if found else None


@pytest.fixture
def chain(engine: Engine) -> Chain:
    centre = Branch(engine)
    centre.keep(StoreDefined(name="Centre", kind="centre"))
    return Chain(engine, centre, f"sku-{centre.store_id}")


def test_what_is_there_and_what_comes_counts_against_the_reorder_point_up_to_the_target(chain: Chain) -> None:
    shop = chain.stocked(chain.shop(), 3, reorder_point=6, target_level=20)
    lines = {chain.sku: 2}
    under_way, approved, asked = (Transfer(chain.centre.store_id, shop.store_id) for _ in range(3))
    keep(chain.engine, under_way.requested(**lines), under_way.approved(), under_way.shipped(**lines))
    keep(chain.engine, approved.requested(**{chain.sku: 9}), approved.approved(**{chain.sku: 1}))
    assert [(each["quantity"], each["from_store"], each["source"]) for each in chain.suggested(shop)] == [
        (14, chain.centre.store_id, "centre")
    ]
    keep(chain.engine, asked.requested(**{chain.sku: 1}))
    assert chain.suggested(shop) == []
    keep(chain.engine, asked.cancelled())
    (found,) = chain.suggested(shop)
    assert found["numbers"] == {
        "on_hand": 3,
        "in_transit": 2,
        "on_order": 1,
        "reorder_point": 6,
        "target_level": 20,
        "sold_units": 0,
        "sold_days": 28,
        "days_left": None,
        "goal": 20,
        "source_spare": None,
        "source_on_hand": -2,
    }


def test_what_has_arrived_is_counted_once(chain: Chain) -> None:
    shop = chain.stocked(chain.shop(), 1, reorder_point=5, target_level=10)
    way = Transfer(chain.centre.store_id, shop.store_id)
    keep(chain.engine, way.requested(**{chain.sku: 4}), way.approved(), way.shipped(**{chain.sku: 4}))
    assert chain.quantity(shop) == 5
    keep(chain.engine, way.received({chain.sku: 3}))
    assert chain.quantity(shop) == 5
    keep(chain.engine, way.received({}, close=True))
    assert chain.quantity(shop) == 6


def test_a_product_that_was_never_there_is_suggested_when_the_shop_wants_it(chain: Chain) -> None:
    assert chain.quantity(chain.stocked(chain.shop(), None, reorder_point=2, target_level=8)) == 8
    assert chain.quantity(chain.stocked(chain.shop(), None, target_level=8)) is None, "nobody said when"


@pytest.mark.parametrize(("on_hand", "quantity"), [(8, None), (7, None), (6, 8), (0, 14)])
def test_without_a_reorder_point_less_than_a_weeks_sales_is_too_little(chain: Chain, on_hand: int, quantity: int | None) -> None:
    shop = chain.stocked(chain.shop(), on_hand)
    chain.sold(shop, 20, days_ago=27)
    chain.sold(shop, 8)
    chain.sold(shop, 100, days_ago=28)  # too long ago
    assert chain.quantity(shop) == quantity


def test_what_came_back_or_never_happened_was_not_sold(chain: Chain) -> None:
    shop = chain.stocked(chain.shop(), None)
    sold, undone = (shop.told(sale((chain.sku, 28)), at=NOON - timedelta(days=2)) for _ in range(2))
    shop.keep(shop.told(delivered((chain.sku, 56)), at=NOON - timedelta(days=3)), sold, undone)
    shop.keep(void(undone.event_id), returned(sold.event_id, (chain.sku, 27)))
    (found,) = chain.suggested(chain.stocked(shop, None, reorder_point=100, target_level=200))
    assert found["numbers"]["sold_units"] == 1


def test_sales_say_how_much_when_there_is_no_target_and_the_reorder_point_is_the_least(chain: Chain) -> None:
    shop = chain.stocked(chain.shop(), 3, reorder_point=5)
    assert chain.quantity(shop) == 2
    chain.sold(shop, 29)
    assert chain.quantity(shop) == 15 - 3, "half of what 28 days sold, rounded up"


def test_what_is_below_nothing_has_to_be_made_good(chain: Chain) -> None:
    shop = chain.stocked(chain.shop(), None, reorder_point=0, target_level=5)
    shop.keep(sale((chain.sku, 3)))
    assert chain.quantity(shop) == 8


# Of whom.


def test_a_store_with_enough_to_spare_comes_before_the_centre_and_the_one_with_most_first(chain: Chain) -> None:
    chain.stocked(chain.centre, 1_000)
    shop = chain.stocked(chain.shop(), None, reorder_point=1, target_level=10)
    assert chain.suggested(shop)[0]["numbers"]["source_on_hand"] == 1_000
    little, more, most = (chain.stocked(chain.shop(), units) for units in (9, 12, 15))
    (found,) = chain.suggested(shop)
    assert (found["from_store"], found["source"], found["numbers"]["source_spare"]) == (most.store_id, "store", 15)
    way = Transfer(most.store_id, little.store_id)
    keep(chain.engine, way.requested(**{chain.sku: 4}))
    (found,) = chain.suggested(shop)
    assert (found["from_store"], found["numbers"]["source_spare"]) == (more.store_id, 12), "what is promised isn't to spare"


@pytest.mark.parametrize(
    ("limits", "sold", "spare"),
    [
        ({"target_level": 4}, 0, 16),
        ({"target_level": 4, "reorder_point": 7}, 0, 13),
        ({}, 12, 14),
        ({"target_level": 11}, 0, None),
        ({}, 22, None),
    ],
)
def test_a_store_keeps_what_it_needs_itself(chain: Chain, limits: dict[str, int], sold: int, spare: int | None) -> None:
    shop = chain.stocked(chain.shop(), None, reorder_point=1, target_level=10)
    other = chain.stocked(chain.shop(), 20, **limits)
    if sold:
        chain.sold(other, sold)
    (found,) = chain.suggested(shop)
    assert (found["source"], found["numbers"]["source_spare"]) == ("centre" if spare is None else "store", spare)


def test_another_currency_is_another_chain_and_a_store_without_centre_may_have_no_source(chain: Chain) -> None:
    chain.stocked(chain.shop(currency="USD"), 100)
    lone = chain.stocked(chain.shop(centre=None), None, reorder_point=1, target_level=10)
    (found,) = chain.suggested(lone)
    assert (found["from_store"], found["source"]) == (None, None)


def test_centres_ask_nobody(chain: Chain) -> None:
    assert chain.suggested(chain.stocked(chain.centre, 1, reorder_point=10, target_level=100)) == []


def test_suggestions_come_page_by_page(chain: Chain) -> None:
    shops = [chain.stocked(chain.shop(), None, reorder_point=1, target_level=place + 1) for place in range(5)]
    stores = [shop.store_id for shop in shops]
    with chain.engine.connect() as connection:
        seen: list[str] = []
        after: list[str] | None = None
        while page := suggestions(connection, SOLD, Wanted(stores, TODAY), after=after, limit=2):
            seen += [each["store_id"] for each in page]
            after = [page[-1]["store_id"], page[-1]["sku"]]
    assert seen == sorted(stores)


# In words.


Source = Literal["store", "centre"]


def row(quantity: int = 14, source: Source | None = "centre", **numbers: float | None) -> dict[str, Any]:
    usual: dict[str, float | None] = dict.fromkeys(("reorder_point", "target_level", "days_left", "source_spare", "source_on_hand"))
    usual |= {"on_hand": 3, "in_transit": 2, "on_order": 1, "sold_units": 0, "sold_days": 28, "goal": 20}
    return {"quantity": quantity, "source": source, "from_store": source and "nord", "numbers": {**usual, **numbers}}


@pytest.mark.parametrize(
    ("suggestion", "fr", "en"),
    [
        (
            row(reorder_point=6, target_level=20, source_on_hand=500),
            [
                "Le seuil de réapprovisionnement est 6.",
                "Le niveau visé est 20 : il en faut 14.",
                "Aucun magasin n'en a assez de trop : le centre nord en a 500.",
            ],
            ["The reorder point is 6.", "The target level is 20: 14 are needed.", "No store has enough to spare: the centre nord has 500."],
        ),
        (
            row(source="store", sold_units=40, days_left=4.2, source_spare=31),
            [
                "40 vendus en 28 jours : il en reste pour 4,2 jour(s), moins de 7.",
                "Les ventes de 14 jours en demandent 20 : il en faut 14.",
                "Le magasin nord en a 31 de plus que son propre besoin : un transfert suffit.",
            ],
            [
                "40 sold in 28 days: enough for 4.2 day(s), fewer than 7.",
                "The sales of 14 days take 20: 14 are needed.",
                "Store nord has 31 more than it needs itself: a transfer is enough.",
            ],
        ),
        (
            row(2, None, reorder_point=8, goal=8),
            [
                "Le seuil de réapprovisionnement est 8.",
                "Il en faut 2 pour remonter au seuil.",
                "Aucun magasin n'en a assez de trop, et ce magasin n'a pas de centre.",
            ],
            [
                "The reorder point is 8.",
                "2 are needed to be at the reorder point again.",
                "No store has enough to spare, and this store has no centre.",
            ],
        ),
    ],
)
def test_each_number_is_explained_in_both_languages(suggestion: dict[str, Any], fr: list[str], en: list[str]) -> None:
    assert explained(suggestion) == {
        "fr": " ".join(["3 en stock + 2 en transit + 1 déjà demandés = 6.", *fr]),
        "en": " ".join(["3 on hand + 2 in transit + 1 on order = 6.", *en]),
    }
