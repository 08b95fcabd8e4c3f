"""Is the committed file for Kong what would be written today, and does it fit: our own form always, Kong's own where a checker is named?

``python -m magasin.gateway.check``, a part of ``make check``. MAGASIN_KONG_VALIDATOR names a program that is called with the file and with
the folder that the program lies in, where it keeps Kong's schemas.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from magasin.gateway import deployed
from magasin.house import ROOT

VALIDATOR: Final = "MAGASIN_KONG_VALIDATOR"
KEY: Final = "rsa_public_key: |\n"
CHECK_SECONDS: Final = 60


def faults(root: Path) -> Iterator[str]:
    """What isn't as it should be, in words."""
    text = (root / deployed.KONG_FILE).read_text(encoding="utf-8")
    plan = deployed.plan_of(text)
    if text != deployed.kong_text(plan, key_in(text)):
        yield f"{deployed.KONG_FILE} isn't what would be written of its plan: magasin deploy --only-write"
    instances = (root / deployed.INSTANCES_FILE).read_text(encoding="utf-8")
    if instances != deployed.instances_text(set(plan.names()) - {deployed.FIRST}):
        yield f"{deployed.INSTANCES_FILE} names other instances than {deployed.KONG_FILE}"
    if (root / deployed.SCHEMA_FILE).read_text(encoding="utf-8") != deployed.schema_text():
        yield f"{deployed.SCHEMA_FILE} isn't the form of today: python -m magasin.gateway.check --write"
    yield from refused(root / deployed.KONG_FILE)


def refused(file: Path) -> Iterator[str]:
    """What the named checker says against a file; nothing where none is named."""
    command = shlex.split(os.environ.get(VALIDATOR, ""))
    if command:
        said = subprocess.run(
            (*command, str(file), str(Path(command[-1]).parent)), capture_output=True, text=True, check=False, timeout=CHECK_SECONDS
        )
        if said.returncode:
            yield f"{file} is refused by {VALIDATOR}:\n{said.stdout}{said.stderr}"


def key_in(text: str) -> str | None:
    """The public key that a file of ours has, if any."""
    _, found, rest = text.partition(KEY)
    lines = rest.splitlines()
    end = next((place for place, line in enumerate(lines) if line.strip().startswith("-----END")), -1)
    return "".join(f"{line.strip()}\n" for line in lines[: end + 1]) if found else None


def write(root: Path) -> None:
    """Write what is committed: the schema, and the files as they are before anybody deployed."""
    deployed.put(root / deployed.SCHEMA_FILE, deployed.schema_text())
    deployed.put(root / deployed.KONG_FILE, deployed.kong_text(deployed.DEFAULT, None))
    deployed.put(root / deployed.INSTANCES_FILE, deployed.instances_text([]))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write(ROOT)
    sys.exit("\n".join(faults(ROOT)) or None)
