"""Which errors pass by themselves, and which come back however often one tries?"""

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

PASSING = (
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
    errors.QueryCanceled,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    errors.DiskFull,
    errors.OutOfMemory,
    errors.ReadOnlySqlTransaction,
)
UNANSWERED = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)


def printable(words: str, most: int) -> str:
    """At most `most` characters that PostgreSQL's text can hold: it takes no NUL and no lone surrogate, and poison is made of those."""
    return words[:most].replace("\x00", "�").encode("utf-8", "replace").decode()


def is_transient(error: BaseException) -> bool:
    """Whether the database is away, busy or full: then the work is kept and done again later. Anything else is the work's own fault."""
    if isinstance(error, PoolTimeout):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, PASSING):
        return True
    # Without an SQLSTATE the server never answered: the connection was refused or broke.
    return isinstance(error, UNANSWERED) and getattr(cause, "sqlstate", None) is None
