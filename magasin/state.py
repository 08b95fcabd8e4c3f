"""What runs from this checkout now, and how does another terminal reach or stop it?"""

import shlex
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from magasin.home import AlreadyRunningError, Claim, Running
from magasin.processes import is_alive, signal_process
from magasin.servers import end_leftovers

STOP_SECONDS = 90
POLL_SECONDS = 0.1


class NotRunningError(RuntimeError):
    """Nothing runs from this home."""


class WontStopError(RuntimeError):
    """A supervisor that was asked to stop still runs."""


def addresses(home: Path) -> dict[str, str]:
    """The addresses of the running system by environment variable. Raises NotRunningError."""
    return running(home).addresses


def running(home: Path) -> Running:
    """What runs from this home. Raises NotRunningError."""
    found = Running.of(home)
    if found is None or not found.is_alive() or not found.addresses:
        raise NotRunningError
    return found


def shell_assignments(variables: Mapping[str, str]) -> str:
    """Lines for ``eval`` in a POSIX shell: an assignment each, then the export of all."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, f"export {' '.join(variables)}"])


def stop(home: Path) -> bool:
    """Stop the system that runs from `home` and wait for its end; True when there was one.

    What a killed supervisor has left behind is ended too. Raises WontStopError.
    """
    found = Running.of(home)
    if found is not None and found.is_alive():
        signal_process(found.supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while is_alive(found.supervisor):
            if time.monotonic() > deadline:
                raise WontStopError
            time.sleep(POLL_SECONDS)
        return True
    return _end_leftovers(home) if home.exists() else False


def _end_leftovers(home: Path) -> bool:
    try:
        claim = Claim(home)
    except AlreadyRunningError:
        raise WontStopError from None
    names = end_leftovers(home)
    (home / "run.json").unlink(missing_ok=True)
    claim.release()
    return bool(names)
