"""Which products does somebody mean who types a few words, or scans a code?

Read in order: as a SKU or barcode; as words that must all be found, anywhere; and when nothing at all is found so, as the words of the
catalogue that are nearest to them. A list goes through the readings one after the other, so what is meant for sure comes first, and
a place in it is the number of its reading and the place therein.

Case, accents and ligatures are PostgreSQL's ``unaccent`` nowhere: `search_form` has taken them out of both sides, what is stored and
what is asked. ``unaccent`` would be a second rule beside it, which can't be in an index as it stands and cuts ``1,5`` in two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product as every_choice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, not_, or_

from stock import words
from stock.tables import product
from stock.words import Meaning, search_form

TRIGRAM = 3
MOST_CORRECTED = 5
"""Words of one search that are taken for misspelt."""
MOST_PHRASES = 2
CODE, AS_TYPED, CORRECTED = 0, 1, 2
"""The numbers of the readings; those from `CORRECTED` on are guesses."""

Rows = list[dict[str, Any]]
Condition = ColumnElement[bool]
Ask = Callable[["Reading", Sequence[Any], int], Rows]
"""Finds the rows of one reading after a place in it (empty: from its beginning), so many at most."""


class Searched(NamedTuple):
    """The columns that a search looks into."""

    sku: ColumnElement[str] = product.c.sku
    barcode: ColumnElement[str] = product.c.barcode
    text: ColumnElement[str] = product.c.search_text


PRODUCT = Searched()


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read what was typed.

    `phrase` has the words to find (None: only the code counts), `codes` the spellings of the SKU or barcode that it may be, `without`
    what earlier readings have looked for.
    """

    number: int
    phrase: str | None
    codes: Sequence[str] = ()
    without: Sequence[str] = ()

    @property
    def indexed(self) -> bool:
        """Whether the index can find the words: one of them has a trigram in it."""
        return any(map(_has_trigram, search_form(self.phrase or "").split()))

    def conditions(self, columns: Searched = PRODUCT) -> list[Condition]:
        """What a product must be: of this reading, and of no earlier one."""
        coded = [_coded(self.codes, columns)] if self.codes else []
        if self.phrase is None:
            return coded
        others = [and_(*holding(phrase, columns.text)) for phrase in self.without]
        return [*holding(self.phrase, columns.text), *map(not_, [*others, *coded])]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows, each with the number of its ``reading``, and the phrases that were looked for instead of what was typed."""

    rows: Rows
    corrected: tuple[str, ...] = ()


def holding(phrase: str, text_column: ColumnElement[str] = product.c.search_text) -> list[Condition]:
    """The conditions for products that hold every one of these words, anywhere in their own.

    One or two letters or digits must begin a word: in the middle of words they would say little, and have no trigram for the index
    (200 ms). The point of ``3.2`` ends a run of digits there.
    """
    found = search_form(phrase).split()
    return [text_column.contains(word if _has_trigram(word) else f" {word}", autoescape=True) for word in found]


def _has_trigram(word: str) -> bool:
    return max(map(len, word.split("."))) >= TRIGRAM


def search(connection: Connection, typed: str, ask: Ask, *, after: Sequence[Any] | None, limit: int) -> Found:
    """The rows of one reading after the other until there are `limit`; `after` is (reading, *place in it).

    Guesses are made when nothing else was found, and where the place is in a guess already.
    """
    place = after or (CODE,)
    rows = _through(_sure(typed), ask, place, limit)
    if place[0] < CORRECTED and (rows or after):
        return Found(rows)
    guesses = _guesses(connection, typed)
    rows = _through(guesses, ask, place, limit)
    helpful = {row["reading"] for row in rows}
    return Found(rows, tuple(reading.phrase or "" for reading in guesses if reading.number in helpful))


def _through(readings: Sequence[Reading], ask: Ask, place: Sequence[Any], limit: int) -> Rows:
    """The rows of these readings, from the place on, each row with the number of its reading."""
    rows: Rows = []
    for reading in readings:
        if reading.number >= place[0] and len(rows) < limit:
            found = ask(reading, place[1:] if reading.number == place[0] else (), limit - len(rows))
            rows += [{**row, "reading": reading.number} for row in found]
    return rows


def _sure(typed: str) -> list[Reading]:
    codes = _codes(typed)
    return [*([Reading(CODE, None, codes)] if codes else []), Reading(AS_TYPED, typed, codes)]


def _guesses(connection: Connection, typed: str) -> list[Reading]:
    phrases = nearest(connection, typed)
    return [Reading(CORRECTED + number, phrase, without=phrases[:number]) for number, phrase in enumerate(phrases)]


def nearest(connection: Connection, typed: str) -> list[str]:
    """The phrases of the catalogue's own words that are nearest to what was typed; none when some word has nothing near it."""
    asked = list(dict.fromkeys(search_form(typed).split()))
    doubtful = [word for word in asked if words.may_be_misspelt(word)][:MOST_CORRECTED]
    if not doubtful:
        return []
    meant = words.meanings(connection, doubtful)
    choices: list[list[Meaning]] = [meant[word] if word in meant else [Meaning(word, 0)] for word in asked]
    phrases = sorted(every_choice(*choices), key=lambda phrase: sum(meaning.edits for meaning in phrase))
    return [" ".join(meaning.word for meaning in phrase) for phrase in phrases if any(meaning.edits for meaning in phrase)][:MOST_PHRASES]


def _codes(typed: str) -> list[str]:
    """The spellings of the SKU or barcode that this may be; none for several words."""
    code = typed.strip()
    return [] if " " in code else sorted({code, code.upper(), code.lower()})


def _coded(codes: Sequence[str], columns: Searched) -> Condition:
    # Said of no barcode at all it must be false and not unknown, so that its contrary is true.
    return or_(columns.sku.in_(codes), and_(columns.barcode.is_not(None), columns.barcode.in_(codes)))
