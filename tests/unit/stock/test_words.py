"""How far apart are two words, and which ones may be misspelt at all?"""

import pytest

from stock.words import distance, may_be_misspelt


@pytest.mark.parametrize(
    ("typed", "word", "edits"),
    [
        ("fromge", "fromage", 1),
        ("fromagge", "fromage", 1),
        ("frimage", "fromage", 1),
        ("formage", "fromage", 1),
        ("yogurt", "yogourt", 1),
        ("spageti", "spaghetti", 2),
        ("liat", "lait", 1),
        ("lait", "lait", 0),
        ("chocal", "chocolat", 3),
        ("lait", "pain", 0),
        ("sel", "miel", 0),
        ("tofu", "touche", 0),
        ("abcdefgh", "fromage", 0),
    ],
)
def test_a_typo_is_one_edit_away_or_two_in_a_long_word(typed: str, word: str, edits: int) -> None:
    assert distance(typed, word) == edits


@pytest.mark.parametrize(("word", "may"), [("lait", True), ("sel", False), ("2000137757066", False), ("pi2", False), ("ab12", False)])
def test_only_words_of_letters_are_taken_for_misspelt(word: str, may: bool) -> None:  # noqa: FBT001 - a table's column
    assert may_be_misspelt(word) is may
