"""Which words does the catalogue have, and which of them may a misspelt one mean?

The words are few (2,134 in 68,509 products) where the products' texts are many and long: to ask a trigram index for texts that hold
something like ``fromge`` took 165 ms, to ask it for words takes 3, and the search for the right word one more.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from unicodedata import combining, normalize

from pydantic_core import to_json
from sqlalchemy import Column, Connection, Index, Table, Text, text

from infra.database import Statement, metadata

SHORTEST = 4
"""Letters. A shorter word is one edit away from too many others."""
LONG = 7
"""From here on two edits are a typo; below, two edits make another word."""
BEGINNING = 6
"""From here on a word may be unfinished and misspelt at once."""
MOST_MEANINGS = 3
LIKENESS = 0.19
"""The trigrams in common, of all, below which nobody is asked: ``scure`` and ``sucre`` have 0.2."""

DECIMAL = re.compile(r"(?<=\d)[.,](?=\d)")
NO_WORD = re.compile(r"(?!(?<=\d)\.(?=\d))[\W_]")
FOREIGN = re.compile(r"[^\x00-\x7f]+")
LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})

product_word = Table("product_word", metadata, Column("word", Text, primary_key=True))
Index(
    "ix_product_word_trigrams",
    product_word.c.word,
    postgresql_using="gin",
    postgresql_ops={"word": "gin_trgm_ops"},
    postgresql_with={"fastupdate": "off"},
)

_ADD = """
    INSERT INTO product_word
    SELECT word FROM json_array_elements_text(%(words)s::json) AS new(word)
    WHERE NOT EXISTS (SELECT FROM product_word AS old WHERE old.word = new.word)
    ON CONFLICT DO NOTHING
"""
# The table is small, and PostgreSQL would compare word by word: 5 ms for three words instead of 1 by the index.
_BY_INDEX = text("SELECT set_config('pg_trgm.similarity_threshold', :likeness, true), set_config('enable_seqscan', 'off', true)")
_AS_EVER = text("SELECT set_config('enable_seqscan', 'on', true)")
# Where some words are in no product, they are the misspelt ones. Swapped letters leave a short word without a trigram in common; there are
# few of them to ask for one by one.
_NEAR = text("""
    WITH typed AS MATERIALIZED (
        SELECT word, EXISTS (SELECT FROM product_word AS known WHERE known.word LIKE '%' || asked.word || '%') AS known
        FROM unnest(CAST(:words AS text[])) AS asked(word)
    )
    SELECT typed.word AS typed, typed.known, near.word
    FROM typed LEFT JOIN LATERAL (
        SELECT product_word.word, similarity(product_word.word, typed.word) AS likeness FROM product_word
        WHERE (NOT typed.known OR (SELECT bool_and(known) FROM typed))
          AND (product_word.word % typed.word OR product_word.word = ANY(CAST(:swapped AS text[])))
    ) AS near ON true
    ORDER BY near.likeness DESC NULLS LAST, near.word
""")


@dataclass(frozen=True, slots=True)
class Meaning:
    """A word that may be meant, and how far it is from what was typed."""

    word: str
    edits: int


def search_form(typed: str) -> str:
    """Text as it is searched: words in lower case, without accents and punctuation. ``"Bœuf d'Été 1,5 L"`` → ``"boeuf d ete 1.5 l"``.

    A number stays whole: its digits on both sides of the comma, looked for one by one, are in most products.
    """
    plain = FOREIGN.sub(lambda run: _unaccented(run[0]), typed.casefold().translate(LIGATURES))
    return " ".join(NO_WORD.sub(" ", DECIMAL.sub(".", plain)).split())


@lru_cache(maxsize=4_096)
def _unaccented(letters: str) -> str:
    """The letters without accents. Remembered: a language has few of them, and letter by letter they were half the work of an import."""
    return "".join(letter for letter in normalize("NFKD", letters) if not combining(letter))


def may_be_misspelt(word: str) -> bool:
    """Whether a word has letters only, and enough of them. A number with another digit is another number."""
    return len(word) >= SHORTEST and word.isalpha()


def words_statement(texts: Iterable[str]) -> Statement:
    """Add the words of products' search texts. A word stays when its last product is renamed: it only suggests, the products decide."""
    words = set().union(*(each.split() for each in texts))
    return Statement(_ADD, {"words": to_json(sorted(filter(may_be_misspelt, words))).decode()})


def meanings(connection: Connection, typed: Sequence[str]) -> dict[str, list[Meaning]]:
    """What each of these words may mean, nearest first: itself when a word of the catalogue has it in it, then at most three others.

    Those that may be meant themselves mean others only when all may.
    """
    found: dict[str, list[Meaning]] = {word: [] for word in typed}
    connection.execute(_BY_INDEX, {"likeness": str(LIKENESS)})
    rows = connection.execute(_NEAR, {"words": list(found), "swapped": [each for word in found for each in _swapped(word)]}).all()
    connection.execute(_AS_EVER)
    for row in rows:
        if row.known and not found[row.typed]:
            found[row.typed].append(Meaning(row.typed, 0))
        if row.word is not None and (edits := distance(row.typed, row.word)):
            found[row.typed].append(Meaning(row.word, edits))
    return {word: _distinct(sorted(each, key=lambda meaning: meaning.edits)) for word, each in found.items()}


def distance(typed: str, word: str) -> int:
    """Letters to change, add, drop or swap until `typed` is `word`; 0 when it is, or when they are too far apart to be a typo.

    3 when only the beginning of `word` is meant. (``yogurt`` is 1 from ``yogourt``, ``chocal`` is 3 from ``chocolat``.)
    """
    begun, whole = _edits(typed, word)
    if whole <= (2 if len(typed) >= LONG else 1):
        return whole
    return 3 if begun <= 1 and len(typed) >= BEGINNING else 0


def _edits(typed: str, word: str) -> tuple[int, int]:
    """The edits until some beginning of `word` is reached, and until the whole is (optimal string alignment)."""
    earlier: list[int] = []
    before = list(range(len(word) + 1))
    for i, letter in enumerate(typed, start=1):
        row = [i]
        for j, other in enumerate(word, start=1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == word[j - 2] and typed[i - 2] == other:
                edits = min(edits, earlier[j - 2] + 1)
            row.append(edits)
        earlier, before = before, row
    return min(before), before[-1]


def _swapped(word: str) -> list[str]:
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)]


def _distinct(nearest: Iterable[Meaning]) -> list[Meaning]:
    """The first few; none that is found with an earlier one anyway (``fromages`` after ``fromage``)."""
    kept: list[Meaning] = []
    for each in nearest:
        if len(kept) < MOST_MEANINGS + 1 and not any(before.word in each.word for before in kept):
            kept.append(each)
    return kept
