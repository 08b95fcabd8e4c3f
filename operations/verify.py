"""Does what one store keeps equal what its log says: ledger, levels, costs, and the cells of every projection?

Two looks. The first adds up both sides and holds neither; where they differ, the second keeps the cells in question and names them. Each
sees one moment of its own, so what only seemed to differ (a projection was exchanged between two statements) is gone in the second.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

import psycopg
from sqlalchemy import Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from operations.ledgers import SieveLedger, SketchLedger
from operations.looking import Gap, Interrupted, Look, Moved, Pace, by_store
from operations.mismatch import Mismatch, between
from operations.sketch import Key, Sieve, Sketch
from projections import PROJECTIONS
from stock.costs import stock_cost

MOST_SUSPECTS: Final = 16
"""Buckets of one table that the second look keeps, of 1,024: a table that is wrong everywhere is named by its first cells."""
MOST_MISMATCHES: Final = 100
"""Of one store, told one by one."""
MOST_COUNTED: Final = 10_000
TRIES: Final = 3
ERROR_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in one store. `seq` is the end of its log then, `events` and `checked` what was read of log and tables.

    `count` has all differences that were seen, `mismatches` the first of them; `more`: there are others that nobody looked at.
    """

    store_id: str
    at: datetime
    seq: int = 0
    events: int = 0
    checked: int = 0
    count: int = 0
    mismatches: Sequence[Mismatch] = ()
    more: bool = False


def verify(engine: Engine, store_id: str, pace: Pace) -> Verdict:
    """Look at one store (see the module). Raises what `pace` raises, Moved, and the errors of the database."""
    for _ in range(TRIES - 1):
        with suppress(Moved):
            return _verify(engine, store_id, pace)
    return _verify(engine, store_id, pace)


def _verify(engine: Engine, store_id: str, pace: Pace) -> Verdict:
    sketch = Sketch()
    ledger = SketchLedger(sketch)
    look = Look(store_id, sketch, ledger)
    try:
        place = look.take(engine, pace)
        verdict = Verdict(store_id, place.at, place.head, look.events, sketch.cells + ledger.rows)
        suspects = sketch.suspects()
        return _named(engine, verdict, suspects, pace) if suspects else verdict
    except (Moved, Interrupted, SQLAlchemyError, psycopg.Error, OSError):
        raise  # these say nothing about the log
    except Exception as error:  # noqa: BLE001 - whatever an event does to the code that reads it
        return _unreadable(look, error)


def _named(engine: Engine, verdict: Verdict, suspects: Mapping[str, Sequence[int]], pace: Pace) -> Verdict:
    sieve = Sieve({table: buckets[:MOST_SUSPECTS] for table, buckets in suspects.items()})
    ledger = SieveLedger(sieve)
    place = Look(verdict.store_id, sieve, ledger).take(engine, pace)
    seen = list(islice(_differences(sieve, ledger, verdict.store_id), MOST_COUNTED))
    return replace(
        verdict,
        seq=place.head,
        at=place.at,
        count=len(seen),
        mismatches=seen[:MOST_MISMATCHES],
        more=len(seen) == MOST_COUNTED or any(len(buckets) > MOST_SUSPECTS for buckets in suspects.values()),
    )


def _differences(sieve: Sieve, ledger: SieveLedger, store_id: str) -> Iterator[Mismatch]:
    yield from ledger.mismatches(store_id)
    for table in (stock_cost, *(table for projection in PROJECTIONS.values() for table in by_store(projection))):
        expected, found = sieve.expected.get(table.fullname, {}), sieve.found.get(table.fullname, {})
        for key in sorted({*expected, *found}):
            yield from between((table.fullname, *key), _figures(table, expected, key), _figures(table, found, key))


def _figures(table: Table, side: Mapping[Key, Sequence[int]], key: Key) -> dict[str, int] | None:
    names = [column.name for column in table.columns if not column.primary_key]
    return dict(zip(names, side[key], strict=True)) if key in side else None


def _unreadable(look: Look, error: Exception) -> Verdict:
    """The log itself has a gap, or an event that this code can't read any more."""
    place = f"event_log/{look.store_id}/{error.args[0]}" if isinstance(error, Gap) else f"event_log/{look.store_id}"
    expected = "an event" if isinstance(error, Gap) else "events that can be read"
    found = None if isinstance(error, Gap) else f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]
    return Verdict(look.store_id, datetime.now(UTC), events=look.events, count=1, mismatches=(Mismatch(place, expected, found),))
