"""What do the demonstration's files say happened, and what must the system be told so that it knows?

Pure: it reads the committed extracts and computes; it opens no socket and asks no clock. ``demo_load`` and ``demo_post`` send
what is made here; ``demo_check`` computes the outcome again without it.
"""

import csv
import gzip
import hashlib
import io
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from statistics import median_low
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5
from zoneinfo import ZoneInfo

NAMESPACE: Final = uuid5(NAMESPACE_URL, "urn:magasin:demonstration")
TIMEZONE: Final = "America/Toronto"
CURRENCY: Final = "CAD"
CENTRE: Final = "centre"
SUPPLIER: Final = "Stock d'ouverture"
DELIVERY_LINES: Final = 500
"""The contract's bound on the lines of one delivery."""
FILE_CLOCK: Final = timedelta(hours=-5)
"""The files are in UTC; the shops' clock was five hours behind it."""
OPENING_HOUR: Final = time(6)
CENTRE_HOLDS_ONE_IN: Final = 2
"""Of the units that all shops sell in the whole time, the logistics centre has one in two."""
COST_TENTHS: Final = 7
"""What a unit of the opening stock cost: seven tenths of its price."""

SHOPS: Final[Mapping[str, str]] = {
    "292": "Magasin Plateau-Mont-Royal",
    "321": "Magasin Rosemont",
    "343": "Magasin Villeray",
    "356": "Magasin Verdun",
    "367": "Magasin Vieux-Longueuil",
    "381": "Magasin Sainte-Foy",
    "406": "Magasin Limoilou",
    "410": "Magasin Vieux-Lévis",
    "31782": "Magasin Trois-Rivières",
    "31862": "Magasin Sherbrooke",
    "32004": "Magasin Chicoutimi",
}
"""The shops of the extract: its own store ids, under names a shopkeeper in Québec would recognise."""
CENTRE_NAME: Final = "Centre logistique"

_SHORT_ONE_IN: Final = 10
_TWICE_ONE_IN: Final = 10
_CARD_TENTHS: Final = 7
_TILLS_PER_SHOP: Final = 3
_SHUFFLE_WINDOW: Final = 100
_SHUFFLE_SEED: Final = 20_171_217


@dataclass(frozen=True, slots=True)
class Product:
    """One product as the files describe it, with names fit to be read. ``price_cents`` is the median of the unit prices paid."""

    sku: str
    name_fr: str
    name_en: str
    category_fr: str
    category_en: str
    price_cents: int
    barcode: str


@dataclass(frozen=True, slots=True)
class Line:
    """So many units of one SKU and what was paid for them together."""

    sku: str
    quantity: int
    total_cents: int

    @property
    def unit_cents(self) -> int:
        """The unit price rounded half up: not always the exact quotient, which is why the line's total is sent beside it."""
        return (2 * self.total_cents + self.quantity) // (2 * self.quantity)


@dataclass(frozen=True, slots=True)
class Basket:
    """One sale of the files. ``local`` is the shop's own clock, without an offset."""

    basket_id: str
    store_id: str
    local: datetime
    till_id: str
    till_seq: int
    lines: tuple[Line, ...]

    @property
    def sale_id(self) -> UUID:
        """The same for ever, whatever day the demonstration is posted: that is what makes posting it again change nothing."""
        return uuid5(NAMESPACE, f"sale:{self.basket_id}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A part of a store's opening stock, at most ``DELIVERY_LINES`` lines of (SKU, units)."""

    store_id: str
    part: int
    lines: tuple[tuple[str, int], ...]

    @property
    def delivery_id(self) -> UUID:
        """The same on every load."""
        return uuid5(NAMESPACE, f"opening:{self.store_id}:{self.part}")


@dataclass(frozen=True, slots=True)
class Post:
    """A basket on its way: the request body, byte for byte the same when it is sent a second time."""

    basket: Basket
    body: bytes


def _rows(name: str) -> list[dict[str, str]]:
    raw = (resources.files("magasin") / "data" / name).read_bytes()
    text = gzip.decompress(raw) if name.endswith(".gz") else raw
    return list(csv.DictReader(io.StringIO(text.decode("utf-8"))))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _cents(dollars: str) -> int:
    whole, _, rest = dollars.partition(".")
    return int(whole) * 100 + int(f"{rest:0<2}")


def money(cents: int) -> str:
    """Cents as the contract writes money: ``"12.50"``."""
    return f"{cents // 100}.{cents % 100:02d}"


def encode(body: Mapping[str, object]) -> bytes:
    """A request body. The same content is always the same bytes."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


# Baskets


@cache
def baskets() -> tuple[Basket, ...]:
    """The baskets of the files in the order of the shops' clock; each shop has three tills, each numbering its own sales from 1."""
    lines: defaultdict[tuple[str, str, str], list[Line]] = defaultdict(list)
    for row in _rows("sales.csv.gz"):
        key = (row["transaction_timestamp"], row["basket_id"], row["store_id"])
        lines[key].append(Line(row["product_id"], int(row["quantity"]), _cents(row["sales_value"])))
    sequence: Counter[tuple[str, str]] = Counter()
    made: list[Basket] = []
    for (timestamp, basket_id, store_id), of_basket in sorted(lines.items()):
        till_id = till_of(basket_id)
        sequence[store_id, till_id] += 1
        local = datetime.fromisoformat(timestamp.partition(".")[0]) + FILE_CLOCK
        made.append(Basket(basket_id, store_id, local, till_id, sequence[store_id, till_id], tuple(of_basket)))
    return tuple(made)


def till_of(basket_id: str) -> str:
    """The till at which a basket of the files was paid: the files don't say, so its number does."""
    return f"caisse-{_number(f'till:{basket_id}') % _TILLS_PER_SHOP + 1:02d}"


def method_of(basket_id: str) -> str:
    """How it was paid: seven in ten by card."""
    return "card" if _number(f"payment:{basket_id}") % 10 < _CARD_TENTHS else "cash"


def last_day_of_files() -> date:
    """The last business date of the files, on the shops' clock."""
    return baskets()[-1].local.date()


def moved(local: datetime, last_day: date) -> datetime:
    """The instant (UTC) of a time of the files when their last day is ``last_day``.

    Whole days on the shop's clock, so the hour of the day stays, in summer time too.
    """
    there = local + (last_day - last_day_of_files())
    return there.replace(tzinfo=ZoneInfo(TIMEZONE)).astimezone(UTC)


def last_day_from(basket: Basket, occurred_at: datetime) -> date:
    """The inverse of ``moved``: which last day was chosen, when the system knows this basket at ``occurred_at`` (with an offset)."""
    return last_day_of_files() + (occurred_at.astimezone(ZoneInfo(TIMEZONE)).date() - basket.local.date())


def sale_body(basket: Basket, last_day: date) -> bytes:
    """The body of ``POST /stores/{store_id}/sales`` for a basket."""
    return encode(
        {
            "sale_id": str(basket.sale_id),
            "till_id": basket.till_id,
            "till_seq": basket.till_seq,
            "occurred_at": moved(basket.local, last_day).isoformat().replace("+00:00", "Z"),
            "lines": [
                {"sku": line.sku, "quantity": line.quantity, "unit_price": money(line.unit_cents), "line_total": money(line.total_cents)}
                for line in basket.lines
            ],
            "payment": {"method": method_of(basket.basket_id)},
        }
    )


def sent_twice(basket: Basket) -> bool:
    """Whether this basket's till loses the answer and sends again: one in ten."""
    return _number(f"twice:{basket.basket_id}") % _TWICE_ONE_IN == 0


def posts(last_day: date) -> list[Post]:
    """Every request of the demonstration in sending order, which is the same every time.

    Out of order within windows of a hundred; one in ten twice, the second up to a window later.
    """
    chance = random.Random(_SHUFFLE_SEED)  # noqa: S311 - an order that can be repeated, not a secret
    placed: list[tuple[float, Post]] = []
    for place, basket in enumerate(baskets()):
        post = Post(basket, sale_body(basket, last_day))
        first = place + chance.random() * _SHUFFLE_WINDOW
        placed.append((first, post))
        if sent_twice(basket):
            placed.append((first + chance.random() * _SHUFFLE_WINDOW, post))
    return [post for _, post in sorted(placed, key=lambda one: one[0])]


# Opening stock


def opening_units(store_id: str, sku: str, sold: int) -> int:
    """Units on the shelf before the first sale: 1.2 times what was sold, rounded up, and 0.8 times for one pair in ten.

    So real stock-outs and oversells appear.
    """
    tenths = 8 if _number(f"{store_id}:{sku}") % _SHORT_ONE_IN == 0 else 12
    return -(-sold * tenths // 10)


@cache
def opening_deliveries() -> tuple[Delivery, ...]:
    """The opening stock of every shop and of the centre as deliveries, in the order in which they are sent."""
    sold: Counter[tuple[str, str]] = Counter()
    chain: Counter[str] = Counter()
    for basket in baskets():
        for line in basket.lines:
            sold[basket.store_id, line.sku] += line.quantity
            chain[line.sku] += line.quantity
    stock: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for (store_id, sku), units in sorted(sold.items()):
        stock[store_id].append((sku, opening_units(store_id, sku, units)))
    stock[CENTRE] = [(sku, -(-units // CENTRE_HOLDS_ONE_IN)) for sku, units in sorted(chain.items())]
    return tuple(
        Delivery(store_id, part, lines)
        for store_id in (CENTRE, *SHOPS)
        for part, lines in enumerate(_chunks(stock[store_id], DELIVERY_LINES), start=1)
    )


def _chunks(lines: Sequence[tuple[str, int]], size: int) -> Iterator[tuple[tuple[str, int], ...]]:
    for start in range(0, len(lines), size):
        yield tuple(lines[start : start + size])


def opening_instant(last_day: date) -> datetime:
    """When the opening stock arrived (UTC): six in the morning of the day before the first sale."""
    return moved(datetime.combine(baskets()[0].local.date() - timedelta(days=1), OPENING_HOUR), last_day)


def delivery_body(delivery: Delivery, last_day: date) -> bytes:
    """The body of ``POST /stores/{store_id}/deliveries``."""
    prices = _prices()
    return encode(
        {
            "delivery_id": str(delivery.delivery_id),
            "occurred_at": opening_instant(last_day).isoformat().replace("+00:00", "Z"),
            "supplier": SUPPLIER,
            "document": f"OUV-{delivery.store_id}-{delivery.part}",
            "lines": [
                {"sku": sku, "quantity": units, "unit_cost": money(prices[sku] * COST_TENTHS // 10)} for sku, units in delivery.lines
            ],
        }
    )


# Stores and products


def store_bodies() -> dict[str, bytes]:
    """The bodies of ``PUT /stores/{store_id}``: the logistics centre first, because the shops name it."""
    common = {"timezone": TIMEZONE, "currency": CURRENCY}
    centre: dict[str, bytes] = {CENTRE: encode({"name": CENTRE_NAME, "kind": "centre", **common, "oversell": "allow"})}
    return centre | {
        store_id: encode({"name": name, "kind": "store", **common, "centre": CENTRE, "oversell": "allow"})
        for store_id, name in SHOPS.items()
    }


def product_body(product: Product) -> bytes:
    """The body of ``PUT /products/{sku}``."""
    return encode(
        {
            "name": {"fr": product.name_fr, "en": product.name_en},
            "category": {"fr": product.category_fr, "en": product.category_en},
            "price": money(product.price_cents),
            "barcode": product.barcode,
            "active": True,
        }
    )


@cache
def departments() -> Mapping[str, tuple[str, str]]:
    """Department of the files → (French, English)."""
    return {row["department"]: (row["fr"], row["en"]) for row in _rows("departments.csv")}


@cache
def products() -> tuple[Product, ...]:
    """The products of the files, by SKU as text."""
    rows = _rows("products.csv.gz")
    prices = _prices()
    made: list[Product] = []
    for row in sorted(rows, key=lambda one: one["product_id"]):
        name_fr, name_en = names_of(row)
        category_fr, category_en = departments()[row["department"]]
        made.append(
            Product(
                sku=row["product_id"],
                name_fr=name_fr,
                name_en=name_en,
                category_fr=category_fr,
                category_en=category_en,
                price_cents=prices[row["product_id"]],
                barcode=ean13(row["product_id"]),
            )
        )
    return tuple(made)


@cache
def _types() -> Mapping[tuple[str, str], tuple[str, str]]:
    """Type and category (or no category) of the files → (French, English)."""
    return {(row["product_type"], row["product_category"]): (row["fr"], row["en"]) for row in _rows("types.csv")}


def names_of(row: Mapping[str, str]) -> tuple[str, str]:
    """A product of the files in French and in English; a type without a translation is called as it is there, in lower case."""
    kind, size, own = row["product_type"], row["package_size"], row["brand"] == "Private"
    # A few types, such as PREMIUM, mean another thing in each category.
    type_fr, type_en = _types().get((kind, row["product_category"])) or _types().get((kind, "")) or (kind.capitalize(), kind.capitalize())
    return (
        _name(type_fr, readable_size(size, french=True), "marque maison" if own else "marque nationale"),
        _name(type_en, readable_size(size), "store brand" if own else "national brand"),
    )


def _name(kind: str, size: str, brand: str) -> str:
    return f"{kind} {size}, {brand}" if size else f"{kind}, {brand}"


@cache
def _prices() -> Mapping[str, int]:
    """A price in cents for every product: the median paid for it, else for its department (what nobody bought has no price of its own)."""
    rows = _rows("products.csv.gz")
    paid: defaultdict[str, list[int]] = defaultdict(list)
    for basket in baskets():
        for line in basket.lines:
            paid[line.sku].append(line.unit_cents)
    by_department: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_department[row["department"]].extend(paid.get(row["product_id"], ()))
    return {row["product_id"]: median_low(paid.get(row["product_id"]) or by_department[row["department"]]) for row in rows}


def ean13(product_id: str) -> str:
    """A valid EAN-13 for a product of the files, in the range 2 that is kept for a shop's own numbers: it is nobody's real product."""
    digits = f"2{int(product_id):011d}"
    weighted = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


# Names

_UNITS: Final[Mapping[str, tuple[str, str]]] = {
    "OZ": ("oz", "oz"),
    "OZS": ("oz", "oz"),
    "FL": ("liq.", "fl"),
    "LB": ("lb", "lb"),
    "CT": ("un.", "ct"),
    "PC": ("pièces", "pieces"),
    "PCS": ("pièces", "pieces"),
    "PK": ("un.", "pack"),
    "PKS": ("un.", "packs"),
    "L": ("L", "L"),
    "ML": ("ml", "ml"),
    "CM": ("cm", "cm"),
    "MG": ("mg", "mg"),
    "SQFT": ("pi²", "sq ft"),
    "FT": ("pi", "ft"),
    "FOOT": ("pi", "ft"),
    "IN": ("po", "in"),
    "QT": ("pintes", "qt"),
    "PT": ("chopine", "pt"),
    "GA": ("gal", "gal"),
    "GAL": ("gal", "gal"),
    "GALON": ("gal", "gal"),
    "DZ": ("douz.", "doz"),
    "DOZ": ("douz.", "doz"),
    "LOAD": ("brassées", "loads"),
    "LOADS": ("brassées", "loads"),
    "LD": ("brassées", "loads"),
    "LDS": ("brassées", "loads"),
    "STEM": ("tiges", "stems"),
    "STEMS": ("tiges", "stems"),
    "CTN": ("carton", "carton"),
    "CUP": ("coupes", "cups"),
    "CP": ("coupes", "cups"),
    "BAG": ("sac", "bag"),
    "CAN": ("canette", "can"),
    "CN": ("canette", "can"),
    "KIT": ("ensemble", "kit"),
    "LARGE": ("grand", "large"),
    "LG": ("grand", "large"),
    "MED": ("moyen", "medium"),
    "PLY": ("épaisseurs", "ply"),
    "TUB": ("contenant", "tub"),
    "BAR": ("pains", "bars"),
    "NAPKIN": ("serviette", "napkin"),
    "REFIL": ("recharge", "refill"),
    "AERO": ("aérosol", "aerosol"),
}


def readable_size(size: str, *, french: bool = False) -> str:
    """A package size of the files with its units in lower case: ``15.75 OZ`` is ``15.75 oz``, in French ``15,75 oz``.

    An item number in its place is no size.
    """
    if re.search(r"\d{5}", size):
        return ""
    place = 0 if french else 1
    text = re.sub(r"SQ FT", "SQFT", re.sub(r"(?<=\d)(?=[A-Z])", " ", size))
    text = re.sub(r"[A-Z]+", lambda found: _UNITS[found[0]][place] if found[0] in _UNITS else found[0].lower(), text)
    text = " ".join(text.split())
    return re.sub(r"(?<=\d)\.(?=\d)", ",", text) if french else text
