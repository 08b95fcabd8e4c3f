"""How does the process of the operators' jobs start, show how it does, and stop?"""

import asyncio
import signal
from typing import Any

import structlog

from infra.canary import Canary
from infra.database import engine_for, ping
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from workers.job_kinds import kinds
from workers.operator import NAME, Operator
from workers.probe import ProbeServer, answers, probe_app
from workers.pulse import Pulse, Sign
from workers.verifier import Verifier
from workers.whole import Whole

log = structlog.get_logger(__name__)


class OperatorProcess:
    """The operator, its publisher, its database and its probe, from start to a graceful stop."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._engine = engine_for(config, name=NAME)
        self._publisher = ConfirmingPublisher(config.amqp_url, name=NAME, timeout_seconds=config.publish_timeout_seconds)
        self._canary = Canary(config.amqp_url, self._publisher, name=NAME)
        self._operator = Operator(self._engine, config, kinds(self._engine, self._publisher))
        self._verifier = Verifier(config)
        self._whole = Whole(config)
        self._verifying: asyncio.Task[None] | None = None
        self._pulse = Pulse(self._engine, config, name=NAME, work=self)
        self._stopping = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Work until told to stop, or until a part has ended by itself (the supervisor starts another). Answers the exit code."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stopping.set)
        probe = ProbeServer(probe_app(self.check, self.refresh), host=self._config.host, port=self._config.probe_port)
        serving = asyncio.create_task(probe.serve())
        try:
            return await self._work()
        finally:
            await self._stop()
            probe.should_exit = True
            await serving
            log.info("stopped")

    async def check(self) -> dict[str, Any]:
        """Whether the database answers, the broker confirms, and the jobs are looked after."""
        details = {
            "broker": await answers(self._canary.check(self._config.publish_timeout_seconds)),
            "database": await answers(asyncio.to_thread(ping, self._engine)),
            "operator": self._works and self._pulse.informed.is_set(),
        }
        last_error = None if self._operator.latest_error is None else self._operator.latest_error[0]
        return {"ready": all(details.values()), "state": self.sign(held=False).state, **details, "last_error": last_error}

    async def refresh(self) -> None:
        """Bring the gauges up to date."""
        self._operator.refresh()
        await self._verifier.refresh()
        await self._whole.refresh()

    def sign(self, *, held: bool) -> Sign:
        """How it does. Nothing holds it: each job is paused by itself."""
        del held
        return Sign("running" if self._works else "waiting", consuming=False, latest_error=self._operator.latest_error)

    async def hold(self) -> None:
        """Nothing."""

    async def release(self) -> None:
        """Nothing."""

    async def catch_up(self) -> None:
        """Nothing."""

    @property
    def _works(self) -> bool:
        return all(each is not None and not each.done() for each in (self._working, self._verifying))

    async def _work(self) -> int:
        await self._publisher.start()
        self._pulse.start()
        working = self._working = asyncio.create_task(self._operator.run(), name="operator")
        verifying = self._verifying = asyncio.create_task(self._verifier.run(), name="verifier")
        stopping = asyncio.create_task(self._stopping.wait())
        log.info("started")
        await asyncio.wait({working, verifying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        ended = [each for each in (working, verifying) if each.done()]
        for each in ended:
            log.error("operator_ended", part=each.get_name(), error=repr(each.exception()))
        return 1 if ended else 0

    async def _stop(self) -> None:
        self._operator.stop()
        if self._working is not None:
            await asyncio.wait({self._working})
        if self._verifying is not None:
            self._verifying.cancel()
            await asyncio.wait({self._verifying})
        self._verifier.close()
        self._whole.close()
        await self._pulse.stop()
        await self._pulse.farewell()
        await self._canary.close()
        await self._publisher.close()
        self._engine.dispose()
