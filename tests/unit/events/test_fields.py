"""Which values may a fact hold?"""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from events.fields import Barcode, Counted, Delta, Instant, Money, Note, Quantity, SkuField, StoreIdField, Text, Timezone
from events.stock import AdjustmentLine

GOOD: list[tuple[Any, Any, Any]] = [
    (Quantity, 1, 1),
    (Quantity, 1_000_000, 1_000_000),
    (Counted, 0, 0),
    (Delta, -5, -5),
    (Money, "12.5", "12.50"),
    (Money, 3, "3.00"),
    (Money, "0", "0.00"),
    (SkuField, "A.b_c-9", "A.b_c-9"),
    (StoreIdField, "centre-ville", "centre-ville"),
    (Text, "  Épicerie  ", "Épicerie"),
    (Note, "two\nlines\t", "two\nlines\t"),
    (Barcode, "0123456789", "0123456789"),
    (Timezone, "America/Toronto", "America/Toronto"),
]
BAD: list[tuple[Any, tuple[object, ...]]] = [
    (
        Quantity,
        (
            0,
            -1,
            True,
            1.0,
            1.5,
            "5",
            10**30,
            None,
            float("nan"),
        ),
    ),
    (
        Counted,
        (
            -1,
            True,
            "0",
            1_000_001,
        ),
    ),
    (
        Delta,
        (
            1_000_001,
            -1_000_001,
            1.5,
            "1",
        ),
    ),
    (
        Money,
        (
            "-0.01",
            "1.001",
            "NaN",
            "Infinity",
            "1e400",
            float("inf"),
            "12345678901.00",
            "1_000",
            " 1",
            "\u0661",
            "a",
            None,
        ),
    ),
    (
        SkuField,
        (
            "",
            "a b",
            "a\x00",
            "a\ud800",
            "é",
            "a" * 65,
            "a\n",
            "'; DROP TABLE sale",
            5,
        ),
    ),
    (
        StoreIdField,
        (
            "",
            "Centre",
            "a_b",
            "a" * 33,
            "a\n",
        ),
    ),
    (
        Text,
        (
            "",
            "   ",
            "a\x00b",
            "a\nb",
            "a" * 201,
        ),
    ),
    (
        Note,
        (
            "a\x00",
            "\x1b[31m",
            "a" * 1_001,
        ),
    ),
    (
        Barcode,
        (
            "",
            "12 3",
            "1" * 33,
        ),
    ),
    (
        Timezone,
        (
            "",
            "Mars/Olympus",
            "../etc/passwd",
        ),
    ),
    (
        Instant,
        (
            1_700_000_000,
            "1700000000",
            "2026-03-14",
            "2026-03-14T12:00:00",
            "yesterday",
            True,
        ),
    ),
]


@pytest.mark.parametrize(("kind", "value", "kept"), GOOD)
def test_what_a_shop_really_writes_is_taken(kind: Any, value: Any, kept: Any) -> None:  # noqa: ANN401 - any field
    taken = TypeAdapter(kind).validate_python(value)
    assert (str(taken) if isinstance(kept, str) else taken) == kept


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in BAD for value in values])
def test_what_no_shop_writes_is_refused(kind: Any, value: Any) -> None:  # noqa: ANN401 - any field
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


def test_money_is_written_with_two_digits() -> None:
    assert TypeAdapter(Money).dump_json(TypeAdapter(Money).validate_python("5")) == b'"5.00"'


def test_an_instant_has_an_offset() -> None:
    assert TypeAdapter(Instant).validate_python("2026-03-14T08:00:00-04:00").isoformat() == "2026-03-14T08:00:00-04:00"


def test_a_change_of_nothing_is_no_change() -> None:
    with pytest.raises(ValidationError, match="a change of nothing"):
        AdjustmentLine.model_validate({"sku": "apple", "delta": 0})
