"""How do the system's own consumers take a replay of the log? They have done what it says long ago, and leave it alone."""

import structlog

from infra.consumer import Delivery, Handler
from operations.replay import replay_of
from workers import metrics

log = structlog.get_logger(__name__)


def only_news(name: str, handler: Handler) -> Handler:
    """The handler, without what a replay published to its queue: that is acknowledged, counted and forgotten."""

    async def handle(deliveries: list[Delivery]) -> None:
        news = [each for each in deliveries if replay_of(each.headers) is None]
        if len(news) < len(deliveries):
            metrics.replayed_total.labels(name).inc(len(deliveries) - len(news))
            log.info("replay_left_alone", count=len(deliveries) - len(news))
        if news:
            await handler(news)

    return handle
