"""What does each error say, in French and in English, and with which HTTP status does it come?

One table for whole answers (`PROBLEMS`) and one for single faults inside a request (`FAULTS`). A code never changes; its texts may.
Texts take parameters by name (``{seconds}``); parameters are figures, names and limits of our own, never a client's input.
"""

from typing import Final, Literal, NamedTuple

Language = Literal["fr", "en"]


class Text(NamedTuple):
    """One sentence in each language."""

    fr: str
    en: str

    def in_(self, language: Language) -> str:
        """The sentence in that language."""
        return self.en if language == "en" else self.fr


class Entry(NamedTuple):
    """What a problem code means: HTTP status, short title, one sentence of detail."""

    status: int
    title: Text
    detail: Text


def _entry(status: int, title_fr: str, title_en: str, detail_fr: str, detail_en: str) -> Entry:
    return Entry(status, Text(title_fr, title_en), Text(detail_fr, detail_en))


PROBLEMS: Final[dict[str, Entry]] = {
    # 400: the request can't be read
    "malformed_json": _entry(
        400, "JSON illisible", "Malformed JSON", "Le corps de la requête n'est pas du JSON valide.", "The request body isn't valid JSON."
    ),
    "malformed_request": _entry(
        400, "Requête mal formée", "Malformed request", "La requête ne peut pas être lue.", "The request can't be read."
    ),
    "malformed_csv": _entry(
        400,
        "CSV illisible",
        "Malformed CSV",
        "Le fichier n'est pas du CSV en UTF-8 avec une ligne de titres ; « row » dit où la lecture s'arrête.",
        "The file isn't CSV in UTF-8 with a header row; 'row' says where reading stops.",
    ),
    "bad_cursor": _entry(
        400,
        "Curseur inconnu",
        "Unknown cursor",
        "Le curseur « after » ne vient pas d'une réponse de ce service.",
        "The cursor 'after' doesn't come from an answer of this service.",
    ),
    # 401 and 403: who asks
    "unauthorized": _entry(
        401,
        "Connexion requise",
        "Sign-in required",
        "Le jeton d'accès manque, n'est pas valide ou a expiré.",
        "The access token is missing, invalid or expired.",
    ),
    "bad_credentials": _entry(
        401,
        "Connexion refusée",
        "Sign-in refused",
        "Le nom d'utilisateur ou le mot de passe est inexact, ou le compte est désactivé.",
        "The user name or the password is wrong, or the account is disabled.",
    ),
    "bad_refresh_token": _entry(
        401,
        "Session terminée",
        "Session ended",
        "Le jeton de renouvellement n'est pas valide, a expiré ou a déjà servi. Connectez-vous de nouveau.",
        "The refresh token is invalid, expired or already spent. Sign in again.",
    ),
    "forbidden": _entry(
        403,
        "Action non permise",
        "Not allowed",
        "Votre rôle ou vos magasins ne permettent pas cette action.",
        "Your role or your stores don't allow this.",
    ),
    "second_person": _entry(
        403,
        "Deuxième personne requise",
        "Second person required",
        "Qui propose une modification ne peut pas l'approuver.",
        "Whoever proposes an edit can't approve it.",
    ),
    # 404 and 405: what is asked for
    "not_found": _entry(404, "Introuvable", "Not found", "Il n'y a rien à cette adresse.", "There is nothing at this address."),
    "unknown_store": _entry(404, "Magasin inconnu", "Unknown store", "Ce magasin n'existe pas.", "This store doesn't exist."),
    "unknown_product": _entry(404, "Produit inconnu", "Unknown product", "Ce produit n'existe pas.", "This product doesn't exist."),
    "unknown_sale": _entry(
        404, "Vente inconnue", "Unknown sale", "Cette vente n'existe pas dans ce magasin.", "This sale doesn't exist in this store."
    ),
    "unknown_restock": _entry(
        404, "Réapprovisionnement inconnu", "Unknown restock", "Ce réapprovisionnement n'existe pas.", "This restock doesn't exist."
    ),
    "unknown_case": _entry(404, "Dossier inconnu", "Unknown case", "Ce dossier n'existe pas.", "This case doesn't exist."),
    "unknown_till": _entry(
        404,
        "Caisse inconnue",
        "Unknown till",
        "Aucune vente de ce magasin ne vient de cette caisse.",
        "No sale of this store comes from this till.",
    ),
    "unknown_count": _entry(
        404, "Comptage inconnu", "Unknown count", "Ce comptage n'existe pas dans ce magasin.", "This count doesn't exist in this store."
    ),
    "unknown_event": _entry(404, "Événement inconnu", "Unknown event", "Cet événement n'existe pas.", "This event doesn't exist."),
    "unknown_report": _entry(404, "Rapport inconnu", "Unknown report", "Ce rapport n'existe pas.", "This report doesn't exist."),
    "unknown_projection": _entry(
        404, "Projection inconnue", "Unknown projection", "Cette projection n'existe pas.", "This projection doesn't exist."
    ),
    "unknown_consumer": _entry(
        404, "Consommateur inconnu", "Unknown consumer", "Ce consommateur n'existe pas.", "This consumer doesn't exist."
    ),
    "unknown_queue": _entry(
        404, "File inconnue", "Unknown queue", "Cette file de messages n'existe pas.", "This message queue doesn't exist."
    ),
    "unknown_dead_letter": _entry(
        404, "Message écarté inconnu", "Unknown dead letter", "Ce message écarté n'existe pas.", "This dead letter doesn't exist."
    ),
    "unknown_selection": _entry(
        404, "Sélection inconnue", "Unknown selection", "Cette sélection n'existe pas.", "This selection doesn't exist."
    ),
    "unknown_job": _entry(404, "Tâche inconnue", "Unknown job", "Cette tâche n'existe pas.", "This job doesn't exist."),
    "unknown_webhook": _entry(404, "Webhook inconnu", "Unknown webhook", "Ce webhook n'existe pas.", "This webhook doesn't exist."),
    "unknown_delivery": _entry(404, "Envoi inconnu", "Unknown delivery", "Cet envoi n'existe pas.", "This delivery doesn't exist."),
    "unknown_account": _entry(404, "Compte inconnu", "Unknown account", "Ce compte n'existe pas.", "This account doesn't exist."),
    "method_not_allowed": _entry(
        405,
        "Méthode non permise",
        "Method not allowed",
        "Cette adresse ne répond pas à cette méthode.",
        "This address doesn't answer to this method.",
    ),
    "not_acceptable": _entry(
        406,
        "Format non disponible",
        "Not acceptable",
        "Aucun des formats demandés n'est disponible ici.",
        "None of the formats asked for is available here.",
    ),
    "request_timeout": _entry(
        408, "Requête trop lente", "Request timeout", "La requête n'est pas arrivée à temps.", "The request didn't arrive in time."
    ),
    # 409: a rule refuses
    "refused": _entry(409, "Refusé", "Refused", "Une règle refuse cette opération.", "A rule refuses this operation."),
    "insufficient_stock": _entry(
        409,
        "Stock insuffisant",
        "Insufficient stock",
        "Le stock du magasin ne suffit pas pour cette vente.",
        "The store doesn't have enough stock for this sale.",
    ),
    "over_return": _entry(
        409, "Retour excessif", "Too much returned", "Le retour dépasse ce qui a été vendu.", "The return exceeds what was sold."
    ),
    "already_voided": _entry(
        409, "Vente déjà annulée", "Already voided", "Cette vente a déjà été annulée.", "This sale was voided before."
    ),
    "already_returned": _entry(
        409,
        "Vente déjà retournée",
        "Already returned",
        "Des articles de cette vente ont été retournés : elle ne peut plus être annulée.",
        "Items of this sale were returned: it can't be voided any more.",
    ),
    "already_resolved": _entry(
        409, "Dossier déjà réglé", "Already resolved", "Ce dossier a déjà été réglé.", "This case was resolved before."
    ),
    "wrong_status": _entry(
        409,
        "Étape impossible",
        "Wrong status",
        "L'état actuel ne permet pas cette étape.",
        "The current status doesn't allow this step.",
    ),
    "wrong_state": _entry(
        409,
        "Étape impossible",
        "Step not possible",
        "L'état du réapprovisionnement (« state ») ne permet pas cette étape.",
        "The state of the restock ('state') doesn't allow this step.",
    ),
    "rebuild_running": _entry(
        409,
        "Reconstruction en cours",
        "Rebuild under way",
        "Une reconstruction de cette projection (« rebuild ») n'est pas terminée : promouvez-la ou abandonnez-la d'abord.",
        "A rebuild of this projection ('rebuild') isn't over: promote or cancel it first.",
    ),
    "rebuild_behind": _entry(
        409,
        "Reconstruction en retard",
        "Rebuild behind",
        "Cette reconstruction rattrape encore ce qui lui manque (« events » événements). Recommencez dans un instant.",
        "This rebuild is still making up for what it lacks ('events' events). Try again in a moment.",
    ),
    "rebuild_outdated": _entry(
        409,
        "Reconstruction dépassée",
        "Rebuild outdated",
        "Cette version de la projection n'est plus utilisable (« why ») : une autre l'a remplacée, ou le code ou ses tables ont changé.",
        "This build of the projection can't be used any more ('why'): another one replaced it, or the code or its tables have changed.",
    ),
    "exceeds_restock": _entry(
        409,
        "Quantité excessive",
        "Too many units",
        "C'est plus que ce qui a été demandé ou accordé ; « most » dit combien il peut y en avoir.",
        "This is more than was asked for or approved; 'most' says how many there may be.",
    ),
    "nothing_to_ship": _entry(
        409, "Rien à expédier", "Nothing to ship", "L'expédition ne contient aucune unité.", "The shipment holds no unit."
    ),
    "account_exists": _entry(
        409, "Compte existant", "Account exists", "Un compte porte déjà ce nom d'utilisateur.", "An account already has this user name."
    ),
    "last_admin": _entry(
        409,
        "Dernier administrateur",
        "Last administrator",
        "Le dernier administrateur actif ne peut être ni désactivé ni changé de rôle.",
        "The last active administrator can't be disabled or given another role.",
    ),
    "too_many_webhooks": _entry(
        409,
        "Trop de webhooks",
        "Too many webhooks",
        "Il y a déjà {most} webhooks actifs ; retirez-en un.",
        "There are {most} active webhooks already; remove one.",
    ),
    "selection_too_large": _entry(
        409,
        "Sélection trop grande",
        "Selection too large",
        "Une sélection compte au plus {most} messages ; précisez la recherche.",
        "A selection has at most {most} messages; narrow the search.",
    ),
    "not_editable": _entry(
        409,
        "Message non modifiable",
        "Not editable",
        "Ce message répète ce qui est dans le journal, et le journal ne se modifie pas.",
        "This message repeats what is in the log, and the log can't be edited.",
    ),
    "edit_proposed": _entry(
        409,
        "Modification en attente",
        "Edit waiting",
        "Une modification de ce message (« edit_id ») attend déjà l'accord d'une deuxième personne.",
        "An edit of this message ('edit_id') already waits for a second person's approval.",
    ),
    "no_edit": _entry(
        409,
        "Aucune modification en attente",
        "No edit waiting",
        "Aucune modification de ce message n'attend d'accord.",
        "No edit of this message waits for approval.",
    ),
    "selection_changed": _entry(
        409,
        "Sélection modifiée",
        "Selection changed",
        "Les messages de cette sélection ont changé depuis qu'elle a été figée.",
        "The messages of this selection changed since it was frozen.",
    ),
    "precondition_failed": _entry(
        412, "Condition non remplie", "Precondition failed", "L'objet a changé entre-temps.", "The thing has changed in the meantime."
    ),
    # 413 and 415: the body's size and kind
    "too_large": _entry(
        413,
        "Requête trop grande",
        "Request too large",
        "Le corps de la requête dépasse la taille permise.",
        "The request body exceeds the size allowed.",
    ),
    "unsupported_media_type": _entry(
        415,
        "Type de contenu non pris en charge",
        "Unsupported media type",
        "Le type ou l'encodage du contenu n'est pas accepté ici.",
        "The type or encoding of the content isn't accepted here.",
    ),
    # 422: the content is wrong
    "invalid_content": _entry(
        422,
        "Contenu non valide",
        "Invalid content",
        "Le contenu a {count} erreur(s) ; chacune est décrite dans « errors ».",
        "The content has {count} fault(s); each is described in 'errors'.",
    ),
    "bad_edit": _entry(
        422,
        "Modification refusée",
        "Edit refused",
        "Le message ainsi modifié ne serait pas un événement valable ; « errors » dit pourquoi.",
        "The message so edited wouldn't be a valid event; 'errors' says why.",
    ),
    "invalid_import": _entry(
        422,
        "Importation refusée",
        "Import refused",
        "Rien n'a été importé. Le fichier a des erreurs ; chacune est décrite dans « errors » avec sa ligne et sa colonne.",
        "Nothing was imported. The file has faults; each is described in 'errors' with its row and column.",
    ),
    "idempotency_mismatch": _entry(
        422,
        "Identifiant déjà utilisé",
        "Identifier already used",
        "Cet identifiant a déjà servi avec un autre contenu.",
        "This identifier was used before with other content.",
    ),
    "in_the_future": _entry(
        422, "Dans le futur", "In the future", "L'instant indiqué est trop loin dans le futur.", "The time given is too far in the future."
    ),
    "too_old": _entry(422, "Trop ancien", "Too old", "L'instant indiqué est trop ancien.", "The time given is too long ago."),
    "too_many_rows": _entry(
        422,
        "Trop de lignes",
        "Too many rows",
        "Ce rapport a plus de {limit} lignes. Choisissez une période plus courte, un magasin ou un autre regroupement.",
        "This report has more than {limit} rows. Choose a shorter period, one store or another grouping.",
    ),
    "too_much_to_explain": _entry(
        422,
        "Trop d'événements",
        "Too much to explain",
        "Plus de {limit} événements peuvent composer ce chiffre. Choisissez une période plus courte ou un magasin.",
        "More than {limit} events may make this figure. Choose a shorter period or one store.",
    ),
    "too_many_requests": _entry(
        429,
        "Trop de tentatives",
        "Too many attempts",
        "Réessayez dans {seconds} seconde(s).",
        "Try again in {seconds} second(s).",
    ),
    # 5xx: our side
    "internal_error": _entry(
        500,
        "Erreur interne",
        "Internal error",
        "Une erreur inattendue est survenue ; le numéro de trace permet de la retrouver.",
        "Something unexpected went wrong; the trace id leads to it.",
    ),
    "broker_unavailable": _entry(
        503,
        "File de messages indisponible",
        "Broker unavailable",
        "L'enregistrement n'a pas pu être confirmé ; il a peut-être eu lieu. Renvoyez-le avec le même identifiant.",
        "Acceptance couldn't be confirmed; it may have happened. Send it again with the same identifier.",
    ),
    "database_unavailable": _entry(
        503,
        "Base de données indisponible",
        "Database unavailable",
        "La base de données ne répond pas pour l'instant. Réessayez sous peu.",
        "The database doesn't answer at the moment. Try again shortly.",
    ),
    "overloaded": _entry(
        503,
        "Service saturé",
        "Overloaded",
        "Trop de demandes attendent déjà. Réessayez sous peu.",
        "Too many requests are waiting already. Try again shortly.",
    ),
    "stopping": _entry(
        503,
        "Service en cours d'arrêt",
        "Stopping",
        "Ce processus s'arrête. Renvoyez la requête.",
        "This process is stopping. Send the request again.",
    ),
}

FAULTS: Final[dict[str, Text]] = {
    "missing": Text("Ce champ est requis.", "This field is required."),
    "unknown_field": Text("Ce champ n'est pas connu.", "This field isn't known."),
    "not_an_integer": Text("Un nombre entier est attendu.", "An integer is expected."),
    "not_a_number": Text("Un nombre est attendu.", "A number is expected."),
    "not_finite": Text("Un nombre fini est attendu.", "A finite number is expected."),
    "not_a_decimal": Text("Un nombre décimal est attendu.", "A decimal number is expected."),
    "too_precise": Text("Trop de chiffres après la virgule.", "Too many decimal places."),
    "not_a_boolean": Text("Vrai ou faux est attendu.", "True or false is expected."),
    "not_a_string": Text("Un texte est attendu.", "A text is expected."),
    "bad_text": Text("Le texte contient des caractères interdits.", "The text has forbidden characters."),
    "bad_format": Text("Le format n'est pas celui attendu.", "The format isn't the one expected."),
    "not_a_list": Text("Une liste est attendue.", "A list is expected."),
    "not_an_object": Text("Un objet est attendu.", "An object is expected."),
    "not_null": Text("Une valeur nulle n'est pas permise.", "A null value isn't allowed."),
    "must_be_null": Text("Aucune valeur n'est attendue ici.", "No value is expected here."),
    "not_a_uuid": Text("Un UUID est attendu.", "A UUID is expected."),
    "not_a_time": Text("Un instant RFC 3339 est attendu.", "An RFC 3339 time is expected."),
    "not_a_date": Text("Une date AAAA-MM-JJ est attendue.", "A date YYYY-MM-DD is expected."),
    "no_time_zone": Text("Le décalage horaire manque.", "The time zone offset is missing."),
    "bad_time_zone": Text("Ce fuseau horaire n'est pas connu.", "This time zone isn't known."),
    "bad_currency": Text("Un code de devise ISO 4217 est attendu.", "An ISO 4217 currency code is expected."),
    "not_allowed_value": Text("Cette valeur ne fait pas partie des choix.", "This value isn't one of the choices."),
    "too_small": Text("La valeur est trop petite.", "The value is too small."),
    "too_large": Text("La valeur est trop grande.", "The value is too large."),
    "too_short": Text("Le texte est trop court.", "The text is too short."),
    "too_long": Text("Le texte est trop long.", "The text is too long."),
    "too_few": Text("Il n'y a pas assez d'éléments.", "There are too few items."),
    "too_many": Text("Il y a trop d'éléments.", "There are too many items."),
    "no_centre": Text(
        "Ce magasin n'a pas de centre logistique : indiquez qui envoie.", "This store has no logistics centre: say who sends."
    ),
    "same_store": Text("Un magasin ne peut pas s'envoyer des articles.", "A store can't send goods to itself."),
    "empty_receipt": Text("Il n'y a ni articles ni clôture.", "There are neither goods nor an end."),
    "zero": Text("Zéro n'est pas permis ici.", "Zero isn't allowed here."),
    "duplicate": Text("Cette valeur est déjà présente.", "This value is there already."),
    "in_the_future": Text("L'instant est trop loin dans le futur.", "The time is too far in the future."),
    "too_old": Text("L'instant est trop ancien.", "The time is too long ago."),
    "wrong_total": Text("Le total ne correspond pas aux lignes.", "The total doesn't match the lines."),
    "wrong_order": Text("La fin précède le début.", "The end comes before the beginning."),
    "unknown_store": Text("Ce magasin n'existe pas.", "This store doesn't exist."),
    "unknown_product": Text("Ce produit n'existe pas.", "This product doesn't exist."),
    "forbidden_store": Text("Vous n'avez pas accès à ce magasin.", "You have no access to this store."),
    "idempotency_mismatch": Text(
        "Cet identifiant a déjà servi avec un autre contenu.", "This identifier was used before with other content."
    ),
    "bad_target": Text(
        "Une adresse https est attendue (http seulement pour cette machine).", "An https address is expected (http only for this machine)."
    ),
    "forbidden_target": Text("Cette adresse mène dans un réseau privé.", "This address leads into a private network."),
    "unknown_operation": Text(
        "Une opération est attendue : add, remove, replace, move, copy ou test.",
        "An operation is expected: add, remove, replace, move, copy or test.",
    ),
    "bad_pointer": Text("Un pointeur JSON est attendu (/data/lines/0).", "A JSON pointer is expected (/data/lines/0)."),
    "no_value": Text("La valeur manque.", "The value is missing."),
    "no_such_place": Text("Il n'y a rien à cet endroit du message.", "There is nothing at this place of the message."),
    "test_failed": Text("Le message dit autre chose à cet endroit.", "The message says something else at this place."),
    "malformed_event": Text("Ce n'est pas un événement lisible.", "This isn't a readable event."),
    "unknown_type": Text("Ce type d'événement n'existe pas.", "This event type doesn't exist."),
    "not_allowed": Text("Seul le système écrit cet événement.", "Only the system writes this event."),
    "wrong_password": Text("Ce n'est pas le mot de passe actuel.", "This isn't the present password."),
    "invalid": Text("La valeur n'est pas valide.", "The value isn't valid."),
}

# The limit that belongs to a fault, said after its sentence when the schema knows it: ``(≤ 500)``.
LIMITS: Final[dict[str, str]] = {
    "ge": "≥ ",
    "gt": "> ",
    "le": "≤ ",
    "lt": "< ",
    "min_length": "≥ ",
    "max_length": "≤ ",
    "max_digits": "≤ ",
    "decimal_places": "≤ ",
    "expected": "",
}
