"""The adapters that storages may have on CKAN 2.11."""

from __future__ import annotations

from typing import Any

import file_keeper as fk
from ckan.common import asbool, config
from file_keeper import ext
from file_keeper.core.utils import ensure_setup

from ckanext.files.filekeeper.catalogue import adapters, all_adapters

from . import storage

_BASES: Any = storage


@ensure_setup
def reset() -> None:
    """Register file-keeper's own adapters, those of its extensions, and CKAN's."""
    ext.register(reset=True)
    wrapped = all_adapters(_BASES)
    ours = {"ckan:fs": wrapped["fs"], **adapters(_BASES)}
    if asbool(config.get("testing")):
        ours.update({"ckan:memory": wrapped["memory"], "ckan:null": wrapped["null"]})
    for name, adapter in ours.items():
        fk.adapters.register(name, adapter)
