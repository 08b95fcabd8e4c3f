"""What does Python's garbage collector look at, and how often?

A process of ours has several hundred thousand objects when it begins to work, and they stay: each full collection would look at them all
again, a pause of tens of milliseconds for whoever is waiting then. What a sale leaves behind is freed by its last reference.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""So many more objects made than freed, and the young ones are looked at; Python's own 700 is a handful of sales."""


def settle() -> None:
    """Call once, when everything is imported and made: what is there now is not looked at any more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
