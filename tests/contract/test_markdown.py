"""Does what is written lead somewhere, and is it complete where it says that it is?"""

import re
from pathlib import Path

import pytest
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

import api.metrics
import infra.metrics
import workers.metrics
from infra.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
MILLION = 1_000_000
KILOBYTE = 1_024
LARGEST_PICTURE = 200 * KILOBYTE


def anchors(path: Path) -> set[str]:
    """The names by which the headings of a document can be linked to."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_inside_the_project_leads_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_setting_is_in_the_table_with_its_default() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(rf"^\| `({PREFIX}\w+)` \| ([^|]+?) \|", text, re.MULTILINE))
    assert set(rows) == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float):
            assert rows[f"{PREFIX}{name.upper()}"].startswith(f"`{field.default:g}`" if field.default < MILLION else f"`{field.default}`")


def test_every_metric_is_in_the_table() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for module in (api.metrics, infra.metrics, workers.metrics):
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                (family,) = metric.describe()
                assert f"`{family.name}{'_total' if isinstance(metric, Counter) else ''}`" in text


def test_decisions_are_numbered_without_gaps_and_have_one_form() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}. ")
        assert re.search(r"^- Status: (Accepted|Superseded by \[\d{4}\])", text, re.MULTILINE)
        assert re.search(r"^- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE)
        assert re.search(r"^> .+$", text, re.MULTILINE), "the sentence to quote"
        assert HEADING.findall(text)[1:] == ["Context", "Decision", "Consequences"]
        assert f"({path.name})" in index


def test_the_readme_tells_of_every_row_that_was_asked_for() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (M\d+) \| [^|]+ \| (here|partly|later) \| [^|]+ \|$", text, re.MULTILINE)
    assert [name for name, _ in rows] == [f"M{number}" for number in range(1, 31)]


def test_the_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "pictures").iterdir())
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > LARGEST_PICTURE] == []
