"""How does one command tell a running system that it should be deployed otherwise, and hear what came of it?

By two small files in the home: the order, and how the last one ended. Only one supervisor runs from a home, and it reads them.
"""

import time
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from magasin.gateway.plan import Plan, asked, pool
from magasin.home import write_private

ORDER, ENDED = "deployment.json", "deployed.json"
WAIT_SECONDS: Final = 900.0
"""64 instances that are replaced one by one."""
LOOK_SECONDS: Final = 0.2


class NotDeployed(RuntimeError):
    """The running system didn't take the order, or not in time."""


class Order(BaseModel):
    """Services with their pools in words (``{"sales": "5 hash"}``); those that aren't named share `rest`.

    `replace`: every instance is started anew afterwards. Alone, without services, it leaves the plan as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    services: dict[str, str]
    rest: str = "1 rr"
    replace: bool = False
    number: str = Field(default_factory=lambda: uuid4().hex)

    def plan(self) -> Plan:
        """What it asks for. Raises BadPlan."""
        return asked(self.services, pool(self.rest))

    def words(self) -> str:
        """The same for people."""
        if self.replace and not self.services:
            return "every instance replaced"
        pools = [*(f"{name} {words}" for name, words in self.services.items()), f"others {self.rest}"]
        return ", ".join([*pools, "every instance replaced"] if self.replace else pools)


class Ended(BaseModel):
    """How an order ended; `error` is None when it was carried out."""

    number: str
    error: str | None


Note = TypeVar("Note", bound=BaseModel)


def give(home: Path, order: Order) -> None:
    """Leave the order and wait until it was carried out. Raises BadPlan at once, or NotDeployed."""
    order.plan()
    write_private(home / ORDER, order.model_dump_json())
    give_up_at = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up_at:
        ended = _read(home / ENDED, Ended)
        if ended is not None and ended.number == order.number:
            if ended.error is not None:
                raise NotDeployed(ended.error)
            return
        time.sleep(LOOK_SECONDS)
    message = f"nothing was heard of it within {WAIT_SECONDS:.0f} s"
    raise NotDeployed(message)


def next_order(home: Path) -> Order | None:
    """The order that nobody has carried out yet. What can't be read is none."""
    order, ended = _read(home / ORDER, Order), _read(home / ENDED, Ended)
    return None if order is None or (ended is not None and ended.number == order.number) else order


def carried_out(home: Path, order: Order, error: str | None) -> None:
    """Say how it ended."""
    write_private(home / ENDED, Ended(number=order.number, error=error).model_dump_json())


def forget(home: Path) -> None:
    """Drop what was ordered of an earlier run."""
    for name in (ORDER, ENDED):
        (home / name).unlink(missing_ok=True)


def _read(path: Path, kind: type[Note]) -> Note | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
