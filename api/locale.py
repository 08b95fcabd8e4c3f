"""Which language does the client want to read?"""

from typing import Final

from api.texts import Language

DEFAULT: Final[Language] = "fr"
LONGEST_HEADER = 1_000


def language_of(accept_language: str | None) -> Language:
    """The best of French and English for an ``Accept-Language`` header (RFC 9110: q-values, ``*``); French when nothing fits."""
    if not accept_language:
        return DEFAULT
    wishes = dict(_wish(part) for part in reversed(accept_language[:LONGEST_HEADER].split(",")))
    anything = wishes.get("*", 0.0)
    french, english = wishes.get("fr", anything), wishes.get("en", anything)
    if french == english:
        return DEFAULT if french == 0 else _first_named(accept_language)
    return "en" if english > french else "fr"


def _wish(part: str) -> tuple[str, float]:
    """``"en-CA;q=0.5"`` → ``("en", 0.5)``; what can't be read weighs nothing."""
    tag, _, parameters = part.partition(";")
    name, _, value = parameters.strip().partition("=")
    try:
        weight = float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return tag.strip().lower().partition("-")[0], weight if 0.0 <= weight <= 1.0 else 0.0


def _first_named(accept_language: str) -> Language:
    """The earlier of two languages wanted equally."""
    named = [tag for tag, _ in map(_wish, accept_language[:LONGEST_HEADER].split(",")) if tag in {"fr", "en"}]
    return "en" if named[:1] == ["en"] else "fr"
