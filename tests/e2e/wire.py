"""What does a browser meet on a bad line to the system? A proxy before it that really breaks connections when a test says so."""

import asyncio
import re
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import make_url

from magasin.home import LOOPBACK

PATIENCE_SECONDS: Final = 20.0
LONGEST_HEAD: Final = 65_536
Answer = TypeVar("Answer")


class Wire:
    """A line for HTTP/1.1, one request a connection. `lost` counts the answers that were thrown away after the system had given them."""

    def __init__(self, url: str) -> None:
        far = make_url(url)
        self._far = far.host or LOOPBACK, far.port or 80
        self._away = False
        self._losing: re.Pattern[bytes] | None = None
        self._left = 0
        self.lost = 0
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._join, LOOPBACK, 0, limit=LONGEST_HEAD))
        self.url = f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    @contextmanager
    def away(self) -> Iterator[None]:
        """A block in which nothing gets through, and what was under way is broken off."""
        self._away = True
        self._run(self._cut())
        try:
            yield
        finally:
            self._away = False

    def lose(self, answers: int, to: str) -> None:
        """Throw away the next so many answers to requests whose first line matches; the requests themselves arrive and are carried out."""
        self._losing, self._left = re.compile(to.encode()), answers

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
        await self._cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._ends.add(writer)
        try:
            if not self._away:
                await self._carry(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._ends.discard(writer)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        far_reader, far_writer = await asyncio.open_connection(*self._far)
        self._ends.add(far_writer)
        try:
            far_writer.write(re.sub(rb"(?im)^connection:[^\r]*", b"Connection: close", head) + body)
            if self._loses(head.partition(b"\r\n")[0]):
                await far_reader.read()
                self.lost += 1
                writer.transport.abort()
                return
            while chunk := await far_reader.read(LONGEST_HEAD):
                writer.write(chunk)
                await writer.drain()
        finally:
            self._ends.discard(far_writer)
            far_writer.close()

    def _loses(self, first_line: bytes) -> bool:
        if self._left == 0 or self._losing is None or not self._losing.search(first_line):
            return False
        self._left -= 1
        return True
