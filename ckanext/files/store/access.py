"""What CKAN's auth functions answer about files, in as few questions as give the same answers."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.types import Context

from ckanext.files import capabilities

from .descriptions import FileDescription

BEFORE_DOWNLOAD = ("permission_download_file", "file_show")
"""The auth functions that CKAN calls before a download."""

_CALLED = {
    "permission_download_file": "permission_read_file",
    "file_show": "permission_read_file",
    "files_transfer_ownership": "permission_edit_file",
}
"""The auth functions that :class:`FileAccess` knows, each with the one about a file that it calls.

It needs to know all that may decide: a plugin's own answer about one file must not count for
another one. A plugin that decides about changes only does not slow down what reads.
"""

_CALLED_BY_ALL = ("permission_owns_file", "permission_manage_files")

_OF_PARTS = {f"{type_}_{what}" for type_ in ("package", "resource") for what in ("show", "update")}
"""The auth functions of the owners that are part of another one, to which access cascades."""

_OURS = "files"
"""This plugin has auth functions that decide by owner and storage, as CKAN's own do."""


def is_allowed(
    auth_function: str, data_dict: dict[str, Any], context: Context | None = None
) -> bool:
    """Return the answer of one of CKAN's auth functions.

    :param context: names the user; by default the user of the request.
    """
    try:
        tk.check_access(auth_function, tk.fresh_context(context) if context else {}, data_dict)
    except (tk.NotAuthorized, tk.ObjectNotFound):
        # not found: the owner of the file has been purged
        return False
    return True


class FileAccess:
    """Remembers the answers of auth functions about files, for one request.

    CKAN's own answer depends on a file's owner and storage only, and takes some milliseconds:
    CKAN is asked once for the hundred files of a dataset. Where a plugin may answer differently
    for two of them, it is asked for each.

    :param auth_functions: all of them have to allow it. Any but those in ``_CALLED`` is a KeyError.
    :param context: of the action that asks; by default the user of the request is meant.
    :param data: for the auth functions, besides the id of the file.
    """

    def __init__(
        self,
        auth_functions: Collection[str],
        context: Context | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        self._auth_functions = auth_functions
        self._context = context
        self._data = data or {}
        self._answers: dict[Hashable, bool] = {}
        self.decides_by_file = _plugins_decide_by_file(auth_functions)
        """Two files of one owner and storage may have different answers."""

        self.decides_by_part = self.decides_by_file or _plugins_have(_OF_PARTS)
        """A user who may see all files of an organization or dataset by CKAN's own rules may be
        refused the files of one dataset or resource of it, as by an embargo."""

    def allows(self, file: FileDescription) -> bool:
        """Return whether it is allowed with a file."""
        alike = file.id if self.decides_by_file else (file.owner, file.storage)
        if alike not in self._answers:
            self._answers[alike] = self._ask({**self._data, "id": file.id})
        return self._answers[alike]

    def _ask(self, data: dict[str, Any]) -> bool:
        return all(is_allowed(name, data, self._context) for name in self._auth_functions)


def _plugins_decide_by_file(auth_functions: Collection[str]) -> bool:
    called = (_CALLED[name] for name in auth_functions)
    deciding = {*auth_functions, *called, *_CALLED_BY_ALL}
    return _plugins_have(deciding) or any(
        # also a hook that only the instance has, which is no method
        getattr(plugin.files_file_allows, "__func__", None)
        is not capabilities.IFiles.files_file_allows
        for plugin in capabilities.plugins_of_files()
    )


def _plugins_have(auth_functions: Collection[str]) -> bool:
    return any(
        not plugin.get_auth_functions().keys().isdisjoint(auth_functions)
        for plugin in p.PluginImplementations(p.IAuthFunctions)
        if plugin.name != _OURS
    )
