"""What does this machine's Magasin remember between two starts: ports, passwords, and who is running?"""

import fcntl
import json
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from magasin.processes import Identity, is_alive

# Below the kernel's ephemeral range, so that no outgoing connection of anybody borrows a remembered port while we are stopped.
FIRST_PORT, LAST_PORT = 20_000, 32_000
LOOPBACK = "127.0.0.1"
PORT_ATTEMPTS = 1_000


class NoFreePortError(RuntimeError):
    """A thousand random ports of the machine were all taken."""


class AlreadyRunningError(RuntimeError):
    """Another supervisor holds this home."""


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file at once, readable by its owner only: a reader sees the old or the new content, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """True when a server could listen on that port now. Connections of a server that has ended don't count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@dataclass
class Memory:
    """Ports and passwords of the private servers, chosen once and kept in ``servers.json`` (mode 0600)."""

    path: Path
    ports: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Path) -> Self:
        """What `home` remembers; nothing yet when it is new. Raises ValueError when the file is damaged."""
        path = home / "servers.json"
        with suppress(FileNotFoundError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, ports=dict(kept["ports"]), passwords=dict(kept["passwords"]))
        return cls(path)

    def port(self, name: str) -> int:
        """The port of `name`: the one it had, or another one if somebody has taken that meanwhile."""
        kept = self.ports.get(name)
        if kept is None or not is_free(kept):
            self.ports[name] = self._unused_port()
            self._save()
        return self.ports[name]

    def password(self, name: str) -> str:
        """The password of `name`, made at the first call. Needs no quoting in a URL, a shell or a configuration file."""
        if name not in self.passwords:
            self.passwords[name] = secrets.token_hex(20)
            self._save()
        return self.passwords[name]

    def _unused_port(self) -> int:
        for _ in range(PORT_ATTEMPTS):
            port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
            if port not in self.ports.values() and is_free(port):
                return port
        raise NoFreePortError

    def _save(self) -> None:
        write_private(self.path, json.dumps({"ports": self.ports, "passwords": self.passwords}, indent=2))


@dataclass(frozen=True)
class Running:
    """The system that runs from a home, as ``run.json`` (mode 0600) tells: its supervisor, its children, its addresses."""

    supervisor: Identity
    children: dict[str, Identity] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Path) -> Self | None:
        """The last state written, of a system that may have died since. None when nothing (readable) was written."""
        try:
            kept = json.loads((home / "run.json").read_text(encoding="utf-8"))
            children = {name: Identity(**identity) for name, identity in kept["children"].items()}
            return cls(Identity(**kept["supervisor"]), children, kept["addresses"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def save(self, home: Path) -> None:
        """Write this state over the last one."""
        write_private(home / "run.json", json.dumps(asdict(self), indent=2))

    def is_alive(self) -> bool:
        """True while the supervisor runs."""
        return is_alive(self.supervisor)


class Claim:
    """The sole right to run from a home. The kernel takes it back when the process ends, however it ends."""

    def __init__(self, home: Path) -> None:
        """Take the right, or raise AlreadyRunningError."""
        home.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._file = (home / "lock").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AlreadyRunningError from None

    def release(self) -> None:
        """Let the next one start."""
        self._file.close()
