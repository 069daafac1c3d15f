"""The options of files, as CKAN 2.12 declares them.

Left out on purpose: the options ``ckan.files.default_storages`` for resources,
for images of users and groups and for the site's logo, which would have no
effect.
"""

from __future__ import annotations

import logging

import file_keeper as fk
from ckan import logic
from ckan.common import config
from ckan.config.declaration import Declaration, Key

from .adapters import reset
from .options import STORAGE_PREFIX, options_of_storages
from .storage import Storage

log = logging.getLogger(__name__)


def declare(declaration: Declaration, key: Key) -> None:
    """Declare all options, also those of each storage in the configuration."""
    # CKAN may have collected the validators before the plugin was loaded
    logic.clear_validators_cache()
    reset()
    declaration.annotate("Files")
    _declare_downloads(declaration, key.ckan.files)
    _declare_owners(declaration, key.ckan.files.owner)
    _declare_uploads(declaration, key.ckan.files)
    for name, options in options_of_storages(config).items():
        _declare_storage(declaration, Key.from_string(STORAGE_PREFIX + name), options.get("type"))


def _declare_downloads(declaration: Declaration, key: Key) -> None:
    declaration.declare_list(key.inline_content_types, None).set_description(
        "MIME types that browsers may show instead of saving them. A type that can hold"
        " scripts, such as text/html or image/svg+xml, gives them the rights of the visitor."
    ).set_example("application/pdf image/png")


def _declare_owners(declaration: Declaration, key: Key) -> None:
    rules = "package resource group organization"
    # without as_list: CKAN validates an option twice, and a list made of the
    # rules that are already read would forget the storages
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
    elif issubclass(adapter, Storage):
        adapter.declare_config_options(declaration, key)
