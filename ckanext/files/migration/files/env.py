"""Runs the migrations of the plugin ``files``.

The table of versions does not have the usual name, ``files_alembic_version``. A portal that had
ckanext-files 1.x has a table of that name with other revisions, and needs them unchanged if it goes
back.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import engine_from_config, pool

from ckanext.files.backport.tables import metadata
from ckanext.files.search.indexes import without_reflection_warnings

VERSIONS = "ckanext_files_alembic_version"


def include_name(name: str | None, type_: str, _: object) -> bool:
    """Limit the migrations to the tables of this plugin."""
    return type_ != "table" or (name or "").startswith("files_")


def run() -> None:
    """Run the migrations."""
    section = context.config.get_section(context.config.config_ini_section) or {}
    engine = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            version_table=VERSIONS,
            include_name=include_name,
        )
        with without_reflection_warnings(), context.begin_transaction():
            context.run_migrations()


run()
