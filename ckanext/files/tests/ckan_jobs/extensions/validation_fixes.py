"""A plugin of pytest: what validation 2.2.0 expects of CKAN, and these versions do not have.

Without it the extension cannot be loaded: it asks its table, without an engine, whether it exists.
"""

from __future__ import annotations

import ckanext.validation.model as validation  # pyright: ignore[reportMissingImports]
import sqlalchemy as sa
from ckan.lib import uploader
from ckan.model import meta
from werkzeug.datastructures import FileStorage


def _create_tables() -> None:
    validation.Validation.__table__.create(meta.engine)


def _tables_exist() -> bool:
    # CKAN loads plugins the first time before it has an engine; it is only for a line of the log
    return meta.engine is None or sa.inspect(meta.engine).has_table("validation")


# the extension imports them by name when CKAN loads it
validation.create_tables = _create_tables
validation.tables_exist = _tables_exist
for _name, _value in {"ALLOWED_UPLOAD_TYPES": (FileStorage,), "_storage_path": None}.items():
    if not hasattr(uploader, _name):
        setattr(uploader, _name, _value)
