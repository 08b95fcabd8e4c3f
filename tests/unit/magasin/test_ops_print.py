"""Can an operator read a list, however narrow the screen?"""

from io import StringIO

from rich.console import Console

from magasin.ops_print import Columns, Json, Listing

JOBS: list[Json] = [
    {"id": "01a2089b-6a23-7042-9b48-cf9dcfd37759", "kind": "rebuild", "state": "running", "done": 12_345, "error": None},
    {"id": "01a2089d-0f1f-7569-bc2e-487e29906ed8", "kind": "replay", "state": "failed", "done": 7, "error": {"code": "broker_away"}},
]
COLUMNS: Columns = {"Job": "id", "Kind": "kind", "State": "state", "Done": "done", "Error": "error.code"}


def shown(width: int, items: list[Json] = JOBS) -> list[str]:
    out = StringIO()
    Console(file=out, width=width).print(Listing(items, COLUMNS, "Jobs"))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_wide_screen_shows_a_table() -> None:
    lines = shown(120)
    assert lines[0].strip() == "Jobs"
    (row,) = (line for line in lines if "cf9dcfd37759" in line)
    assert [part.strip() for part in row.strip("│").split("│")] == [JOBS[0]["id"], "rebuild", "running", "12,345", "-"]


def test_a_narrow_one_shows_one_job_below_the_other_with_every_word_whole() -> None:
    assert shown(60) == [
        "Jobs",
        "Job    01a2089b-6a23-7042-9b48-cf9dcfd37759",
        "Kind   rebuild",
        "State  running",
        "Done   12,345",
        "Error  -",
        "",
        "Job    01a2089d-0f1f-7569-bc2e-487e29906ed8",
        "Kind   replay",
        "State  failed",
        "Done   7",
        "Error  broker_away",
        "",
    ]


def test_nothing_of_an_id_is_lost_where_even_that_is_too_long() -> None:
    lines = shown(30)
    assert "".join(line.removeprefix("Job").strip() for line in lines[1:3]) == JOBS[0]["id"]


def test_nothing_is_a_table_without_rows() -> None:
    for width in (60, 120):
        assert any("Kind" in line for line in shown(width, []))
