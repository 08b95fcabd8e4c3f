"""Does the pipeline call what is there, and the same versions as everybody else?"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # tests only read with it

from tests.services import ROOT

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text(encoding="utf-8"))
WORDS = {"stages", "variables", "default", "workflow", "include", "image", "services", "cache", "before_script", "after_script"}
JOBS = {name: body for name, body in PIPELINE.items() if name not in WORDS and not name.startswith(".")}
ASKED = ["check", "unit", "integration", "e2e", "build", "scan", "load", "docs"]
EXACT = re.compile(r"[\w./-]+:\d+\.\d+(\.\d+)?(-[\w.]+)*")


def images(block: Any) -> Iterator[str]:  # noqa: ANN401 - whatever stands in the file
    """Every image that a part of the pipeline, or of the compose file, names."""
    if isinstance(block, dict):
        beside = block.get("services", [])
        named = [block.get("image"), *(service.get("name") for service in beside if isinstance(beside, list))]
        yield from (each for each in named if isinstance(each, str) and "$" not in each)
        for key, each in block.items():
            if key != "image":
                yield from images(each)


def test_the_stages_are_those_that_were_asked_for_and_each_has_a_job() -> None:
    assert PIPELINE["stages"] == ASKED
    assert {job["stage"] for job in JOBS.values()} == set(ASKED)


@pytest.mark.parametrize("name", sorted(JOBS))
def test_every_job_calls_a_make_target_that_is_there_and_listed(name: str) -> None:
    listed = set(re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = set(re.findall(r"\bmake ([a-z0-9-]+)", "\n".join(JOBS[name]["script"])))
    assert called
    assert called <= listed


def test_whoever_needs_another_job_or_a_template_finds_it() -> None:
    needed = {each for job in JOBS.values() for each in job.get("needs", [])}
    extended = {each for job in JOBS.values() for each in [job.get("extends", [])] for each in ([each] if isinstance(each, str) else each)}
    assert needed <= JOBS.keys()
    assert extended <= PIPELINE.keys()


def test_images_have_exact_versions_and_those_of_the_servers_that_run() -> None:
    named = set(images(PIPELINE))
    assert named
    assert all(EXACT.fullmatch(image) for image in named), named
    composed = set(images(yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))))
    built = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE))
    elsewhere = {image.partition(":")[0]: image for image in composed | built}
    for image in named:
        assert elsewhere.get(image.partition(":")[0], image) == image
    assert {"postgres", "rabbitmq", "redis", "python"} <= {image.partition(":")[0] for image in named} & elsewhere.keys()


def test_what_a_job_keeps_is_what_its_target_writes() -> None:
    written = (ROOT / "Makefile").read_text(encoding="utf-8") + (ROOT / ".ci" / "scan").read_text(encoding="utf-8")
    kept = {path for name in ("unit", "coverage", "scan", "docs") for path in kept_by(name)}
    assert {".magasin/ci", ".magasin/ci/coverage", ".magasin/scan/*.json", ".magasin/docs"} == kept
    assert all(path.removesuffix("/*.json") in written for path in kept)


def kept_by(name: str) -> list[str]:
    """The paths of a job's artefacts, its templates' included."""
    job = JOBS[name]
    extends = job.get("extends", [])
    parts = [job, *(PIPELINE[each] for each in ([extends] if isinstance(extends, str) else extends))]
    return [path for part in parts for path in part.get("artifacts", {}).get("paths", [])]
