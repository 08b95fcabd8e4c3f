"""How are a year of plain sales added up where they lie, instead of travelling line by line?

Nearly every event of a shop is a sale that nothing else ever waited for. PostgreSQL reads its lines as `facts` does and adds them up as the
projection's tallies say, one store after the other. What all other events add (`increments`) is put to it, so that each cell of a store is
written once. What PostgreSQL can't read is an error; then Python does all of it, and finds the event.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final

import psycopg
from sqlalchemy import Connection, Table

from infra.database import Statement, together
from infra.event_log import PLAIN_SALE, Stretch
from projections.base import Cells, arrays_of, arrays_sql
from projections.fold import MOST_CELLS, Put, add_cells
from projections.tally import CENT, FACT, UNIT, Amount, Tally

UNREADABLE: Final = (psycopg.DataError, psycopg.IntegrityError, psycopg.NotSupportedError)
"""What PostgreSQL says of a line that is none: no number, nothing where something has to be, NaN units."""
TOGETHER: Final = 16
"""Stores that are sent at once."""

_KEYS: Final = {"store_id": "e.store_id", "business_date": "e.business_date", "hour": "extract(hour FROM e.local_at)::smallint AS hour"}
# Of a table of sums without SKUs, too: a line without one is none.
_WHOLE_LINE: Final = "l.sku IS NOT NULL AND l.quantity IS NOT NULL"
# As bytes it is sorted in half the time. Where the database sorts otherwise, rows are nearly in their order, and an index is made as well.
_SKU: Final = 'l.sku COLLATE "C" AS sku'
_SUMS: Final = {FACT: "count(DISTINCT seq)", UNIT: "sum(units)::bigint", CENT: "sum(cents)::bigint"}


class Others:
    """What the events add that aren't plain sales, by store, until the store's sales are added up; handed on to `put` where it is much."""

    def __init__(self, put: Put) -> None:
        self.cells: dict[str, dict[Table, Cells]] = {}
        self.put_down: set[str] = set()
        """Stores whose cells were handed on, so that their sales add to other rows."""
        self._put = put
        self._count = 0

    def keep(self, cells: Mapping[Table, Cells]) -> None:
        """Take what was added."""
        self._count += sum(map(len, cells.values()))
        if self._count > MOST_CELLS:
            self.put_down |= {key[0] for added in cells.values() for key in added}
            self._put(cells)
            return
        for table, added in cells.items():
            for key, amounts in added.items():
                add_cells(self.cells.setdefault(key[0], {}).setdefault(table, {}), {key: amounts})


def add_up(
    connection: Connection, stretches: Iterable[Stretch], tallies: Sequence[Tally], prefix: str, more: Mapping[str, Mapping[Table, Cells]]
) -> None:
    """Put the cells of the plain sales in these stretches, and `more` by store, into the tables whose names have this `prefix`.

    Raises psycopg.Error; those of UNREADABLE are the sales' fault.
    """
    statements = [_statement(each, tuple(tallies), prefix, more.get(each.store_id, {})) for each in stretches]
    for start in range(0, len(statements), TOGETHER):
        together(connection, statements[start : start + TOGETHER])


def _statement(stretch: Stretch, tallies: tuple[Tally, ...], prefix: str, more: Mapping[Table, Cells]) -> Statement:
    parts = [more.get(each.table, {}) for each in tallies]
    return Statement(_sql(tallies, prefix, tuple(map(bool, parts))), {**stretch._asdict(), **arrays_of(parts)})


@cache
def _sql(tallies: tuple[Tally, ...], prefix: str, more: tuple[bool, ...]) -> str:
    # Names come from the tables that the code declares, never from outside.
    keys = ", ".join(_KEYS[key] for key in _KEYS if any(key in each.keys for each in tallies))
    parts = ", ".join(f"part_{place} AS ({_insert(each, prefix, place, more=more[place])})" for place, each in enumerate(tallies))
    return f"""
        WITH line AS (
            SELECT {keys}, e.seq, {_SKU}, l.quantity AS units, CASE WHEN {_WHOLE_LINE} THEN {_PAID} END AS cents
            FROM (SELECT * FROM event_log WHERE store_id = %(store_id)s AND seq > %(after)s AND seq <= %(through)s AND {PLAIN_SALE}) AS e
            LEFT JOIN LATERAL {_LINES} ON true
        ), {parts} SELECT 1
    """  # noqa: S608


def _insert(tally: Tally, prefix: str, place: int, *, more: bool) -> str:
    keys, names = ", ".join(tally.keys), [each.name for each in tally.amounts]
    amounts = ", ".join(f"{_amount(each)} AS {each.name}" for each in tally.amounts)
    cells = f"SELECT {keys}, {amounts} FROM line GROUP BY {keys}"  # noqa: S608 - see `_sql`
    if more:
        sums = ", ".join(f"sum({name})::bigint" for name in names)
        cells = (
            f"SELECT {keys}, {sums} FROM ({cells} UNION ALL SELECT * FROM unnest({arrays_sql(tally.table, place)})) AS cell GROUP BY {keys}"  # noqa: S608
        )
    return f"INSERT INTO {prefix}{tally.table.name} {cells} ORDER BY {keys}"


def _amount(amount: Amount) -> str:
    sign = amount.signs.get("sale", 0)
    if not sign:
        return "0::bigint"
    # Nothing, which the table refuses, where a line has no amount.
    return f"CASE WHEN count(*) = count(cents) THEN {'-' if sign < 0 else ''}{_SUMS[amount.of]} END"


def _cents(money: str) -> str:
    """What `facts.cents` does: of plain digits with a point before the last two that is three times as fast."""
    return (
        f"CASE WHEN left(right({money}, 3), 1) = '.' THEN (left({money}, -3) || right({money}, 2))::bigint "
        f"ELSE trunc({money}::numeric * 100)::bigint END"
    )


_LINES: Final = "jsonb_to_recordset(e.payload -> 'lines') AS l(sku text, quantity int, line_total text, unit_price text)"
_PAID: Final = f"CASE WHEN l.line_total IS NULL THEN l.quantity * {_cents('l.unit_price')} ELSE {_cents('l.line_total')} END"
