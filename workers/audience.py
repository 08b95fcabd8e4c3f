"""Does anybody outside listen?

An exchange without a binding throws away what it is given, and each event given to it costs as much as a whole sale does in the batches of
the other workers. So while no queue is bound to `magasin.feed` and no webhook is active, nothing is published and nothing wakes.
"""

import asyncio
from typing import Final

import structlog

from infra.connection import BrokerUnavailable, brief_channel
from infra.faults import is_transient
from infra.management import Management
from infra.settings import Settings
from infra.topology import FEED, OUTBOUND, bind
from workers.feed import Feed
from workers.webhooks import Webhooks

LOOK_SECONDS: Final = 2.0
"""A queue that is newly bound gets what was recorded since, at most this late."""
log = structlog.get_logger(__name__)


class Audience:
    """Looks out for listeners, lets the feed speak or walk along in silence, and has this process woken only when somebody listens."""

    def __init__(self, config: Settings, feed: Feed, webhooks: Webhooks) -> None:
        self._amqp_url = config.amqp_url
        self._management = Management(config.rabbitmq_management_url, config.amqp_url)
        self._feed = feed
        self._webhooks = webhooks
        self._woken: bool | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled. A broker or a database that is away is waited for."""
        self._woken = None
        while True:
            try:
                await self.look()
            except Exception as error:
                if not isinstance(error, BrokerUnavailable) and not is_transient(error):
                    raise
                log.warning("audience_unknown", error=str(error)[:200])
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Where the broker doesn't tell who is bound, somebody may be.

        The ends of the logs come first: what was recorded before nobody was bound was owed to nobody, and a queue that is bound a moment
        later misses nothing that is recorded after.
        """
        heads = await asyncio.to_thread(self._feed.heads)
        if await asyncio.to_thread(self._management.bound, FEED) is False:
            await self._feed.skip(heads)
        else:
            self._feed.speak()
        await self._be_woken(self._feed.heard or self._webhooks.active)

    def close(self) -> None:
        """Ask no more."""
        self._management.close()

    async def _be_woken(self, wanted: bool) -> None:  # noqa: FBT001 - the only argument there is
        if wanted == self._woken:
            return
        async with brief_channel(self._amqp_url, name="outbound-binding") as channel:
            await bind(channel, OUTBOUND, bound=wanted)
        self._woken = wanted
        log.info("woken", wanted=wanted)
        if wanted:  # what was recorded in between told nobody
            await self._feed.sweep()
            await self._webhooks.sweep()
