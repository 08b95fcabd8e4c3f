"""What do two thousand real baskets look like when the tills of all the shops post them: several at a time, out of order, some twice?

The last day is yesterday when they are posted for the first time. From then on the system itself remembers which day that was: it is
read from the first basket's recorded time, so that posting again, today or next week, sends the same facts and changes nothing.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NamedTuple
from uuid import UUID

from magasin import demo_data
from magasin.demo_client import Answer, Client, DemonstrationError, RefusedError, in_parallel
from magasin.demo_load import Progress, loaded, yesterday

READER: Final = "gestionnaire"
TAIL: Final = 32
"""The last baskets sent that are waited for before the lists of sales are read."""
ALREADY_KNOWN: Final = frozenset({"idempotency_mismatch", "too_old"})
"""Answers to a basket that was recorded on an earlier day: it stays as it is."""


@dataclass(frozen=True, slots=True)
class PostResult:
    """What became of the baskets. `already` of them were recorded by an earlier run; `refused` names the ones that never will be.

    `requests` are the sales sent, the intended second sendings among them; `repeated` are the sendings after a busy answer or none.
    """

    last_day: date
    baskets: int
    requests: int
    accepted: int
    recorded: int
    already: int
    refused: tuple[UUID, ...]
    repeated: int
    posting_seconds: float
    seconds: float

    @property
    def duplicates(self) -> int:
        """Accepted requests that changed nothing, because their sale was known."""
        return self.accepted - (self.recorded - self.already) - len(self.refused)


class _Sale(Answer):
    sale_id: UUID
    seq: int
    occurred_at: datetime


class _Sales(Answer):
    items: list[_Sale]


class _Place(NamedTuple):
    store_id: str
    seq: int


async def post_baskets(base_url: str, password: str, progress: Progress) -> PostResult:
    """Post every basket of the files as its shop's cashier; return when all are recorded and in every projection.

    Raises DemonstrationError, also when the demonstration's stores and stock are not loaded.
    """
    async with Client(base_url, password) as client:
        return await post(client, progress, yesterday())


async def post(client: Client, progress: Progress, last_day: date) -> PostResult:
    """The posting itself; `last_day` counts when no basket was ever posted."""
    started = time.monotonic()
    if not await loaded(client):
        message = (
            "The demonstration's stores and opening stock are not loaded: start the system with `make run` and wait until it is ready."
        )
        raise DemonstrationError(message)
    sale_ids = [basket.sale_id for basket in demo_data.baskets()]
    last_day, again = await _remembered(client, last_day)
    already = await _recorded(client, last_day) if again else {}
    posts = demo_data.posts(last_day)
    alone = 0 if again else 1
    accepted = alone
    sending = time.monotonic()

    async def send(one: demo_data.Post) -> None:
        nonlocal accepted
        await _sell(client, one.basket, one.body, again=again)
        accepted += 1
        progress("baskets", accepted, len(posts) + alone)

    await in_parallel(posts, send)
    posting_seconds = time.monotonic() - sending
    await client.settle(READER, [one.basket.sale_id for one in posts[-TAIL:]])
    refused = await _all_settled(client, last_day, sale_ids, progress)
    return PostResult(
        last_day=last_day,
        baskets=len(sale_ids),
        requests=len(posts) + alone,
        accepted=accepted,
        recorded=len(sale_ids) - len(refused),
        already=len(already),
        refused=refused,
        repeated=client.repeated,
        posting_seconds=posting_seconds,
        seconds=time.monotonic() - started,
    )


async def _sell(client: Client, basket: demo_data.Basket, body: bytes, *, again: bool) -> None:
    try:
        await client.command(f"caissier-{basket.store_id}", "POST", f"/stores/{basket.store_id}/sales", body)
    except RefusedError as refusal:
        if not (again and refusal.code in ALREADY_KNOWN):
            raise


async def _remembered(client: Client, last_day: date) -> tuple[date, bool]:
    """The last day of the demonstration in this system, and whether it was there before. The first basket makes the choice, alone."""
    first = demo_data.baskets()[0]
    path = f"/stores/{first.store_id}/sales/{first.sale_id}"
    sale = await client.fetch(READER, path, _Sale)
    again = sale is not None
    if sale is None:
        # Should an earlier run have got it accepted and then died, this one is the duplicate, and what was recorded tells.
        await _sell(client, first, demo_data.sale_body(first, last_day), again=True)
        await client.settle(READER, [first.sale_id])
        sale = await client.fetch(READER, path, _Sale)
    if sale is None:
        message = f"The first basket is recorded, but GET {path} does not know it. Is a projection stalled?"
        raise DemonstrationError(message)
    return demo_data.last_day_from(first, sale.occurred_at), again


async def _recorded(client: Client, last_day: date) -> dict[UUID, _Place]:
    """Which of the demonstration's baskets the system has recorded, and where."""
    own = {basket.sale_id for basket in demo_data.baskets()}
    first_day = last_day - (demo_data.last_day_of_files() - demo_data.baskets()[0].local.date())
    days = {"from": first_day.isoformat(), "to": last_day.isoformat()}
    found: dict[UUID, _Place] = {}
    for store_id in demo_data.SHOPS:
        async for page in client.pages(READER, f"/stores/{store_id}/sales", _Sales, days):
            found |= {sale.sale_id: _Place(store_id, sale.seq) for sale in page.items if sale.sale_id in own}
    return found


async def _all_settled(client: Client, last_day: date, sale_ids: Collection[UUID], progress: Progress) -> tuple[UUID, ...]:
    """Wait until every basket is recorded and in every projection; the ones that never will be."""
    # A projection takes a store's events in the order of their numbers: having the last one, it has them all.
    recorded = await _recorded(client, last_day)
    newest = {place.store_id: sale_id for sale_id, place in sorted(recorded.items(), key=lambda one: one[1].seq)}
    await client.settle(READER, newest.values())
    late = [sale_id for sale_id in sale_ids if sale_id not in recorded]
    progress("recorded and projected", len(recorded), len(sale_ids))
    outcomes = await client.settle(READER, late, lambda done, _: progress("recorded and projected", len(recorded) + done, len(sale_ids)))
    return tuple(sale_id for sale_id, outcome in outcomes.items() if outcome.status != "recorded")
