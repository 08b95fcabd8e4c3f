"""Does a parcel give back what was packed, one batch at a time, and nothing else?"""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.envelope import MalformedEvent
from schemas.parcel import MAGIC, MOST_BATCH_BYTES, is_parcel, opened, pack


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6))
def test_batch_after_batch_comes_out_as_it_went_in(batches: list[bytes]) -> None:
    parcel: bytes | None = pack(batches)
    for batch in batches:
        assert parcel is not None
        assert is_parcel(parcel)
        first, parcel = opened(parcel)
        assert first == batch
    assert parcel is None


def test_no_batch_of_events_is_taken_for_a_parcel() -> None:
    assert not is_parcel(b'[{"specversion": "1.0"}]')
    assert not is_parcel(b"")


@pytest.mark.parametrize(
    "damaged",
    [
        MAGIC,
        MAGIC + b"\x00\x00\x00\xff",
        pack([b"one"])[:-1],
        MAGIC + (4).to_bytes(4, "big") + b"junk",
        MAGIC + (8).to_bytes(4, "big") + zlib.compress(b"one")[:8],
        pack([bytes(MOST_BATCH_BYTES + 1)]),
    ],
)
def test_a_damaged_parcel_is_malformed(damaged: bytes) -> None:
    with pytest.raises(MalformedEvent):
        opened(damaged)
