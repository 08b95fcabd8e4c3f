"""Is French the language unless English is wanted more?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.locale import language_of


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "fr"),
        ("", "fr"),
        ("fr", "fr"),
        ("en", "en"),
        ("EN-us", "en"),
        ("en-CA,fr-CA;q=0.9", "en"),
        ("fr;q=0.2, en;q=0.3", "en"),
        ("en;q=0.3, fr", "fr"),
        ("en;q=0", "fr"),
        ("de", "fr"),
        ("de, *;q=0.5", "fr"),
        ("fr;q=0, *", "en"),
        ("en, fr", "en"),
        ("fr, en", "fr"),
        ("en;q=abc", "fr"),
        ("en;q=nan", "fr"),
        ("en;q=9", "fr"),
        ("en;level=1", "en"),
        (",;;==,", "fr"),
    ],
)
def test_the_heaviest_wish_wins_and_french_otherwise(header: str | None, language: str) -> None:
    assert language_of(header) == language


@given(st.text())
def test_no_header_can_break_it(header: str) -> None:
    assert language_of(header) in {"fr", "en"}
