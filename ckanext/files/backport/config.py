"""The options and adapters of files, as CKAN 2.12 declares and registers them.

Left out on purpose: the options ``ckan.files.default_storages`` for resources,
for images of users and groups and for the site's logo, which would have no
effect.
"""

from __future__ import annotations

import logging
from typing import Any

import file_keeper as fk
from ckan import logic
from ckan.common import asbool, config
from ckan.config.declaration import Declaration, Key
from file_keeper import ext
from file_keeper.core.utils import ensure_setup

from ckanext.files.filekeeper.adapters import adapters, all_adapters

from . import storage

log = logging.getLogger(__name__)

_BASES: Any = storage


def declare(declaration: Declaration, key: Key) -> None:
    """Declare all options, also the options of each storage in the configuration."""
    # CKAN may have collected the validators before it loaded the plugin
    logic.clear_validators_cache()
    _register_adapters()
    declaration.annotate("Files")
    _declare_downloads(declaration, key.ckan.files)
    _declare_owners(declaration, key.ckan.files.owner)
    _declare_uploads(declaration, key.ckan.files)
    for name, options in storage.options_of_storages(config).items():
        prefix = Key.from_string(storage.STORAGE_PREFIX + name)
        _declare_storage(declaration, prefix, options.get("type"))


@ensure_setup
def _register_adapters() -> None:
    """Register the adapters of file-keeper, of its extensions, and those that CKAN 2.12 has."""
    ext.register(reset=True)
    wrapped = all_adapters(_BASES)
    ours = {"ckan:fs": wrapped["fs"], **adapters(_BASES)}
    if asbool(config.get("testing")):
        ours.update({"ckan:memory": wrapped["memory"], "ckan:null": wrapped["null"]})
    for name, adapter in ours.items():
        fk.adapters.register(name, adapter)


def _declare_downloads(declaration: Declaration, key: Key) -> None:
    declaration.declare_list(key.inline_content_types, None).set_description(
        "MIME types that browsers may show instead of saving them. A type that can hold"
        " scripts, such as text/html or image/svg+xml, gives them the rights of the visitor."
    ).set_example("application/pdf image/png")


def _declare_owners(declaration: Declaration, key: Key) -> None:
    rules = "package resource group organization"
    # without as_list: CKAN validates an option twice, and the second as_list would make a list of
    # the types from the dictionary of rules, without their storages
    declaration.declare(key.cascade_access, rules).set_validators(
        "default({}) cascade_storage_access"
    ).set_description(
        "Types of owners. Users who may see, change or delete such an owner may do so with its"
        " files. `package:NAME` limits it to the files in the storage NAME."
    ).set_example("package resource:resources group user:avatar")
    declaration.declare_bool(key.transfer_as_update, True).set_description(
        "Users who may update the owner (OWNER_TYPE_update) may transfer its files;"
        " otherwise OWNER_TYPE_file_transfer decides."
    )
    declaration.declare_bool(key.scan_as_update, True).set_description(
        "Users who may update the owner (OWNER_TYPE_update) may list its files;"
        " otherwise OWNER_TYPE_file_scan decides."
    )


def _declare_uploads(declaration: Declaration, key: Key) -> None:
    declaration.declare(key.default_storages.default, "default").set_description(
        "The storage of uploads that do not name one."
    )
    declaration.declare_bool(key.authenticated_uploads.allow).set_description(
        "Every user who is logged in may upload files."
    )
    declaration.declare_list(key.authenticated_uploads.storages, None).set_description(
        "The storages to which users may upload files."
    )


def _declare_storage(declaration: Declaration, key: Key, kind: str | None) -> None:
    declaration.declare(key.type, kind).set_description("Adapter of the storage.").required()
    adapter = fk.adapters.get(kind or "")
    if adapter is None:
        log.warning("Unknown storage adapter '%s' used by the storage '%s'.", kind, key[-1])
    elif issubclass(adapter, storage.Storage):
        adapter.declare_config_options(declaration, key)
