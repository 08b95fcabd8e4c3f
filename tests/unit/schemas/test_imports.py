"""Does every column of a file lead to a field of the command that says the same, and is every cell read as people write it?"""

import pytest

from schemas.imports import IMPORTS, Column, ImportKind, Reader, amount, hour, whole, yes_or_no


@pytest.mark.parametrize(
    ("read", "cell", "found"),
    [
        (amount, "3,50", "3.50"),
        (amount, "3.50", "3.50"),
        (amount, "1,234,5", "1,234,5"),
        (whole, "12", 12),
        (whole, "-1", -1),
        (whole, "12.0", "12.0"),
        (whole, "9" * 30, "9" * 30),
        (yes_or_no, "Oui", True),
        (yes_or_no, "FALSE", False),
        (yes_or_no, "si", "si"),
        (hour, "4:00", "04:00"),
        (hour, "04:00", "04:00"),
    ],
)
def test_cells_are_read_as_people_write_them(read: Reader, cell: str, found: object) -> None:
    assert read(cell) == found


@pytest.mark.parametrize("kind", IMPORTS, ids=lambda kind: kind.name)
def test_the_examples_make_a_row(kind: ImportKind) -> None:
    content: dict[str, object] = {}
    for column in kind.columns:
        inside = content
        for name in column.field[:-1]:
            inside = inside.setdefault(name, {})  # type: ignore[assignment]  # an object inside the row
        inside[column.field[-1]] = column.read(column.example)
    kind.row.model_validate(content)
    assert set(content) == set(kind.row.model_fields)


@pytest.mark.parametrize("kind", IMPORTS, ids=lambda kind: kind.name)
def test_no_two_columns_share_a_name(kind: ImportKind) -> None:
    names = [name for column in kind.columns for name in {column.french, column.english}]
    assert len(set(names)) == len(names)
    assert len(kind.by_pointer) == len(kind.columns)


def test_a_columns_pointer_is_that_of_its_faults() -> None:
    assert Column("nom_fr", "name_fr", ("name", "fr"), "Pain").pointer == "/name/fr"
