"""What stands above the columns of a report, in both languages?

The columns that a report is grouped by have their headings here; a measure brings its own from the dictionary of measures.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from api.texts import Text
from api.workbook import Column, Sheet
from projections.measures import Measure
from projections.report import dictionary

DIMENSIONS: Final[Mapping[str, Column]] = {
    "business_date": Column(
        Text("Jour", "Day"),
        "date",
        Text("Jour commercial du magasin ; il finit à son heure de fermeture", "Business day of the shop; it ends at its closing hour"),
    ),
    "week": Column(Text("Semaine du", "Week of"), "date", Text("Le lundi de la semaine", "The Monday of the week")),
    "month": Column(Text("Mois du", "Month of"), "date", Text("Le premier jour du mois", "The first day of the month")),
    "hour": Column(Text("Heure", "Hour"), "hour", Text("Heure à l'horloge du magasin, de 0 à 23", "Hour of the shop's clock, 0 to 23")),
    "store_id": Column(Text("Magasin", "Store")),
    "sku": Column(Text("Article", "Product"), meaning=Text("Unité de gestion de stock (UGS)", "Stock keeping unit (SKU)")),
    "category": Column(Text("Catégorie", "Category")),
    "name.fr": Column(Text("Nom", "Name (French)")),
    "name.en": Column(Text("Nom anglais", "Name")),
    "reason": Column(
        Text("Motif", "Reason"),
        meaning=Text(
            "correction, damaged : abîmé, theft : vol, expired : périmé, promotion, supplier_return : retour au fournisseur, "
            "found : retrouvé, other : autre",
            "As the adjustment gave it",
        ),
    ),
    "till_id": Column(Text("Caisse", "Till")),
    "status": Column(
        Text("État", "Status"),
        meaning=Text(
            "recorded : vente retenue, voided : vente annulée, returned : retour ; low : bas, out : épuisé, negative : sous zéro",
            "recorded: a sale that stands, voided, returned; low, out of stock, negative: below zero",
        ),
    ),
}
QUESTIONS: Final[Mapping[str, str]] = {
    "consolidated": "Où en est la chaîne : ventes, annulations et retours de chaque magasin, meilleures ventes, stock restant ?",
    "daily-sales": "Combien chaque magasin a-t-il vendu chaque jour commercial, et de quoi ?",
    "hourly-sales": "À quelles heures de sa journée chaque magasin vend-il ?",
    "low-stock": "Qu'est-ce qui manque ou va manquer, et combien de temps cela durera-t-il ?",
    "shrinkage": "Qu'est-ce qui a disparu ou réapparu, pourquoi, et pour quelle valeur ?",
    "stock-valuation": "Que vaut le stock de chaque magasin ?",
    "store-performance": "Comment va chaque magasin : ce qu'il vend, ce qui revient, ce qu'il a dû annuler ?",
    "top-products": "Quels articles, ou quelles catégories, se vendent le mieux ?",
}
"""The questions of the reports in French; the code asks them in English."""
SECTIONS: Final[Mapping[str, Column]] = {
    "top_products": Column(Text("Meilleures ventes", "Top products")),
    "remaining_stock": Column(Text("Stock restant", "Remaining stock")),
    "low_stock": Column(Text("Stocks bas", "Low stock")),
}
"""What the further sheets of a workbook are called."""
EVENTS: Final[dict[str, Column]] = {
    "event_id": Column(Text("Événement", "Event")),
    "type": Column(Text("Nature", "Type")),
    "store_id": DIMENSIONS["store_id"],
    "seq": Column(
        Text("Rang", "Sequence"), "count", Text("Rang dans le journal du magasin, sans trou", "Place in the store's log, without gaps")
    ),
    "business_date": DIMENSIONS["business_date"],
    "occurred_at": Column(Text("Survenu (UTC)", "Occurred (UTC)"), "date", Text("À l'horloge de la caisse", "By the till's clock")),
    "recorded_at": Column(Text("Enregistré (UTC)", "Recorded (UTC)"), "date"),
    "late": Column(
        Text("En retard", "Late"),
        meaning=Text(
            "Enregistré plus d'une heure après l'événement, ou plus d'une heure après la fin du jour où il compte",
            "Recorded more than an hour after it happened, or more than an hour after the end of the day that it counts on",
        ),
    ),
    "contribution": Column(
        Text("Part", "Contribution"), meaning=Text("Ce que l'événement ajoute au chiffre", "What it adds to the figure")
    ),
}
FILTERS: Final[Mapping[str, Text]] = {
    "from": Text("Du", "From"),
    "to": Text("Au", "To"),
    "store": Text("Magasin", "Store"),
    "sku": Text("Article", "Product"),
    "category": Text("Catégorie", "Category"),
    "hour": Text("Heure", "Hour"),
    "sort": Text("Tri", "Sorted by"),
    "status": Text("État", "Status"),
    "reason": Text("Motif", "Reason"),
    "till": Text("Caisse", "Till"),
}


def measured(measure: Measure) -> Column:
    """The column of a measure: heading, unit, meaning and formula as the dictionary has them."""
    return Column(
        Text(measure.label_fr or measure.name, measure.label_en or measure.name),
        measure.unit,
        Text(measure.fr, measure.en),
        measure.formula,
    )


def question_of(name: str, english: str) -> Text:
    """The question that a report answers; one that nobody translated is asked in English."""
    return Text(QUESTIONS.get(name, english), english)


def sheet_of(name: str, question: str, grouped_by: Iterable[str], measures: Iterable[Measure], asked: Mapping[str, Any]) -> Sheet:
    """The workbook's frame for a report grouped like that; `asked` are the filters by name, None for those that nobody asked for."""
    columns = {each: DIMENSIONS.get(each) or Column(Text(each, each)) for each in grouped_by}
    known = {**DIMENSIONS, **SECTIONS, **{each: measured(measure) for each, measure in dictionary().items()}}
    return Sheet(name, question_of(name, question), columns | {each.name: measured(each) for each in measures}, filters(asked), known)


def filters(asked: Mapping[str, Any]) -> list[tuple[Text, str]]:
    """The filters that were asked for, with their headings."""
    return [(FILTERS[name], str(value)) for name, value in asked.items() if value is not None]
