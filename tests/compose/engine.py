"""How does the smoke test speak with Docker, and what does it want to know of a container?"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
SECONDS = 1_800


class EngineError(RuntimeError):
    """Docker said no; the message is the end of what it said."""


@dataclass(frozen=True, slots=True)
class Container:
    """What the engine tells of one container. `health` is empty where nobody looks at it."""

    name: str
    service: str
    image: str
    running: bool
    health: str
    exit_code: int
    user: str
    read_only: bool
    dropped: tuple[str, ...]
    memory_bytes: int
    published: tuple[str, ...]

    @property
    def works(self) -> bool:
        """Whether it runs, and says that it is well where it can say so."""
        return self.running and self.health in {"", "healthy"}


def run(words: Sequence[str], *, env: Mapping[str, str] | None = None, told: str | None = None) -> str:
    """What a command prints. Raises EngineError."""
    done = subprocess.run(
        words, check=False, cwd=ROOT, env={**os.environ, **(env or {})}, input=told, capture_output=True, text=True, timeout=SECONDS
    )
    if done.returncode != 0:
        raise EngineError(f"{' '.join(words)} failed:\n{(done.stderr + done.stdout)[-3_000:]}")
    return done.stdout


def is_there() -> bool:
    """Whether an engine answers."""
    try:
        run(["docker", "version"])
    except (EngineError, OSError):
        return False
    return True


def compose_command() -> list[str]:
    """Docker Compose, as a plugin or as a program of its own. Raises EngineError."""
    for words in (["docker", "compose"], [shutil.which("docker-compose") or "docker-compose"]):
        try:
            run([*words, "version"])
        except (EngineError, OSError):
            continue
        return words
    raise EngineError("There is no Docker Compose: neither `docker compose` nor `docker-compose` answers.")


class Project:
    """One installation of the compose file, beside whatever else runs on this machine."""

    def __init__(self, name: str, settings: Mapping[str, str], profiles: Sequence[str] = ()) -> None:
        """Nothing is started. `settings` are what the compose file takes from its environment."""
        self.name = name
        self._words = [*compose_command(), "--project-name", name, *(word for each in profiles for word in ("--profile", each))]
        self._settings = {**settings, **_classic()}

    def compose(self, *words: str) -> str:
        """What Compose prints. Raises EngineError."""
        return run([*self._words, *words], env=self._settings)

    def config(self) -> dict[str, object]:
        """The file as Compose understands it."""
        return dict(json.loads(self.compose("config", "--format", "json")))

    def containers(self) -> list[Container]:
        """All of the project, those that have ended included."""
        ids = run(["docker", "ps", "--all", "--quiet", "--filter", f"label={LABEL}={self.name}"]).split()
        return sorted((_container(each) for each in json.loads(run(["docker", "inspect", *ids]))), key=lambda one: one.name) if ids else []


def _classic() -> dict[str, str]:
    """Without the plugin that builds in the new way, ask for the old one."""
    try:
        run(["docker", "buildx", "version"])
    except EngineError:
        return {"DOCKER_BUILDKIT": "0"}
    return {}


def _container(told: dict[str, dict[str, object]]) -> Container:
    state, config, host = told["State"], told["Config"], told["HostConfig"]
    health, labels = state.get("Health"), config["Labels"]
    ports = host.get("PortBindings")
    return Container(
        name=str(told["Name"]).lstrip("/"),
        service=str(labels[SERVICE_LABEL]) if isinstance(labels, dict) else "",
        image=str(config["Image"]),
        running=bool(state["Running"]),
        health=str(health["Status"]) if isinstance(health, dict) else "",
        exit_code=int(str(state["ExitCode"])),
        user=str(config["User"]),
        read_only=bool(host["ReadonlyRootfs"]),
        dropped=tuple(map(str, _list(host.get("CapDrop")))),
        memory_bytes=int(str(host["Memory"])),
        published=tuple(sorted(ports)) if isinstance(ports, dict) else (),
    )


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []
