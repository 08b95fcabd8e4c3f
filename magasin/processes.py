"""Which processes are really ours, even after a crash gave their numbers to somebody else?"""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Identity:
    """A process number with the clock tick at which that process began: no later process has both."""

    pid: int
    started_ticks: int


@dataclass(frozen=True)
class Stat:
    """What the kernel says of a process to everybody, whoever owns it."""

    state: str
    session: int
    started_ticks: int


def stat_of(pid: int) -> Stat | None:
    """The kernel's view of `pid`, None when there is no such process."""
    try:
        fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return Stat(state=fields[0], session=int(fields[3]), started_ticks=int(fields[19]))


def identity_of(pid: int) -> Identity | None:
    """What to remember of `pid` so as to recognise it later, None when it is gone."""
    stat = stat_of(pid)
    return Identity(pid, stat.started_ticks) if stat else None


def is_alive(identity: Identity) -> bool:
    """True while that very process runs. A zombie has ended."""
    stat = stat_of(identity.pid)
    return stat is not None and stat.started_ticks == identity.started_ticks and stat.state not in {"Z", "X"}


def session_of(leader: Identity) -> Iterator[int]:
    """The processes of the session that `leader` opened, itself included, also when it has died before them."""
    present = stat_of(leader.pid)
    if present is not None and present.started_ticks != leader.started_ticks:
        return
    for entry in PROC.iterdir():
        stat = stat_of(int(entry.name)) if entry.name.isdigit() else None
        if stat and stat.session == leader.pid and stat.started_ticks >= leader.started_ticks and stat.state not in {"Z", "X"}:
            yield int(entry.name)


def signal_process(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def end_session(leader: Identity, first: signal.Signals, patience_seconds: float) -> None:
    """End a session of ours: `first` to its leader, and after `patience_seconds` SIGKILL to whatever is left of it."""
    if is_alive(leader):
        signal_process(leader.pid, first)
    deadline = time.monotonic() + patience_seconds
    while any(session_of(leader)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for pid in session_of(leader):
        signal_process(pid, signal.SIGKILL)


def dying_with_parent(command: Sequence[str], number: signal.Signals = signal.SIGTERM, *privileges: str) -> tuple[str, ...]:
    """`command` wrapped so that the kernel sends it `number` when the process that started it dies, even by SIGKILL.

    `privileges` are further options of setpriv(1), which Debian always has. Without it the command is returned as it is.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return tuple(command)
    return (setpriv, *privileges, "--pdeathsig", number.name.removeprefix("SIG"), "--", *command)
