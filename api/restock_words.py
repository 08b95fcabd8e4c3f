"""Why does a store need so many units of a product, and why from there? The figures of a suggestion, in both languages."""

from collections.abc import Mapping
from typing import Any

from stock.suggestions import COVER_DAYS, LOW_DAYS, SOLD_DAYS


def explained(suggestion: Mapping[str, Any]) -> dict[str, str]:
    """One short text a language for a row of `stock.suggestions`: what is there, why it is too little, up to how much, and of whom."""
    fr, en = zip(_there(suggestion), _too_little(suggestion), _up_to(suggestion), _of_whom(suggestion), strict=True)
    return {"fr": " ".join(fr), "en": " ".join(en)}


Words = tuple[str, str]


def _there(suggestion: Mapping[str, Any]) -> Words:
    figures = suggestion["numbers"]
    total = figures["on_hand"] + figures["in_transit"] + figures["on_order"]
    sums = figures["on_hand"], figures["in_transit"], figures["on_order"], total
    return (
        "{} en stock + {} en transit + {} déjà demandés = {}.".format(*sums),
        "{} on hand + {} in transit + {} on order = {}.".format(*sums),
    )


def _too_little(suggestion: Mapping[str, Any]) -> Words:
    figures = suggestion["numbers"]
    if figures["reorder_point"] is not None:
        point = figures["reorder_point"]
        return f"Le seuil de réapprovisionnement est {point}.", f"The reorder point is {point}."
    left, sold = figures["days_left"], figures["sold_units"]
    return (
        f"{sold} vendus en {SOLD_DAYS} jours : il en reste pour {str(left).replace('.', ',')} jour(s), moins de {LOW_DAYS}.",
        f"{sold} sold in {SOLD_DAYS} days: enough for {left} day(s), fewer than {LOW_DAYS}.",
    )


def _up_to(suggestion: Mapping[str, Any]) -> Words:
    figures, quantity = suggestion["numbers"], suggestion["quantity"]
    goal, target, point = figures["goal"], figures["target_level"], figures["reorder_point"]
    if goal == target:
        return f"Le niveau visé est {goal} : il en faut {quantity}.", f"The target level is {goal}: {quantity} are needed."
    if goal == point:
        return f"Il en faut {quantity} pour remonter au seuil.", f"{quantity} are needed to be at the reorder point again."
    return (
        f"Les ventes de {COVER_DAYS} jours en demandent {goal} : il en faut {quantity}.",
        f"The sales of {COVER_DAYS} days take {goal}: {quantity} are needed.",
    )


def _of_whom(suggestion: Mapping[str, Any]) -> Words:
    figures, sender = suggestion["numbers"], suggestion["from_store"]
    if suggestion["source"] == "store":
        spare = figures["source_spare"]
        return (
            f"Le magasin {sender} en a {spare} de plus que son propre besoin : un transfert suffit.",
            f"Store {sender} has {spare} more than it needs itself: a transfer is enough.",
        )
    if suggestion["source"] == "centre":
        there = figures["source_on_hand"] or 0
        return (
            f"Aucun magasin n'en a assez de trop : le centre {sender} en a {there}.",
            f"No store has enough to spare: the centre {sender} has {there}.",
        )
    return (
        "Aucun magasin n'en a assez de trop, et ce magasin n'a pas de centre.",
        "No store has enough to spare, and this store has no centre.",
    )
