"""Is the built web application small, and does its client speak to the API as it is?"""

import filecmp
import gzip
import json
import re
from pathlib import Path

import pytest

from magasin.web_build import WEB, CannotBuildError, build, prepared
from magasin.web_document import document

FIRST_LOAD = 120_000
ROUTE = 40_000
LOADED = re.compile(r'(?:src|href)="/(assets/[^"]+)"')
IMPORTED = re.compile(r'(?:from|import)\s*"\./([^"]+\.js)"')


@pytest.fixture(scope="module")
def dist() -> Path:
    """The application as its sources say, built now if it wasn't."""
    build()
    return WEB / "dist"


def _weight(dist: Path, names: set[str]) -> int:
    return sum(len(gzip.compress((dist / name).read_bytes(), 9)) for name in names)


def _first(dist: Path) -> set[str]:
    """What the page asks for at once: its scripts and styles, and what they import without waiting."""
    found, todo = set[str](), set(LOADED.findall((dist / "index.html").read_text(encoding="utf-8")))
    while todo:
        name = todo.pop()
        found.add(name)
        if name.endswith(".js"):
            todo |= {f"assets/{each}" for each in IMPORTED.findall((dist / name).read_text(encoding="utf-8"))} - found
    return found


def test_the_first_load_is_small(dist: Path) -> None:
    names = _first(dist)
    assert any(name.endswith(".js") for name in names)
    assert any(name.endswith(".css") for name in names)
    assert _weight(dist, names) <= FIRST_LOAD


def test_every_route_is_small(dist: Path) -> None:
    later = {f"assets/{path.name}" for path in (dist / "assets").glob("*.js")} - _first(dist)
    assert later
    assert {name: _weight(dist, {name}) for name in later if _weight(dist, {name}) > ROUTE} == {}


def test_every_text_lies_there_compressed(dist: Path) -> None:
    for path in (dist / "assets").glob("*.[jc]s*"):
        if path.suffix != ".gz":
            assert gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes()) == path.read_bytes()


def test_what_is_built_already_is_not_built_again(dist: Path) -> None:
    before = (dist / "index.html").stat().st_mtime_ns
    assert build() is False
    assert (dist / "index.html").stat().st_mtime_ns == before


def test_the_client_is_generated_from_the_document_of_this_api(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(document(), encoding="utf-8")
    made = tmp_path / "api"
    prepared().run(
        "node_modules/@hey-api/openapi-ts/bin/run.js", seconds=120, MAGASIN_OPENAPI=str(tmp_path / "openapi.json"), MAGASIN_CLIENT=str(made)
    )
    kept = WEB / "src" / "api"
    names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file())
    _, different, missing = filecmp.cmpfiles(kept, made, names, shallow=False)
    assert (different, missing) == ([], []), "the API has changed: make client"


def test_the_document_is_the_same_every_time() -> None:
    assert json.loads(document())["info"]["title"] == "Magasin"
    assert document() == document()


def test_what_npm_complains_about_is_told(tmp_path: Path) -> None:
    (tmp_path / "fails.js").write_text("console.error('no such thing'); process.exit(3);", encoding="utf-8")
    with pytest.raises(CannotBuildError, match="no such thing"):
        prepared().run(tmp_path / "fails.js", seconds=30)
