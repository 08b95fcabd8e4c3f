"""Which accounts does an installation have before anybody made one?

In the demonstration: one cashier a store, a manager of all stores, an operator and an administrator, all with the published password.
Elsewhere: an administrator with ``MAGASIN_ADMIN_PASSWORD``, if that is set and there is no administrator yet.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from api.passwords import hash_of, hash_once, matches
from infra import accounts
from infra.settings import Settings

CASHIER_OF: Final = "caissier-"
EVERY_STORE: Final = ("*",)
DEMONSTRATION: Final = {"gestionnaire": "gestionnaire", "operateur": "operateur", "admin": "admin"}
FIRST_ADMIN: Final = "admin"
log = structlog.get_logger(__name__)


def create_account(connection: Connection, username: str, password: str, role: str, stores: Sequence[str]) -> bool:
    """Make an account, hashing its password (130-180 ms); False when the name is taken."""
    return accounts.add(connection, username, hash_of(password), role, stores)


def prepare_accounts(engine: Engine, settings: Settings) -> None:
    """Make the accounts that are there from the start. Safe to repeat and to run in several processes at once; blocks.

    Without the database it does nothing: the API starts all the same, and the demonstration's accounts are made when they sign in.
    """
    try:
        _prepare(engine, settings)
    except OperationalError as error:
        log.warning("accounts_not_prepared", error=type(error.orig).__name__)


def _prepare(engine: Engine, settings: Settings) -> None:
    if settings.env == "demo":
        with engine.begin() as connection:
            password_hash = _demonstration_hash(connection, settings)
            names = [*DEMONSTRATION, *(CASHIER_OF + store_id for store_id in accounts.stores(connection))]
            for username in sorted(names):
                if not _make_demonstration(connection, username, password_hash):
                    accounts.change(connection, username, {"password_hash": password_hash})
    elif settings.admin_password:
        with engine.begin() as connection:
            if not accounts.active_admins(connection) and create_account(
                connection, FIRST_ADMIN, settings.admin_password, "admin", EVERY_STORE
            ):
                log.info("first_admin_created", username=FIRST_ADMIN)


def demonstration_account(connection: Connection, username: str, settings: Settings) -> accounts.Account | None:
    """The demonstration's account of that name, made now when it is due and missing: its store may be younger than this process."""
    store_id = username.removeprefix(CASHIER_OF)
    due = username in DEMONSTRATION or (store_id != username and accounts.store_exists(connection, store_id))
    if settings.env != "demo" or not due:
        return None
    _make_demonstration(connection, username, _demonstration_hash(connection, settings))
    return accounts.find(connection, username)


def _demonstration_hash(connection: Connection, settings: Settings) -> str:
    """The hash that the demonstration's accounts share; a new one only when the password in the settings is a new one."""
    known = accounts.find(connection, FIRST_ADMIN)
    if known and matches(settings.demo_password, known.password_hash):
        return known.password_hash
    return hash_once(settings.demo_password)


def _make_demonstration(connection: Connection, username: str, password_hash: str) -> bool:
    role = DEMONSTRATION.get(username, "caissier")
    stores = EVERY_STORE if username in DEMONSTRATION else (username.removeprefix(CASHIER_OF),)
    return accounts.add(connection, username, password_hash, role, stores)
