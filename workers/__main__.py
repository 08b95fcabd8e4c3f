"""The workers' composition root: ``python -m workers stock-writer | projector | dead-letters | outbound | operator``."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Engine
from uvicorn.loops.auto import auto_loop_factory

from infra import garbage
from infra.canary import Canary
from infra.connection import BrokerUnavailable
from infra.consumer import BatchConsumer, Handler
from infra.database import engine_for, ping
from infra.faults import is_transient
from infra.logs import configure
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings, settings
from infra.topology import provide
from infra.traces import traces
from operations.consumers import State
from stock.counting import Tolerance
from workers import dead_letters, lag, metrics, operator, outbound, projector, stock_writer
from workers.operator_process import OperatorProcess
from workers.probe import ProbeServer, answers, probe_app
from workers.pulse import Pulse, Sign
from workers.replays import only_news

STUCK_SECONDS = 120.0
SLOW_SECONDS = 30.0
"""A batch that takes so long is shown as stuck; after `STUCK_SECONDS` the process leaves."""
WATCH_SECONDS = 2.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What every worker is made of."""

    config: Settings
    engine: Engine
    publisher: ConfirmingPublisher


def _stock_writer(parts: Parts) -> Handler:
    return stock_writer.StockWriter(
        parts.engine,
        parts.publisher,
        batch_events=parts.config.batch_events,
        attempts=parts.config.attempts_before_dead_letter,
        now=stock_writer.utc_now,
        tolerance=Tolerance(parts.config.count_variance_units, parts.config.count_variance_percent),
    ).handle


def _projector(parts: Parts) -> Handler:
    return projector.Projector(parts.engine, parts.publisher).handle


def _dead_letters(parts: Parts) -> Handler:
    return dead_letters.DeadLetters(parts.engine).handle


def _outbound(parts: Parts) -> Handler:
    return outbound.Outbound(parts.engine, parts.publisher, parts.config)


HANDLERS: dict[str, Callable[[Parts], Handler]] = {
    stock_writer.NAME: _stock_writer,
    projector.NAME: _projector,
    dead_letters.NAME: _dead_letters,
    outbound.NAME: _outbound,
}


class Worker:
    """One consumer, its publisher, its database and its probe, from start to a graceful stop."""

    def __init__(self, name: str, config: Settings) -> None:
        self.name = name
        self._config = config
        self._engine = engine_for(config, name=name)
        self._publisher = ConfirmingPublisher(config.amqp_url, name=name, timeout_seconds=config.publish_timeout_seconds)
        self._canary = Canary(config.amqp_url, self._publisher, name=name)
        handler = HANDLERS[name](Parts(config, self._engine, self._publisher))
        self._outbound = handler if isinstance(handler, outbound.Outbound) else None
        self._consumer = BatchConsumer(
            config.amqp_url,
            name,
            only_news(name, handler),
            prefetch_count=config.prefetch_count,
            batch_messages=config.prefetch_count,
            name=name,
        )
        self._stopping = asyncio.Event()
        self._catching = projector.Projector(self._engine, self._publisher) if name == projector.NAME else None
        self._pulse = Pulse(self._engine, config, name=name, work=self, projects=self._catching is not None)
        self.exit_code = 0

    async def run(self) -> int:
        """Work until told to stop, or until the consumer is stuck (the supervisor starts another). Answers the exit code."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stopping.set)
        probe = ProbeServer(probe_app(self.check, self.refresh), host=self._config.host, port=self._config.probe_port)
        serving = asyncio.create_task(probe.serve())
        try:
            await self._start()
            await self._watch()
        finally:
            await self._stop()
            probe.should_exit = True
            await serving
        log.info("stopped", exit_code=self.exit_code)
        return self.exit_code

    async def check(self) -> dict[str, Any]:
        """Whether the database answers, the broker confirms, and the consumer is one that the broker knows."""
        details = {
            "broker": await answers(self._canary.check(self._config.publish_timeout_seconds)),
            "database": await answers(asyncio.to_thread(ping, self._engine)),
            "consumer": self._consumer.alive and self._pulse.informed.is_set(),
        }
        state = self._state(held=self._pulse.held)
        return {"ready": all(details.values()), "state": state, **details, "last_error": self._consumer.last_error}

    def sign(self, *, held: bool) -> Sign:
        """How it does."""
        consumer = self._consumer
        return Sign(self._state(held=held), consumer.consuming, consumer.latest_error, consumer.oldest_at)

    def _state(self, *, held: bool) -> State:
        if self._consumer.handling_seconds > SLOW_SECONDS:
            return "stuck"
        if held and not self._consumer.consuming:
            return "paused"
        if self._outbound is not None and not self._outbound.leads:
            return "standby"
        return "running" if self._consumer.consuming and self._consumer.last_error is None else "waiting"

    async def hold(self) -> None:
        """Give back what is in hand, beyond the batch that is being handled, and take nothing more."""
        if self._outbound is not None:
            await self._outbound.hold()
        else:
            await self._consumer.pause()

    async def release(self) -> None:
        """Take messages; the projector first makes up for what it missed."""
        await self.catch_up()
        if self._outbound is not None:
            self._outbound.release()
        elif not self._pulse.held:
            self._consumer.resume()

    async def refresh(self) -> None:
        """Bring the gauges up to date."""
        metrics.oldest_unsettled_seconds.labels(self.name).set(self._consumer.oldest_unacknowledged_seconds)
        if self._outbound is not None:
            self._outbound.refresh()
        if self.name == projector.NAME:
            try:
                await asyncio.to_thread(lag.refresh, self._engine)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("lag_unknown", error=str(error)[:200])

    async def _start(self) -> None:
        await self._until_there()
        await self._publisher.start()
        await self._consumer.start(paused=True)
        if self._outbound is not None:
            self._outbound.start(self._consumer)
        self._pulse.start()
        log.info("started")

    async def _until_there(self) -> None:
        """Make the topology, or see that it is there, as soon as there is a broker."""
        while not self._stopping.is_set():
            try:
                await provide(self._config.amqp_url, name=f"{self.name}-topology")
            except BrokerUnavailable as error:
                log.warning("broker_away", error=error.reason)
                await self._pause(1.0)
            else:
                return

    async def catch_up(self) -> None:
        """Follow the log to its end, as soon as there is a database, unless told to wait meanwhile. Only a projector has anything to do."""
        while self._catching is not None and self._may_work():
            try:
                await self._catching.make_up(self._may_work)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("database_away", error=str(error)[:200])
                await self._pause(1.0)
            else:
                return

    def _may_work(self) -> bool:
        return not self._stopping.is_set() and not self._pulse.held

    async def _watch(self) -> None:
        """A handler that neither returns nor raises has died in silence: leave, so that a fresh process takes over."""
        while not self._stopping.is_set():
            await self._pause(WATCH_SECONDS)
            ended = self._consumer.ended or self._pulse.ended or (self._outbound is not None and self._outbound.ended)
            if ended or self._consumer.handling_seconds > STUCK_SECONDS:
                log.error("stuck", ended=ended, seconds=self._consumer.handling_seconds)
                self.exit_code = 1
                return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _stop(self) -> None:
        await self._pulse.stop()
        if self._outbound is not None:
            await self._outbound.stop()
        await self._consumer.stop()
        await self._pulse.farewell()
        await self._canary.close()
        await self._publisher.close()
        self._engine.dispose()


def main(name: str) -> int:
    """Run one worker in this process."""
    config = settings()
    configure(config.worker_name or name, config.log_level)
    traces.begin(config.worker_name or name, config.traces_url)
    if name in {outbound.NAME, operator.NAME}:
        os.nice(outbound.NICENESS)
    worker = OperatorProcess(config) if name == operator.NAME else Worker(name, config)
    garbage.settle()
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        exit_code = runner.run(worker.run())
    traces.end()
    return exit_code


if __name__ == "__main__":
    names = (*HANDLERS, operator.NAME)
    if len(sys.argv) != 2 or sys.argv[1] not in names:  # noqa: PLR2004 - the program and the worker's name
        sys.exit(f"usage: python -m workers {' | '.join(names)}")
    sys.exit(main(sys.argv[1]))
