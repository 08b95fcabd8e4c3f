"""Is what a unit costs the moving average, whatever happens between deliveries?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from events.base import Event
from events.fields import Sku
from projections.stock_valuation import StockValuation, store_sku
from schemas.envelope import Recorded
from stock.book import Book, Shop
from stock.costing import Cost, added
from stock.decide import decide
from tests.telling import NOON, SHOP, adjusted, counted, delivered, logged, minutes, sale, told
from tests.unit.stock.test_decide import TORONTO

APPLE = Sku("apple")
HALF = Decimal("0.5")
Step = tuple[str, int, int, int]
"""What happens, when, how many units, and the cents that each of them costs."""
HAPPENS = ("delivery", "delivery", "free delivery", "sale", "sale", "adjustment", "count")
steps = st.lists(st.tuples(st.sampled_from(HAPPENS), st.integers(0, 9), st.integers(1, 40), st.integers(0, 9_999)), max_size=14)


@dataclass
class Store:
    """A store that tells one thing after the other, and what is recorded of it."""

    book: Book = field(default_factory=lambda: Book(shops={SHOP: Shop(TORONTO)}))
    log: list[Recorded] = field(default_factory=list)

    def tell(self, event: Event, at: datetime = NOON, event_id: UUID | None = None) -> None:
        head = told(event, at=at, event_id=event_id or uuid4())
        decision = decide(event, head, self.book)
        self.book.apply(SHOP, head.event_id, decision.movements)
        self.log.append(logged(head, seq=len(self.log) + 1, effect=decision.effect))

    @property
    def cost(self) -> Cost | None:
        return self.book.costs.get((SHOP, "apple"))

    @property
    def on_hand(self) -> int:
        return self.book.level(SHOP, "apple").on_hand


def event_of(step: Step) -> Event:
    kind, _, units, cents = step
    match kind:
        case "delivery":
            return delivered(("apple", units, money(cents)))
        case "free delivery":
            return delivered(("apple", units))
        case "sale":
            return sale(("apple", units))
        case "adjustment":
            return adjusted(("apple", units - 20 or 1))
        case _:
            return counted(("apple", units))


def money(cents: int) -> str:
    return str(Decimal(cents) / 100)


@given(steps)
def test_after_any_story_it_is_the_perpetual_moving_average(story: Sequence[Step]) -> None:
    """Beside a ledger as accountants keep it, what the shelf is worth in whole cents after each delivery; and one that never rounds."""
    store = Store()
    worth: tuple[int, int] | None = None
    exact: Fraction | None = None
    for step in story:
        on_hand = max(0, store.on_hand)
        store.tell(event_of(step), at=minutes(step[1]))
        if step[0] == "delivery":
            _, _, units, cents = step
            if worth is None or exact is None:
                worth, exact = (units, units * cents), Fraction(cents)
            else:
                kept = int((Decimal(on_hand) * worth[1] / worth[0] + HALF).to_integral_value("ROUND_FLOOR"))
                worth = (on_hand + units, kept + units * cents)
                exact = (on_hand * exact + units * cents) / Fraction(on_hand + units)
        assert store.cost == worth
        assert exact is None or abs(Fraction(*reversed(store.cost or (1, 0))) - exact) <= HALF


@given(steps)
def test_what_the_log_tells_adds_up_to_what_the_writer_knows_at_every_place(story: Sequence[Step]) -> None:
    store = Store()
    for step in story:
        store.tell(event_of(step), at=minutes(step[1]))
        sums = [Cost(0, 0)]
        for event in store.log:
            sums += [Cost(sums[-1].units + cost.units, sums[-1].cents + cost.cents) for cost in added(event).values()]
        assert sums[-1] == (store.cost or Cost(0, 0))
        cells = StockValuation().increments(store.log)[store_sku]
        assert cells.get((SHOP, "apple"), [0, 0]) == list(sums[-1])


def test_what_was_sold_no_longer_weighs() -> None:
    store = Store()
    store.tell(delivered(("apple", 10, "1.00")))
    assert store.log[-1].effect is None, "nothing was there before"
    store.tell(sale(("apple", 8)))
    store.tell(delivered(("apple", 2, "2.00")))
    assert store.cost == Cost(4, 600), "two at 1.00 and two at 2.00"
    assert store.log[-1].effect == {"left": {"apple": {"units": 8, "cents": 800}}}


def test_several_lines_of_one_delivery_are_one_entry_and_those_without_a_cost_take_the_average() -> None:
    store = Store()
    store.tell(delivered(("apple", 1, "1.00")))
    store.tell(delivered(("apple", 2, "3.00"), ("pear", 5), ("apple", 7), ("apple", 1, "5.00")))
    assert store.cost == Cost(4, 1_200)
    assert store.log[-1].effect is None, "all that was there before is there still"
    assert set(store.book.costs) == {(SHOP, "apple")}
    store.tell(delivered(("apple", 1, "3.00")))
    assert store.cost == Cost(12, 3_600), "the seven whose cost nobody knew weigh at the average"


def test_a_level_below_zero_weighs_nothing() -> None:
    store = Store()
    store.tell(delivered(("apple", 2, "1.00")))
    store.tell(sale(("apple", 5)))
    store.tell(delivered(("apple", 4, "1.50")))
    assert (store.cost, store.on_hand) == (Cost(4, 600), 1)


def test_goods_that_lay_there_before_any_cost_was_known_take_the_first_one() -> None:
    store = Store()
    store.tell(adjusted(("apple", 6)))
    store.tell(delivered(("apple", 2, "1.50")))
    assert store.cost == Cost(2, 300)


def test_a_late_delivery_enters_when_it_is_recorded() -> None:
    store = Store()
    store.tell(delivered(("apple", 2, "1.00")), at=minutes(0))
    store.tell(counted(("apple", 4)), at=minutes(60))
    store.tell(delivered(("apple", 2, "3.00")), at=minutes(30))
    assert (store.cost, store.on_hand) == (Cost(6, 1_000), 4), "the count had seen it: four at 1.00, two at 3.00"


def test_half_a_cent_is_rounded_up() -> None:
    store = Store()
    store.tell(delivered(("apple", 1, "1.00"), ("apple", 1, "1.01")))
    store.tell(sale(("apple", 1)))
    store.tell(delivered(("apple", 1, "0.00")))
    assert store.cost == Cost(2, 101)


def test_a_delivery_of_the_time_before_the_writer_told_only_adds() -> None:
    old = logged(told(delivered(("apple", 2, "1.00"), ("apple", 3))))
    assert added(old) == {APPLE: Cost(2, 200)}
    assert added(logged(told(sale(("apple", 1))))) == {}
    assert added(logged(told(delivered(("apple", 2, "1.00"))), outcome="refused")) == {}
