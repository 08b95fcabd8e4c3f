"""Does a server answer on that port now?"""

import asyncio
import ssl
from http import HTTPStatus

import httpx2

from magasin.home import LOOPBACK

PROBE_SECONDS = 2.0
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody, and is needed by nobody on loopback. The usual one reads all certificates of the machine: 60 ms of CPU a question, which
made 1.3 s of every start on the cores that the starting processes need.
"""


async def listens(port: int, host: str = LOOPBACK) -> bool:
    """True when something takes a TCP connection."""
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def is_ready(url: str) -> bool:
    """True when `url` (a ``/readyz``) answers 200."""
    try:
        async with httpx2.AsyncClient(timeout=PROBE_SECONDS, trust_env=False, verify=PLAIN) as client:
            return (await client.get(url)).status_code == HTTPStatus.OK
    except httpx2.HTTPError:
        return False
