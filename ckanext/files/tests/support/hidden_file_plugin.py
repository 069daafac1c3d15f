"""Plugins that tell one file of a dataset from the others."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk

from ckanext.files import capabilities


class HiddenFilePlugin(p.SingletonPlugin):
    """Refuses it with an auth function."""

    p.implements(p.IAuthFunctions)
    hidden = ""

    def get_auth_functions(self) -> dict[str, Any]:
        return {"permission_read_file": self._permission_read_file}

    @staticmethod
    @tk.chained_auth_function
    @tk.auth_allow_anonymous_access
    def _permission_read_file(next_auth: Any, context: Any, data_dict: Any) -> Any:
        if data_dict["id"] == HiddenFilePlugin.hidden:
            return {"success": False}
        return next_auth(context, data_dict)


class RefusedFilePlugin(p.SingletonPlugin):
    """Refuses it with the interface of CKAN 2.12."""

    if capabilities.IFiles:
        p.implements(capabilities.IFiles, inherit=True)
    hidden = ""

    def files_file_allows(self, context: Any, file: Any, operation: Any) -> bool | None:
        return False if file.id == self.hidden else None
