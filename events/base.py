"""What is a fact, and how does declaring one make it known to the whole system?

Declaring a subclass of `Event` with a ``type`` registers it: its JSON Schema, its place in the AsyncAPI document and its contract
test follow from the registry. Two classes for one type and version fail at import.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class UnknownEventType(LookupError):
    """No class is registered for this type and version."""


class Shape(BaseModel):
    """A frozen shape that crosses a process border: unknown fields, NaN and Infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


class Event(Shape):
    """A fact. The envelope carries its id, store and instants; the subclass carries what happened."""

    type: ClassVar[str]
    version: ClassVar[int]

    def __init_subclass__(cls, *, type: str, version: int = 1) -> None:  # noqa: A002 - CloudEvents' own word
        """Register the subclass under ``(type, version)``. Raises TypeError when the pair is taken."""
        super().__init_subclass__()
        if (type, version) in TYPES:
            message = f"{cls.__name__} and {TYPES[type, version].__name__} both claim {type} v{version}"
            raise TypeError(message)
        cls.type, cls.version = type, version
        TYPES[type, version] = cls


TYPES: dict[tuple[str, int], type[Event]] = {}


def event_type(name: str, version: int) -> type[Event]:
    """The class of a type and version. Raises UnknownEventType."""
    try:
        return TYPES[name, version]
    except KeyError:
        message = f"no event type {name} v{version}"
        raise UnknownEventType(message) from None
