"""How does a process reach PostgreSQL, and where do its tables register?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row
from pydantic_core import to_json
from sqlalchemy import Connection, CursorResult, Engine, MetaData, create_engine, text
from sqlalchemy.exc import DBAPIError

from infra.settings import Settings

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
PREPARED_FROM = 5
"""The execution from which psycopg prepares a statement: its own default."""
COPIED_ROWS = 5_000
STREAMED_CHARACTERS = 2_000_000
"""About so much text is read at once: a thousandfold longer rows must not take a thousandfold of memory."""
STREAMED_ROWS = (50, 2_000)
"""How many rows are read first, and at most."""
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_SPECIAL = re.compile(r"[\\\t\n\r]")
metadata = MetaData(naming_convention=NAMING)


class Statement(NamedTuple):
    """SQL in psycopg's own form, with ``%(name)s`` where a parameter stands."""

    sql: str
    parameters: Mapping[str, Any]


def engine_for(settings: Settings, *, name: str, same_plans: bool = True) -> Engine:
    """A pool of connections that show up under `name` in pg_stat_activity.

    Every wait has an end: for a free connection, for the server to answer the call, and for one statement. `same_plans`: a statement that
    comes again is prepared and keeps its plan. Good for a worker's few statements; a search for a rare word took 48 ms instead of 1 with
    the plan that suits the average word, so what people ask is planned each time. And by one process each: the products of a year took
    two workers 218 ms on two cores, and one 134.
    """
    options = f"-c statement_timeout={settings.database_statement_timeout_seconds * 1000} -c timezone=UTC"
    return create_engine(
        database_url(settings.database_url),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        # The connection used last knows its tables and has its memory at hand.
        pool_use_lifo=True,
        pool_timeout=settings.database_connect_timeout_seconds,
        pool_pre_ping=False,
        isolation_level="READ COMMITTED",
        connect_args={
            "application_name": f"magasin-{name}",
            "connect_timeout": settings.database_connect_timeout_seconds,
            "options": options if same_plans else f"{options} -c max_parallel_workers_per_gather=0",
            "prepare_threshold": PREPARED_FROM if same_plans else None,
            # A server that vanished without a word is noticed after 30 s at the latest.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": 30_000,
        },
    )


@contextmanager
def brief_transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction for `together`: its BEGIN travels with the first statements, and its COMMIT with the last ones when those ask for it.

    On two busy cores every round trip is four changes of process; a batch needs two instead of seven.
    """
    with engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        driver = _driver(connection)
        try:
            yield connection
        except BaseException:
            if not driver.closed and driver.info.transaction_status != TransactionStatus.IDLE:
                driver.execute("ROLLBACK")
            raise
        if driver.info.transaction_status != TransactionStatus.IDLE:
            driver.execute("COMMIT")


def together(connection: Connection, statements: Sequence[Statement], *, commit: bool = False) -> list[list[Any]]:
    """Send statements in one go and wait once: the rows of each, as named tuples. Raises psycopg.Error; then none of them counts.

    They run one after the other, and each sees what was committed before it began. With `commit` the transaction ends with them.
    """
    driver = _driver(connection)
    try:
        with driver.pipeline():
            if driver.autocommit and driver.info.transaction_status == TransactionStatus.IDLE:
                driver.execute("BEGIN")
            cursors = [driver.cursor(row_factory=namedtuple_row).execute(each.sql, each.parameters) for each in statements]
            if commit:
                driver.execute("COMMIT")
    except psycopg.Error:
        if driver.closed:
            connection.invalidate()
        raise
    return [cursor.fetchall() if cursor.description else [] for cursor in cursors]


def array_text(values: Sequence[Any]) -> str:
    """Values of one type, none of them NULL, as PostgreSQL writes an array: at a tenth of what it costs the driver element by element."""
    if not values:
        return "{}"
    if not isinstance(values[0], str):
        # Dates and amounts come again and again: each is written once.
        written = {value: str(value) for value in set(values)}
        return f"{{{','.join([written[value] for value in values])}}}"
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join(value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return f'{{"{joined}"}}'


def streamed(connection: Connection, statement: Statement) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a statement as plain tuples, as many at once as those before were short: the server keeps the others.

    Raises psycopg.Error.
    """
    count, most = STREAMED_ROWS
    with _driver(connection).cursor(name="streamed") as cursor:
        cursor.execute(statement.sql, statement.parameters)
        while rows := cursor.fetchmany(count):
            yield rows
            sample = rows[::16]
            characters = sum(len(value) for row in sample for value in row if isinstance(value, str))
            count = max(1, min(most, STREAMED_CHARACTERS * len(sample) // max(1, characters)))


def copy_in(connection: Connection, table: str, columns: Sequence[Sequence[object]]) -> None:
    """Add rows to a table, given column by column: texts, whole numbers, dates. Raises psycopg.Error.

    The server takes the first rows while the next ones are being written.
    """
    written = [_written(column) for column in columns]
    with _driver(connection).cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for start in range(0, len(columns[0]), COPIED_ROWS):
            rows = zip(*(column[start : start + COPIED_ROWS] for column in written), strict=True)
            copy.write("\n".join(["\t".join(row) for row in rows]) + "\n")


def _written(column: Sequence[Any]) -> Sequence[str]:
    """The values of a column as COPY reads them. Text is nearly always good as it is; the rest comes again and again: written once."""
    if isinstance(column[0], str):
        return column if _SPECIAL.search("".join(column)) is None else [value.translate(_ESCAPED) for value in column]
    written = {value: str(value) for value in set(column)}
    return [written[value] for value in column]


def dicts(found: CursorResult[Any]) -> list[dict[str, Any]]:
    """The rows by the names of their columns, fetched at once: in a third of the time that mappings one by one take."""
    names = list(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found.all()]


def ping(engine: Engine) -> None:
    """Return when the server takes a statement now. Raises what SQLAlchemy raises when it doesn't.

    A connection from before the server's last restart says nothing about now: it breaks once and takes its whole pool along, and a new
    one tells.
    """
    try:
        _say_something(engine)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        _say_something(engine)


def _say_something(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def database_url(url: str) -> str:
    """The URL with its driver named, so that ``postgresql://`` and ``postgres://`` mean psycopg 3."""
    scheme, rest = url.split("://", 1)
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url


def json_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Rows as the one parameter of a statement that reads them with ``json_to_recordset``.

    One statement for any number of rows, and the cheapest way to hand them over: psycopg writes arrays for ``unnest`` element by element
    in Python (measured on a busy machine: 487 µs of CPU a sale in the stock writer that way, 260 µs this way).
    """
    return {"rows": to_json(rows).decode()}


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)
