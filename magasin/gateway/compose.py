"""How do containers change places behind Kong without anybody noticing?

Two files say what is deployed, and both are replaced whole: Kong's, and one with a service for each instance, which docker-compose.yml
includes. Docker Compose does the rest: `up --wait` starts and waits until healthy, `kong reload` has Kong read its file again while its old
workers end what they have under way.
"""

import asyncio
import re
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path
from shutil import which
from typing import Final

from magasin.gateway import deployed
from magasin.gateway.plan import SHARED, Plan
from magasin.gateway.policy import SERVICES

GATEWAY: Final = "kong"
PROFILE: Final = "gateway"
WAIT_SECONDS: Final = 180
COMMAND_SECONDS: Final = 900
"""The first start builds an image."""
FILE_INSIDE: Final = "/etc/magasin/kong/kong.yml"
LAST_LINES: Final = 12
INSTANCE: Final = re.compile(rf"({'|'.join([SHARED, *(service.name for service in SERVICES)])})-[0-9]+(-spare)?")


class ComposeFailed(RuntimeError):
    """Docker Compose couldn't do what it was asked; the message has the end of what it said."""


def program() -> tuple[str, ...] | None:
    """How Docker Compose is called here: as a plugin of Docker, else by itself. None where there is none."""
    docker, alone = which("docker"), which("docker-compose")
    if docker and subprocess.run((docker, "compose", "version"), capture_output=True, check=False).returncode == 0:
        return docker, "compose"
    return (alone,) if alone else None


class Compose:
    """The containers of a folder with a docker-compose.yml."""

    drain_seconds = 10.0
    """Kong's new workers come within two seconds; the old ones, and the instances themselves, end what they have."""

    def __init__(self, command: Sequence[str], folder: Path, public_key: str) -> None:
        """Asks what runs. Raises ComposeFailed when the engine doesn't answer."""
        self._command = tuple(command)
        self._folder = folder
        self._public_key = public_key
        services = self._do("ps", "--services", "--filter", "status=running").split()
        self._gateway_runs = GATEWAY in services
        self._declared = {_name(service) for service in services if INSTANCE.fullmatch(_name(service))}

    @property
    def running(self) -> frozenset[str]:
        """The instances that run."""
        return frozenset(self._declared)

    async def start(self, names: Collection[str]) -> None:
        """Start these, with what they need when nothing runs yet; returns when all are healthy. Raises ComposeFailed."""
        self._declare(self._declared | set(names))
        if names:
            alone = ("--no-deps",) if self._gateway_runs else ()
            await self._up(*alone, *(_service(name) for name in names))

    async def tell(self, plan: Plan) -> None:
        """Write Kong's file and have Kong read it; start Kong and everything else that doesn't run yet. Raises ComposeFailed."""
        path = self._folder / deployed.KONG_FILE
        before = path.read_text(encoding="utf-8") if path.exists() else None
        deployed.put(path, deployed.kong_text(plan, self._public_key))
        if not self._gateway_runs:
            await self._up()
            self._gateway_runs = True
            return
        try:
            await self._run("exec", "-T", GATEWAY, "kong", "config", "parse", FILE_INSIDE)
            await self._run("exec", "-T", GATEWAY, "kong", "reload")
        except ComposeFailed:
            if before is not None:
                deployed.put(path, before)
            raise

    async def stop(self, names: Collection[str]) -> None:
        """Stop and remove these. Raises ComposeFailed."""
        if names:
            await self._run("rm", "--stop", "--force", *(_service(name) for name in names))
            self._declare(self._declared - set(names))

    def _declare(self, names: set[str]) -> None:
        """Remember what there is, and name it in the files. What isn't named there Compose doesn't know."""
        self._declared = names
        deployed.put_instances(self._folder, names)

    async def _up(self, *words: str) -> None:
        await self._run("up", "--detach", "--no-recreate", "--wait", "--wait-timeout", str(WAIT_SECONDS), *words)

    async def _run(self, *words: str) -> None:
        await asyncio.to_thread(self._do, *words)

    def _do(self, *words: str) -> str:
        command = (*self._command, "--profile", PROFILE, *words)
        try:
            done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=True, timeout=COMMAND_SECONDS)
        except subprocess.CalledProcessError as error:
            raise ComposeFailed("\n".join(error.stderr.strip().splitlines()[-LAST_LINES:])) from error
        except subprocess.TimeoutExpired as error:
            raise ComposeFailed(f"nothing was heard of docker compose {words[0]} within {COMMAND_SECONDS} s") from error
        return done.stdout


def _service(name: str) -> str:
    """The service of docker-compose.yml that an instance is."""
    return SHARED if name == deployed.FIRST else name


def _name(service: str) -> str:
    return deployed.FIRST if service == SHARED else service
