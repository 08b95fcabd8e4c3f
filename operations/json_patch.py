"""How is a JSON document changed by a JSON Patch (RFC 6902)?

The document is never changed in place: what comes back is another one, or nothing when any of the operations can't be done.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final

Json = Any
MOST_OPERATIONS: Final = 200
MOST_INDEX_DIGITS: Final = 6


class BadPatch(Exception):
    """An operation that can't be done: `place` is its number in the patch, `why` a short code."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(f"operation {place}: {why}")
        self.place = place
        self.why = why


class _Cannot(Exception):
    """Why one operation can't be done."""


def patched(document: Json, patch: Sequence[Mapping[str, Json]]) -> Json:
    """The document after every operation in turn. Raises BadPatch."""
    found = deepcopy(document)
    for place, operation in enumerate(patch):
        try:
            found = _applied(found, operation)
        except _Cannot as error:
            raise BadPatch(place, str(error)) from None
    return found


def _applied(document: Json, operation: Mapping[str, Json]) -> Json:
    name = operation.get("op")
    known = OPERATIONS.get(name) if isinstance(name, str) else None
    if known is None:
        raise _Cannot("unknown_operation")
    return known(document, _pointer(operation, "path"), operation)


def _add(document: Json, path: Sequence[str], operation: Mapping[str, Json]) -> Json:
    return _put(document, path, deepcopy(_value(operation)))


def _remove(document: Json, path: Sequence[str], operation: Mapping[str, Json]) -> Json:
    del operation
    if not path:
        raise _Cannot("whole_document")
    parent = _at(document, path[:-1])
    key = _key(parent, path[-1])
    del parent[key]
    return document


def _replace(document: Json, path: Sequence[str], operation: Mapping[str, Json]) -> Json:
    value = deepcopy(_value(operation))
    if not path:
        return value
    parent = _at(document, path[:-1])
    parent[_key(parent, path[-1])] = value
    return document


def _move(document: Json, path: Sequence[str], operation: Mapping[str, Json]) -> Json:
    source = _pointer(operation, "from")
    if list(path[: len(source)]) == list(source) and len(path) > len(source):
        raise _Cannot("into_itself")
    value = _at(document, source)
    return document if list(path) == list(source) else _put(_remove(document, source, operation), path, value)


def _copy(document: Json, path: Sequence[str], operation: Mapping[str, Json]) -> Json:
    return _put(document, path, deepcopy(_at(document, _pointer(operation, "from"))))


def _test(document: Json, path: Sequence[str], operation: Mapping[str, Json]) -> Json:
    if not _same(_at(document, path), _value(operation)):
        raise _Cannot("test_failed")
    return document


OPERATIONS: Final[Mapping[str, Callable[[Json, Sequence[str], Mapping[str, Json]], Json]]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _put(document: Json, path: Sequence[str], value: Json) -> Json:
    if not path:
        return value
    parent, last = _at(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        raise _Cannot("no_such_place")
    return document


def _at(document: Json, path: Sequence[str]) -> Json:
    for part in path:
        document = document[_key(document, part)]
    return document


def _key(parent: Json, part: str) -> Any:  # noqa: ANN401 - a name or a number, as the parent takes it
    """The key of something that is there."""
    if isinstance(parent, list):
        return _index(part, len(parent) - 1)
    if isinstance(parent, dict) and part in parent:
        return part
    raise _Cannot("no_such_place")


def _index(part: str, most: int) -> int:
    digits = part.isascii() and part.isdigit() and len(part) <= MOST_INDEX_DIGITS and (part == "0" or part[0] != "0")
    if not digits or int(part) > most:
        raise _Cannot("no_such_place")
    return int(part)


def _pointer(operation: Mapping[str, Json], name: str) -> list[str]:
    """RFC 6901: ``/data/lines/0``, with ~1 for a slash and ~0 for a tilde."""
    pointer = operation.get(name)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise _Cannot("bad_pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _value(operation: Mapping[str, Json]) -> Json:
    if "value" not in operation:
        raise _Cannot("no_value")
    return operation["value"]


def _same(one: Json, other: Json) -> bool:
    """Equal as JSON: 1 and 1.0 are the same number, and true is none."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
