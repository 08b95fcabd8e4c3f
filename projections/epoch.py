"""What changes whenever another build of a projection becomes the one that everybody sees?

Places in the log don't: two builds stand at the same ones. So it is a part of every reader's position, and no answer outlives a swap.
"""

from typing import Final

EPOCH: Final = (
    "(SELECT g.number || '.' || floor(extract(epoch FROM g.since) * 1000000) FROM generation g "
    "WHERE g.projection = {projection} AND g.state = 'live')"
)
"""SQL for it; null before the first time. `projection` is SQL, too."""
