"""What stands above the columns of a list that is saved as a workbook, and what do they mean?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import Query

from api.reading import Page
from api.texts import Text
from api.workbook import Column, Sheet

Form = Annotated[Literal["json", "csv", "xlsx"] | None, Query(alias="format")]

STORE: Final = Column(Text("Magasin", "Store"))
SKU: Final = Column(Text("Code (SKU)", "Code (SKU)"))
PRODUCT: Final = {
    "name.fr": Column(Text("Produit (français)", "Product (French)")),
    "name.en": Column(Text("Produit (anglais)", "Product (English)")),
}
STATUS: Final = Column(Text("État", "State"))

STOCK: Final = Sheet(
    "stock",
    Text("Combien chaque magasin a-t-il de chaque produit ?", "How much of each product does each store have?"),
    {
        "store_id": STORE,
        "sku": SKU,
        **PRODUCT,
        "on_hand": Column(Text("En stock", "On hand"), "units"),
        "in_transit": Column(
            Text("En route", "In transit"), "units", Text("Expédié à ce magasin, pas encore reçu", "Shipped to it, not received")
        ),
        "reorder_point": Column(Text("Seuil", "Reorder point"), "units"),
        "target_level": Column(Text("Cible", "Target level"), "units"),
        "status": STATUS,
        "counted_at": Column(Text("Compté le (UTC)", "Counted at (UTC)"), "date"),
    },
)
RESTOCKS: Final = Sheet(
    "restocks",
    Text("Quels réapprovisionnements sont en cours, et où en sont-ils ?", "Which restocks are under way, and how far are they?"),
    {
        "restock_id": Column(Text("Réapprovisionnement", "Restock")),
        "from_store": Column(Text("Expéditeur", "Sent by")),
        "to_store": Column(Text("Destinataire", "For")),
        "status": STATUS,
        "requested_at": Column(Text("Demandé le (UTC)", "Requested at (UTC)"), "date"),
        "requested_by": Column(Text("Demandé par", "Requested by")),
        "changed_at": Column(Text("Dernière étape (UTC)", "Last step (UTC)"), "date"),
        "note": Column(Text("Note", "Note")),
        "reason": Column(Text("Motif", "Reason")),
        "sku": SKU,
        **PRODUCT,
        "requested": Column(Text("Demandé", "Requested"), "units"),
        "approved": Column(Text("Accordé", "Approved"), "units"),
        "shipped": Column(Text("Expédié", "Shipped"), "units"),
        "received": Column(Text("Reçu", "Received"), "units"),
        "damaged": Column(Text("Abîmé", "Damaged"), "units"),
        "missing": Column(Text("Manquant", "Missing"), "units"),
    },
)
CASES: Final = Sheet(
    "cases",
    Text("Quels écarts attendent une décision ?", "Which discrepancies wait for a decision?"),
    {
        "case_id": Column(Text("Dossier", "Case")),
        "kind": Column(Text("Sorte", "Kind")),
        "status": STATUS,
        "store_id": STORE,
        "seq": Column(Text("Numéro au journal", "Number in the log")),
        "sku": SKU,
        **PRODUCT,
        "opened_at": Column(Text("Ouvert le (UTC)", "Opened at (UTC)"), "date"),
        "events": Column(Text("Faits en cause", "Events that made it")),
        "proposal": Column(Text("Proposition", "Proposal")),
        "advice.fr": Column(Text("Conseil (français)", "Advice (French)")),
        "advice.en": Column(Text("Conseil (anglais)", "Advice (English)")),
    },
)


def by_line(page: Page) -> Page:
    """The page of restocks, whose table has a row for each line: a workbook adds up what stands in cells of its own."""
    return replace(page, table=[*_lines(page.rows)])


def _lines(restocks: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for restock in restocks:
        whole = {name: value for name, value in restock.items() if name != "lines"}
        for line in restock["lines"] or [{}]:
            yield {**whole, **line}
