"""Which kinds of jobs are there, and who moves each on?"""

from collections.abc import Callable

from sqlalchemy import Engine

from infra.publisher import ConfirmingPublisher
from operations.job import JobKind
from operations.rebuild import Rebuild
from operations.redrive import Redrive
from operations.replay import Replay
from operations.verification import Verification

KINDS: tuple[Callable[[Engine, ConfirmingPublisher], JobKind], ...] = (
    Redrive,
    lambda engine, _: Rebuild(engine),
    Replay,
    lambda engine, _: Verification(engine),
)
"""What makes each kind out of a way to the database and one to the broker."""


def kinds(engine: Engine, publisher: ConfirmingPublisher) -> list[JobKind]:
    """One of each."""
    return [make(engine, publisher) for make in KINDS]
