"""What this CKAN and this SQLAlchemy can do.

The only module that looks at versions. Everybody else asks for a capability.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Any

import ckan.plugins as p
import sqlalchemy as sa
from sqlalchemy.orm import Session

#: CKAN stores files itself (2.12 and later).
CORE_FILES: bool = importlib.util.find_spec("ckan.model.file") is not None

#: When the context has ``defer_commit``, ``package_update`` rolls its change back, and
#: ``package_create`` does not index the dataset (2.12.0).
DEFERRED_PACKAGE_IS_LOST: bool = CORE_FILES

#: The interface of plugins that have a say in who may do what with files.
IFiles: Any = getattr(p, "IFiles", None)

_SQLALCHEMY_2 = not sa.__version__.startswith("1.")


def plugins_of_files() -> Iterable[Any]:
    """Return the plugins that implement ``IFiles``, which CKAN 2.11 has not."""
    return p.PluginImplementations(IFiles) if IFiles else ()


def commit_reaches_root(session: Session) -> bool:
    """Tell whether ``commit()`` and ``rollback()`` end the outermost transaction.

    SQLAlchemy 2.0 always does so. A classic session of 1.4, as CKAN 2.11 has
    it, ends only the innermost savepoint.
    """
    return _SQLALCHEMY_2 or bool(getattr(session, "future", False))
