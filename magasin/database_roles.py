"""Which process may do what in PostgreSQL?

Each process signs in as a role of its own, named after the database (``magasin_api`` in ``magasin``), since roles belong to a whole
server. Everybody reads what is no secret; what a role writes is named here, table by table, and nothing else is. So the API can't write
the stock, the event log or a projection, whatever a fault of its code or a stranger in it tries. Nobody at all may change or remove what
is in the event log and the audit log.

`apply` comes after the migrations, as their owner, and may be repeated: what isn't named any more is taken away. Builds of projections
are made and swapped by the operator's process, so it owns their schemas, and what it makes later is open to the others from the start.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection, sql
from sqlalchemy import make_url

from infra.database import metadata
from magasin.migrate import LOCK, declared_tables
from projections import PROJECTIONS
from projections.generations import schema_of

KEPT_SCHEMA: Final = "public"
CONNECT_SECONDS: Final = 30
"""Nobody waits for an answer here: a busy machine is given its time."""
SECRETS: Final = frozenset({"account", "refresh_token", "webhook"})
"""Tables with password hashes, sessions and signing secrets: read by those only who are said to."""
ADD: Final = "INSERT"
KEEP: Final = "INSERT, UPDATE"
ALL: Final = "INSERT, UPDATE, DELETE"
HOLD: Final = "INSERT, UPDATE (state, error, failed_seq, moved_at)"
"""Of a checkpoint: to let a projection wait or try again, in a store where it has not begun, too; never to say how far it has come."""
_BUILD: Final = re.compile(r"_g\d+$")


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """What one process may do. `writes`: privileges by table of the kept schema. `secrets`: tables of `SECRETS` that it may read.

    `projections`: the privileges on cells, "" where it needs none. `counts`: it writes what is added up while one reads (the schemas that
    are no projection's). `builds`: it makes builds of projections, and owns them. `monitors`: it sees what the server does.
    """

    name: str
    writes: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    projections: str = ""
    counts: bool = False
    builds: bool = False
    monitors: bool = False

    def called(self, database: str) -> str:
        """Its name on the server."""
        return f"{database}_{self.name.replace('-', '_')}"


_WORKER: Final = {"consumer": ALL, "pause": "DELETE", "checkpoint": HOLD, "audit_log": ADD}
"""Every worker shows its pulse, and ends pauses whose time has come."""
_LETTERS: Final = {"dead_letter": KEEP, "redrive_item": "UPDATE"}
"""What can't be handled is parked; what came of a redriven one is noted."""
_ASKED: Final = {"job": KEEP, "selection": ADD, "selection_item": ADD, "redrive_item": KEEP, "dead_letter": KEEP, "dead_letter_edit": KEEP}
_STOCK: Final = {
    **dict.fromkeys(("store_head", "stock_level", "stock_cost", "store", "product", "store_product", "till"), KEEP),
    **dict.fromkeys(("restock", "restock_line", "stock_case"), KEEP),
    **dict.fromkeys(("event_log", "stock_movement", "product_word"), ADD),
}

ROLES: Final = (
    DatabaseRole(
        "api",
        writes={
            "account": KEEP, "refresh_token": ALL, "webhook": KEEP, "webhook_delivery": "UPDATE", "outward_position": ALL,
            "pause": ALL, "checkpoint": HOLD, "audit_log": ADD, **_ASKED,
        },
        secrets=SECRETS,
        projections="SELECT",
        counts=True,
    ),
    DatabaseRole("stock-writer", writes={**_WORKER, **_LETTERS, **_STOCK}),
    DatabaseRole("projector", writes={**_WORKER, **_LETTERS, "checkpoint": KEEP}, projections="SELECT, INSERT, UPDATE"),
    DatabaseRole("dead-letters", writes={**_WORKER, **_LETTERS}),
    DatabaseRole(
        "outbound", writes={**_WORKER, "outward_position": ALL, "webhook_delivery": ALL}, secrets=frozenset({"webhook"})
    ),
    DatabaseRole(
        "operator",
        # The stock for dry runs, which are rolled back.
        writes={**_WORKER, **_ASKED, **_STOCK, "checkpoint": ALL, "generation": ALL, "verified": ALL},
        projections="ALL",
        builds=True,
    ),
    DatabaseRole("reader", projections="SELECT", monitors=True),
)  # fmt: skip
PASSWORD_FILES: Final = {role.name: f"database_password_{role.name}" for role in ROLES}
"""Where a role's password lies in the folder of secrets."""


def apply(database_url: str, folder: Path) -> list[str]:
    """Make the roles of the database and give each what is said here; answers the names of those that can sign in.

    Those whose password lies in `folder`. By the owner of the tables, who may make roles. Raises psycopg.Error.
    """
    declared_tables()
    with psycopg.connect(_plain(database_url), connect_timeout=CONNECT_SECONDS) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        database = connection.info.dbname
        existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        signing_in = [role.called(database) for role in ROLES if _settle(connection, role, folder, existing)]
        _give(connection, database)
    return signing_in


def _settle(connection: Connection[Any], role: DatabaseRole, folder: Path, existing: Iterable[str]) -> bool:
    """Let the role be there, with its password if it has one; True when it can sign in. The server sees only the password's verifier."""
    name = role.called(connection.info.dbname)
    if name not in existing:
        _do(connection, "CREATE ROLE {}", name)
    secret = folder / PASSWORD_FILES[role.name]
    if not secret.exists():
        _do(connection, "ALTER ROLE {} NOLOGIN", name)
        return False
    password = secret.read_bytes().strip()
    verifier = connection.pgconn.encrypt_password(password, name.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier)))
    return True


def _give(connection: Connection[Any], database: str) -> None:
    everybody = [role.called(database) for role in ROLES]
    builds, counts = _schemas(connection)
    _do(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)
    _do(connection, "REVOKE CREATE ON SCHEMA {} FROM PUBLIC", KEPT_SCHEMA)
    for name in everybody:
        _do(connection, "GRANT CONNECT ON DATABASE {} TO {}", database, name)
        _do(connection, "GRANT USAGE ON SCHEMA {} TO {}", KEPT_SCHEMA, name)
    for role in (each for each in ROLES if each.builds):
        _own(connection, role.called(database), database, builds)
    for role in ROLES:
        _give_tables(connection, role, role.called(database))
        _give_cells(connection, role, role.called(database), builds, counts)


def _own(connection: Connection[Any], name: str, database: str, builds: Iterable[str]) -> None:
    """To rename a schema and to drop it takes its owner; a later migration still reaches the tables, as a member."""
    _do(connection, "GRANT CREATE ON DATABASE {} TO {}", database, name)
    _do(connection, "GRANT {} TO CURRENT_USER", name)
    for schema in builds:
        _do(connection, "ALTER SCHEMA {} OWNER TO {}", schema, name)
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema]).fetchall():
            _do(connection, "ALTER TABLE {}.{} OWNER TO {}", schema, table, name)


def _give_tables(connection: Connection[Any], role: DatabaseRole, name: str) -> None:
    """Take everything away first: also rights on single columns go with it."""
    _do(connection, "REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}", KEPT_SCHEMA, name)
    for table in (each.name for each in metadata.tables.values() if each.schema is None):
        if table not in SECRETS - role.secrets:
            _do(connection, "GRANT SELECT ON {}.{} TO {}", KEPT_SCHEMA, table, name)
    for table, privileges in role.writes.items():
        _do(connection, f"GRANT {privileges} ON {{}}.{{}} TO {{}}", KEPT_SCHEMA, table, name)
    if role.monitors and connection.info.parameter_status("is_superuser") == "on":
        _do(connection, "GRANT pg_monitor TO {}", name)


def _give_cells(connection: Connection[Any], role: DatabaseRole, name: str, builds: Iterable[str], counts: Iterable[str]) -> None:
    """Cells of projections, those of later builds included, and what is counted beside them."""
    if role.builds or not role.projections:
        counting, cells = ("SELECT" if role.builds else ""), ""
    else:
        counting, cells = ("SELECT, INSERT, UPDATE, DELETE" if role.counts else "SELECT"), role.projections
    owner = next(each.called(connection.info.dbname) for each in ROLES if each.builds)
    for schemas, privileges in ((builds, cells), (counts, counting)):
        for schema in schemas:
            if privileges:
                _do(connection, "GRANT USAGE ON SCHEMA {} TO {}", schema, name)
                _do(connection, "REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}", schema, name)
                _do(connection, f"GRANT {privileges} ON ALL TABLES IN SCHEMA {{}} TO {{}}", schema, name)
    if cells:
        later = "ALTER DEFAULT PRIVILEGES FOR ROLE {} "
        _do(connection, f"{later}GRANT USAGE ON SCHEMAS TO {{}}", owner, name)
        _do(connection, f"{later}GRANT {cells} ON TABLES TO {{}}", owner, name)


def _schemas(connection: Connection[Any]) -> tuple[list[str], list[str]]:
    """Those of projections, all builds of them, and those of what is counted while one reads."""
    live = {schema_of(projection) for projection in PROJECTIONS.values()}
    declared = {str(table.schema) for table in metadata.tables.values() if table.schema}
    there = sorted(name for (name,) in connection.execute("SELECT nspname FROM pg_namespace"))
    return [name for name in there if _BUILD.sub("", name) in live], [name for name in there if name in declared - live]


def _do(connection: Connection[Any], statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _plain(database_url: str) -> str:
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
