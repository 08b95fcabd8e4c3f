"""How many units of a SKU are on their way to a store? What was shipped to it and hasn't come, as long as the restock isn't closed."""

from collections.abc import Collection

from sqlalchemy import BigInteger, ColumnElement, Connection, ScalarSelect, cast, func, select

from stock.restock import ON_THE_WAY
from stock.restocks import restock, restock_line

LEFT = func.greatest(0, restock_line.c.shipped - restock_line.c.received - restock_line.c.damaged)


def in_transit(store_id: ColumnElement[str], sku: ColumnElement[str]) -> ScalarSelect[int]:
    """The units for each row of a statement that has a store and a SKU."""
    return (
        select(cast(func.coalesce(func.sum(LEFT), 0), BigInteger))
        .join_from(restock, restock_line, restock_line.c.restock_id == restock.c.restock_id)
        .where(restock.c.to_store == store_id, restock.c.status.in_(ON_THE_WAY), restock_line.c.sku == sku)
        .scalar_subquery()
    )


def transports(connection: Connection, stores: Collection[str] | None) -> int:
    """How many restocks are on their way to these stores (None: to any).

    A restock sets out by an event of its sender, so the receivers' own logs don't tell. It ends by an event of theirs: together with
    their position this number changes whenever something in transit does.
    """
    statement = select(func.count()).select_from(restock).where(restock.c.status.in_(ON_THE_WAY))
    if stores is not None:
        statement = statement.where(restock.c.to_store.in_(sorted(stores)))
    return int(connection.execute(statement).scalar_one())
