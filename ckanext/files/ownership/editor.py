"""The user on whose behalf files move."""

from __future__ import annotations

from typing import Any

from ckan import model
from ckan.plugins import toolkit as tk
from ckan.types import Context

from ckanext.files.store import FileRecord, Owner


class Editor:
    """Remembers who calls an action, and what CKAN lets them do with files."""

    def __init__(self, context: Context) -> None:
        # the action goes on to write into its own, 2.11 even ignore_auth
        self.context = tk.fresh_context(context)
        self.name: str = context.get("user") or ""
        user: Any = context.get("auth_user_obj")
        if user is None and self.name:
            user = model.User.get(self.name)
        user_id: str | None = getattr(user, "id", None)
        self._as_owner = Owner("user", user_id) if user_id else None
        self._answers: dict[FileRecord, bool] = {}

    def may_edit(self, file: FileRecord) -> bool:
        """Tell whether CKAN lets the user edit a file, as it is in this record."""
        if file.owner is not None and file.owner == self._as_owner:
            return True
        if file not in self._answers:
            self._answers[file] = self.may("permission_edit_file", {"id": file.id})
        return self._answers[file]

    def may(self, permission: str, data_dict: dict[str, Any]) -> bool:
        """Ask one of CKAN's auth functions."""
        try:
            tk.check_access(permission, self.context, data_dict)
        except (tk.NotAuthorized, tk.ObjectNotFound):
            # not found: what the file belongs to has been purged
            return False
        return True
