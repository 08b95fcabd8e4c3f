"""Does the chain go on when a node of its broker dies, and does it lose nothing?

One test, because a cluster takes half a minute to start. How long nobody is answered is a figure: ``python -m bench.cluster``.
"""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from bench.cluster import Tills, running, until_recorded
from infra.topology import STOCK_WRITER
from magasin.rabbitmq import epmd_program, server_script
from magasin.servers import DATABASE_URL, REDIS_URL

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(server_script() is None or epmd_program() is None, reason="needs RabbitMQ's own programs"),
]
SOME, MANY = 30, 150


async def test_a_node_dies_under_load_and_no_accepted_sale_is_lost(database: str, redis_url: str, tmp_path: Path) -> None:
    async with running(tmp_path, {DATABASE_URL: database, REDIS_URL: redis_url}, workers=(STOCK_WRITER.name,)) as chain:
        leader = await asyncio.to_thread(chain.cluster.leader_of, STOCK_WRITER.name)
        assert leader is not None
        assert len(await asyncio.to_thread(chain.cluster.copies_of, STOCK_WRITER.name)) == 3
        async with Tills(chain) as tills:
            await tills.until_accepted(SOME)
            await chain.cluster.kill(leader)
            await tills.until_accepted(MANY)
            # With a node away a worker starts all the same; the supervisor starts the one that is killed.
            os.kill(chain.supervisor.running()[STOCK_WRITER.name].pid, signal.SIGKILL)
            await tills.until_accepted(SOME)
        await until_recorded(chain, len(tills.accepted))
        async with Tills(chain) as tills_again:
            await chain.cluster.revive(leader)
            await tills_again.until_accepted(SOME)
        await until_recorded(chain, len(tills.accepted) + len(tills_again.accepted))
