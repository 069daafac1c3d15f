"""What this CKAN and this SQLAlchemy can do.

The only module that looks at versions. Other modules ask for a capability.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

import ckan.plugins as p
import sqlalchemy as sa
from sqlalchemy.orm import Session

CORE_FILES: bool = importlib.util.find_spec("ckan.model.file") is not None
"""CKAN stores files itself (2.12 and later)."""

DEFERRED_PACKAGE_IS_LOST: bool = CORE_FILES
"""When the context has ``defer_commit``, ``package_update`` rolls its change back, and
``package_create`` does not index the dataset (2.12.0)."""

DELETION_IS_HASTY: bool = CORE_FILES
"""``file_delete`` removes the bytes before the commit, also if the caller commits (2.12.0)."""

IFiles: Any = getattr(p, "IFiles", None)
"""The interface of plugins that decide who may do what with files; None on CKAN 2.11."""

_SQLALCHEMY_2 = not sa.__version__.startswith("1.")


def plugins_of_files() -> Iterable[Any]:
    """Return the plugins that implement ``IFiles``; none on CKAN 2.11."""
    return p.PluginImplementations(IFiles) if IFiles else ()


def commit_reaches_root(session: Session) -> bool:
    """Return whether ``commit()`` and ``rollback()`` end the outermost transaction.

    In SQLAlchemy 2.0 they always do. In a classic session of 1.4, which CKAN 2.11 has, they end
    only the innermost savepoint.
    """
    return _SQLALCHEMY_2 or bool(getattr(session, "future", False))
