"""What happened: facts in the past tense, frozen, without I/O. Importing this package registers every type."""

from events import cases, catalogue, restocks, sales, stock, tills
from events.base import TYPES, Event, UnknownEventType, event_type

__all__ = ["TYPES", "Event", "UnknownEventType", "cases", "catalogue", "event_type", "restocks", "sales", "stock", "tills"]
