"""How does everything that was started stay up, and how does it all end together?"""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from magasin.processes import Identity, end_session, identity_of

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A child that ran that long starts again without delay when it dies."""

READY_POLL_SECONDS = 0.05
LOG_BYTES = 8 * 1024 * 1024
LOG_CHECK_SECONDS = 5.0
TAIL_LINES = 25


async def _at_once() -> bool:
    return True


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Child:
    """A process to keep running.

    `stage` orders the end: the highest stops first. `prepare` runs before each start (it may block), `ready` says whether the
    child does its work now. A child that dies `early_deaths` times before it was ever ready is given up. The command must end
    on `stop_signal`.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stage: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0
    ready: Callable[[], Awaitable[bool]] = _at_once
    ready_seconds: float = 60.0
    early_deaths: int = 4
    prepare: Callable[[], None] = _nothing


class ChildFailedError(RuntimeError):
    """A child that never became ready; `tail` is the end of its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        """Keep what is needed to tell the reader what to look at."""
        super().__init__(f"{name} {reason}")
        self.name = name
        self.log = log
        self.tail = tail_of(log)


def tail_of(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, empty when it doesn't exist."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - lines * 400))
            return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


@dataclass
class _Kept:
    """What the supervisor knows of one child."""

    child: Child
    identity: Identity | None = None
    was_ready: bool = False
    deaths: int = 0
    failure: str | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Supervisor:
    """Starts children, each in a session and with a log of its own, and starts again what dies, until `stop`.

    `changed` is called with the processes that run after each start, so that a successor can find them.
    Must run on the event loop of a thread that outlives the children: the kernel ties them to it.
    """

    def __init__(self, logs: Path, changed: Callable[[dict[str, Identity]], None] = lambda _: None) -> None:
        """Nothing is started yet. `logs` is made when missing."""
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._logs = logs
        self._changed = changed
        self._kept: dict[str, _Kept] = {}
        self._trimmer: asyncio.Task[None] | None = None

    def start(self, child: Child) -> None:
        """Begin to keep `child` running. Returns at once; see `ready`."""
        if child.name in self._kept:
            raise ValueError(child.name)
        kept = self._kept[child.name] = _Kept(child)
        kept.task = asyncio.create_task(self._keep(kept), name=f"keep-{child.name}")
        self._trimmer = self._trimmer or asyncio.create_task(self._trim_logs(), name="trim-logs")

    async def ready(self, name: str) -> None:
        """Return when the child does its work. Raises ChildFailedError when it gives up or takes too long."""
        kept = self._kept[name]
        deadline = time.monotonic() + kept.child.ready_seconds
        while not (kept.identity and await kept.child.ready()):
            if kept.failure:
                raise ChildFailedError(name, kept.failure, self.log_of(name))
            if time.monotonic() > deadline:
                raise ChildFailedError(name, f"is not ready after {kept.child.ready_seconds:.0f} s", self.log_of(name))
            await asyncio.sleep(READY_POLL_SECONDS)
        kept.was_ready = True

    async def remove(self, name: str) -> None:
        """End one child, politely and then by SIGKILL, and keep it running no longer."""
        kept = self._kept.pop(name)
        if kept.task:
            kept.task.cancel()
            await asyncio.gather(kept.task, return_exceptions=True)
        await self._end(kept)
        self._changed(self.running())

    def running(self) -> dict[str, Identity]:
        """The processes that run now, by name."""
        return {name: kept.identity for name, kept in self._kept.items() if kept.identity}

    def log_of(self, name: str) -> Path:
        """Where the child's output goes."""
        return self._logs / f"{name}.log"

    async def stop(self) -> None:
        """End all children, the highest stage first, each stage at once: politely, then by SIGKILL."""
        for kept in self._kept.values():
            if kept.task:
                kept.task.cancel()
        if self._trimmer:
            self._trimmer.cancel()
        tasks = [task for task in (self._trimmer, *(kept.task for kept in self._kept.values())) if task]
        await asyncio.gather(*tasks, return_exceptions=True)
        for stage in sorted({kept.child.stage for kept in self._kept.values()}, reverse=True):
            await asyncio.gather(*(self._end(kept) for kept in self._kept.values() if kept.child.stage == stage))
        self._changed(self.running())

    async def _end(self, kept: _Kept) -> None:
        if kept.identity:
            await asyncio.to_thread(end_session, kept.identity, kept.child.stop_signal, kept.child.stop_seconds)
            kept.identity = None

    async def _keep(self, kept: _Kept) -> None:
        delay = FIRST_DELAY_SECONDS
        while kept.failure is None:
            began = time.monotonic()
            end = await self._run_once(kept)
            if time.monotonic() - began > STEADY_SECONDS:
                delay = FIRST_DELAY_SECONDS
            kept.deaths += 1
            self._note(kept.child.name, f"{end}; starting again in {delay:.1f} s")
            if not kept.was_ready and kept.deaths >= kept.child.early_deaths:
                kept.failure = f"ended {kept.deaths} times before it was ready ({end})"
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    async def _run_once(self, kept: _Kept) -> str:
        """Start the child and wait for its end. What its session left behind is killed, so that ports and files are free again."""
        child = kept.child
        try:
            await asyncio.to_thread(child.prepare)
            process = await self._spawn(child)
        except (OSError, RuntimeError) as error:
            return f"could not be started: {error}"
        kept.identity = identity_of(process.pid)
        self._changed(self.running())
        status = await process.wait()
        if kept.identity:
            await asyncio.to_thread(end_session, kept.identity, signal.SIGKILL, 0)
        kept.identity = None
        return f"ended with status {status}"

    async def _spawn(self, child: Child) -> asyncio.subprocess.Process:
        log = os.open(self.log_of(child.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *child.command,
                env=dict(child.env),
                cwd=child.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def _note(self, name: str, text: str) -> None:
        with self.log_of(name).open("a", encoding="utf-8") as log:
            log.write(f"magasin: {name} {text}\n")

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_SECONDS)
            for name in list(self._kept):
                trim(self.log_of(name))


def trim(log: Path, limit_bytes: int = LOG_BYTES) -> None:
    """Move a log that has grown past the limit to ``NAME.log.1`` and go on in the same file: its writer keeps it open."""
    if log.exists() and log.stat().st_size > limit_bytes:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
