"""Are the cells of a page those that were asked for, whichever of its ways PostgreSQL is led?"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from stock.holdings import Wanted, levels
from stock.tables import product, stock_level, store_product
from stock.words import search_form

NAMES = {"P-1": "thé vert", "P-2": "thé noir", "P-3": "café noir", "P-4": "sucre"}
ON_HAND = {
    "s-1": {"P-1": 9, "P-2": 0, "P-3": -2, "P-4": 1},
    "s-2": {"P-2": 2, "P-4": 7},
    "s-3": {"P-1": 0, "P-2": 3, "P-3": 8},
}
REORDER_POINT = 3


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        named = {"category_fr": "Épicerie", "category_en": "Grocery", "price": "1.00", "active": True}
        for sku, name in NAMES.items():
            words = f" {search_form(name)}"
            connection.execute(product.insert().values(sku=sku, name_fr=name, name_en=name, search_text=words, **named))
        for store_id, cells in ON_HAND.items():
            for sku, on_hand in cells.items():
                connection.execute(stock_level.insert().values(store_id=store_id, sku=sku, on_hand=on_hand))
                connection.execute(store_product.insert().values(store_id=store_id, sku=sku, reorder_point=REORDER_POINT))
        yield connection


def status(on_hand: int) -> str:
    if on_hand < 0:
        return "negative"
    if on_hand == 0:
        return "out"
    return "low" if on_hand <= REORDER_POINT else "ok"


def expected(wanted: Wanted) -> list[tuple[str, str, int, str]]:
    return [
        (store_id, sku, on_hand, status(on_hand))
        for store_id, cells in ON_HAND.items()
        for sku, on_hand in cells.items()
        if (wanted.stores is None or store_id in wanted.stores)
        and (wanted.skus is None or sku in wanted.skus)
        and (wanted.search is None or wanted.search in search_form(NAMES[sku]))
        and wanted.status in {None, status(on_hand)}
    ]


def found(connection: Connection, wanted: Wanted) -> list[tuple[str, str, int, str]]:
    """The cells, two a page."""
    cells: list[tuple[str, str, int, str]] = []
    while page := levels(connection, wanted, after=cells[-1][:2] if cells else None, limit=2):
        cells += [(row["store_id"], row["sku"], row["on_hand"], row["status"]) for row in page]
    return cells


@pytest.mark.parametrize("few", [0, 500], ids=["of many SKUs", "of few SKUs"])
def test_every_page_has_what_is_wanted_in_order(connection: Connection, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr("stock.holdings.FEW", few)
    choices: dict[str, tuple[Any, ...]] = {
        "stores": (None, {"s-1"}, {"s-1", "s-3"}),
        "skus": (None, set(), {"P-2"}, {"P-3", "P-2", "P-9"}, set(NAMES)),
        "search": (None, "noir", "the"),
        "status": (None, "negative", "out", "low", "ok"),
    }
    for values in itertools.product(*choices.values()):
        wanted = Wanted(**dict(zip(choices, values, strict=True)))
        assert found(connection, wanted) == expected(wanted), wanted
