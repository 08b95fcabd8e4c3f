"""How does a browser learn at once that something changed?

By Server-Sent Events, fed by the announcements of the projector: no poll anywhere between a sale and a screen. An event says which stores
changed and how far; the page then reads what it shows, with its ETags. The last announcements are kept, so that a browser that comes back
with its Last-Event-ID misses nothing; when the id is too old it gets ``reset`` and reads everything anew.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from api import metrics
from api.problems import Problem
from api.reads import StoreFilter
from api.security import Guard, stores_to_read
from api.tokens import Principal
from schemas.envelope import CATALOGUE_STREAM

KEPT = 1_000
MOST_WAITING = 200
MOST_STREAMS = 1_000
PING_SECONDS = 15.0
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

router = APIRouter(prefix="/api/v2", tags=["live"])
Announcement = Mapping[str, Any]


class Live:
    """Passes announcements on to the streams of this instance."""

    def __init__(self) -> None:
        self._kept: deque[Announcement] = deque(maxlen=KEPT)
        self._streams: dict[asyncio.Queue[Announcement | None], str] = {}
        self._closed = False

    def heard(self, announcement: Announcement) -> None:
        """Give an announcement to every stream. One that reads too slowly is ended: it comes back with its last id."""
        self._kept.append(announcement)
        for stream in list(self._streams):
            if stream.qsize() >= MOST_WAITING:
                self._end(stream)
            else:
                stream.put_nowait(announcement)

    def leave(self, username: str) -> None:
        """End that person's streams: the tokens they were opened with are refused."""
        for stream in [stream for stream, name in self._streams.items() if name == username]:
            self._end(stream)

    def close(self) -> None:
        """End every stream; the process is about to stop."""
        self._closed = True
        for stream in list(self._streams):
            self._end(stream)

    async def stream(self, who: Principal, stores: frozenset[str] | None, last_id: str | None) -> AsyncIterator[bytes]:
        """The events for these stores (None: all) after `last_id`, until the caller's token ends."""
        until = who.expires_at
        queue: asyncio.Queue[Announcement | None] = asyncio.Queue()
        for missed in self._since(last_id):
            queue.put_nowait(missed)
        self._streams[queue] = who.username
        metrics.live_streams.inc()
        try:
            # An id without content is remembered by the browser: it misses nothing even if it loses the line before the first event.
            yield b"retry: 1000\n" + (b"id: %b\n\n" % str(self._kept[-1]["id"]).encode() if self._kept else b": ok\n\n")
            while not self._closed and time.time() < until:
                try:
                    found = await asyncio.wait_for(queue.get(), min(PING_SECONDS, max(0.01, until - time.time())))
                except TimeoutError:
                    yield b": ping\n\n"
                    continue
                if found is None:
                    return
                if text := _written(found, stores):
                    yield text
        finally:
            self._streams.pop(queue, None)
            metrics.live_streams.dec()

    @property
    def full(self) -> bool:
        """Whether no more streams are taken."""
        return len(self._streams) >= MOST_STREAMS

    def _since(self, last_id: str | None) -> list[Announcement]:
        if last_id is None:
            return []
        ids = [each["id"] for each in self._kept]
        missed = list(self._kept)[ids.index(last_id) + 1 :] if last_id in ids else None
        if missed is None or len(missed) >= MOST_WAITING:
            return [{"id": ids[-1] if ids else uuid4().hex, "reset": True}]
        return missed

    def _end(self, stream: asyncio.Queue[Announcement | None]) -> None:
        self._streams.pop(stream, None)
        stream.put_nowait(None)


@router.get("/live", summary="Ce qui change / What changes", response_class=StreamingResponse)
async def follow(request: Request, who: Annotated[Principal, Depends(Guard("live.read"))], store: StoreFilter = None) -> StreamingResponse:
    """Server-Sent Events ``changed`` with ``{at, stores: [{store_id, seq, types}]}``, for the stores that the caller may see.

    What is for sale is everybody's: changes of products come as those of ``siege``, unless one store is asked for.
    """
    live: Live = request.app.state.live
    if live.full:
        raise Problem("overloaded", headers={"Retry-After": "5"})
    stores = stores_to_read(who, "live.read", store)
    if stores is not None and store is None:
        stores |= {CATALOGUE_STREAM}
    stream = live.stream(who, stores, request.headers.get("last-event-id"))
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


def _written(announcement: Announcement, stores: frozenset[str] | None) -> bytes | None:
    if announcement.get("reset"):
        return b"id: %b\nevent: reset\ndata: {}\n\n" % str(announcement["id"]).encode()
    seen = [each for each in announcement["stores"] if stores is None or each["store_id"] in stores]
    if not seen:
        return None
    content = to_json({"at": announcement["at"], "stores": seen})
    return b"id: %b\nevent: changed\ndata: %b\n\n" % (str(announcement["id"]).encode(), content)
