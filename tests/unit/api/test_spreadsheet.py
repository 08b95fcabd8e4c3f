"""Is a file read as a spreadsheet shows it, and is what goes back to it harmless?"""

import pytest

from api.problems import Problem
from api.spreadsheet import TELLING, Line, read, write

MANY = 1_000


@pytest.mark.parametrize(
    "content",
    [
        b"sku,Code-barres\nA,1\n",
        b"sku;Code-barres\r\nA;1\r\n",
        "\ufeffsku;CODE BARRES\rA;1".encode(),
        b'\n\n"sku","code_barres"\n"A",1',
        b" sku , Code (barres) \n A , 1 \n",
    ],
)
def test_commas_or_semicolons_marks_and_blanks_make_no_difference(content: bytes) -> None:
    sheet = read(content, MANY)
    assert sheet.names == ["sku", "code_barres"]
    assert [list(line.cells) for line in sheet.lines] == [["A", "1"]]


def test_rows_have_the_numbers_that_a_spreadsheet_shows() -> None:
    sheet = read(b'sku,nom\nA,"two\nlines"\n\n , \nB,x,more\nC\n', MANY)
    assert sheet.lines == [Line(2, ["A", "two\nlines"]), Line(5, ["B", "x", "more"]), Line(6, ["C"])]


def test_the_separator_of_the_header_counts() -> None:
    assert read(b"sku;nom\nA;1,2,3,4\n", MANY).lines[0].cells == ["A", "1,2,3,4"]
    assert read(b"sku\nA;B\n", MANY).lines[0].cells == ["A;B"]


@pytest.mark.parametrize(
    ("content", "row"),
    [(b"", 1), (b" \n", 1), (b"sku\nA\n\xe9\n", 3), (b'sku\nA\n"B"C\n', 3), (b'sku\n"A', 2), (b"sku\n" + b"x" * 200_000, 2)],
)
def test_what_can_not_be_read_says_where(content: bytes, row: int) -> None:
    with pytest.raises(Problem) as refused:
        read(content, MANY)
    assert (refused.value.code, refused.value.members) == ("malformed_csv", {"row": row})


def test_more_rows_than_allowed_are_too_large() -> None:
    assert len(read(b"sku\n" + b"A\n" * 10, 10).lines) == 10
    with pytest.raises(Problem) as refused:
        read(b"sku\n" + b"A\n" * 11, 10)
    assert refused.value.code == "too_large"


def test_what_goes_back_can_not_run_and_comes_in_again_as_it_was() -> None:
    sheet = read(b"sku;nom;erreur;Ligne\nA;=1+1;vieille;9\nB;-3,50;;\nC;@x;;\n", MANY)
    content = write(sheet, [(line, "faute ; grave") for line in sheet.lines], TELLING)
    assert content.decode("utf-8-sig").splitlines() == [
        "sku;nom;ligne;erreur",
        'A;\'=1+1;2;"faute ; grave"',
        'B;-3,50;3;"faute ; grave"',
        'C;\'@x;4;"faute ; grave"',
    ]
    again = read(content, MANY)
    assert [line.cells[:2] for line in again.lines] == [line.cells[:2] for line in sheet.lines]
