"""What does a client meet on a bad line to a server? Proxies in between that really break connections when a test says so."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import make_url

from magasin.home import LOOPBACK

PATIENCE_SECONDS: Final = 20.0
MOST_BYTES: Final = 65_536
ROUNDS: Final = 10
Answer = TypeVar("Answer")


class Line:
    """A TCP line to a server that can be taken away: then what is connected breaks, and nobody gets a connection any more."""

    def __init__(self, url: str, port: int) -> None:
        far = make_url(url)
        self._far = far.host or LOOPBACK, far.port or port
        self._loop = asyncio.new_event_loop()
        self._away = False
        self._ends: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, LOOPBACK, 0))
        near = far.set(host=LOOPBACK, port=self._server.sockets[0].getsockname()[1])
        self.url = near.render_as_string(hide_password=False)

    @contextmanager
    def away(self) -> Iterator[None]:
        """A block in which nothing gets through, and what was under way is broken off."""
        self._away = True
        self._run(self._cut())
        try:
            yield
        finally:
            self._away = False

    def close(self) -> None:
        """End the line."""
        self._away = True
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _cut(self) -> None:
        for end in list(self._ends):
            end.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        # A connection may be there that nobody has looked at yet: its task starts some rounds of the loop later.
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        await self._cut()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        async with self._held(writer):
            if not self._away:
                await self.carry(reader, writer)

    @asynccontextmanager
    async def _held(self, end: asyncio.StreamWriter) -> AsyncIterator[None]:
        """A block in which this end may be cut off, and at whose end it is closed."""
        self._ends.add(end)
        try:
            yield
        except (ConnectionError, asyncio.IncompleteReadError):
            end.transport.abort()
        finally:
            self._ends.discard(end)
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()

    @asynccontextmanager
    async def far(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the server for as long as the block lasts."""
        reader, writer = await asyncio.open_connection(*self._far)
        async with self._held(writer):
            yield reader, writer

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What is done with a connection: everything goes both ways until one side ends."""
        async with self.far() as (far_reader, far_writer):
            await asyncio.gather(self._pour(reader, far_writer), self._pour(far_reader, writer), return_exceptions=True)

    async def _pour(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(MOST_BYTES):
                target.write(chunk)
                await target.drain()
        finally:
            target.close()


class Wire(Line):
    """A line for HTTP/1.1, one request a connection. `lost` counts the answers that were thrown away after the system had given them."""

    def __init__(self, url: str) -> None:
        self._losing: re.Pattern[bytes] | None = None
        self._left = 0
        self.lost = 0
        super().__init__(url, 80)

    def lose(self, answers: int, to: str) -> None:
        """Throw away the next so many answers to requests whose first line matches; the requests themselves arrive and are carried out."""
        self._losing, self._left = re.compile(to.encode()), answers

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        async with self.far() as (far_reader, far_writer):
            far_writer.write(re.sub(rb"(?im)^connection:[^\r]*", b"Connection: close", head) + body)
            if self._loses(head.partition(b"\r\n")[0]):
                await far_reader.read()
                self.lost += 1
                writer.transport.abort()
                return
            while chunk := await far_reader.read(MOST_BYTES):
                writer.write(chunk)
                await writer.drain()

    def _loses(self, first_line: bytes) -> bool:
        if self._left == 0 or self._losing is None or not self._losing.search(first_line):
            return False
        self._left -= 1
        return True
