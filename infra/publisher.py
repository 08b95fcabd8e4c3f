"""How does a message get onto the disk of the broker before anybody says so?

Persistent, mandatory, confirmed, on a connection of its own (an alarm blocks whole connections, and consuming must go on). The
connection is ready only once a probe has been confirmed on it: under an alarm a new connection opens fine and then hangs, so
"connected" would be a lie. While it is not ready, publishes wait for `GRACE_SECONDS` and are refused at once after that.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, time
from uuid import uuid4

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError

from infra.connection import Backoff, Broker, BrokerUnavailable, is_open, leave, reported, settle_closings
from infra.group_commit import GroupCommit
from infra.metrics import confirm_seconds, publish_failures, publisher_ready
from infra.topology import EVENTS, FEED, INTAKE, LIVE, PROBES

__all__ = ["BrokerUnavailable", "ConfirmingPublisher", "GroupCommit"]

PUBLISH_TIMEOUT_SECONDS = 5.0
GRACE_SECONDS = 1.0
"""How long a publish waits for a connection that has just gone: reopening a channel takes 0.01 s, changing nodes about 0.3 s."""
OPEN_TIMEOUT_SECONDS = 3.0
PROBE_KEY = "magasin.probe"
"""A routing key that no queue is bound with: the broker confirms such a message and forgets it."""
PROBE = b"?"
"""Not empty: under an alarm RabbitMQ 3.10 still confirms the first message of a new connection when that has no body (measured)."""

Headers = Mapping[str, str | int | bool]
log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Session:
    """One channel, with strong references to everything aio-pika itself only holds weakly."""

    channel: AbstractChannel
    exchanges: Mapping[str, AbstractExchange]
    announcing: AbstractChannel
    over: asyncio.Event = field(default_factory=asyncio.Event)
    leave_connection: bool = False


class ConfirmingPublisher:
    """Publishes to `exchanges`, which must exist: publishing to one that does not would fail the neighbours on the channel.

    `start` and `close` once; `publish` from any number of tasks.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        exchanges: Sequence[str] = (INTAKE, EVENTS, FEED, LIVE),
        timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS,
    ) -> None:
        self.name = name
        self._broker = Broker(url, name=f"{name}-publisher")
        self._exchanges = tuple(exchanges)
        self._timeout_seconds = timeout_seconds
        self._session: _Session | None = None
        self._ready = asyncio.Event()
        self._attempted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._down_since = 0.0
        self._reason = "not started"

    @property
    def ready(self) -> bool:
        """Whether a probe has been confirmed on the present channel."""
        return self._session is not None

    async def start(self) -> None:
        """Connect, and keep connected from now on. Returns after the first attempt, successful or not: see `ready`."""
        self._down_since = asyncio.get_running_loop().time()
        self._keeper = asyncio.create_task(self._keep_connected(), name=f"{self.name}-publisher")
        await self._attempted.wait()

    async def close(self) -> None:
        """Close the connection. What is still waiting for a confirm gets BrokerUnavailable."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
            await settle_closings()

    async def publish(  # noqa: PLR0913 - the properties of a message, each spelt out by the caller
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        content_type: str,
        type: str,  # noqa: A002 - the name of the AMQP property
        app_id: str,
        headers: Headers | None = None,
        timeout_seconds: float | None = None,
        mandatory: bool = True,
    ) -> None:
        """Return once the broker has the message on disk, in every queue that it goes to. Raises BrokerUnavailable.

        The exchanges ``""``, which takes a queue's name as the key, and `PROBES` are always there. `timeout_seconds` bounds everything,
        the wait for a connection included; without it the publisher's own applies. Only what nobody may be waiting for goes without
        `mandatory`.
        """
        if exchange not in {"", PROBES, *self._exchanges}:
            message = f"{exchange} is not one of the exchanges asserted at start"
            raise ValueError(message)
        session: _Session | None = None
        began = perf_counter()
        try:
            with reported():
                async with asyncio.timeout(self._timeout_seconds if timeout_seconds is None else timeout_seconds):
                    session = await self._current_session()
                    confirmation = await session.exchanges[exchange].publish(
                        Message(
                            body,
                            delivery_mode=DeliveryMode.PERSISTENT,
                            # Fresh for each attempt: with the same id in flight twice, aiormq reports an unroutable one as acked.
                            message_id=uuid4().hex,
                            timestamp=int(time()),
                            content_type=content_type,
                            type=type,
                            app_id=app_id,
                            headers=dict(headers) if headers else None,
                        ),
                        routing_key,
                        mandatory=mandatory,
                    )
            _require_ack(confirmation)
        except BrokerUnavailable as error:
            publish_failures.labels(exchange, self._renew_after(session, error.__cause__)).inc()
            raise
        confirm_seconds.labels(exchange).observe(perf_counter() - began)

    async def announce(self, body: bytes, *, content_type: str, type: str, app_id: str) -> None:  # noqa: A002 - the name of the AMQP property
        """Tell every API instance, and don't ask whether any heard it: a quarter of a confirmed publish. Raises BrokerUnavailable.

        Lost with the connection, and lost while there is none: whoever announces has nothing to make good.
        """
        session = self._session
        if session is None:
            raise BrokerUnavailable(self._reason)
        message = Message(body, content_type=content_type, type=type, app_id=app_id)
        with reported():
            async with asyncio.timeout(self._timeout_seconds):
                live = await session.announcing.get_exchange(LIVE, ensure=False)
                await live.publish(message, type, mandatory=False)

    async def _current_session(self) -> _Session:
        session = self._session
        if session is not None:
            return session
        patience = self._down_since + GRACE_SECONDS - asyncio.get_running_loop().time()
        if self._keeper is None or patience <= 0:
            raise BrokerUnavailable(self._reason)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), patience)
        if self._session is None:
            raise BrokerUnavailable(self._reason)
        return self._session

    def _renew_after(self, session: _Session | None, cause: BaseException | None) -> str:
        """Replace what failed, and give the failure its name.

        After a nack a new channel finds the queue's new leader in 0.3 s, where retrying on the same one took 6.7 to 10.4 s.
        After a timeout the whole connection is suspect: the next host is asked.
        """
        match cause:
            case PublishError():
                return "unroutable"
            case DeliveryError():
                outcome = "nack"
            case TimeoutError():
                outcome = "timeout"
            case _:
                outcome = "unavailable"
        if session is not None:
            self._end(session, leave_connection=outcome == "timeout")
        return outcome

    def _end(self, session: _Session, *, leave_connection: bool = False) -> None:
        session.leave_connection = session.leave_connection or leave_connection
        session.over.set()
        if self._session is session:
            self._set_session(None)

    async def _keep_connected(self) -> None:
        backoff = Backoff(0.05, 1.0)
        try:
            while True:
                try:
                    connection = await self._broker.connect()
                    await self._use(connection, backoff)
                except BrokerUnavailable as error:
                    self._reason = error.reason
                    log.warning("%s cannot publish: %s", self.name, error.reason)
                except Exception as error:
                    # Without its keeper a publisher would refuse for ever, so not even a bug of the client's may end it.
                    self._reason = f"{type(error).__name__}: {error}"
                    log.exception("%s cannot publish", self.name)
                self._attempted.set()
                await asyncio.sleep(backoff.next_seconds())
        finally:
            self._set_session(None)
            self._attempted.set()

    async def _use(self, connection: AbstractConnection, backoff: Backoff) -> None:
        """Channel after channel on one connection, until it is lost or left."""
        left = False
        try:
            while is_open(connection) and not left:
                session = await self._open(connection)
                backoff.reset()
                if not session.over.is_set():
                    self._set_session(session)
                self._attempted.set()
                self._reason = "the connection was lost"
                await session.over.wait()
                left = session.leave_connection
                if not left:
                    with reported():
                        async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                            await session.channel.close()
                            await session.announcing.close()
        finally:
            leave(connection)

    async def _open(self, connection: AbstractConnection) -> _Session:
        """A channel on which every exchange has been seen and one probe confirmed. Raises BrokerUnavailable."""
        with reported():
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                exchanges = {name: await channel.get_exchange(name, ensure=True) for name in self._exchanges}
                probes = await channel.get_exchange(PROBES, ensure=False)
                await probes.publish(Message(PROBE), PROBE_KEY, mandatory=False)
                announcing = await connection.channel(publisher_confirms=False)
        session = _Session(channel, exchanges | {"": channel.default_exchange, PROBES: probes}, announcing)
        for each in (channel, announcing):
            each.close_callbacks.add(lambda *_: self._end(session))
        if channel.is_closed or announcing.is_closed:
            self._end(session)
        return session

    def _set_session(self, session: _Session | None) -> None:
        self._session = session
        publisher_ready.labels(self.name).set(session is not None)
        if session is None:
            self._ready.clear()
            self._down_since = asyncio.get_running_loop().time()
        else:
            self._ready.set()


def _require_ack(confirmation: object) -> None:
    """Take nothing but Basic.Ack for a confirm: aiormq also *returns* what was returned, or None."""
    if getattr(confirmation, "name", None) != "Basic.Ack":
        raise BrokerUnavailable(f"not acknowledged but answered with {confirmation!r}")
