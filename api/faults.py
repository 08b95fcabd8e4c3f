"""Which faults does a request have, said so that a client can point at each of them?

A fault names its place (an RFC 6901 JSON pointer into the body, or ``/query/limit``, ``/path/store_id``, ``/header/…``), a stable code and
a sentence. The input itself is never repeated: it may be a megabyte, a secret, or text that no encoder takes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from api.texts import FAULTS, LIMITS, Language

MOST_FAULTS: Final = 100
NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")

# Pydantic's own error types → our codes, which stay the same when Pydantic changes.
CODES: Final[dict[str, str]] = {
    "missing": "missing",
    "missing_argument": "missing",
    "missing_keyword_only_argument": "missing",
    "extra_forbidden": "unknown_field",
    "unexpected_keyword_argument": "unknown_field",
    "int_type": "not_an_integer",
    "int_parsing": "not_an_integer",
    "int_from_float": "not_an_integer",
    "int_parsing_size": "too_large",
    "float_type": "not_a_number",
    "float_parsing": "not_a_number",
    "finite_number": "not_finite",
    "decimal_type": "not_a_decimal",
    "decimal_parsing": "not_a_decimal",
    "decimal_max_places": "too_precise",
    "decimal_max_digits": "too_large",
    "decimal_whole_digits": "too_large",
    "bool_type": "not_a_boolean",
    "bool_parsing": "not_a_boolean",
    "string_type": "not_a_string",
    "string_unicode": "bad_text",
    "string_not_ascii": "bad_text",
    "string_pattern_mismatch": "bad_format",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "bytes_too_short": "too_short",
    "bytes_too_long": "too_long",
    "too_short": "too_few",
    "too_long": "too_many",
    "greater_than": "too_small",
    "greater_than_equal": "too_small",
    "less_than": "too_large",
    "less_than_equal": "too_large",
    "enum": "not_allowed_value",
    "literal_error": "not_allowed_value",
    "union_tag_invalid": "not_allowed_value",
    "union_tag_not_found": "missing",
    "list_type": "not_a_list",
    "tuple_type": "not_a_list",
    "set_type": "not_a_list",
    "frozen_set_type": "not_a_list",
    "iterable_type": "not_a_list",
    "dict_type": "not_an_object",
    "mapping_type": "not_an_object",
    "model_type": "not_an_object",
    "model_attributes_type": "not_an_object",
    "dataclass_type": "not_an_object",
    "none_required": "must_be_null",
    "uuid_type": "not_a_uuid",
    "uuid_parsing": "not_a_uuid",
    "uuid_version": "not_a_uuid",
    "datetime_type": "not_a_time",
    "datetime_parsing": "not_a_time",
    "datetime_object_invalid": "not_a_time",
    "datetime_from_date_parsing": "not_a_time",
    "datetime_future": "too_old",
    "datetime_past": "in_the_future",
    "timezone_aware": "no_time_zone",
    "instant_format": "not_a_time",
    "unknown_timezone": "bad_time_zone",
    "zero_delta": "zero",
    "wrong_order": "wrong_order",
    "waiver_too_long": "too_large",
    "date_type": "not_a_date",
    "date_parsing": "not_a_date",
    "date_from_datetime_parsing": "not_a_date",
    "date_from_datetime_inexact": "not_a_date",
    "date_future": "too_old",
    "date_past": "in_the_future",
    "url_type": "bad_format",
    "url_parsing": "bad_format",
    "url_syntax_violation": "bad_format",
    "url_scheme": "bad_format",
    "url_too_long": "too_long",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where (JSON pointer), what (code), and the limits that the sentence may name."""

    pointer: str
    code: str
    params: Mapping[str, object] = field(default_factory=dict)

    def told(self, language: Language) -> dict[str, str]:
        """The fault as an answer shows it: ``{pointer, code, detail}``."""
        sentence = FAULTS.get(self.code, FAULTS["invalid"]).in_(language)
        limits = [f"{sign}{self.params[name]}".replace(" or ", ", ") for name, sign in LIMITS.items() if name in self.params]
        return {"pointer": self.pointer, "code": self.code, "detail": f"{sentence} ({', '.join(limits)})" if limits else sentence}


def faults_of(exc: ValidationError, loc_prefix: Sequence[str | int] = ()) -> list[Fault]:
    """Every fault that Pydantic found (at most 100), with `loc_prefix` before each place."""
    details = _meant(exc.errors(include_url=False, include_input=False))
    return [_fault(error["type"], (*loc_prefix, *error["loc"]), error.get("ctx", {})) for error in details[:MOST_FAULTS]]


def faults_of_request(errors: Iterable[Mapping[str, Any]]) -> list[Fault]:
    """The same for FastAPI's list, whose places begin with ``body``, ``query``, ``path`` …; ``body`` is left out of the pointer."""
    found = []
    for error in errors:
        place = tuple(error["loc"])
        found.append(_fault(error["type"], place[1:] if place[:1] == ("body",) else place, error.get("ctx") or {}))
        if len(found) == MOST_FAULTS:
            break
    return found


def errors_of(exc: ValidationError, loc_prefix: Sequence[str | int] = (), language: Language = "fr") -> list[dict[str, str]]:
    """`faults_of`, told: for answers that carry faults inside, such as the results of a batch."""
    return [fault.told(language) for fault in faults_of(exc, loc_prefix)]


def pointer_to(place: Iterable[str | int]) -> str:
    """``("lines", 0, "quantity")`` → ``"/lines/0/quantity"``.

    A part that is no plain name is left out: it is a client's invention (an unknown field) or Pydantic's name for a validator.
    """
    parts = (str(part) for part in place)
    return "".join(f"/{part}" for part in parts if NAME.fullmatch(part))


def _meant(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without the "too short" that Pydantic says of a list in which every element is faulty: it counts only the good ones."""
    parents = {error["loc"][:length] for error in details for length in range(len(error["loc"]))}
    return [error for error in details if error["type"] != "too_short" or error["loc"] not in parents]


def _fault(kind: str, place: Iterable[str | int], context: Mapping[str, Any]) -> Fault:
    """A custom error type (``PydanticCustomError("wrong_total", …)``) is its own code when the catalogue has a sentence for it."""
    code = CODES.get(kind) or (kind if kind in FAULTS else "invalid")
    return Fault(pointer_to(place), code, {name: context[name] for name in LIMITS if name in context})
