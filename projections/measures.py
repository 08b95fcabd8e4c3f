"""What does every figure mean, how is it made, and in which unit is it?

The one dictionary: reports, exports, explanations and the page take their measures from here, so a word means the same wherever it stands.
A formula is SQL over the columns of the cells that a row adds up; money is added up in cents. Where a figure isn't a sum of cells the
formula names other measures.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

Unit = Literal["count", "units", "money", "days", "percent"]
AVERAGE_COST_CENTS = "coalesce(own_cost.cost_cents, centre_cost.cost_cents)::numeric / coalesce(own_cost.units, centre_cost.units)"
"""Of a SKU in a store: the moving average that its deliveries with a known cost left, failing that that of its logistics centre."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: its name, how it is made, its unit, what it means in both languages, and what to write above its column."""

    name: str
    formula: str
    unit: Unit
    fr: str
    en: str
    label_fr: str = ""
    label_en: str = ""


@cache
def previous(measure: Measure) -> Measure:
    """The same figure of the period before, equally long."""
    return Measure(
        f"previous_{measure.name}",
        f"{measure.name} of as many days before `from`",
        measure.unit,
        f"{measure.fr} ; sur autant de jours juste avant",
        f"{measure.en}; over as many days just before",
        f"{measure.label_fr}, période précédente",
        f"{measure.label_en}, previous period",
    )


@cache
def change(measure: Measure) -> Measure:
    """How much a figure has grown since the period before, in percent; nothing when it was 0 then."""
    return Measure(
        f"{measure.name}_change_percent",
        f"round(100 * ({measure.name} - previous_{measure.name}) / abs(previous_{measure.name}), 1)",
        "percent",
        f"Évolution par rapport à la période précédente : {measure.label_fr}",
        f"Change against the previous period: {measure.label_en}",
        f"{measure.label_fr}, évolution",
        f"{measure.label_en}, change",
    )


@cache
def share(measure: Measure) -> Measure:
    """The part of a row in the figure of all rows that the filters leave, in percent."""
    return Measure(
        f"{measure.name}_share_percent",
        f"round(100 * {measure.name} / {measure.name} of all products that the filters leave, 2)",
        "percent",
        f"Part du total des articles retenus : {measure.label_fr}",
        f"Share of all products that the filters leave: {measure.label_en}",
        f"{measure.label_fr}, part",
        f"{measure.label_en}, share",
    )


SALES = Measure(
    "sales",
    "sum(sales)",
    "count",
    "Ventes, moins les annulées; par produit: ventes où il figure",
    "Sales less voided ones; by product: sales it is in",
    "Ventes",
    "Sales",
)
UNITS = Measure(
    "units", "sum(units)", "units", "Articles vendus, moins les ventes annulées", "Units sold less voided sales", "Articles", "Units"
)
RETURNED = Measure(
    "returned_units",
    "sum(returned_units)",
    "units",
    "Articles rapportés, au jour du retour",
    "Units brought back, on the day of the return",
    "Articles rapportés",
    "Units returned",
)
REVENUE = Measure(
    "revenue",
    "sum(revenue_cents)",
    "money",
    "Ventes, moins annulations et remboursements",
    "Sales less voids and refunds",
    "Chiffre d'affaires",
    "Revenue",
)
AVERAGE_BASKET = Measure(
    "average_basket",
    "round(sum(revenue_cents + refunded_cents) / nullif(sum(sales), 0))",
    "money",
    "Ventes hors remboursements, divisées par le nombre de ventes",
    "Sales before refunds, divided by the number of sales",
    "Panier moyen",
    "Average basket",
)
RETURNS = Measure("returns", "sum(returns)", "count", "Retours enregistrés", "Returns recorded", "Retours", "Returns")
REFUNDED = Measure("refunded", "sum(refunded_cents)", "money", "Montants remboursés", "Amounts refunded", "Remboursements", "Refunds")
VOIDS = Measure("voids", "sum(voids)", "count", "Ventes annulées", "Sales voided", "Annulations", "Voids")
VOIDED = Measure(
    "voided", "sum(voided_cents)", "money", "Montant des ventes annulées", "Amount of voided sales", "Montant annulé", "Voided amount"
)
RECEIPTS = Measure(
    "receipts",
    "sum(receipts)",
    "count",
    "Tickets dans cet état : ventes retenues, ventes annulées ou retours",
    "Receipts of that status: sales that stand, sales voided, or returns",
    "Tickets",
    "Receipts",
)
RECEIPT_UNITS = Measure(
    "receipt_units",
    "sum(receipt_units)",
    "units",
    "Articles de ces tickets",
    "Units on those receipts",
    "Articles des tickets",
    "Units on receipts",
)
AMOUNT = Measure(
    "amount",
    "sum(amount_cents)",
    "money",
    "Montant de ces tickets ; les ventes retenues sont comptées avant remboursements",
    "Amount of those receipts; sales that stand are before refunds",
    "Montant",
    "Amount",
)

ON_HAND = Measure(
    "on_hand",
    "sum(on_hand)",
    "units",
    "Articles en stock maintenant ; un stock négatif se déduit",
    "Units on hand now; negative stock is deducted",
    "En stock",
    "On hand",
)
SKUS = Measure("skus", "sum(skus)", "count", "Références suivies en magasin", "SKUs that a store keeps", "Références", "SKUs")
STOCK_OUTS = Measure(
    "stock_outs",
    "sum(out + negative)",
    "count",
    "Références à zéro ou moins maintenant",
    "SKUs at or below zero now",
    "Ruptures",
    "Stock-outs",
)
NEGATIVE = Measure(
    "negative_skus", "sum(negative)", "count", "Références sous zéro maintenant", "SKUs below zero now", "Stocks négatifs", "Negative"
)
LOW = Measure(
    "low_skus",
    "sum(low)",
    "count",
    "Références au-dessus de zéro, au seuil de commande ou dessous",
    "SKUs above zero, at or below their reorder point",
    "Stocks bas",
    "Low",
)
VALUE = Measure(
    "value",
    "sum(value_cents)",
    "money",
    "Pour chaque magasin et article, stock × coût unitaire moyen pondéré, arrondi au cent. Coût moyen après chaque livraison de coût "
    "connu : (stock avant × coût moyen avant + quantité × coût unitaire) ÷ (stock avant + quantité), un stock négatif comptant pour zéro ; "
    "à défaut, celui de son centre logistique",
    "For each store and SKU, on_hand × moving average cost, rounded to the cent. Average after each delivery of known cost: (on_hand "
    "before × average before + quantity × unit cost) ÷ (on_hand before + quantity), where negative stock counts as none; failing that, "
    "that of its logistics centre",
    "Valeur",
    "Value",
)
UNKNOWN_COST = Measure(
    "unknown_cost_units",
    "sum(unknown_cost_units)",
    "units",
    "Articles en stock sans coût connu, absents de la valeur",
    "Units on hand without a known cost, not in the value",
    "Articles sans coût",
    "Units without cost",
)

REORDER_POINT = Measure(
    "reorder_point",
    "reorder_point",
    "units",
    "Seuil de commande du magasin",
    "The store's own reorder point",
    "Seuil de commande",
    "Reorder point",
)
TARGET_LEVEL = Measure(
    "target_level", "target_level", "units", "Niveau visé par le magasin", "The level the store aims at", "Niveau visé", "Target level"
)
RECENT_UNITS = Measure(
    "units_28_days",
    "sum(units) of the last 28 business days",
    "units",
    "Articles vendus les 28 derniers jours commerciaux, jusqu'au jour `to`",
    "Units sold in the last 28 business days, through `to`",
    "Vendus en 28 jours",
    "Sold in 28 days",
)
DAYS_LEFT = Measure(
    "days_left",
    "round(greatest(on_hand, 0) * 28.0 / units_28_days, 1)",
    "days",
    "Jours avant rupture au rythme des 28 derniers jours ; rien si rien ne se vend",
    "Days until it is out at the pace of the last 28 days; nothing when nothing is sold",
    "Jours restants",
    "Days left",
)

LOST_UNITS = Measure(
    "lost_units",
    "sum(lost_units)",
    "units",
    "Articles ôtés du stock par ajustement, perdus en chemin par un réapprovisionnement, ou manquants à l'inventaire ; ce qui est arrivé "
    "trop tard pour un inventaire et l'explique compte à part, au jour de l'inventaire",
    "Units that adjustments took off stock, that a restock lost on its way, or that a count missed; what came too late for a count and "
    "explains it is counted apart, on the day of the count",
    "Articles perdus",
    "Units lost",
)
FOUND_UNITS = Measure(
    "found_units",
    "sum(found_units)",
    "units",
    "Articles ajoutés au stock par ajustement, ou en trop à l'inventaire ; ce qui explique après coup un manquant compte à part, au jour "
    "de l'inventaire",
    "Units that adjustments added to stock, or that a count found too many; what explains missing ones later is counted apart, on the day "
    "of the count",
    "Articles retrouvés",
    "Units found",
)
NET_LOST_UNITS = Measure(
    "net_lost_units",
    "sum(lost_units - found_units)",
    "units",
    "Articles perdus, moins les retrouvés",
    "Units lost less units found",
    "Perte nette",
    "Net units lost",
)
LOST_VALUE = Measure(
    "lost_value",
    f"round(coalesce(sum(lost_units * {AVERAGE_COST_CENTS}), 0))",
    "money",
    "Articles perdus × coût moyen d'aujourd'hui de l'article dans son magasin ; ceux sans coût connu comptent pour zéro",
    "Units lost × today's average cost of the SKU in its store; those without a known cost count as nothing",
    "Valeur perdue",
    "Value lost",
)
FOUND_VALUE = Measure(
    "found_value",
    f"round(coalesce(sum(found_units * {AVERAGE_COST_CENTS}), 0))",
    "money",
    "Articles retrouvés × coût moyen d'aujourd'hui de l'article dans son magasin ; ceux sans coût connu comptent pour zéro",
    "Units found × today's average cost of the SKU in its store; those without a known cost count as nothing",
    "Valeur retrouvée",
    "Value found",
)
