"""What does an event say, in the words of somebody who works in a shop?

One sentence in each language, from an event as it travels: also from one that can't be read as a whole, as far as its parts can.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import from_json

from infra.faults import printable

Content = Mapping[str, Any]
MOST_WORDS: Final = 60
ID_CHARACTERS: Final = 8
UNREADABLE: Final = MappingProxyType({"fr": "Message illisible ({bytes} octets)", "en": "Unreadable message ({bytes} bytes)"})
SENTENCES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "sale.recorded": ("Vente {number}, magasin {store}, {lines}", "Sale {number}, store {store}, {lines}"),
        "sale.voided": ("Annulation de la vente {sale}, magasin {store}", "Void of sale {sale}, store {store}"),
        "sale.returned": ("Retour sur la vente {sale}, magasin {store}, {lines}", "Return of sale {sale}, store {store}, {lines}"),
        "stock.adjusted": ("Correction de stock, magasin {store}, {lines}", "Stock adjustment, store {store}, {lines}"),
        "stock.counted": ("Comptage, magasin {store}, {lines}", "Stock count, store {store}, {lines}"),
        "delivery.received": ("Livraison de {supplier}, magasin {store}, {lines}", "Delivery from {supplier}, store {store}, {lines}"),
        "restock.requested": ("Demande de {to} à {from}, {lines}", "Restock asked by {to} of {from}, {lines}"),
        "restock.approved": ("Accord de {from} pour {to}, {lines}", "Restock for {to} approved by {from}, {lines}"),
        "restock.rejected": ("Refus de {from} à {to}", "Restock for {to} rejected by {from}"),
        "restock.cancelled": ("Demande de {to} à {from} retirée", "Restock asked by {to} of {from} cancelled"),
        "restock.shipped": ("Envoi de {from} à {to}, {lines}", "Restock shipped from {from} to {to}, {lines}"),
        "restock.received": ("Réception par {to} d'un envoi de {from}, {lines}", "Restock from {from} received by {to}, {lines}"),
        "store.defined": ("Description du magasin {store} : {name}", "Description of store {store}: {name}"),
        "product.defined": ("Description du produit {sku} : {name}", "Description of product {sku}: {name}"),
        "product.stocked": ("Seuils du produit {sku}, magasin {store}", "Limits of product {sku}, store {store}"),
        "case.opened": ("Dossier ouvert, magasin {store} : {kind}", "Case opened, store {store}: {kind}"),
        "case.resolved": ("Dossier {case} réglé, magasin {store}", "Case {case} resolved, store {store}"),
        "till.waived": ("Numéros {first} à {last} absents, magasin {store}", "Numbers {first} to {last} given up, store {store}"),
    }
)
OTHER: Final = ("Événement {type}, magasin {store}", "Event {type}, store {store}")


def readable(payload: bytes) -> Any:  # noqa: ANN401 - JSON border: anything may have been sent
    """What was sent as JSON; None when it is none."""
    try:
        return from_json(payload)
    except ValueError:
        return None


def sentence(payload: bytes, found: Any) -> dict[str, str]:  # noqa: ANN401 - JSON border
    """The sentence, ``{fr, en}``; `found` is what `readable` made of the payload. A whole message is told by its first event."""
    if isinstance(found, list):
        first = found[0] if found else None
        more = len(found) - 1
        told = sentence(payload, first)
        return told if more < 1 else {"fr": f"{told['fr']} (et {more} de plus)", "en": f"{told['en']} (and {more} more)"}
    if not isinstance(found, dict):
        return {language: text.format(bytes=len(payload)) for language, text in UNREADABLE.items()}
    french, english = SENTENCES.get(_word(found.get("type")), OTHER)
    return {"fr": _said(french, found, _lines_fr, "fr"), "en": _said(english, found, _lines_en, "en")}


def _said(text: str, event: Content, lines: Callable[[int | None], str], language: str) -> str:
    data: Content = event["data"] if isinstance(event.get("data"), dict) else {}
    name = data.get("name")
    return text.format_map(
        {
            "type": _word(event.get("type")),
            "store": _word(event.get("storeid")),
            "number": _word(data.get("till_seq")) if "till_seq" in data else _short(event.get("id")),
            "sale": _short(data.get("sale_id")),
            "case": _short(data.get("case_id")),
            "supplier": _word(data.get("supplier")),
            "from": _word(data.get("from_store")),
            "to": _word(data.get("to_store")),
            "sku": _word(data.get("sku")),
            "kind": _word(data.get("kind")),
            "first": _word(data.get("first")),
            "last": _word(data.get("last")),
            "name": _word(name.get(language) if isinstance(name, dict) else name),
            "lines": lines(len(data["lines"]) if isinstance(data.get("lines"), list) else None),
        }
    )


def _word(value: object) -> str:
    """A value as it can stand in a sentence, whatever was sent."""
    return printable(value if isinstance(value, str) else str(value), MOST_WORDS) if isinstance(value, str | int | float) else "?"


def _short(value: object) -> str:
    """The end of an identifier: of those that begin with the time it is what tells them apart."""
    return _word(value)[-ID_CHARACTERS:]


def _lines_fr(count: int | None) -> str:
    return "lignes illisibles" if count is None else f"{count} ligne" if count < 2 else f"{count} lignes"  # noqa: PLR2004 - French says 0 and 1 alike


def _lines_en(count: int | None) -> str:
    return "unreadable lines" if count is None else "1 line" if count == 1 else f"{count} lines"
