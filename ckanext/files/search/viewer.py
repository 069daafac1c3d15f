"""The files that a visitor may see."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk
from ckan.types import Context

from ckanext.files import capabilities
from ckanext.files.store import FileDescription

BEFORE_DOWNLOAD = ("permission_download_file", "file_show")
"""The auth functions that CKAN calls before a download."""

_DECIDING = {
    *BEFORE_DOWNLOAD,
    "permission_read_file",
    "permission_owns_file",
    "permission_manage_files",
}

_OURS = "files"
"""This plugin has the auth functions of the backport, which decide by owner and storage as CKAN's
own do."""


class Viewer:
    """Remembers the answers of CKAN's auth functions about files, for one page.

    CKAN's own answer depends on a file's owner and storage only, and takes some milliseconds:
    the viewer asks once for the hundred files of a dataset. Where a plugin may answer
    differently for two of them, the viewer asks for each.

    :param context: of the action that asks; by default the user of the request is the visitor.
    """

    def __init__(self, context: Context | None = None) -> None:
        self._answers: dict[Hashable, bool] = {}
        self._context = context
        self.decides_by_file = _plugins_decide_by_file()

    def may_download(self, file: FileDescription) -> bool:
        """Return whether the visitor may download a file."""
        alike = file.id if self.decides_by_file else (file.owner, file.storage)
        if alike not in self._answers:
            self._answers[alike] = all(self._is_allowed(name, file.id) for name in BEFORE_DOWNLOAD)
        return self._answers[alike]

    def _is_allowed(self, auth_function: str, file_id: str) -> bool:
        context: Any = tk.fresh_context(self._context) if self._context else {}
        try:
            tk.check_access(auth_function, context, {"id": file_id})
        except (tk.NotAuthorized, tk.ObjectNotFound):
            # not found: the owner of the file has been purged
            return False
        return True


def _plugins_decide_by_file() -> bool:
    return any(
        type(plugin).files_file_allows is not capabilities.IFiles.files_file_allows
        for plugin in capabilities.plugins_of_files()
    ) or any(
        not _DECIDING.isdisjoint(plugin.get_auth_functions())
        for plugin in p.PluginImplementations(p.IAuthFunctions)
        if plugin.name != _OURS
    )
