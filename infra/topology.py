r"""Which exchanges and queues are there, who is bound to whom, and what can never be changed about them?

A queue's arguments are fixed for ever: declaring it with others ends in 406. So the arguments here are only what must never
change (the type, the way out for dead letters, an upper bound of deliveries), and they are constants, not settings. What an
operator may want to change (a length limit, a lower delivery limit) goes into a policy, which adds to the arguments; of two
limits the broker takes the lower.

`provide` makes it all and may be repeated by every process; where the topology comes from ``definitions.json`` (see
`infra.broker_users`), a process may configure nothing that lasts, and sees that it is there instead.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed

from infra.connection import brief_channel

INTAKE = "magasin.intake"
EVENTS = "magasin.events"
FEED = "magasin.feed"
DEAD = "magasin.dead"
LIVE = "magasin.live"
PROBES = "amq.direct"
"""There in every virtual host, and used by nobody but probes and canaries: whoever may write to the exchange without a name can write
into every queue, so processes need no right to it."""
INTAKE_KEY = "intake.v1"
RECORDED_KEY = "recorded.v1"

EXCHANGES: Mapping[str, ExchangeType] = {
    INTAKE: ExchangeType.TOPIC,
    EVENTS: ExchangeType.TOPIC,
    FEED: ExchangeType.TOPIC,
    DEAD: ExchangeType.TOPIC,
    LIVE: ExchangeType.FANOUT,
}

DELIVERY_LIMIT = 100
"""Every crash of a worker or a broker uses one delivery of the whole prefetch window, so the broker's own default of 20 (from 4.0)
would throw healthy messages away after a bad night. Handlers count attempts themselves; this is the net under them."""
REFUSED = "ACCESS_REFUSED"
"""What the broker's answer begins with where somebody has not the right."""
NEVER = 1_000_000
"""A limit for the queue that has no way out. It can't be left away: from 4.0 that means 20, then dropped; -1 is refused by 3.10."""

log = logging.getLogger(__name__)


class MayNotDeclareError(Exception):
    """The user has no right to configure."""


class TopologyError(Exception):
    """An exchange or queue is missing, or exists with other arguments than ours."""


MOST_WAKES = 1_000
"""What may lie in a queue that only wakes a reader of the log: it drops its oldest messages then, and the reader reads the log."""


@dataclass(frozen=True)
class QueueSpec:
    """A durable queue and its one binding: a quorum queue, the only kind that is on disk before it confirms.

    `only_wakes`: its consumer follows the log itself, so that a message lost is a wake lost and no fact; however far that consumer is
    behind, and whatever hinders it, the queue stays small and refuses nothing. It is a classic queue of announcements, in memory alone: a
    second quorum queue on what is recorded took a third of all sales a second. Its consumer binds it (`bind`) while it wants to be woken.
    """

    name: str
    exchange: str
    key: str
    only_wakes: bool = False

    @property
    def arguments(self) -> dict[str, str | int]:
        """Fixed for ever. At-least-once dead-lettering only works with reject-publish, so the two belong together."""
        if self.only_wakes:
            return {"x-queue-type": "classic", "x-max-length": MOST_WAKES, "x-overflow": "drop-head"}
        if self.exchange == DEAD:
            return {"x-queue-type": "quorum", "x-delivery-limit": NEVER}
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD,
            "x-dead-letter-routing-key": self.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }


STOCK_WRITER = QueueSpec(name="stock-writer", exchange=INTAKE, key="#")
PROJECTOR = QueueSpec(name="projector", exchange=EVENTS, key="#")
DEAD_LETTERS = QueueSpec(name="dead-letters", exchange=DEAD, key="#")
OUTBOUND = QueueSpec(name="outbound", exchange=LIVE, key="", only_wakes=True)
QUEUES = (STOCK_WRITER, PROJECTOR, DEAD_LETTERS, OUTBOUND)


async def provide(url: str, *, name: str) -> None:
    """Make what is missing; for a user who may not, see that nothing is. Raises BrokerUnavailable, TopologyError."""
    try:
        async with brief_channel(url, name=name) as channel:
            await declare(channel)
    except MayNotDeclareError:
        async with brief_channel(url, name=name) as channel:
            await assert_topology(channel)


async def declare(channel: AbstractChannel) -> None:
    """Make what is missing. Raises TopologyError (and the channel is closed) where something exists with other arguments.

    In a cluster a queue that only wakes lies on one node, and can't even be declared while that node is away. Nobody waits for it then:
    it comes last, the channel is closed, and its reader looks at the log by itself.
    """
    try:
        for name, kind in EXCHANGES.items():
            await channel.declare_exchange(name, kind, durable=True)
        # The way out first: a queue that dead-letters into nothing keeps the message and tries again.
        for spec in sorted(QUEUES, key=lambda queue: (queue.only_wakes, queue.exchange != DEAD)):
            await _declare_queue(channel, spec)
    except ChannelPreconditionFailed as error:
        message = f"{error}: it exists with other arguments, which can't be changed; empty it, delete it and start again"
        raise TopologyError(message) from error
    except ChannelClosed as error:
        if REFUSED in str(error):
            raise MayNotDeclareError from error
        raise


async def _declare_queue(channel: AbstractChannel, spec: QueueSpec) -> None:
    try:
        queue = await channel.declare_queue(spec.name, durable=True, arguments=dict(spec.arguments))
    except ChannelNotFoundEntity as error:
        if not spec.only_wakes:
            raise
        log.warning("%s can't be declared: %s", spec.name, error)
    else:
        if not spec.only_wakes:
            await queue.bind(spec.exchange, spec.key)


async def bind(channel: AbstractChannel, spec: QueueSpec, *, bound: bool) -> None:
    """Let a queue take what its exchange carries, or nothing more of it. Either may be repeated."""
    queue = await channel.get_queue(spec.name, ensure=False)
    if bound:
        await queue.bind(spec.exchange, spec.key)
    else:
        await queue.unbind(spec.exchange, spec.key)


async def assert_topology(channel: AbstractChannel) -> None:
    """Raise TopologyError (and lose the channel) when an exchange or a queue is missing. Needs no right at all.

    A queue that only wakes may be away, as in `declare`.

    Bindings can't be asked for over AMQP; a missing one shows as an unroutable publish, which is never confirmed.
    """
    try:
        for name in EXCHANGES:
            await channel.declare_exchange(name, passive=True)
        for spec in QUEUES:
            if not spec.only_wakes:
                await channel.declare_queue(spec.name, passive=True)
    except ChannelNotFoundEntity as error:
        raise TopologyError(str(error)) from error


def definitions(vhost: str = "/") -> dict[str, object]:
    """The same topology in the form of RabbitMQ's ``definitions.json``, without users and permissions."""
    queues = [{"name": s.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": s.arguments} for s in QUEUES]
    exchanges: list[dict[str, object]] = [
        {"name": name, "vhost": vhost, "type": kind.value, "durable": True, "auto_delete": False, "internal": False, "arguments": {}}
        for name, kind in EXCHANGES.items()
    ]
    bindings = [
        {
            "source": spec.exchange,
            "vhost": vhost,
            "destination": spec.name,
            "destination_type": "queue",
            "routing_key": spec.key,
            "arguments": {},
        }
        for spec in QUEUES
        if not spec.only_wakes
    ]
    return {"exchanges": exchanges, "queues": queues, "bindings": bindings}
