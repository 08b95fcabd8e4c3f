"""How is everything verified at once, store by store and then the chain, as a job that survives whatever happens?"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from operations import job, verified
from operations.deed import Refused, done
from operations.job import Job, Order, Stride
from operations.mismatch import Mismatch
from operations.verify import Verdict, verify
from operations.verify_chain import CHAIN, added, compare, pieces

KIND: Final = "verification"
STEP_EVENTS: Final = 2_000
"""Of small stores together; a store is always looked at in one step, however long its log is."""
MOST_STORES: Final = 20
_TOTAL = text("SELECT coalesce(sum(seq), 0) FROM store_head WHERE CAST(:store_id AS text) IS NULL OR store_id = :store_id")
_STORES = text("""
    SELECT store_id, seq FROM store_head
    WHERE seq > 0 AND store_id > :after AND (CAST(:store_id AS text) IS NULL OR store_id = :store_id)
    ORDER BY store_id LIMIT :most
""")


def order(engine: Engine, *, by: str, reason: str | None = None, store_id: str | None = None, max_per_second: float | None = None) -> Job:
    """Begin to verify everything, or one store; rates are in events. Raises Refused (unknown_store)."""

    def step(connection: Connection) -> Job:
        total = int(connection.scalar(_TOTAL, {"store_id": store_id}) or 0)
        if store_id is not None and not total:
            raise Refused("unknown_store")
        return job.begin(connection, Order(KIND, by, {"store_id": store_id}, reason=reason, total=total, max_per_second=max_per_second))

    return done(engine, step, actor=by, action=f"{KIND}.start", target=store_id or "*", reason=reason)


def told(connection: Connection, found: Job, now: datetime) -> dict[str, Any]:
    """A verification as an answer shows it: the job, and what it found so far. Until it is done it has proven nothing of the whole."""
    proven = verified.of_run(connection, found.id)
    shown = {**job.told(found, now), **proven.told()}
    return shown if found.state == "done" else {**shown, "verified_through": None}


class Verification:
    """Jobs that verify. A step looks at some small stores or a large one; after the last store, at a piece of the chain.

    Units are events: those of stores that equal their log have succeeded, those of the others have failed.
    """

    name = KIND
    stride = STEP_EVENTS

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def step(self, found: Job, most: int) -> Stride:
        """What comes next. What is found is kept in the transaction that saves how far the job has come."""
        return await asyncio.to_thread(self._chain if "piece" in found.place else self._stores, found, most)

    def _stores(self, found: Job, most: int) -> Stride:
        chosen = self._next(found, most)
        verdicts = [verify(self._engine, store_id, _at_once) for store_id in chosen]
        right = sum(each.events for each in verdicts if not each.count)
        every = sum(each.events for each in verdicts)
        if chosen:
            return self._save(found, verdicts, Stride(every, right, every - right, place={"after": chosen[-1]}))
        if found.parameters.get("store_id") is not None:
            return self._save(found, (), Stride(state="done", total=found.done))
        return self._save(found, (), Stride(place={"piece": 0, "so_far": _kept(Verdict(CHAIN, datetime.now(UTC)))}))

    def _chain(self, found: Job, most: int) -> Stride:
        """Which pieces there are may change meanwhile, but only more come, so none is left out."""
        del most
        place, every = int(found.place["piece"]), pieces(self._engine)
        so_far = _verdict(found.place["so_far"])
        if place >= len(every):
            return self._save(found, [so_far], Stride(state="done", total=found.done))
        so_far = added(so_far, compare(self._engine, every[place]))
        return self._save(found, (), Stride(place={"piece": place + 1, "so_far": _kept(so_far)}))

    def _next(self, found: Job, most: int) -> list[str]:
        """The stores after the last one, as many as have about so many events."""
        asked = {"after": found.place.get("after", ""), "store_id": found.parameters.get("store_id"), "most": MOST_STORES}
        with self._engine.connect() as connection:
            rows = connection.execute(_STORES, asked).all()
        chosen: list[str] = []
        for row in rows:
            if chosen and row.seq > most:
                break
            chosen.append(row.store_id)
            most -= row.seq
        return chosen

    def _save(self, found: Job, verdicts: Sequence[Verdict], stride: Stride) -> Stride:
        with self._engine.begin() as connection:
            for each in verdicts:
                verified.put(connection, each, found.id)
            if stride.state == "done":
                verified.forget_old(connection)
            job.save(connection, found, stride)
        return stride


def _at_once() -> None:
    """Waits for nobody: the job's own rate does."""


def _kept(verdict: Verdict) -> dict[str, Any]:
    return {**asdict(verdict), "at": verdict.at.isoformat(), "mismatches": [each.told() for each in verdict.mismatches]}


def _verdict(kept: Mapping[str, Any]) -> Verdict:
    found = Verdict(**{**kept, "at": datetime.fromisoformat(kept["at"])})
    return replace(found, mismatches=[Mismatch(**each) for each in kept["mismatches"]])
