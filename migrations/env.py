"""Runs the steps on the connection that `magasin.migrate` opened and locked."""

from typing import TYPE_CHECKING

from alembic import context

if TYPE_CHECKING:
    from alembic.runtime.environment import NameFilterParentNames, NameFilterType
    from sqlalchemy import MetaData

KEPT_SCHEMA = "public"


def _ours(name: str | None, kind: "NameFilterType", _parents: "NameFilterParentNames") -> bool:
    """Compare only the schemas that our tables name: shadow schemas of a rebuild come and go by themselves."""
    return kind != "schema" or name in schemas


metadata: "MetaData | None" = context.config.attributes.get("metadata")
schemas = {table.schema or KEPT_SCHEMA for table in metadata.tables.values()} | {None} if metadata else {None}

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    include_name=_ours,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
