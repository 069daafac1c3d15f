"""A plugin with an auth function that decides by file."""

from __future__ import annotations

from typing import Any

import ckan.plugins as p
import ckan.plugins.toolkit as tk


class HiddenFilePlugin(p.SingletonPlugin):
    """Tells one file of a dataset from the others."""

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
