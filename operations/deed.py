"""How does what an operator does leave a trace, whoever is at the door: the API or the command line?"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from infra import audit

T = TypeVar("T")
SYSTEM = "magasin"
"""Who did what nobody asked for, such as ending a pause whose time has come."""


class Refused(Exception):
    """What was asked for can't be done. `code` is one of the API's problem codes; `members` say more."""

    def __init__(self, code: str, **members: object) -> None:
        super().__init__(code)
        self.code = code
        self.members = members


class Denied(Refused):
    """What was asked for can be done, but not by whoever asked."""


def done(  # noqa: PLR0913 - the parts of a line of the audit log, each by its name
    engine: Engine,
    step: Callable[[Connection], T],
    *,
    actor: str,
    action: str,
    target: str,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> T:
    """Do `step` in a transaction that also notes it as done. Raises Refused as the step does; then that is noted, as failed or denied.

    The line of a refusal keeps the operator's reason among its details: its own reason is the code.
    """
    try:
        with engine.begin() as connection:
            found = step(connection)
            audit.note(connection, actor=actor, action=action, target=target, reason=reason, details=details)
            return found
    except Refused as refused:
        with engine.begin() as connection:
            audit.note(
                connection,
                actor=actor,
                action=action,
                target=target,
                outcome="denied" if isinstance(refused, Denied) else "failed",
                reason=refused.code,
                details={**(details or {}), "asked": reason},
            )
        raise
