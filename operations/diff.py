"""Which figures change when another build of a projection becomes the live one?

Cell by cell, in the database: what only one build has, what both have with other amounts, the sums of every amount, and the cells that
differ most. The caller sees to it that both builds stand at the same place of every store's log.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, text

from projections.base import Projection
from projections.generations import schema_of

EXAMPLES: Final = 20


def diff(connection: Connection, projection: Projection, number: int) -> dict[str, Any]:
    """What differs: ``{"cells": how many in all, "tables": {name: …}}``.

    A table has `added`, `removed`, `changed`, `live` and `rebuilt` (cells), `sums` (live and rebuilt, by amount) and `examples`, the cells
    that differ most first: `key`, `before` (None where the live build has none), `after` and `change`.
    """
    tables = {table.name: _table(connection, table, schema_of(projection), schema_of(projection, number)) for table in projection.tables}
    return {"cells": sum(each["added"] + each["removed"] + each["changed"] for each in tables.values()), "tables": tables}


def _table(connection: Connection, table: Table, live: str, rebuilt: str) -> dict[str, Any]:
    sides = _Sides(table, live, rebuilt)
    found = connection.execute(text(sides.counts())).mappings().one()
    told: dict[str, Any] = {name: int(found[name]) for name in ("added", "removed", "changed", "live", "rebuilt")}
    told["sums"] = {name: {side: int(found[f"{side}_{name}"]) for side in ("live", "rebuilt")} for name in sides.amounts}
    differs = told["added"] + told["removed"] + told["changed"]
    rows = connection.execute(text(sides.examples()), {"most": EXAMPLES}).mappings().all() if differs else []
    return {**told, "examples": [_example(dict(row), sides.keys, sides.amounts) for row in rows]}


class _Sides:
    """The SQL that lays the two builds of a table beside each other. Every name in it comes from the code."""

    def __init__(self, table: Table, live: str, rebuilt: str) -> None:
        self.keys = [column.name for column in table.columns if column.primary_key]
        self.amounts = [column.name for column in table.columns if not column.primary_key]
        on = " AND ".join(f"b.{key} = a.{key}" for key in self.keys)
        self._both = f"{live}.{table.name} a FULL JOIN {rebuilt}.{table.name} b ON {on}"
        self._unlike = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in self.amounts)

    def counts(self) -> str:
        """One row: cells of each kind, and sums."""
        first = self.keys[0]
        sums = ", ".join(
            f"coalesce(sum({side}.{name}), 0) AS {label}_{name}"
            for name in self.amounts
            for side, label in (("a", "live"), ("b", "rebuilt"))
        )
        return f"""
            SELECT count(*) FILTER (WHERE a.{first} IS NULL) AS added, count(*) FILTER (WHERE b.{first} IS NULL) AS removed,
                   count(*) FILTER (WHERE a.{first} IS NOT NULL AND b.{first} IS NOT NULL AND ({self._unlike})) AS changed,
                   count(a.{first}) AS live, count(b.{first}) AS rebuilt, {sums}
            FROM {self._both}
        """  # noqa: S608 - see the class

    def examples(self) -> str:
        """The cells that differ most, by the sum of what their amounts differ by."""
        names = ", ".join(f"coalesce(a.{key}, b.{key}) AS {key}" for key in self.keys)
        sides = ", ".join(f"{side}.{name} AS {label}_{name}" for name in self.amounts for side, label in (("a", "live"), ("b", "rebuilt")))
        size = " + ".join(f"abs(coalesce(b.{name}, 0)::numeric - coalesce(a.{name}, 0))" for name in self.amounts)
        places = ", ".join(str(place + 1) for place in range(len(self.keys)))
        return f"SELECT {names}, {sides} FROM {self._both} WHERE {self._unlike} ORDER BY {size} DESC, {places} LIMIT :most"  # noqa: S608 - see the class


def _example(row: Mapping[str, Any], keys: Sequence[str], amounts: Sequence[str]) -> dict[str, Any]:
    live, rebuilt = ({name: row[f"{side}_{name}"] for name in amounts} for side in ("live", "rebuilt"))
    return {
        "key": {key: row[key] for key in keys},
        "before": None if None in live.values() else live,
        "after": None if None in rebuilt.values() else rebuilt,
        "change": {name: (rebuilt[name] or 0) - (live[name] or 0) for name in amounts},
    }
