"""Who may sign in, and which sessions are open?

Never in the event log: an account is no fact about stock. Passwords are here as Argon2id hashes, refresh tokens as SHA-256 digests. A
session is a family of refresh tokens, each spent by the next; closing a session deletes its family. Whoever changes the sessions of an
account locks its row first, so that no token slips in between a check and a closing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    Uuid,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from infra.database import metadata

Instant: Final = DateTime(timezone=True)
# A shop's tills share an account and renew every 15 minutes: spent tokens are kept until they expire, up to this many.
MOST_TOKENS: Final = 10_000

account = Table(
    "account",
    metadata,
    Column("username", Text, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("stores", ARRAY(Text), nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
    Column("updated_at", Instant, nullable=False, server_default=func.now()),
    # Access tokens of an earlier generation are refused, whatever their time.
    Column("generation", Integer, nullable=False, server_default=text("0")),
    Column("generation_at", Instant),
    CheckConstraint("role IN ('caissier', 'gestionnaire', 'operateur', 'admin')", name="role"),
)

refresh_token = Table(
    "refresh_token",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("family_id", Uuid, nullable=False),
    Column("username", Text, ForeignKey("account.username", ondelete="CASCADE"), nullable=False),
    Column("issued_at", Instant, nullable=False, server_default=func.now()),
    Column("expires_at", Instant, nullable=False),
    Column("spent_at", Instant),
)
Index("ix_refresh_token_username", refresh_token.c.username, refresh_token.c.issued_at)
Index("ix_refresh_token_family_id", refresh_token.c.family_id)


@dataclass(frozen=True, slots=True)
class Account:
    """One account; `stores` is ``("*",)`` for every store. Its access tokens carry the `generation` in which they were issued."""

    username: str
    password_hash: str
    role: str
    stores: tuple[str, ...]
    disabled: bool
    created_at: datetime
    generation: int


class ReusedTokenError(Exception):
    """A spent refresh token came again: somebody has a copy. The session is closed, which the caller must let commit."""


_COLUMNS: Final = (
    account.c.username,
    account.c.password_hash,
    account.c.role,
    account.c.stores,
    account.c.disabled,
    account.c.created_at,
    account.c.generation,
)
_STORE: Final = text("SELECT EXISTS (SELECT FROM store WHERE store_id = :store_id)")
_STORES: Final = text("SELECT store_id FROM store ORDER BY store_id")


def find(connection: Connection, username: str, *, lock: bool = False) -> Account | None:
    """The account of that name; with `lock`, nobody else changes it or its sessions before this transaction ends."""
    query = select(*_COLUMNS).where(account.c.username == username)
    return _account(connection.execute(query.with_for_update() if lock else query).one_or_none())


def page(connection: Connection, *, after: str, limit: int) -> list[Account]:
    """At most `limit` accounts, by name, those after `after`."""
    rows = connection.execute(select(*_COLUMNS).where(account.c.username > after).order_by(account.c.username).limit(limit))
    return [found for row in rows if (found := _account(row))]


def add(connection: Connection, username: str, password_hash: str, role: str, stores: Sequence[str]) -> bool:
    """Make an account; False when the name is taken."""
    values = {"username": username, "password_hash": password_hash, "role": role, "stores": list(stores)}
    made = connection.execute(insert(account).values(values).on_conflict_do_nothing().returning(account.c.username))
    return made.first() is not None


def change(connection: Connection, username: str, changes: Mapping[str, Any]) -> Account | None:
    """Change columns of an account; None when there is none of that name."""
    query = update(account).where(account.c.username == username).values(**changes, updated_at=func.now()).returning(*_COLUMNS)
    return _account(connection.execute(query).one_or_none())


def active_admins(connection: Connection) -> list[str]:
    """The names of the administrators that can sign in, locked in one order, so that two of them can't dismiss each other."""
    query = select(account.c.username).where(account.c.role == "admin", ~account.c.disabled)
    return list(connection.scalars(query.order_by(account.c.username).with_for_update()))


def store_exists(connection: Connection, store_id: str) -> bool:
    """Whether a store of that name is defined."""
    return bool(connection.scalar(_STORE, {"store_id": store_id}))


def stores(connection: Connection) -> list[str]:
    """The ids of all stores."""
    return list(connection.scalars(_STORES))


def open_session(connection: Connection, username: str, token_hash: bytes, *, lifetime_seconds: int) -> None:
    """Begin a session with its first refresh token. The account must be locked. What is too old is dropped on the way."""
    mine = refresh_token.c.username == username
    kept = select(refresh_token.c.token_hash).where(mine).order_by(refresh_token.c.issued_at.desc()).offset(MOST_TOKENS)
    connection.execute(delete(refresh_token).where(mine, (refresh_token.c.expires_at < func.now()) | refresh_token.c.token_hash.in_(kept)))
    _add_token(connection, username, uuid4(), token_hash, lifetime_seconds)


def renew_session(connection: Connection, old_hash: bytes, new_hash: bytes, *, lifetime_seconds: int) -> Account | None:
    """Spend a refresh token for a new one; the account it belongs to, or None when it is unknown, expired, or the account disabled.

    Raises `ReusedTokenError` after closing the session when the token was spent before.
    """
    this = refresh_token.c.token_hash == old_hash
    username = connection.scalar(select(refresh_token.c.username).where(this))
    owner = find(connection, username, lock=True) if username else None
    if owner is None or owner.disabled:
        return None
    # Read again: now that the account is locked, it can't change any more.
    token = connection.execute(select(refresh_token, (refresh_token.c.expires_at > func.now()).label("valid")).where(this)).one_or_none()
    if token is None or not token.valid:
        return None
    if token.spent_at is not None:
        connection.execute(delete(refresh_token).where(refresh_token.c.family_id == token.family_id))
        raise ReusedTokenError(owner.username)
    connection.execute(update(refresh_token).where(this).values(spent_at=func.now()))
    _add_token(connection, owner.username, token.family_id, new_hash, lifetime_seconds)
    return owner


def close_session(connection: Connection, token_hash: bytes) -> None:
    """Close the session that a refresh token belongs to; nothing happens when there is none."""
    username = connection.scalar(select(refresh_token.c.username).where(refresh_token.c.token_hash == token_hash))
    if username and find(connection, username, lock=True):
        family = select(refresh_token.c.family_id).where(refresh_token.c.token_hash == token_hash).scalar_subquery()
        connection.execute(delete(refresh_token).where(refresh_token.c.family_id == family))


def close_all_sessions(connection: Connection, username: str) -> None:
    """Sign an account out everywhere. The account must be locked or just changed."""
    connection.execute(delete(refresh_token).where(refresh_token.c.username == username))


def refuse_tokens(connection: Connection, username: str) -> Account | None:
    """Begin a new generation: the access tokens that are out are refused from now on. Sessions stay open."""
    return change(connection, username, {"generation": account.c.generation + 1, "generation_at": func.now()})


def lately_refused(connection: Connection, *, within_seconds: int) -> dict[str, int]:
    """The accounts whose present generation began lately, with its number: older tokens of the others have ended by themselves."""
    since = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, within_seconds)
    rows = connection.execute(select(account.c.username, account.c.generation).where(account.c.generation_at > since))
    return {row.username: row.generation for row in rows}


def _add_token(connection: Connection, username: str, family_id: UUID, token_hash: bytes, lifetime_seconds: int) -> None:
    expires_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, lifetime_seconds)
    connection.execute(insert(refresh_token).values(token_hash=token_hash, family_id=family_id, username=username, expires_at=expires_at))


def _account(row: Row[*tuple[Any, ...]] | None) -> Account | None:
    if row is None:
        return None
    return Account(row.username, row.password_hash, row.role, tuple(row.stores), row.disabled, row.created_at, row.generation)
