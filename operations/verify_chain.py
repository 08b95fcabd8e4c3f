"""Do the cells that are sums equal the finer cells that they add up, over the whole chain?

A table of sums (a month of its days, a chain of its stores) is maintained in the same statement as the finer table, and that one is
compared with the log, store by store. So here both sides are tables, and one statement sees them at one moment. Month by month, year by
year: no statement takes long.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, Date, Engine, Table, text

from operations.looking import Pace, by_store
from operations.mismatch import Mismatch, between
from operations.verify import MOST_MISMATCHES, Verdict
from projections import PROJECTIONS
from projections.base import FIRST_DAYS, finer_than, sum_keys_sql
from projections.source import keys_of

MOST_OF_A_PIECE: Final = 100
CHAIN: Final = ""
"""What stands for the store where the whole chain is meant."""


class Pair(NamedTuple):
    """A table of sums, its time, and the table whose cells it adds up, with that one's time."""

    coarse: Table
    time: str
    fine: Table
    day: str

    @property
    def length(self) -> str:
        """How much is compared at once: a year of years, a month of everything else."""
        return self.time if self.time in FIRST_DAYS else "month"


class Piece(NamedTuple):
    """A month or a year of a pair, by its first day."""

    pair: Pair
    first: date


class Compared(NamedTuple):
    """How many cells a piece had, and the first that differ."""

    cells: int
    mismatches: Sequence[Mismatch]


class NothingFiner(LookupError):
    """A table is neither compared with the log nor declared as the sums of one that is, so nothing proves it."""


def pairs() -> list[Pair]:
    """Every table of sums with what proves it. Raises NothingFiner."""
    return [_pair(table) for projection in PROJECTIONS.values() for table in projection.tables if table not in by_store(projection)]


def pieces(engine: Engine) -> list[Piece]:
    """What there is to compare, piece by piece."""
    with engine.connect() as connection:
        return [Piece(pair, first) for pair in pairs() for first in connection.scalars(text(_firsts(pair)))]


def compare(engine: Engine, piece: Piece) -> Compared:
    """One piece, in a transaction of its own."""
    with engine.connect() as connection:
        return _compared(connection, piece.pair, piece.first)


def verify_chain(engine: Engine, pace: Pace) -> Verdict:
    """All pieces, one after the other. Raises what `pace` raises, and the errors of the database."""
    verdict = Verdict(CHAIN, datetime.now(UTC))
    for piece in pieces(engine):
        pace()
        verdict = added(verdict, compare(engine, piece))
    return verdict


def added(verdict: Verdict, compared: Compared) -> Verdict:
    """What was found so far, with one more piece."""
    return replace(
        verdict,
        checked=verdict.checked + compared.cells,
        count=verdict.count + len(compared.mismatches),
        mismatches=[*verdict.mismatches, *compared.mismatches][:MOST_MISMATCHES],
        more=verdict.more or len(compared.mismatches) >= MOST_OF_A_PIECE,
    )


def _pair(coarse: Table) -> Pair:
    fine, times = finer_than(coarse), _times(coarse)
    if fine is None or not times:
        raise NothingFiner(coarse.fullname)
    return Pair(coarse, times[0], fine, _times(fine)[0])


def _times(table: Table) -> list[str]:
    return [key.name for key in table.primary_key.columns if isinstance(key.type, Date)]


def _firsts(pair: Pair) -> str:
    """The first days of all months (or years) between the first and the last that either side has."""
    return f"""
        SELECT generate_series(date_trunc('{pair.length}', least(fine.first, coarse.first)), greatest(fine.last, coarse.last),
                               interval '1 {pair.length}')::date
        FROM (SELECT min({pair.day}) AS first, max({pair.day}) AS last FROM {pair.fine.fullname}) AS fine,
             (SELECT min({pair.time}) AS first, max({pair.time}) AS last FROM {pair.coarse.fullname}) AS coarse
    """  # noqa: S608 - names that the code declares


def _compared(connection: Connection, pair: Pair, first: date) -> Compared:
    names = keys_of(pair.coarse)
    columns = [column.name for column in pair.coarse.columns if not column.primary_key]
    row = connection.execute(text(_comparison(pair, names, columns)), {"first": first, "most": MOST_OF_A_PIECE}).one()
    found: list[Mismatch] = []
    for cell in row.different:
        added, kept = (None if cell[side] is None else {name: cell[side][name] for name in columns} for side in ("added", "kept"))
        found += between((pair.coarse.fullname, *((cell["kept"] or cell["added"])[name] for name in names)), added, kept)
    return Compared(row.cells, found)


def _comparison(pair: Pair, names: Sequence[str], columns: Sequence[str]) -> str:
    parts = sum_keys_sql(pair.coarse)
    picked = ", ".join(f"{part} AS {name}" for name, part in zip(names, parts, strict=True))
    sums = ", ".join(f"sum({name}) AS {name}" for name in columns)
    differ = " OR ".join(f"coalesce(added.{name}, 0) <> coalesce(kept.{name}, 0)" for name in columns)
    joined = " AND ".join(f"kept.{name} = added.{name}" for name in names)
    return f"""
        WITH added AS MATERIALIZED (
            SELECT {picked}, {sums} FROM {pair.fine.fullname}
            WHERE {pair.day} >= :first AND {pair.day} < CAST(:first AS date) + interval '1 {pair.length}'
            GROUP BY {", ".join(parts)}
        ), kept AS MATERIALIZED (
            SELECT * FROM {pair.coarse.fullname}
            WHERE {pair.time} >= :first AND {pair.time} < CAST(:first AS date) + interval '1 {pair.length}'
        ), different AS (
            SELECT added, kept FROM added FULL JOIN kept ON {joined} WHERE {differ} LIMIT :most
        )
        SELECT (SELECT count(*) FROM kept) AS cells, (SELECT coalesce(json_agg(different), '[]') FROM different) AS different
    """  # noqa: S608 - names that the code declares
