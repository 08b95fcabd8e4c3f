"""How does a mapping look as YAML that people like to read?

Plain block style; every word in quotes, as JSON has them, so that none is taken for a number or for no; texts of several lines as they are.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

INDENT: Final = "  "


def yaml_text(mapping: Mapping[str, Any]) -> str:
    """The text, with a line end at its end. The mapping has what JSON has; its keys are words of letters, digits, ``-`` and ``_``."""
    return "\n".join(_mapping(mapping, "")) + "\n"


def _mapping(mapping: Mapping[str, Any], margin: str) -> Iterator[str]:
    for key, value in mapping.items():
        yield from _after(f"{margin}{key}:", value, margin)


def _after(head: str, value: Any, margin: str) -> Iterator[str]:  # noqa: ANN401 - anything that JSON has
    """A value behind its key or its dash: on the same line when it is short, else below."""
    if isinstance(value, Mapping) and value:
        yield head
        yield from _mapping(value, margin + INDENT)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        yield head
        yield from _items(value, margin + INDENT)
    elif isinstance(value, str) and value.endswith("\n"):
        yield f"{head} |"
        yield from (f"{margin}{INDENT}{line}" for line in value.splitlines())
    else:
        yield f"{head} {json.dumps(value, ensure_ascii=False)}"


def _items(items: Sequence[Any], margin: str) -> Iterator[str]:
    for item in items:
        first, *others = _mapping(item, margin + INDENT)
        yield f"{margin}- {first.lstrip()}"
        yield from others
