// What the page says. French stands in index.html itself, so English is all that has to be kept here, and the few texts that are made up.
export const EN = {
  skip: "Skip to content", api: "API", signOut: "Sign out", signIn: "Sign in", promise: "The stock of every shop, right, at once, everywhere.",
  username: "User", passphrase: "Password",
  hint: "Demonstration: gestionnaire, admin, operateur or caissier-292, password",
  figures: "Sales of the shops", period: "Period", today: "Today", days7: "Last 7 days", days28: "Last 28 days", byDay: "Revenue by day",
  byStore: "By shop", empty: "No sale in this period: widen it, or run make demo.", till: "A sale, live", store: "Shop", product: "Product",
  onHand: "On hand in this shop:", sell: "Sell one unit", feed: "What changes", quiet: "Nothing yet: sales appear here as soon as they are recorded.",
};
export const MADE = {
  fr: {
    upToDate: (at, lag) => `à jour au ${at} – retard ${lag} s`, offline: "connexion perdue, nouvel essai…", all: "Tous les magasins",
    arrived: "du clic à cette page", steps: (recorded, heard) => `enregistrée en ${recorded} ms, annoncée ici en ${heard} ms`,
    late: "acceptée ; cette page ne l’a pas encore reçue", noAnswer: "Le serveur ne répond pas. Réessayez.", none: "Aucun produit trouvé",
    revenue: "Chiffre d’affaires", sales: "Ventes", average_basket: "Panier moyen", units: "Articles", returned_units: "Rapportés",
    voids: "Annulées", store: "Magasin", before: "vs avant",
    "sale.recorded": "vente", "sale.returned": "retour", "sale.voided": "annulation", "stock.adjusted": "correction de stock",
    "stock.counted": "comptage", "delivery.received": "livraison", "case.opened": "écart à traiter", "store.defined": "magasin modifié",
    "product.defined": "produit modifié", "product.stocked": "seuils modifiés",
    "restock.requested": "réappro demandé", "restock.approved": "réappro accordé", "restock.rejected": "réappro refusé",
    "restock.cancelled": "réappro annulé", "restock.shipped": "réappro expédié", "restock.received": "réappro reçu", siege: "Catalogue",
  },
  en: {
    upToDate: (at, lag) => `up to date as of ${at} – ${lag} s behind`, offline: "connection lost, trying again…", all: "All shops",
    arrived: "from the click to this page", steps: (recorded, heard) => `recorded in ${recorded} ms, announced here in ${heard} ms`,
    late: "accepted; this page hasn’t received it yet", noAnswer: "The server doesn’t answer. Try again.", none: "No product found",
    revenue: "Revenue", sales: "Sales", average_basket: "Average basket", units: "Units", returned_units: "Brought back",
    voids: "Voided", store: "Shop", before: "vs before",
    "sale.recorded": "sale", "sale.returned": "return", "sale.voided": "void", "stock.adjusted": "stock correction",
    "stock.counted": "count", "delivery.received": "delivery", "case.opened": "discrepancy to settle", "store.defined": "shop changed",
    "product.defined": "product changed", "product.stocked": "limits changed",
    "restock.requested": "restock requested", "restock.approved": "restock approved", "restock.rejected": "restock rejected",
    "restock.cancelled": "restock cancelled", "restock.shipped": "restock shipped", "restock.received": "restock received", siege: "Catalogue",
  },
};
