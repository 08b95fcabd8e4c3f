"""Through the whole system: a figure leads back to what a till told, and what was exported once is the same from the cache."""

import pytest

from tests.e2e.system import Shop, sale, sku
from tests.spreadsheets import cells_of


@pytest.fixture
def sold(shop: Shop) -> str:
    """What the shop sold: two sales of one product, one of them voided; its SKU."""
    article = sku()
    shop.deliver(article, 9)
    shop.sell(article, 2)
    undone = sale(article, 3)
    shop.done("sales", undone)
    shop.done(f"sales/{undone['sale_id']}/void", {"reason": "erreur"})
    return article


FIGURES: dict[tuple[str, str], tuple[str | int, list[str | int]]] = {
    ("daily-sales", "revenue"): ("5.00", ["5.00", "7.50", "-7.50"]),
    ("store-performance", "voids"): (1, [1]),
    ("top-products", "units"): (2, [2, 3, -3]),
    ("consolidated", "receipts"): (2, [1, 1, 0]),  # a void makes another receipt of a sale
    ("stock-valuation", "on_hand"): (7, [9, -2, -3, 3]),
    ("low-stock", "stock_outs"): (0, []),
}


@pytest.mark.parametrize(("report", "measure"), FIGURES)
def test_a_figure_leads_back_to_what_the_till_told(shop: Shop, sold: str, report: str, measure: str) -> None:
    figure, contributions = FIGURES[report, measure]
    by_product = {} if report in {"consolidated", "store-performance"} else {"sku": sold}
    told = shop.read(f"reports/{report}/explain", measure=measure, store=shop.store_id, **by_product)
    assert (told["reported"], told["recomputed"], told["agrees"], told["meta"]["complete"]) == (figure, figure, True, True)
    assert [event["contribution"] for event in told["events"]] == contributions
    assert told["late_events"] == 0
    for event in told["events"]:
        recorded = shop.read(f"events/{event['event_id']}")
        assert (recorded["type"], recorded["seq"]) == (event["type"], event["seq"])


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_an_export_is_the_same_from_the_cache_and_costs_nothing_until_something_happens(shop: Shop, sold: str, form: str) -> None:
    asked = {"store": shop.store_id, "group_by": "sku", "format": form}
    first, again = (shop.http.get("/api/v2/reports/daily-sales", params=asked) for _ in range(2))
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    unchanged = shop.http.get("/api/v2/reports/daily-sales", params=asked, headers={"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    if form == "xlsx":
        assert [row[0] for row in cells_of(first.content)[1:]] == [sold]
