"""Which files the person who looks at a page may see."""

from __future__ import annotations

from collections.abc import Hashable

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.files import capabilities
from ckanext.files.store import FileDescription

#: What CKAN asks before it lets somebody download a file.
_ASKED = ("permission_download_file", "file_show")

_DECIDING = {*_ASKED, "permission_read_file", "permission_owns_file", "permission_manage_files"}


#: Has those of the backport, which go by owner and storage as CKAN's own do.
_OURS = "files"


class Viewer:
    """Remembers what CKAN says about files, for one page.

    CKAN's own answer depends on a file's owner and storage only, and takes
    some milliseconds: it is asked once for the hundred files of a dataset.
    Where a plugin may tell one of them from another, it is asked for each.
    """

    def __init__(self) -> None:
        self._answers: dict[Hashable, bool] = {}
        self._tells_files_apart = _plugins_tell_files_apart()

    def may_download(self, file: FileDescription) -> bool:
        """Tell whether the link to a file would lead to it."""
        alike = file.id if self._tells_files_apart else (file.owner, file.storage)
        if alike not in self._answers:
            self._answers[alike] = all(_is_allowed(name, file.id) for name in _ASKED)
        return self._answers[alike]


def _is_allowed(auth_function: str, file_id: str) -> bool:
    try:
        tk.check_access(auth_function, {}, {"id": file_id})
    except (tk.NotAuthorized, tk.ObjectNotFound):
        # not found: what the file belongs to has been purged
        return False
    return True


def _plugins_tell_files_apart() -> bool:
    return any(
        type(plugin).files_file_allows is not capabilities.IFiles.files_file_allows
        for plugin in capabilities.plugins_of_files()
    ) or any(
        not _DECIDING.isdisjoint(plugin.get_auth_functions())
        for plugin in p.PluginImplementations(p.IAuthFunctions)
        if plugin.name != _OURS
    )
