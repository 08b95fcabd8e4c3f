"""What does a backup hold, by its own account, and does a database hold the same?"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from psycopg import Connection, sql

from magasin.home import write_private

NAME: Final = "manifest.json"
FORMAT: Final = 1
CHUNK_BYTES: Final = 1_048_576
_TABLES: Final = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
# The same rows give the same sum, in whatever order they lie.
_STOCK: Final = "SELECT coalesce(sum(on_hand), 0)::bigint, coalesce(sum(hashtextextended(l::text, 0)), 0)::text FROM stock_level l"


class BackupError(Exception):
    """A backup can't be made, read or put back; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a database holds at one moment: rows by table, the end of each store's log, units on hand, and a sum over every level."""

    migration: str
    rows: Mapping[str, int]
    heads: Mapping[str, int]
    on_hand: int
    levels: str

    @classmethod
    def of(cls, connection: Connection[Any]) -> Self:
        """Counted now; the caller's transaction is what makes it one moment. Raises psycopg.Error where there are no tables of ours."""
        tables = connection.execute(_TABLES).fetchall()
        rows = {f"{schema}.{table}": _count(connection, schema, table) for schema, table in tables}
        heads = dict(connection.execute("SELECT store_id, seq FROM store_head ORDER BY store_id").fetchall())
        ((on_hand, levels),) = connection.execute(_STOCK).fetchall()
        ((migration,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return cls(migration, rows, heads, on_hand, levels)

    @property
    def events(self) -> int:
        """Events in the log."""
        return sum(self.heads.values())

    def told(self) -> str:
        """For people."""
        return f"{self.events:,} events of {len(self.heads):,} stores, {self.on_hand:,} units on hand, {sum(self.rows.values()):,} rows"

    def differing(self, other: Self) -> list[str]:
        """What isn't the same, by name."""
        mine, others = asdict(self), asdict(other)
        tables = [name for name in sorted({*self.rows, *other.rows}) if self.rows.get(name) != other.rows.get(name)]
        return [*tables, *(name for name in mine if name != "rows" and mine[name] != others[name])]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of one backup. `waiting`: messages that lay in the intake's queue then, or None where the broker didn't tell."""

    made_at: str
    version: str
    server: str
    file: str
    bytes: int
    sha256: str
    waiting: int | None
    figures: Figures
    format: int = FORMAT

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of the backup in that folder. Raises BackupError."""
        try:
            kept = json.loads((folder / NAME).read_text(encoding="utf-8"))
            if kept["format"] != FORMAT:
                message = f"{folder / NAME} is of format {kept['format']}; this version reads {FORMAT}"
                raise BackupError(message)
            return cls(**{**kept, "figures": Figures(**kept["figures"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{folder} is no backup: {error}"
            raise BackupError(message) from error

    def write(self, folder: Path) -> None:
        """Put it beside what it tells of."""
        write_private(folder / NAME, json.dumps(asdict(self), indent=2) + "\n")

    def check(self, folder: Path) -> None:
        """Raise BackupError when the file isn't the one that was written."""
        file = folder / self.file
        if not file.exists() or file.stat().st_size != self.bytes or digest_of(file) != self.sha256:
            message = f"{file} isn't what was backed up: its length or its digest differs from the manifest's"
            raise BackupError(message)


def digest_of(file: Path) -> str:
    """SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _count(connection: Connection[Any], schema: str, table: str) -> int:
    counted = connection.execute(sql.SQL("SELECT count(*) FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(table))).fetchone()
    return int(counted[0]) if counted else 0
