"""Which columns does each file have that can be imported, and what does a cell of it become?

A row is checked by the same shape as the command that says the same of one thing. A cell that can't be read stays text, and the shape
says what is wrong with it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from events.base import Event, Shape
from events.catalogue import ProductDefined, StoreDefined
from events.fields import SkuField, StoreIdField
from events.stock import CountLine, StockCounted
from schemas.requests import DefineProduct, DefineStore

MOST_ROWS: Final = 100_000
WHOLE: Final = re.compile(r"-?[0-9]{1,12}")
COMMA: Final = re.compile(r"(-?[0-9]+),([0-9]+)")
HOUR: Final = re.compile(r"([0-9]):([0-9]{2})")
YES: Final = frozenset({"oui", "yes", "vrai", "true", "1"})
NO: Final = frozenset({"non", "no", "faux", "false", "0"})

Reader = Callable[[str], Any]


class ProductRow(DefineProduct):
    """One product of a file."""

    sku: SkuField


class StoreRow(DefineStore):
    """One shop of a file."""

    store_id: StoreIdField


class CountRow(CountLine):
    """How many units of one SKU lay on one shop's shelf."""

    store_id: StoreIdField


@dataclass(frozen=True)
class Column:
    """A column: its two names, the field that it fills, and how its cells are read. `example` is for the documents."""

    french: str
    english: str
    field: tuple[str, ...]
    example: str
    read: Reader = str
    required: bool = False

    @property
    def pointer(self) -> str:
        """Where the faults of its cells point to."""
        return "".join(f"/{part}" for part in self.field)


@dataclass(frozen=True)
class ImportKind:
    """A kind of file: its columns, the shape of a row, the event that rows become, and which field may stand in the file only once."""

    name: str
    summary: str
    permission: str
    row: type[Shape]
    event: type[Event]
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns by either name."""
        return {name: column for column in self.columns for name in (column.french, column.english)}

    @cached_property
    def by_pointer(self) -> Mapping[str, Column]:
        """The columns by what their faults point to."""
        return {column.pointer: column for column in self.columns}


def amount(cell: str) -> str:
    """``"3,50"``, as a spreadsheet in French writes it, → ``"3.50"``."""
    found = COMMA.fullmatch(cell)
    return f"{found[1]}.{found[2]}" if found else cell


def whole(cell: str) -> int | str:
    """A whole number, where it is one."""
    return int(cell) if WHOLE.fullmatch(cell) else cell


def yes_or_no(cell: str) -> bool | str:
    """``"oui"``, ``"yes"``, ``"1"`` … → True."""
    word = cell.casefold()
    return word in YES if word in YES | NO else cell


def hour(cell: str) -> str:
    """``"4:00"``, as a spreadsheet writes it, → ``"04:00"``."""
    return f"0{cell}" if HOUR.fullmatch(cell) else cell


def either(**meanings: str) -> Reader:
    """A reader of choices that have a French word too."""
    return lambda cell: meanings.get(cell.casefold(), cell)


IMPORTS: Final = (
    ImportKind(
        name="products",
        summary="Importer des produits / Import products",
        permission="product.define",
        row=ProductRow,
        event=ProductDefined,
        columns=(
            Column("sku", "sku", ("sku",), "FR-250", required=True),
            Column("nom_fr", "name_fr", ("name", "fr"), "Fromage râpé 250 g", required=True),
            Column("nom_en", "name_en", ("name", "en"), "Shredded cheese 250 g", required=True),
            Column("categorie_fr", "category_fr", ("category", "fr"), "Crèmerie", required=True),
            Column("categorie_en", "category_en", ("category", "en"), "Dairy", required=True),
            Column("prix", "price", ("price",), "6,49", amount, required=True),
            Column("code_barres", "barcode", ("barcode",), "0068200010311"),
            Column("actif", "active", ("active",), "oui", yes_or_no),
        ),
        key=("sku",),
    ),
    ImportKind(
        name="stores",
        summary="Importer des magasins / Import stores",
        permission="store.define",
        row=StoreRow,
        event=StoreDefined,
        columns=(
            Column("magasin", "store_id", ("store_id",), "plateau", required=True),
            Column("nom", "name", ("name",), "Plateau-Mont-Royal", required=True),
            Column("genre", "kind", ("kind",), "magasin", either(magasin="store", centre="centre")),
            Column("fuseau_horaire", "timezone", ("timezone",), "America/Toronto"),
            Column("devise", "currency", ("currency",), "CAD"),
            Column("centre", "centre", ("centre",), "centre"),
            Column("stock_insuffisant", "oversell", ("oversell",), "permettre", either(permettre="allow", refuser="refuse")),
            Column("fin_de_journee", "day_ends", ("day_ends",), "04:00", hour),
        ),
        key=("store_id",),
    ),
    ImportKind(
        name="stock-counts",
        summary="Importer des inventaires / Import stock counts",
        permission="stock.count",
        row=CountRow,
        event=StockCounted,
        columns=(
            Column("magasin", "store_id", ("store_id",), "plateau", required=True),
            Column("sku", "sku", ("sku",), "FR-250", required=True),
            Column("compte", "counted", ("counted",), "12", whole, required=True),
            Column("compte_le", "counted_at", ("counted_at",), "2026-11-21T21:30:00-05:00"),
        ),
        key=("store_id", "sku"),
    ),
)
"""Every kind of file that can be imported."""
