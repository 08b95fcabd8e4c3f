"""What contradicts itself, what made it so, and what should be done about it?"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, Select, literal, select, tuple_

from infra import event_log
from schemas.envelope import Recorded
from stock import counts
from stock.cases import stock_case
from stock.counting import Found
from stock.tables import product, stock_level

MOST_LINES: Final = 20

ADVICE: Final[dict[str, tuple[str, str, str]]] = {
    "oversell": (
        "recount",
        "Il s'est vendu plus que le stock connu : recomptez l'article, le nouveau compte devient le stock.",
        "More was sold than the stock known: count the item again, and the new count becomes its stock.",
    ),
    "over_return": (
        "recount",
        "Il est revenu plus que la vente ne comptait : vérifiez les remboursements et recomptez l'article.",
        "More came back than the sale held: check the refunds and count the item again.",
    ),
    "short_receipt": (
        "write_off",
        "Il manque des articles à la réception : cherchez-les chez l'expéditeur, sinon passez-les en perte.",
        "Goods were missing on receipt: look for them at the sender's, or else write them off.",
    ),
    "damaged_receipt": (
        "write_off",
        "Des articles sont arrivés abîmés et ne sont pas entrés en stock : passez-les en perte.",
        "Goods arrived damaged and didn't enter the stock: write them off.",
    ),
    "late_receipt": (
        "accept",
        "Des articles sont arrivés après la clôture de la réception, ou en trop : ils sont en stock, acceptez-les.",
        "Goods arrived after the receipt was closed, or too many of them: they are in stock, accept them.",
    ),
    "count_variance": (
        "recount",
        "Le compte s'écarte beaucoup de ce qui était attendu : recomptez avant de l'accepter.",
        "The count is far from what was expected: count again before accepting it.",
    ),
    "till_sequence": (
        "accept",
        "Deux ventes portent le même numéro de caisse : les deux sont enregistrées, annulez celle qui n'a pas eu lieu.",
        "Two sales bear the same number of a till: both are recorded, void the one that didn't happen.",
    ),
    "id_reuse": (
        "accept",
        "Un identifiant a servi deux fois : le premier contenu compte, enregistrez l'autre sous un nouvel identifiant s'il a eu lieu.",
        "An identifier was used twice: the first content counts, record the other under a new identifier if it happened.",
    ),
    "unknown_product": (
        "accept",
        "Cet article n'est pas au catalogue : décrivez le produit, puis acceptez.",
        "This item isn't in the catalogue: describe the product, then accept.",
    ),
}
"""What each kind of case asks for: the resolution proposed, and a sentence in French and English."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases; None doesn't matter."""

    stores: Collection[str] | None = None
    kind: str | None = None
    status: str | None = None


def cases(connection: Connection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int) -> list[dict[str, Any]]:
    """Cases by store, in the order in which they were found."""
    place = stock_case.c
    statement = _named().order_by(place.store_id, place.seq).limit(limit)
    if wanted.stores is not None:
        statement = statement.where(place.store_id.in_(sorted(wanted.stores)))
    if wanted.kind is not None:
        statement = statement.where(place.kind == wanted.kind)
    if wanted.status is not None:
        statement = statement.where(place.status == wanted.status)
    if after:
        statement = statement.where(tuple_(place.store_id, place.seq) > tuple_(literal(after[0]), literal(after[1])))
    return [_case(row) for row in connection.execute(statement)]


def case(connection: Connection, case_id: UUID) -> dict[str, Any] | None:
    """One case; None when there is none with that id."""
    row = connection.execute(_named().where(stock_case.c.case_id == case_id)).one_or_none()
    return None if row is None else _case(row)


def events_of(connection: Connection, found: Mapping[str, Any], visible: Collection[str] | None) -> list[dict[str, Any]]:
    """The events that made a case, and the one that was made to settle it; of stores that the caller may not see, only the ids."""
    resolution = found["resolution"] or {}
    ids = [UUID(each) for each in (*found["events"], resolution.get("action_event_id"), resolution.get("event_id")) if each is not None]
    known = event_log.known(connection, ids)[0]
    return [_event(known[each][0] if each in known else None, each, found["sku"], visible) for each in dict.fromkeys(ids)]


def now_of(connection: Connection, found: Mapping[str, Any]) -> dict[str, int]:
    """How the figures of a case stand now: what is on hand, and what a count should have found with the late sales that came since."""
    sku, store_id = found["sku"], found["store_id"]
    if sku is None:
        return {}
    held = select(stock_level.c.on_hand).where(stock_level.c.store_id == store_id, stock_level.c.sku == sku)
    now = {"on_hand": int(connection.execute(held).scalar() or 0)}
    if found["kind"] == "count_variance":
        details = found["details"]
        line = Found(sku, details["counted"], datetime.fromisoformat(details["counted_at"]))
        should = counts.expected(connection, store_id, UUID(found["events"][0]), [line])[sku]
        now |= {"expected": should, "variance": line.quantity - should}
    return now


def _named() -> Select[Any]:
    """Cases, each with the name of the product that it is about."""
    described = stock_case.outerjoin(product, product.c.sku == stock_case.c.sku)
    return select(stock_case, product.c.name_fr, product.c.name_en).select_from(described)


def _case(row: Row[Any]) -> dict[str, Any]:
    proposal, french, english = ADVICE[row.kind]
    return {
        "case_id": row.case_id,
        "kind": row.kind,
        "status": row.status,
        "store_id": row.store_id,
        "seq": row.seq,
        "sku": row.sku,
        "name": None if row.name_fr is None else {"fr": row.name_fr, "en": row.name_en},
        "opened_at": row.opened_at,
        "events": row.events,
        "details": row.details,
        "proposal": proposal,
        "advice": {"fr": french, "en": english},
        "resolution": row.resolution,
    }


def _event(event: Recorded | None, event_id: UUID, sku: str | None, visible: Collection[str] | None) -> dict[str, Any]:
    if event is None or (visible is not None and event.store_id not in visible):
        return {"event_id": event_id}
    return {
        "event_id": event_id,
        "type": event.type,
        "store_id": event.store_id,
        "seq": event.seq,
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "actor": event.actor,
        "outcome": event.outcome,
        "content": _short(event.data, sku),
    }


def _short(content: Mapping[str, Any], sku: str | None) -> dict[str, Any]:
    """The content with only the lines that the case is about, the first of them."""
    lines = [line for line in content.get("lines", ()) if sku is None or line.get("sku") == sku]
    return {**content, "lines": lines[:MOST_LINES]} if lines else dict(content)
