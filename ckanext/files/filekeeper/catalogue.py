"""The adapters that file-keeper offers, as storages of CKAN."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import file_keeper as fk
from file_keeper import default

from .wrapping import wrap

# A proxy only looks like a storage, and has nothing that could be wrapped.
_NO_STORAGES = frozenset({"proxy"})
# CKAN itself has them for its tests, as ckan:memory and ckan:null.
_FOR_TESTS = frozenset({"memory", "null"})


@functools.cache
def all_adapters(bases: ModuleType) -> dict[str, Any]:
    """Return what file-keeper offers of itself, where the libraries are installed.

    :param bases: as for :func:`~.wrapping.wrap`.
    """
    registry: fk.Registry[type[fk.Storage]] = fk.Registry()
    default.register_adapters(registry)
    adapters = {name.partition(":")[2]: registry[name] for name in registry}
    return {
        name: wrap(adapter, bases) for name, adapter in adapters.items() if name not in _NO_STORAGES
    }


def adapters(bases: ModuleType) -> dict[str, Any]:
    """Return the adapters ``files:s3``, ``files:azure_blob`` and so on."""
    return {
        f"files:{name}": adapter
        for name, adapter in all_adapters(bases).items()
        if name not in _FOR_TESTS
    }
