"""What must the system be told so that it knows the year?

Accepted events as the API would have made them: it takes nothing that is older than 90 days, so history is given to the broker directly,
by who may. Every id follows from what it names: told twice, nothing changes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

from events.base import Event
from events.catalogue import ProductDefined, StoreDefined
from events.sales import SaleRecorded
from events.stock import DeliveryReceived
from magasin import demo_data, year_prepare
from magasin.demo_data import money, opening_units
from magasin.year_prepare import STORE_PREFIX, Line, Pair, Totals
from schemas.envelope import CATALOGUE_STREAM, Accepted, canonical, encode_accepted, fingerprint

NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:magasin:year")
CENTRE: Final = f"{STORE_PREFIX}centre"
ACTOR: Final = "load-year"
ZONE: Final = ZoneInfo(demo_data.TIMEZONE)


class Told(NamedTuple):
    """One accepted event, written: its id and its place in an intake message."""

    event_id: UUID
    wire: bytes


@dataclass(frozen=True, slots=True)
class Year:
    """The year in `folder`, moved so that its last day is `last_day`; received by this system at `now`."""

    folder: Path
    totals: Totals
    last_day: date
    now: datetime

    def stores(self) -> Iterator[Told]:
        """The logistics centre and the shops."""
        common: dict[str, Any] = {"timezone": demo_data.TIMEZONE, "currency": demo_data.CURRENCY, "oversell": "allow"}
        yield self._told(StoreDefined, CENTRE, {"name": "Centre logistique de l'année", "kind": "centre", **common})
        for store_id in self.shops():
            name = f"Magasin {store_id.removeprefix(STORE_PREFIX)} (année)"
            yield self._told(StoreDefined, store_id, {"name": name, "kind": "store", "centre": CENTRE, **common})

    def shops(self) -> list[str]:
        """The ids of the shops."""
        return sorted({pair.store_id for pair in year_prepare.pairs(self.folder)})

    def products(self) -> Iterator[Told]:
        """The products. Those of the demonstration are described as it describes them."""
        known = {product.sku: product.price_cents for product in demo_data.products()}
        for product in year_prepare.products(self.folder):
            said = {
                "sku": product.sku,
                "name": {"fr": product.name_fr, "en": product.name_en},
                "category": {"fr": product.category_fr, "en": product.category_en},
                "price": money(known.get(product.sku, product.price_cents)),
                "barcode": demo_data.ean13(product.sku),
                "active": True,
            }
            yield self._told(ProductDefined, CATALOGUE_STREAM, said)

    def deliveries(self) -> Iterator[Told]:
        """What every shop had before its first sale, by the rule of the demonstration: six in the morning of the day before the first."""
        prices = {product.sku: product.price_cents for product in year_prepare.products(self.folder)}
        morning = datetime.combine(self.totals.first_day - timedelta(days=1), demo_data.OPENING_HOUR)
        for store_id, part, pairs in _parts(self.folder):
            lines = [
                {
                    "sku": pair.sku,
                    "quantity": opening_units(store_id, pair.sku, pair.units),
                    "unit_cost": money(prices[pair.sku] * demo_data.COST_TENTHS // 10),
                }
                for pair in pairs
            ]
            said = {"supplier": demo_data.SUPPLIER, "document": f"OUV-{store_id}-{part}", "lines": lines}
            yield self._told(
                DeliveryReceived, store_id, said, event_id=uuid5(NAMESPACE, f"opening:{store_id}:{part}"), at=self.moved(morning)
            )

    def baskets(self) -> Iterator[Told]:
        """The sales, in the order of time; each shop has three tills, each numbering its own sales from 1."""
        sequence: Counter[tuple[str, str]] = Counter()
        for basket_id, of_basket in groupby(year_prepare.lines(self.folder), key=attrgetter("basket_id")):
            lines = list(of_basket)
            store_id, till_id = lines[0].store_id, demo_data.till_of(basket_id)
            sequence[store_id, till_id] += 1
            said = {
                "till_id": till_id,
                "till_seq": sequence[store_id, till_id],
                "lines": [_line(line) for line in lines],
                "payment": {"method": demo_data.method_of(basket_id)},
            }
            yield self._told(
                SaleRecorded, store_id, said, event_id=sale_id(basket_id), at=self.moved(lines[0].local), source=f"/tills/{till_id}"
            )

    def moved(self, local: datetime) -> datetime:
        """The instant (UTC) of a time of the file. Whole days on the shops' clock, so the hour of the day stays."""
        return (local + (self.last_day - self.totals.last_day)).replace(tzinfo=ZONE).astimezone(UTC)

    def _told(  # noqa: PLR0913 - the parts of an envelope
        self,
        kind: type[Event],
        store_id: str,
        said: Mapping[str, Any],
        *,
        event_id: UUID | None = None,
        at: datetime | None = None,
        source: str = "",
    ) -> Told:
        content = canonical(said)
        print_ = fingerprint(kind.type, store_id, at, content)
        # The content is what names a definition: told again it is the same event, described otherwise a new one.
        event_id = event_id or uuid5(NAMESPACE, print_)
        head = Accepted(
            event_id=event_id,
            type=kind.type,
            version=kind.version,
            store_id=store_id,
            source=f"/stores/{store_id}{source}",
            occurred_at=at or self.now,
            received_at=self.now,
            data={},
            fingerprint=print_,
            actor=ACTOR,
        )
        return Told(event_id, encode_accepted(head, content))


def sale_id(basket_id: str) -> UUID:
    """The id of a basket's sale, whatever day the year is loaded."""
    return uuid5(NAMESPACE, f"sale:{basket_id}")


def first_line(folder: Path) -> Line:
    """The very first line: what became of its sale tells which day was the last when the year was loaded first."""
    return next(year_prepare.lines(folder))


def deliveries_of(folder: Path) -> int:
    """How many deliveries the opening stock makes."""
    return sum(1 for _ in _parts(folder))


def _parts(folder: Path) -> Iterator[tuple[str, int, Sequence[Pair]]]:
    for store_id, of_store in groupby(year_prepare.pairs(folder), key=attrgetter("store_id")):
        pairs = list(of_store)
        for part, start in enumerate(range(0, len(pairs), demo_data.DELIVERY_LINES), start=1):
            yield store_id, part, pairs[start : start + demo_data.DELIVERY_LINES]


def _line(line: Line) -> dict[str, Any]:
    unit_cents = demo_data.Line(line.sku, line.quantity, line.cents).unit_cents
    return {"sku": line.sku, "quantity": line.quantity, "unit_price": money(unit_cents), "line_total": money(line.cents)}
