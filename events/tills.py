"""What is said of a till's numbers besides the sales that bear them?"""

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from events.base import Event, Shape
from events.fields import Text, TillId, TillSequence

LONGEST_WAIVER = 1_000_000


class WaiverDetails(Shape):
    """Which numbers of a till, both ends included, will never come, and why: it burnt down, it was set back, it lost its memory."""

    first: TillSequence
    last: TillSequence
    reason: Text

    @field_validator("last")
    @classmethod
    def _follows(cls, last: int, info: ValidationInfo) -> int:
        first = info.data.get("first", last)
        if last < first:
            kind = "wrong_order"
            raise PydanticCustomError(kind, "the last number comes before the first")
        if last - first >= LONGEST_WAIVER:
            kind = "waiver_too_long"
            raise PydanticCustomError(kind, "a million numbers at most")
        return last


class TillWaived(WaiverDetails, Event, type="till.waived"):
    """Someone gave up waiting for sales that a till has numbered."""

    till_id: TillId
