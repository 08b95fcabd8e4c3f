"""How does a whole import travel as one message, and yet leave room for whatever else waits?

As a parcel: batches of events, packed one behind the other. The broker confirms the whole or nothing. Who opens it takes the first batch
and puts the rest back at the end of the queue, so between two batches everything that waits has its turn.
"""

import zlib
from collections.abc import Iterable

from schemas.envelope import MalformedEvent

CONTENT_TYPE = "application/vnd.magasin.parcel"
PUBLISH_SECONDS = 30.0
"""What the broker may take to put a parcel of up to 15 MiB on its disk."""
MAGIC = b"\x89MGP1\n"
"""No JSON begins so: a parcel is known by its bytes, wherever it has been in between."""
SIZE_BYTES = 4
MOST_BATCH_BYTES = 33_554_432
"""What a batch may become when it is unpacked: 500 events of 64 KB."""


def pack(batches: Iterable[bytes]) -> bytes:
    """Batch messages (see `envelope.join`) as one. Six to one: what the events of an import have in common is most of them."""
    packed = map(zlib.compress, batches)
    return MAGIC + b"".join(len(each).to_bytes(SIZE_BYTES, "big") + each for each in packed)


def is_parcel(body: bytes) -> bool:
    """Whether a message is a parcel."""
    return body.startswith(MAGIC)


def opened(body: bytes) -> tuple[bytes, bytes | None]:
    """The first batch of a parcel, and the parcel of the others; None when there are none. Raises MalformedEvent."""
    start = len(MAGIC) + SIZE_BYTES
    end = start + int.from_bytes(body[len(MAGIC) : start], "big")
    if end > len(body):
        raise MalformedEvent("a parcel ends too early")
    return _unpacked(body[start:end]), MAGIC + body[end:] if end < len(body) else None


def _unpacked(packed: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        batch = stream.decompress(packed, MOST_BATCH_BYTES)
    except zlib.error as error:
        raise MalformedEvent(f"a parcel that can't be unpacked: {error}") from error
    if not stream.eof:
        raise MalformedEvent("a batch of a parcel is cut off or too large")
    return batch
