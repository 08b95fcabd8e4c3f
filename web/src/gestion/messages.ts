export default {
  fr: {
    title: "Gestion",
    saved: "Enregistré",
    tabs: { produits: "Produits", magasins: "Magasins", utilisateurs: "Utilisateurs", importations: "Importations", comptages: "Comptages", webhooks: "Webhooks" },
    product: {
      new: "Nouveau produit", search: "Nom, code ou code-barres", none: "Aucun produit", none_hint: "Créez-en un, ou importez un fichier CSV.",
      sku: "Code (SKU)", name: "Nom", category: "Catégorie", barcode: "Code-barres", price: "Prix", state: "État", active: "En vente", inactive: "Retiré",
      active_hint: "Un produit retiré ne se propose plus à la caisse ; son histoire reste.",
      name_fr: "Nom (français)", name_en: "Nom (anglais)", category_fr: "Catégorie (français)", category_en: "Catégorie (anglais)",
    },
    store: {
      new: "Nouveau magasin", none: "Aucun magasin", none_hint: "Ouvrez le premier : les caisses peuvent vendre aussitôt.",
      id: "Identifiant", id_hint: "Lettres minuscules, chiffres et traits ; il ne change plus.", name: "Nom", kind: "Genre", kinds: { store: "Magasin", centre: "Centre logistique" },
      centre: "Centre logistique", timezone: "Fuseau horaire", currency: "Devise", day_ends: "Fin de la journée", oversell: "Stock insuffisant", oversells: { allow: "Vendre quand même", refuse: "Refuser la vente" },
    },
    user: {
      new: "Nouveau compte", name: "Nom d’utilisateur", role: "Rôle", stores: "Magasins", since: "Depuis", state: "État", enabled: "Actif", disabled: "Désactivé",
      roles: { caissier: "Caisse", gestionnaire: "Gestion", operateur: "Exploitation", admin: "Administration" },
      new_password: "Nouveau mot de passe", password_hint: "Laissez vide pour le garder.", disable: "Désactiver le compte", disable_hint: "La personne est déconnectée partout, aussitôt.",
      sign_out: "Déconnecter partout", signed_out: "Déconnecté partout",
    },
    import: {
      hint: "Tout le fichier ou rien : il est vérifié dès qu’il est déposé, et n’est enregistré que si vous le dites.",
      kind: "Que contient le fichier ?", kinds: { products: "Produits", stores: "Magasins", "stock-counts": "Comptages" }, columns: "Colonnes :",
      headers: { products: "sku; nom_fr; nom_en; categorie_fr; categorie_en; prix; code_barres; actif", stores: "magasin; nom; genre; fuseau_horaire; devise; centre; stock_insuffisant; fin_de_journee", "stock-counts": "magasin; sku; compte; compte_le" },
      drop: "Déposez un fichier CSV ici", choose: "ou choisissez-le ; virgules ou points-virgules, UTF-8", other: "Choisir un autre fichier", checking: "Vérification du fichier…",
      faulty: "Rien n’a été importé : {n} erreur à corriger. | Rien n’a été importé : {n} erreurs à corriger.", again: "Vérifier de nouveau", row: "Ligne", column: "Colonne", fault: "Erreur", valid: "{n} ligne, aucune erreur. | {n} lignes, aucune erreur.",
      ignored: "Colonnes ignorées : {names}.", record: "Importer", done: "Importation faite", recorded: "{n} ligne enregistrée. | {n} lignes enregistrées.", next: "Un autre fichier",
    },
    count: {
      hint: "Comptez sur un téléphone, rayon par rayon : ce qui est saisi reste sur l’appareil jusqu’à l’envoi.", store: "Magasin", search: "Nom ou code, ou lisez le code-barres",
      blind: "Compter à l’aveugle", blind_hint: "Les quantités attendues restent cachées.", none: "Rien à compter", none_hint: "Ce magasin n’a encore aucun stock.", expected: "attendu : {count}",
      less: "Un de moins : {name}", more: "Un de plus : {name}", of: "Quantité comptée : {name}", ready: "{n} produit compté | {n} produits comptés", send: "Envoyer le comptage", sent: "Comptage enregistré",
    },
    webhook: {
      hint: "Chaque fait enregistré est envoyé à ces adresses, signé.", new: "Nouveau webhook", one: "Webhook", none: "Aucun webhook", none_hint: "Ajoutez une adresse qui doit apprendre les ventes à mesure.",
      url: "Adresse", description: "Description", types: "Événements", types_hint: "Par exemple : sale.recorded, sale.voided. Vide : tous.", every_type: "Tous", active: "Actif", paused: "En pause", secret: "Le secret de signature, montré une seule fois :",
      test: "Essayer", rotate: "Nouveau secret", journal: "Derniers envois", no_delivery: "Rien n’a encore été envoyé", event: "Événement", attempts: "Essais", last: "Dernier essai", remove: "Supprimer", removed: "Webhook supprimé",
      statuses: { waiting: "En attente", delivered: "Livré", failed: "Échoué", skipped: "Passé" },
    },
  },
  en: {
    title: "Management",
    saved: "Saved",
    tabs: { produits: "Products", magasins: "Stores", utilisateurs: "Users", importations: "Imports", comptages: "Counts", webhooks: "Webhooks" },
    product: {
      new: "New product", search: "Name, code or barcode", none: "No product", none_hint: "Make one, or import a CSV file.",
      sku: "Code (SKU)", name: "Name", category: "Category", barcode: "Barcode", price: "Price", state: "State", active: "On sale", inactive: "Withdrawn",
      active_hint: "A withdrawn product is no longer offered at the till; its history stays.",
      name_fr: "Name (French)", name_en: "Name (English)", category_fr: "Category (French)", category_en: "Category (English)",
    },
    store: {
      new: "New store", none: "No store", none_hint: "Open the first one: tills can sell at once.",
      id: "Identifier", id_hint: "Small letters, digits and hyphens; it never changes.", name: "Name", kind: "Kind", kinds: { store: "Store", centre: "Logistics centre" },
      centre: "Logistics centre", timezone: "Time zone", currency: "Currency", day_ends: "End of the day", oversell: "Not enough stock", oversells: { allow: "Sell all the same", refuse: "Refuse the sale" },
    },
    user: {
      new: "New account", name: "User name", role: "Role", stores: "Stores", since: "Since", state: "State", enabled: "Active", disabled: "Disabled",
      roles: { caissier: "Till", gestionnaire: "Management", operateur: "Operations", admin: "Administration" },
      new_password: "New password", password_hint: "Leave it empty to keep it.", disable: "Disable the account", disable_hint: "The person is signed out everywhere, at once.",
      sign_out: "Sign out everywhere", signed_out: "Signed out everywhere",
    },
    import: {
      hint: "The whole file or nothing: it is checked as soon as it is dropped, and recorded only when you say so.",
      kind: "What is in the file?", kinds: { products: "Products", stores: "Stores", "stock-counts": "Counts" }, columns: "Columns:",
      headers: { products: "sku; name_fr; name_en; category_fr; category_en; price; barcode; active", stores: "store_id; name; kind; timezone; currency; centre; oversell; day_ends", "stock-counts": "store_id; sku; counted; counted_at" },
      drop: "Drop a CSV file here", choose: "or choose it; commas or semicolons, UTF-8", other: "Choose another file", checking: "Checking the file…",
      faulty: "Nothing was imported: {n} fault to mend. | Nothing was imported: {n} faults to mend.", again: "Check again", row: "Row", column: "Column", fault: "Fault", valid: "{n} row, no fault. | {n} rows, no fault.",
      ignored: "Ignored columns: {names}.", record: "Import", done: "Imported", recorded: "{n} row recorded. | {n} rows recorded.", next: "Another file",
    },
    count: {
      hint: "Count by phone, shelf by shelf: what you enter stays on the device until it is sent.", store: "Store", search: "Name or code, or scan the barcode",
      blind: "Count blind", blind_hint: "The expected quantities stay hidden.", none: "Nothing to count", none_hint: "This store has no stock yet.", expected: "expected: {count}",
      less: "One less: {name}", more: "One more: {name}", of: "Quantity counted: {name}", ready: "{n} product counted | {n} products counted", send: "Send the count", sent: "Count recorded",
    },
    webhook: {
      hint: "Every recorded fact is sent to these addresses, signed.", new: "New webhook", one: "Webhook", none: "No webhook", none_hint: "Add an address that should learn of sales as they come.",
      url: "Address", description: "Description", types: "Events", types_hint: "For example: sale.recorded, sale.voided. Empty: all.", every_type: "All", active: "Active", paused: "Paused", secret: "The signing secret, shown only once:",
      test: "Try it", rotate: "New secret", journal: "Last deliveries", no_delivery: "Nothing has been sent yet", event: "Event", attempts: "Attempts", last: "Last attempt", remove: "Remove", removed: "Webhook removed",
      statuses: { waiting: "Waiting", delivered: "Delivered", failed: "Failed", skipped: "Skipped" },
    },
  },
};
