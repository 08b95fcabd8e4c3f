"""Is there a queue of that name?"""

from aio_pika.exceptions import ChannelNotFoundEntity

from infra.connection import brief_channel


async def exists(amqp_url: str, name: str) -> bool:
    """Ask the broker, on a connection of its own. Raises BrokerUnavailable."""
    async with brief_channel(amqp_url, name="queue-lookup") as channel:
        try:
            await channel.declare_queue(name, passive=True)
        except ChannelNotFoundEntity:
            return False
        return True
