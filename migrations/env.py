"""Runs the steps on the connection that `magasin.migrate` opened and locked."""

from typing import TYPE_CHECKING

from alembic import context
from alembic.operations.ops import CreateTableOp, ExecuteSQLOp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alembic.migration import MigrationContext
    from alembic.operations.ops import MigrationScript
    from alembic.runtime.environment import NameFilterParentNames, NameFilterType
    from sqlalchemy import MetaData

KEPT_SCHEMA = "public"


def _ours(name: str | None, kind: "NameFilterType", _parents: "NameFilterParentNames") -> bool:
    """Compare only the schemas that our tables name: shadow schemas of a rebuild come and go by themselves."""
    return kind != "schema" or name in schemas


def _with_schemas(_context: "MigrationContext", _revision: object, scripts: "Iterable[MigrationScript]") -> None:
    """Make the schema of a projection that is new before its tables: alembic itself compares tables only."""
    for script in scripts:
        for upgrade in script.upgrade_ops_list:
            new = {each.schema for each in upgrade.ops if isinstance(each, CreateTableOp) and each.schema}
            upgrade.ops[:0] = [ExecuteSQLOp(f"CREATE SCHEMA IF NOT EXISTS {schema}") for schema in sorted(new)]


metadata: "MetaData | None" = context.config.attributes.get("metadata")
schemas = {table.schema or KEPT_SCHEMA for table in metadata.tables.values()} | {None} if metadata else {None}

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_schemas=True,
    include_name=_ours,
    compare_type=True,
    compare_server_default=True,
    process_revision_directives=_with_schemas,
)
with context.begin_transaction():
    context.run_migrations()
